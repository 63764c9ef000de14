//! What SLOs of an Environment look like in YAML: the spec and the status. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Duration;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::analysis::api::provider::access::Connection;
use crate::schema::{self, closed_set};

/// Where the metrics of SLOs come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricSources {
    /// The Prometheus that SLOs are measured with, where they name none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusServer>,
    /// Labels of the PrometheusRule object besides Slipway's own, by which a Prometheus of the Prometheus Operator
    /// selects its rules. Default: none. Example: `{release: kube-prometheus-stack}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<16>)]
    pub rule_labels: BTreeMap<String, String>,
}

/// A Prometheus server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusServer {
    /// Address of the server, without `/api/v1`. Example: `http://prometheus.monitoring:9090`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// How it is reached.
    #[serde(flatten)]
    pub connection: Connection,
}

/// A share of requests that is to be good.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.availability) != has(self.latency)",
     "an SLO counts one thing: set exactly one of availability and latency"),
    ("has(self.alerts) ? self.alerts.all(a, double(a.budget) / 100.0 * double(duration(has(self.period) ? self.period : '720h').getSeconds()) / {'1h': 3600.0, '6h': 21600.0, '1d': 86400.0, '3d': 259200.0}[a.window] * (100.0 - double(self.objective)) < 100.0) : 0.02 * double(duration(has(self.period) ? self.period : '720h').getSeconds()) / 3600.0 * (100.0 - double(self.objective)) < 100.0",
     "an alert that can never fire: budget × period ÷ window × (100 − objective) must stay below 100, or more than every request would have to fail; raise the objective, shorten the period, or list in alerts only rows that can fire (without alerts, the first row is 2 % in 1h)"),
    ("(has(self.alerts) ? self.alerts.all(a, duration(has(self.period) ? self.period : '720h').getSeconds() >= {'1h': 3600, '6h': 21600, '1d': 86400, '3d': 259200}[a.window]) : duration(has(self.period) ? self.period : '720h').getSeconds() >= 259200) && duration(has(self.period) ? self.period : '720h').getSeconds() <= 7776000",
     "period must be at least the longest window of alerts (3d, where nothing is said) and at most 2160h (90 days)"),
]))]
pub struct Slo {
    /// Name of the SLO. Example: `api-availability`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Share of the requests that is to be good, in percent, as a text so that no digit is lost. Example: `"99.9"`.
    #[schemars(transform = objective)]
    pub objective: String,
    /// Time over which the objective holds. A duration, at most `2160h`; default `720h` (30 days). Example: `672h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub period: Option<Duration>,
    /// Counts requests that fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Counts requests that take too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Number of requests in the short window of a row below which it is not judged. It is never less than what keeps a
    /// single failed request from being a burn, 1 ÷ (factor × (1 − objective)), which is also the default.
    /// Example: `500`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_requests: Option<i64>,
    /// The Prometheus that it is measured with. Default: `spec.metrics.prometheus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusServer>,
    /// How fast the budget may burn before somebody hears of it: a row for each window, told apart by it. An empty list:
    /// nobody hears of it, and nothing follows from it. Default: `[{window: 1h, severity: Page, budget: "2"}, {window: 6h,
    /// severity: Page, budget: "5"}, {window: 1d, severity: Ticket, budget: "10"}, {window: 3d, severity: Ticket,
    /// budget: "10"}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = by_window)]
    pub alerts: Option<Vec<BurnAlert>>,
}

/// Requests that fail, out of all. Either a counter of requests, or two queries.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.metric) && has(self.errorMatchers) && !has(self.errors) && !has(self.total) || !has(self.metric) && !has(self.matchers) && !has(self.errorMatchers) && has(self.errors) && has(self.total)",
     "availability needs metric and errorMatchers (with matchers, where not all series count), or errors and total"),
    ("!has(self.errors) || !has(self.total) || self.errors.contains('[{{window}}]') && self.total.contains('[{{window}}]')",
     "errors and total are numbers of requests in a window: write sum(increase(…[{{window}}]))"),
]))]
pub struct Availability {
    /// Name of the counter of requests. Example: `http_requests_total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = metric_name)]
    pub metric: Option<String>,
    /// Which of its series count, as they stand between braces. Default: all of them. Example: `job="api"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub matchers: Option<String>,
    /// Which of those are of requests that failed. Example: `code=~"5.."`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub error_matchers: Option<String>,
    /// PromQL of the number of failed requests in a window, as one series.
    /// Example: `sum(increase(http_requests_total{job="api",code=~"5.."}[{{window}}]))`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<4096>)]
    pub errors: Option<String>,
    /// PromQL of the number of all requests in a window, as one series.
    /// Example: `sum(increase(http_requests_total{job="api"}[{{window}}]))`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<4096>)]
    pub total: Option<String>,
}

/// Requests that take too long, out of all, by a classic histogram.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    (r"!has(self.matchers) || !self.matchers.matches('(^|,)\\s*le\\s*[=!]')",
     "matchers cannot say le: threshold names the bucket"),
]))]
pub struct Latency {
    /// Name of the histogram, without `_bucket`. Example: `http_request_duration_seconds`.
    #[schemars(transform = metric_name)]
    pub histogram: String,
    /// Which of its series count, as they stand between braces. Default: all of them. Example: `job="api"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub matchers: Option<String>,
    /// The longest time that is good, in the unit of the histogram, which has to have a bucket that ends there.
    /// Example: `"0.3"`.
    #[schemars(transform = threshold)]
    pub threshold: String,
}

closed_set! {
    /// Who hears of a burn.
    pub enum Severity {
        /// Somebody, at once. A change under which it begins goes back.
        Page,
        /// Somebody, within days.
        Ticket,
    }
}

/// How fast the budget may burn in a window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BurnAlert {
    /// The long window: `1h`, `6h`, `1d` or `3d`. The short one, which tells that it still burns, is a twelfth of it.
    #[schemars(transform = window)]
    pub window: String,
    /// Who hears of it: `Page` or `Ticket`.
    pub severity: Severity,
    /// Share of the budget of the whole period that may burn in the window, in percent. The factor follows from it:
    /// budget × period ÷ window, 14.4 for 2 % in one hour of 30 days. Example: `"2"`.
    #[schemars(transform = budget)]
    pub budget: String,
}

fn text_like(schema: &mut Schema, max: u32, rule: &str, message: &str) {
    schema.insert("maxLength".to_owned(), max.into());
    let rules = json!([{"rule": rule, "message": message}]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
}

fn objective(schema: &mut Schema) {
    text_like(
        schema,
        8,
        r"self.matches('^[0-9]{1,2}(\\.[0-9]{1,5})?$') && double(self) > 0.0",
        "must be a percentage above 0 and below 100 as a text, such as \"99.9\"",
    );
}

fn threshold(schema: &mut Schema) {
    text_like(
        schema,
        11,
        r"self.matches('^(0|[1-9][0-9]{0,5})(\\.[0-9]{1,4})?$') && double(self) > 0.0",
        "must be a number above 0 as a text, the bound of a bucket, such as \"0.3\"",
    );
}

fn budget(schema: &mut Schema) {
    text_like(
        schema,
        6,
        r"self.matches('^(100|[0-9]{1,2}(\\.[0-9]{1,3})?)$') && double(self) > 0.0",
        "must be a percentage above 0 as a text, such as \"2\"",
    );
}

fn metric_name(schema: &mut Schema) {
    schema.insert("maxLength".to_owned(), 256.into());
    schema.insert("pattern".to_owned(), "^[a-zA-Z_:][a-zA-Z0-9_:]*$".into());
}

fn window(schema: &mut Schema) {
    schema.insert("enum".to_owned(), json!(["1h", "6h", "1d", "3d"]));
}

fn any_window(schema: &mut Schema) {
    let all = json!(["5m", "30m", "1h", "2h", "6h", "1d", "3d"]);
    schema.insert("enum".to_owned(), all);
}

fn by_window(schema: &mut Schema) {
    schema::by_key(schema, "window", 4);
}

fn by_any_window(schema: &mut Schema) {
    schema::by_key(schema, "window", 7);
}

closed_set! {
    /// How an SLO is.
    #[derive(Default)]
    pub enum SloState {
        /// It is not known: no answer, or too few requests to judge.
        #[default]
        NoData,
        /// Nothing of the budget burns too fast, and some of it is left.
        Met,
        /// The budget burns too fast.
        Burning,
        /// Nothing of the budget is left.
        Exhausted,
    }
}

/// How an SLO is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SloStatus {
    /// Name of the SLO.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// `Met`, `Burning`, `Exhausted`, or `NoData` where that is not known.
    pub state: SloState,
    /// Since when it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
    /// The fastest burn that a row of `alerts` tells of; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn: Option<Burn>,
    /// Share of the budget of the period that is left, by numbers of requests; below 0 where more than all of it is gone.
    /// Example: `"0.62"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<32>)]
    pub remaining_budget: Option<String>,
    /// Share of the period over which there are data; what is left of the budget is about that time. Example: `"0.25"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<32>)]
    pub coverage: Option<String>,
    /// How many times as fast as the budget allows it burns, by window; a window without requests is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_any_window)]
    pub burn_rates: Vec<BurnRate>,
}

/// A burn that a row of `alerts` tells of.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Burn {
    /// `Page` or `Ticket`.
    pub severity: Severity,
    /// Since when. One that is not of the Promotion that is being watched is dated before its start.
    pub since: Time,
}

/// How fast the budget burns over a window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BurnRate {
    /// `5m`, `30m`, `1h`, `2h`, `6h`, `1d` or `3d`.
    #[schemars(transform = any_window)]
    pub window: String,
    /// How many times as fast as the budget allows. Example: `"14.4"`.
    #[schemars(transform = schema::text::<32>)]
    pub rate: String,
}

closed_set! {
    /// What an Environment keeps its rules in.
    pub enum RulesKind {
        /// Where the Prometheus Operator's definition is installed.
        PrometheusRule,
        /// Elsewhere.
        ConfigMap,
    }
}

/// The object that has the recording rules and alerts of the SLOs.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RulesRef {
    /// `PrometheusRule`, or `ConfigMap` in a cluster that does not know that kind.
    pub kind: RulesKind,
    /// Its name.
    #[schemars(transform = schema::record_name)]
    pub name: String,
}
