//! Servers with a language of their own: Datadog, CloudWatch, New Relic, Graphite and InfluxDB. Types only. No I/O.

use std::collections::BTreeMap;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reduce;
use super::access::Connection;
use crate::model::secret::SecretKey;
use crate::schema::{self, closed_set};

/// A query to Datadog.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatadogQuery {
    /// Site of the organisation. Default `datadoghq.com`. Example: `datadoghq.eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::host)]
    pub site: Option<String>,
    /// Query that yields one series. Example: `sum:trace.http.request.errors{service:api,version:{{canary.revision}}}.as_rate()`.
    #[schemars(transform = schema::some_text::<4096>)]
    pub query: String,
    /// Length of the window that is looked at, up to now. A duration; default `5m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
    /// What is made of the points in the window. Default `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Where the API key stands. Example: `{name: datadog, key: api-key}`.
    pub api_key: SecretKey,
    /// Where the application key stands. Example: `{name: datadog, key: app-key}`.
    pub app_key: SecretKey,
}

/// Queries to Amazon CloudWatch.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchQuery {
    /// Region. Example: `eu-central-1`.
    #[schemars(transform = schema::region)]
    pub region: String,
    /// Address of the service, if it is reached in another way than over the internet.
    /// Default `https://monitoring.<region>.amazonaws.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::https_url)]
    pub endpoint: Option<String>,
    /// Metrics, and expressions over them, told apart by name; 1 to 10. All but one are `hidden`.
    /// Example: `[{name: errors, metric: {namespace: AWS/ApplicationELB, name: HTTPCode_Target_5XX_Count, statistic: Sum}}]`.
    #[schemars(length(min = 1), transform = schema::by_name::<10>)]
    pub queries: Vec<CloudWatchMetric>,
    /// Length of the window that is looked at, up to now. A duration; default `5m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
    /// What is made of the points in the window. Default `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Who asks.
    pub credentials: AwsCredentials,
}

/// One of the queries to CloudWatch.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "has(self.metric) != has(self.expression)",
    "a query has exactly one of metric, expression",
)]))]
pub struct CloudWatchMetric {
    /// Its name in expressions: letters, digits and `_`, a small letter first. Example: `errors`.
    #[schemars(transform = schema::cloud_watch_id)]
    pub name: String,
    /// A metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<CloudWatchStatistic>,
    /// A metric math expression over the others. Example: `errors / requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<2048>)]
    pub expression: Option<String>,
    /// Whether it is there only for expressions to use. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
}

/// A statistic of one metric of CloudWatch.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CloudWatchStatistic {
    /// Namespace. Example: `AWS/ApplicationELB`.
    #[schemars(transform = schema::some_text::<255>)]
    pub namespace: String,
    /// Name of the metric. Example: `RequestCount`.
    #[schemars(transform = schema::some_text::<255>)]
    pub name: String,
    /// Dimensions by name, at most 30. Default: none. Example: `{TargetGroup: targetgroup/api/6d0ecf831eec9f09}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<30>)]
    pub dimensions: BTreeMap<String, String>,
    /// What is made of the samples of a period. Example: `Sum`, `Average`, `p99`.
    #[schemars(transform = schema::some_text::<32>)]
    pub statistic: String,
    /// Seconds of a period: 1, 5, 10, 20, 30, or a multiple of 60. Default `60`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub period: Option<i32>,
}

/// A key for Amazon's services. Roles of ServiceAccounts and of nodes: not yet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentials {
    /// Where the id of the access key stands. Example: `{name: aws, key: access-key-id}`.
    pub access_key_id: SecretKey,
    /// Where the secret access key stands. Example: `{name: aws, key: secret-access-key}`.
    pub secret_access_key: SecretKey,
    /// Where the session token stands, if the key is a temporary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretKey>,
}

closed_set! {
    /// Where New Relic keeps the data of an account.
    #[derive(Default)]
    pub enum NewRelicRegion {
        /// In the United States.
        #[default]
        US,
        /// In the European Union.
        EU,
    }
}

/// A query to New Relic.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NewRelicQuery {
    /// Number of the account. Example: `1234567`.
    #[schemars(range(min = 1))]
    pub account: i64,
    /// Where the data of the account are kept: `US` or `EU`. Default `US`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<NewRelicRegion>,
    /// NRQL that yields one number, or with `TIMESERIES` one for each bucket.
    /// Example: `SELECT percentage(count(*), WHERE error IS true) FROM Transaction WHERE appName = 'api' SINCE 5 minutes ago`.
    #[schemars(transform = schema::some_text::<4096>)]
    pub query: String,
    /// What is made of the buckets of a `TIMESERIES`. Default `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Where the user key stands. Example: `{name: new-relic, key: api-key}`.
    pub api_key: SecretKey,
}

/// A query to Graphite.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GraphiteQuery {
    /// Address of the server, without `/render`. Example: `http://graphite.monitoring`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// Target that yields one series. Example: `asPercent(sum(api.*.errors), sum(api.*.requests))`.
    #[schemars(transform = schema::some_text::<4096>)]
    pub target: String,
    /// Length of the window that is looked at, up to now. A duration; default `5m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
    /// What is made of the points in the window. Default `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// How the server is reached.
    #[serde(flatten)]
    pub connection: Connection,
}

/// A query to InfluxDB, in Flux (2.x) or InfluxQL (1.x, 2.x with a mapping, 3.x).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.flux) != has(self.influxQL)", "influxdb has exactly one of flux, influxQL"),
    ("has(self.flux) == has(self.organization)", "flux needs organization, and influxQL takes none"),
    ("has(self.influxQL) == has(self.database)", "influxQL needs database, and flux takes none: it names a bucket"),
]))]
pub struct InfluxDbQuery {
    /// Address of the server, without `/query` or `/api/v2`. Example: `http://influxdb.monitoring:8086`.
    #[schemars(transform = schema::http_url)]
    pub address: String,
    /// Flux that yields one table; its column `_value` counts.
    /// Example: `from(bucket: "shop") |> range(start: -5m) |> filter(fn: (r) => r._measurement == "errors") |> mean()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<8192>)]
    pub flux: Option<String>,
    /// Name of the organisation, for Flux. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub organization: Option<String>,
    /// InfluxQL that yields one series with one field.
    /// Example: `SELECT mean("value") FROM "errors" WHERE time > now() - 5m`.
    #[serde(rename = "influxQL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<8192>)]
    pub influx_ql: Option<String>,
    /// Name of the database, for InfluxQL. Example: `shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub database: Option<String>,
    /// What is made of several rows. Default `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduce: Option<Reduce>,
    /// Where the API token stands, sent as `Authorization: Token`. Default: none, or what `auth` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKey>,
    /// How the server is reached.
    #[serde(flatten)]
    pub connection: Connection,
}
