//! Where the value of a metric comes from: the servers that can be asked. Types only. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// One source of values, of several. Exactly one of the fields is set.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// The value comes from a Prometheus server: an instant query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
}

/// The one source that a metric names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// A Prometheus server.
    Prometheus(&'a PrometheusQuery),
}

impl Provider {
    /// The source, if there is exactly one, as the API server makes sure.
    pub fn source(&self) -> Option<Source<'_>> {
        let Self { prometheus } = self;
        let all = [prometheus.as_ref().map(Source::Prometheus)];
        let mut named = all.into_iter().flatten();
        let first = named.next();
        first.filter(|_| named.next().is_none())
    }
}

/// An instant query to a Prometheus server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuery {
    /// Address of the server, without `/api/v1`. Example: `http://prometheus.monitoring:9090`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// PromQL that yields one number. `{{canary.pods}}` and `{{stable.pods}}` stand for patterns that match the
    /// pods of one revision; in an AnalysisTemplate `{{args.<name>}}` stands for an argument. Example: `sum(rate(http_requests_total{pod=~"{{canary.pods}}",code!~"5.."}[1m]))`.
    #[schemars(transform = schema::some_text::<8192>)]
    pub query: String,
}
