//! What other systems must agree to before a promotion starts. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Unknown;
use crate::analysis::api::provider::{PrometheusQuery, Provider, WebQuery};
use crate::check::api::CheckJob;
use crate::schema::{self, closed_set};

/// One thing that another system must agree to. It is asked while a Release waits, and once nothing that is cheaper to find out
/// stands against it. Texts may have `{{release.name}}`, `{{release.commit}}`, `{{release.digest}}` (of the first image),
/// `{{release.previous}}` (what runs), `{{environment}}` and `{{namespace}}` in them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.prometheus), has(self.web), has(self.object), has(self.job), has(self.commitStatus)].filter(x, x).size() == 1",
     "a gate asks exactly one: prometheus, web, object, job or commitStatus"),
    ("(has(self.object) || has(self.job) || has(self.commitStatus)) != has(self.pass)",
     "pass is needed: say when the value is good; an object, a job and commitStatus need none"),
    ("!has(self.timeout) || !has(self.commitStatus)",
     "timeout is not for commitStatus: a provider has 20s to answer; leave it out"),
    ("!has(self.timeout) || has(self.job) || duration(self.timeout) <= duration('1m')",
     "timeout must be at most 1m: no server is waited for any longer"),
    ("!has(self.interval) || duration(self.interval) >= duration('5s')",
     "interval must be at least 5s"),
    ("!has(self.evidence) || !self.evidence || has(self.web) && has(self.web.method) && self.web.method == 'POST'",
     "evidence goes into the body of a request: set web with method: POST, or leave it out"),
]))]
pub struct ExternalGate {
    /// Name of the gate; messages and Decisions use it. Example: `change-request`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// A Prometheus server is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// A server that answers with JSON is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebQuery>,
    /// An object of Slipway's in the same namespace whose condition must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectCondition>,
    /// A Job says so, by its exit code: it runs once for each promotion, and again when it is gone, a day after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<CheckJob>,
    /// The provider of the repository is asked what is said of the Release's commit: the one that the Pipeline of the Release names in
    /// `source.git.provider`. Of a set, each commit is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_status: Option<CommitStatuses>,
    /// When it agrees: a CEL expression over `value`, at most 1024 characters. With `web`, `value` is a number, a text or a flag,
    /// as it stands in the answer. Example: `value == 'approved'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub pass: Option<String>,
    /// How long an answer may take, at most `1m`; with `job`: how long the Job may run. A duration; default `5s`, with `job` `5m`.
    /// Example: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// Time between two questions. A duration of at least `5s`; default `1m`. Example: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub interval: Option<Duration>,
    /// With `web` and `method: POST`: adds the quality reports of the Release to the body, a JSON object, as the list `evidence`: one
    /// report, and of a set one of each Release. Without a `body` it is all there is. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<bool>,
    /// What follows when there is no answer, or none that can be read: `Block` or `Allow`. Default `Block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<Unknown>,
}

/// What has to be said of the commit of a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatuses {
    /// Contexts of which every status has to be a success, 1 to 16: a provider may have one for each ref. Looked for among the
    /// first 120 of the commit.
    /// Example: `[security/scan]`.
    #[schemars(length(min = 1), transform = schema::texts::<16, 255>)]
    pub contexts: Vec<String>,
}

closed_set! {
    /// Kinds whose conditions can be asked for.
    pub enum ConditionKind {
        /// An Environment.
        Environment,
        /// A Pipeline.
        Pipeline,
        /// A Rollout.
        Rollout,
    }
}

/// A condition of an object of Slipway's. It counts only when it is about the present generation.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectCondition {
    /// `Environment`, `Pipeline` or `Rollout`.
    pub kind: ConditionKind,
    /// Name of the object, in the same namespace. Example: `payments`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Type of the condition. Example: `Healthy`.
    #[schemars(transform = schema::some_text::<64>)]
    pub condition: String,
}

impl ExternalGate {
    /// Who is asked.
    pub fn provider(&self) -> Provider {
        Provider {
            prometheus: self.prometheus.clone(),
            web: self.web.clone(),
            job: self.job.clone(),
            timeout: self.timeout,
            ..Provider::default()
        }
    }

    /// Time between two questions.
    pub fn interval(&self) -> time::Duration {
        let interval = self.interval.map(time::Duration::from);
        interval.unwrap_or(time::Duration::from_mins(1))
    }
}
