//! Reads summaries of k6: of `--summary-export`, and of `handleSummary`. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{ReportError, json};
use crate::pipeline_run::api::Latency;

#[derive(Deserialize)]
struct Export {
    metrics: BTreeMap<String, Metric>,
}

/// The values of a metric stand in it, or in a map in it.
#[derive(Deserialize)]
struct Metric {
    values: Option<BTreeMap<String, Value>>,
    #[serde(flatten)]
    own: BTreeMap<String, Value>,
}

impl Metric {
    fn number(&self, name: &str) -> Option<f64> {
        let values = self.values.as_ref().unwrap_or(&self.own);
        values.get(name)?.as_f64().filter(|value| *value >= 0.0)
    }
}

const WANTED: &str = "summary of k6, which is an object with metrics";

/// Reads a summary.
///
/// # Errors
/// If it cannot be read to its end, or tells nothing of requests.
pub fn read(name: &str, bytes: &[u8]) -> Result<Latency, ReportError> {
    let export: Export = json::object(bytes, WANTED)?;
    let Some(duration) = export.metrics.get("http_req_duration") else {
        let problem = "the summary has no metric http_req_duration".to_owned();
        return Err(ReportError::Nonsense(problem));
    };
    let of = |metric: &str, value: &str| export.metrics.get(metric)?.number(value);
    let failed = of("http_req_failed", "rate").or_else(|| of("http_req_failed", "value"));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count; what is too large for one stays the largest"
    )]
    let requests = of("http_reqs", "count").map(|count| count as u64);
    Ok(Latency {
        name: name.to_owned(),
        requests,
        failed_percent: failed.map(|rate| rate * 100.0),
        p50: duration.number("med").or_else(|| duration.number("p(50)")),
        p90: duration.number("p(90)"),
        p95: duration.number("p(95)"),
        p99: duration.number("p(99)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let export = br#"{"metrics":{"http_req_duration":{"avg":5.1,"med":4.0,"p(90)":9.0,"p(95)":12.25,"thresholds":{"p(95)<500":false}},
            "http_req_failed":{"passes":1,"fails":99,"value":0.01},"http_reqs":{"count":100,"rate":10.0}},"root_group":{}}"#;
        let handle = br#"{"metrics":{"http_req_duration":{"type":"trend","contains":"time","values":{"med":4.0,"p(90)":9.0,"p(95)":12.25}},
            "http_req_failed":{"type":"rate","values":{"rate":0.01}},"http_reqs":{"type":"counter","values":{"count":100,"rate":10.0}}}}"#;
        let found = read("load", export).unwrap();
        assert_eq!(found, read("load", handle).unwrap());
        assert_eq!(
            (found.p50, found.p95, found.p99),
            (Some(4.0), Some(12.25), None)
        );
        assert_eq!(
            (found.requests, found.failed_percent),
            (Some(100), Some(1.0))
        );
        assert!(read("x", br#"{"metrics":{}}"#).is_err());
    }
}
