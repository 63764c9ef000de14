//! Where the value of a metric comes from: what can be asked, and how. Types only. No I/O.

pub mod access;
pub mod hosted;

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use crate::check::api::CheckJob;
use crate::schema::{self, closed_set};
use access::Connection;
use hosted::{CloudWatchQuery, DatadogQuery, GraphiteQuery, InfluxDbQuery, NewRelicQuery};

/// One source of values, of several. Exactly one of them is set.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// The value comes from a Prometheus server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// The value stands in the JSON that a server answers with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebQuery>,
    /// A Job says whether all is well: one for each sample, which is good when it succeeds and bad when it fails. It takes no
    /// `pass` and no `fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<CheckJob>,
    /// The value comes from Datadog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datadog: Option<DatadogQuery>,
    /// The value comes from Amazon CloudWatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_watch: Option<CloudWatchQuery>,
    /// The value comes from New Relic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_relic: Option<NewRelicQuery>,
    /// The value comes from Graphite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graphite: Option<GraphiteQuery>,
    /// The value comes from InfluxDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub influxdb: Option<InfluxDbQuery>,
    /// The canary is compared with stable, over the same time; what is measured is how they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
    /// How long an answer may take, at most `1m`; a sample that takes longer is an error. With `job`: how long the Job may
    /// run; one that takes longer has failed. A duration; default `5s`, with `job` `5m`. Example: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// The one source that a metric names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// A Prometheus server.
    Prometheus(&'a PrometheusQuery),
    /// JSON over HTTP.
    Web(&'a WebQuery),
    /// A Job.
    Job(&'a CheckJob),
    /// Datadog.
    Datadog(&'a DatadogQuery),
    /// Amazon CloudWatch.
    CloudWatch(&'a CloudWatchQuery),
    /// New Relic.
    NewRelic(&'a NewRelicQuery),
    /// Graphite.
    Graphite(&'a GraphiteQuery),
    /// InfluxDB.
    InfluxDb(&'a InfluxDbQuery),
    /// A comparison of the canary with stable.
    Compare(&'a Comparison),
}

impl Provider {
    /// The source, if there is exactly one, as the API server makes sure.
    pub fn source(&self) -> Option<Source<'_>> {
        let all = [
            self.prometheus.as_ref().map(Source::Prometheus),
            self.web.as_ref().map(Source::Web),
            self.job.as_ref().map(Source::Job),
            self.datadog.as_ref().map(Source::Datadog),
            self.cloud_watch.as_ref().map(Source::CloudWatch),
            self.new_relic.as_ref().map(Source::NewRelic),
            self.graphite.as_ref().map(Source::Graphite),
            self.influxdb.as_ref().map(Source::InfluxDb),
            self.compare.as_ref().map(Source::Compare),
        ];
        let mut named = all.into_iter().flatten();
        let first = named.next();
        first.filter(|_| named.next().is_none())
    }

    /// How long an answer may take, or a Job may run.
    pub fn timeout(&self) -> time::Duration {
        let standard = match self.job {
            Some(_) => time::Duration::from_mins(5),
            None => time::Duration::from_secs(5),
        };
        self.timeout.map_or(standard, time::Duration::from)
    }
}

closed_set! {
    /// What is made of several points.
    pub enum Reduce {
        /// Each of them is judged, and the sample is as good as the worst of them.
        Each,
        /// The last that has a value.
        Last,
        /// The smallest.
        Min,
        /// The largest.
        Max,
        /// Their mean.
        Mean,
        /// Their sum.
        Sum,
    }
}

/// A query to a Prometheus server, or to one that speaks like it (Thanos, Mimir, VictoriaMetrics).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusQuery {
    /// Address of the server, without `/api/v1`. Example: `http://prometheus.monitoring:9090`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// PromQL that yields one number. `{{canary.pods}}` and `{{stable.pods}}` stand for patterns that match the
    /// pods of one revision; docs/analysis.md has the others. In an AnalysisTemplate `{{args.<name>}}` stands for an argument. Example: `sum(rate(http_requests_total{pod=~"{{canary.pods}}",code!~"5.."}[1m]))`.
    #[schemars(transform = schema::some_text::<8192>)]
    pub query: String,
    /// Asks for the values of a time, up to now, instead of the one of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// How the server is reached.
    #[serde(flatten)]
    pub connection: Connection,
}

/// The values of a time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "duration(self.step).getMilliseconds() > 0 && duration(self.for).getMilliseconds() / duration(self.step).getMilliseconds() <= 1000",
    "for and step make at most 1000 values: make step longer, or for shorter",
)]))]
pub struct Range {
    /// Length of the time. A duration. Example: `5m`.
    #[serde(rename = "for")]
    #[schemars(transform = schema::duration)]
    pub for_: Duration,
    /// Time between two values: at most 1000 of them. A duration. Example: `15s`.
    #[schemars(transform = schema::duration)]
    pub step: Duration,
    /// What is made of the values: `Each` is judged, and the sample is as good as the worst of them; or one number,
    /// which is judged. Example: `Max`.
    pub reduce: Reduce,
}

closed_set! {
    /// How a server is asked.
    #[derive(Default)]
    pub enum Method {
        /// Without a body.
        #[default]
        GET,
        /// With a body.
        POST,
    }
}

/// A request whose answer is JSON.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.url.startsWith('https://') || (has(self.plainHttp) && self.plainHttp)",
     "url must start with https://, or set plainHttp: true to ask over http without encryption"),
    ("!has(self.body) || (has(self.method) && self.method == 'POST')",
     "a body needs method: POST"),
]))]
pub struct WebQuery {
    /// What is asked for, with the same placeholders as a query. Example: `https://quality.example/api/v1/{{canary.revision}}`.
    #[schemars(transform = schema::http_url)]
    pub url: String,
    /// `GET` or `POST`. Default `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// What is sent along, as JSON unless a header field says otherwise. Default: nothing. Example: `{"revision": "{{canary.revision}}"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<8192>)]
    pub body: Option<String>,
    /// Where the value stands in the answer: a JSONPath (RFC 9535) without filters and descents. Several values
    /// (`[*]`) are judged one by one, and the sample is as good as the worst of them.
    /// Default `$`: the answer is the value. Example: `$.data.errors[0].rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::json_path)]
    pub path: Option<String>,
    /// Lets it be asked over `http://`, without encryption. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_http: Option<bool>,
    /// How the server is reached.
    #[serde(flatten)]
    pub connection: Connection,
}
