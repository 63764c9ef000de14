//! What an Environment looks like in YAML: checks after the Rollouts are healthy. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validation::{ValidationGate, ValidationReports};
use crate::check::api::CheckJob;
use crate::schema;

/// A check after the Rollouts are healthy.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.job), has(self.http), has(self.tcp), has(self.dns), has(self.tls)].filter(has, has).size() == 1",
     "a smoke test is exactly one of job, http, tcp, dns and tls"),
    ("!has(self.job) || !has(self.attempts)",
     "attempts is for checks without a Job: a Job is tried again by promotion.retries, and only when it came to no verdict"),
    ("!has(self.reports) && !has(self.gates) || has(self.job) && has(self.job.command)",
     "reports and gates are about a Job with a command, which the runner runs: set job.command, or leave them out"),
    ("!has(self.gates) || has(self.reports)",
     "gates judge reports: say in reports which files the Job leaves"),
]))]
pub struct SmokeTest {
    /// Name of the check. Example: `critical-paths`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// A Job; it passes when its container ends with exit code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<CheckJob>,
    /// Requests of the operator's, one after the other; it passes when each is answered as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// A connection; it passes when it can be made. Example: `{host: db.shop.svc, port: 5432}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Endpoint>,
    /// A name; it passes when it has an address. Example: `{name: shop.example.com}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// A certificate; it passes when it is good for the name, and will be for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsCheck>,
    /// Files that the Job leaves, to be judged by `gates`; its command is run by the runner then, which brings itself along.
    /// Default: none, and its exit code alone is its verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports: Option<ValidationReports>,
    /// What must hold of the reports, at most 8, told apart by name; beside the exit code. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub gates: Vec<ValidationGate>,
    /// For checks without a Job: how often it is tried until it passes. Default: 5 times, 10 seconds apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// How long it may take before it counts as failed, with all its attempts. A duration; default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// How often a check is tried.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// Number of attempts, 1 to 20. Default `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub count: Option<u32>,
    /// Time between the end of one and the next. A duration; default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub interval: Option<Duration>,
}

/// A path through an application, as requests: the answer to each decides.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The requests, 1 to 10, told apart by name; one after the other, and all of them in each attempt.
    #[schemars(length(min = 1), transform = schema::by_name::<10>)]
    pub requests: Vec<HttpRequest>,
}

/// A request, and how it has to be answered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// Name of the request. Example: `basket`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Where it goes, taken as it stands. The operator sends it, so it goes only where metrics may come from too
    /// (`analysis.allowedHosts` of the chart). Example: `http://api.shop/healthz`.
    #[schemars(transform = schema::http_url)]
    pub url: String,
    /// Body of a POST, taken as it stands, as JSON. Default: none, and it is a GET. Example: `{"item": 7}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<4096>)]
    pub json: Option<String>,
    /// Status that it has to be answered with, 100 to 599. Default `200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// What has to stand in the body of the answer, to the letter. Default: nothing. Example: `"ok"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub contains: Option<String>,
    /// Longest time to the whole answer. A duration; default `5s`. Example: `500ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub latency: Option<Duration>,
    /// Certificates to trust beside those of the system, in PEM. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<65536>)]
    pub ca_bundle: Option<String>,
}

/// Something that listens.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name or address. Example: `db.shop.svc`.
    #[schemars(transform = schema::host)]
    pub host: String,
    /// Its port. Example: `5432`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

/// A name that has to lead somewhere.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DnsCheck {
    /// The name. Example: `shop.example.com`.
    #[schemars(transform = schema::host)]
    pub name: String,
}

/// A certificate that has to be good.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TlsCheck {
    /// Name or address that it has to be good for. Example: `shop.example.com`.
    #[schemars(transform = schema::host)]
    pub host: String,
    /// Port of the server. Default `443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// How long it still has to be good. A duration; default `168h` (seven days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub valid_for: Option<Duration>,
    /// Certificates to trust beside those of the system, in PEM. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<65536>)]
    pub ca_bundle: Option<String>,
}

impl SmokeTest {
    /// How long the check may take.
    pub fn timeout(&self) -> time::Duration {
        self.timeout
            .map_or(time::Duration::from_mins(5), Into::into)
    }

    /// How often it is tried, and the time between two attempts.
    pub fn attempts(&self) -> (u32, time::Duration) {
        let attempts = self.attempts.as_ref();
        let count = attempts.and_then(|attempts| attempts.count);
        let interval = attempts.and_then(|attempts| attempts.interval);
        let interval = interval.map_or(time::Duration::from_secs(10), Into::into);
        (count.unwrap_or(5), interval)
    }
}

impl HttpRequest {
    /// Status that it has to be answered with.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// Longest time to the whole answer.
    pub fn latency(&self) -> time::Duration {
        self.latency
            .map_or(time::Duration::from_secs(5), Into::into)
    }
}

impl TlsCheck {
    /// Port of the server.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(443)
    }

    /// How long it still has to be good.
    pub fn valid_for(&self) -> time::Duration {
        self.valid_for
            .map_or(time::Duration::from_hours(168), Into::into)
    }
}
