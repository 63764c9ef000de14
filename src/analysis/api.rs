//! What an AnalysisTemplate looks like in YAML, and the metric types that Rollouts share. No I/O.

pub mod provider;

use std::time;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};
use provider::Provider;

/// Metrics and verdict rules that several Rollouts share.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "AnalysisTemplate",
    plural = "analysistemplates",
    shortname = "sat",
    category = "slipway",
    namespaced,
    derive = "PartialEq",
    doc = "Metrics and verdict rules that several Rollouts share. A Rollout is to name the template and give values for its arguments: not yet.",
    validation = schema::short_name(),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisTemplateSpec {
    /// Arguments that the metrics use as `{{args.<name>}}`; the Rollout gives their values.
    /// Default: none. Example: `[{name: service}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<20>)]
    pub args: Vec<Argument>,
    /// What is measured and how it is judged; 1 to 20 entries, told apart by name.
    #[schemars(length(min = 1), transform = schema::by_name::<20>)]
    pub metrics: Vec<Metric>,
}

/// One argument of a template.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// Name of the argument, as it stands in `{{args.<name>}}`. Example: `service`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Value when the Rollout gives none. Without it the Rollout has to give one. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub value: Option<String>,
}

closed_set! {
    /// What a sample without data means.
    #[derive(Default)]
    pub enum NoData {
        /// Keep waiting for data: it is neither good nor bad.
        #[default]
        Wait,
        /// It counts as a failed sample.
        Fail,
        /// It counts as a good sample.
        Pass,
    }
}

/// One thing that is measured and judged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.prometheus)].filter(x, x).size() == 1",
     "a metric has exactly one source of values: prometheus"),
    ("has(self.pass)", "a metric needs pass, which says when a sample is good, such as value >= 0.99"),
]))]
pub struct Metric {
    /// Name of the metric; steps, status and messages use it. Example: `success-rate`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Time between two samples. A duration; default: the interval of the analysis that uses the metric,
    /// else `30s`. Example: `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub interval: Option<Duration>,
    /// Where the value comes from.
    #[serde(flatten)]
    pub provider: Provider,
    /// When a sample is good: a CEL expression over `value`, at most 1024 characters. It is needed.
    /// Example: `value >= 0.99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub pass: Option<String>,
    /// When a sample is bad: a CEL expression over `value`, at most 1024 characters; it is asked before
    /// `pass`. A sample for which neither holds is inconclusive. Default: a sample that is not good is bad.
    /// Example: `value < 0.95`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub fail: Option<String>,
    /// Number of bad samples that are forgiven: one more fails the analysis. Default `0`. Example: `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub failure_limit: Option<u32>,
    /// Number of inconclusive samples that are forgiven: one more fails the analysis.
    /// Default `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub inconclusive_limit: Option<u32>,
    /// Number of consecutive errors (no answer, a broken answer) that are forgiven: one more fails the
    /// analysis. Default `4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1000))]
    pub error_limit: Option<u32>,
    /// What a sample without data means: `Wait` (neither good nor bad), `Fail` or `Pass`. Default `Wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// Number of samples with data that a good verdict needs. Default `1`. Example: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_samples: Option<u32>,
    /// Number of samples with data after which the metric is not measured again.
    /// Default: it is measured as long as the analysis runs. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<u32>,
}

impl Metric {
    /// Time between two samples, when neither the metric nor its analysis says so.
    pub const INTERVAL: time::Duration = time::Duration::from_secs(30);

    /// Bad samples that are forgiven.
    pub fn failure_limit(&self) -> u32 {
        self.failure_limit.unwrap_or(0)
    }

    /// Inconclusive samples that are forgiven.
    pub fn inconclusive_limit(&self) -> u32 {
        self.inconclusive_limit.unwrap_or(3)
    }

    /// Consecutive errors that are forgiven.
    pub fn error_limit(&self) -> u32 {
        self.error_limit.unwrap_or(4)
    }

    /// What a sample without data means.
    pub fn no_data(&self) -> NoData {
        self.no_data.unwrap_or_default()
    }

    /// Samples with data that a good verdict needs.
    pub fn min_samples(&self) -> u32 {
        self.min_samples.unwrap_or(1)
    }
}
