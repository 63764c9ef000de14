//! A metric that compares the canary with stable. Types only. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provider::access::Connection;
use crate::schema::{self, Rules, closed_set};

closed_set! {
    /// How both sides are compared.
    pub enum Test {
        /// Values of both, such as latencies, by the test of Mann and Whitney.
        MannWhitney,
        /// The share of bad events of all events on both, such as errors of requests, by a sequential test.
        Ratio,
    }
}

closed_set! {
    /// Which way the canary would be worse.
    #[derive(Default)]
    pub enum Worse {
        /// More is worse: errors, latency.
        #[default]
        Higher,
        /// Less is worse: throughput, hits of a cache.
        Lower,
    }
}

closed_set! {
    /// What a comparison has found.
    #[derive(Default)]
    pub enum Found {
        /// Neither of the two, so far.
        #[default]
        Undecided,
        /// The canary is worse than stable by more than the tolerance.
        Worse,
        /// The canary is not worse than stable by more than the tolerance.
        NotWorse,
    }
}

/// A comparison of the canary with stable, over the same time. It judges by itself, without `pass` and `fail`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = Rules(&[
    ("(self.test == 'Ratio') == (has(self.prometheus.canaryTotal) && has(self.prometheus.stableTotal)) && has(self.prometheus.canaryTotal) == has(self.prometheus.stableTotal)",
     "test Ratio needs canaryTotal and stableTotal, the counters of all events; test MannWhitney has neither"),
    ("self.test != 'Ratio' || !has(self.worse) || self.worse == 'Higher'",
     "test Ratio counts bad events, so worse is Higher: count the events that are bad, or use MannWhitney"),
    ("!has(self.worse) || self.worse != 'Lower' || !has(self.tolerance) || self.tolerance.matches('^[0-9]{1,2}([.][0-9]{1,2})?%$')",
     "tolerance must be below 100% where worse is Lower: nothing is lower than nothing"),
]))]
pub struct Comparison {
    /// Where the data of both sides come from: a Prometheus server.
    pub prometheus: SideQueries,
    /// How both sides are compared: `MannWhitney` for values such as latencies, `Ratio` for bad events among all events, such
    /// as errors among requests.
    pub test: Test,
    /// Which way the canary would be worse: `Higher` or `Lower`. Default `Higher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worse: Option<Worse>,
    /// By how much of stable the canary may be worse: a percentage of stable's value, up to `999%`. Default `5%`: at 1 % of errors on
    /// stable, 1.05 % on the canary are fine. Example: `10%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = tolerance)]
    pub tolerance: Option<String>,
    /// How sure a finding has to be: of as many canaries that are not worse, at most the rest to 1 is found worse. A number from `0.5` to
    /// `0.99999`. Default `0.99`: at most one of a hundred. Example: `0.999`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = confidence)]
    pub confidence: Option<String>,
}

/// The queries of both sides. They are asked over all of the time of the comparison, one point per interval.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SideQueries {
    /// Address of the server, without `/api/v1`. Example: `http://prometheus.monitoring:9090`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// PromQL for the canary. With `MannWhitney` one series of values. With `Ratio` counters of bad events as they are, without `rate`,
    /// `increase` or a sum over pods, because what is counted is how they grow, one by one. `{{canary.pods}}` stands for a pattern
    /// that matches its pods. Example: `http_requests_total{pod=~"{{canary.pods}}",code=~"5.."}`.
    #[schemars(transform = schema::some_text::<4096>)]
    pub canary: String,
    /// The same for stable, with `{{stable.pods}}`. Example: `http_requests_total{pod=~"{{stable.pods}}",code=~"5.."}`.
    #[schemars(transform = schema::some_text::<4096>)]
    pub stable: String,
    /// With `Ratio`, counters of all events of the canary, bad ones too. Example: `http_requests_total{pod=~"{{canary.pods}}"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<4096>)]
    pub canary_total: Option<String>,
    /// With `Ratio`, the same of stable. Example: `http_requests_total{pod=~"{{stable.pods}}"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<4096>)]
    pub stable_total: Option<String>,
    /// How the server is reached.
    #[serde(flatten)]
    pub connection: Connection,
}

fn tolerance(schema: &mut schemars::Schema) {
    schema.insert("maxLength".into(), 7.into());
    schema.insert("pattern".into(), "^[0-9]{1,3}(\\.[0-9]{1,2})?%$".into());
}

fn confidence(schema: &mut schemars::Schema) {
    schema.insert("maxLength".into(), 7.into());
    schema.insert("pattern".into(), "^0\\.[5-9][0-9]{0,4}$".into());
}

impl Comparison {
    /// Looks that are planned, when the metric has no `count`.
    pub const LOOKS: u32 = 20;

    /// Which way is worse.
    pub fn worse(&self) -> Worse {
        self.worse.unwrap_or_default()
    }

    /// By how much of stable the canary may be worse: 0.05 for 5 %.
    pub fn tolerance(&self) -> f64 {
        let text = self.tolerance.as_deref().unwrap_or("5%");
        let percent = text.trim_end_matches('%').parse::<f64>();
        percent.map_or(0.05, |percent| percent / 100.0)
    }

    /// How often the canary may be found worse although it is not: 0.01 at confidence 0.99.
    pub fn alpha(&self) -> f64 {
        let text = self.confidence.as_deref().unwrap_or("0.99");
        text.parse::<f64>()
            .map_or(0.01, |confidence| 1.0 - confidence)
    }
}
