//! SLOs for tests.

use serde_json::{Value, json};

use super::Slo;
use crate::environment::api;

/// What people write of an SLO of 99.9 % of a counter, with what differs.
pub(crate) fn availability(extra: &Value) -> api::Slo {
    let mut raw = json!({
        "name": "api", "objective": "99.9",
        "availability": {"metric": "http_requests_total", "matchers": "job=\"api\"", "errorMatchers": "code=~\"5..\""},
    });
    json_patch::merge(&mut raw, extra);
    serde_json::from_value(raw).unwrap()
}

/// The same, read, with a Prometheus.
pub(crate) fn slo(extra: &Value) -> Slo {
    let mut extra = extra.clone();
    if extra.get("prometheus").is_none() {
        extra["prometheus"] = json!({"address": "http://prometheus:9090"});
    }
    Slo::read(&availability(&extra), None).unwrap()
}
