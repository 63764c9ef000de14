//! What an AnalysisTemplate looks like in YAML, and the metric types that Rollouts share. No I/O.

pub mod compare;
pub mod provider;

use std::time;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
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
    doc = "Metrics and verdict rules that several Rollouts share. A Rollout names the template in spec.analysis.templates and gives values for its arguments.",
    validation = schema::short_name(),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisTemplateSpec {
    /// Arguments that the metrics use as `{{args.<name>}}`, in any text of a metric but its name; the Rollout gives their
    /// values. Default: none. Example: `[{name: service}]`.
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
#[schemars(transform = schema::Rules(&[(
    "!has(self.value) || !has(self.valueFrom)",
    "an argument has at most one of value, valueFrom: one that comes from a Secret has no other value",
)]))]
pub struct Argument {
    /// Name of the argument, as it stands in `{{args.<name>}}`. Example: `service`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Value when the Rollout gives none; it may name fields of the Rollout. Without it the Rollout has to give one.
    /// Example: `{{metadata.labels['app']}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub value: Option<String>,
    /// Where its value stands, if it is secret. Such an argument may stand in header fields, queries and bodies, and the
    /// Rollout gives it no other value. Default: it is not secret.
    /// Example: `{secretKeyRef: {name: quality, key: token}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ArgumentSource>,
}

/// Where the value of an argument stands.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ArgumentSource {
    /// The Secret, in the namespace of the Rollout, and the key in it. Example: `{name: quality, key: token}`.
    pub secret_key_ref: SecretKey,
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

closed_set! {
    /// What one sample is.
    pub enum SampleResult {
        /// Good.
        Good,
        /// Bad.
        Bad,
        /// Neither.
        Inconclusive,
        /// There was nothing to judge.
        NoData,
        /// There was no answer, or a broken one.
        Error,
    }
}

/// One thing that is measured and judged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("[has(self.prometheus), has(self.web), has(self.job), has(self.datadog), has(self.cloudWatch), has(self.newRelic), has(self.graphite), has(self.influxdb), has(self.compare)].filter(x, x).size() == 1",
     "a metric has exactly one source of values: prometheus, web, job, datadog, cloudWatch, newRelic, graphite, influxdb or compare"),
    ("!has(self.timeout) || has(self.job) || duration(self.timeout) <= duration('1m')",
     "timeout must be at most 1m: no server is waited for any longer"),
    ("has(self.pass) || has(self.fail) || has(self.compare) || has(self.job)",
     "pass or fail is needed: say when a sample is good, or when it is bad"),
    ("!has(self.job) || (!has(self.pass) && !has(self.fail))",
     "a job is its own verdict, by its exit code: leave pass and fail out"),
    ("!has(self.compare) || !(has(self.pass) || has(self.fail) || has(self.successLimit))",
     "a comparison judges by itself: leave out pass, fail and successLimit"),
    ("!has(self.compare) || !has(self.count) || self.count <= 240", "a comparison has at most 240 looks: lower count, or raise interval"),
    ("!has(self.count) || self.count >= (has(self.minSamples) ? self.minSamples : 1)",
     "count is less than minSamples, so that no verdict could ever be good: raise count, or lower minSamples"),
    ("!has(self.count) || !has(self.successLimit) || self.count >= self.successLimit",
     "count is less than successLimit, so that no verdict could ever be good: raise count, or lower successLimit"),
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
    /// When a sample is good: a CEL expression over `value`, at most 1024 characters. Default: a sample that is not bad is
    /// good. A `job` and a comparison need none. Example: `value >= 0.99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub pass: Option<String>,
    /// When a sample is bad: a CEL expression over `value`, at most 1024 characters; it is asked before `pass`. With both,
    /// a sample for which neither holds is inconclusive. Default: a sample that is not good is bad.
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
    /// Number of consecutive good samples that settle the metric as good: it is not measured again. Any other sample ends
    /// the row, also an error and one without data. With it, `minSamples` alone is not enough.
    /// Default: no row is needed. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub success_limit: Option<u32>,
    /// What a sample without data means: `Wait` (neither good nor bad), `Fail` or `Pass`. Default `Wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// Number of good samples that a good verdict needs. Default `1`. Of a comparison it is how many looks it takes at least,
    /// however clear the matter is. Example: `5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_samples: Option<u32>,
    /// Number of samples with data after which the metric is not measured again. As soon as those that are left cannot make
    /// it good any more, the analysis fails.
    /// Default: it is measured as long as the analysis runs. Of a comparison it is the number of looks that are planned: one that found
    /// nothing worse in as many is good; default `20`, at most `240`. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: Option<u32>,
    /// Whether the metric is only looked at: it is measured and shown, and decides nothing; nothing waits for it.
    /// Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Number of samples that are kept in `status.analysis`, latest last. Default `5`; at most `20`. Example: `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 20))]
    pub retain: Option<u32>,
}

impl Metric {
    /// Time between two samples, when neither the metric nor its analysis says so.
    pub const INTERVAL: time::Duration = time::Duration::from_secs(30);

    /// Most samples of a metric that are kept for people.
    pub const MOST_RETAINED: u32 = 20;

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

    /// Good samples that a good verdict needs: of a comparison all looks that are planned, unless one settles it.
    pub fn min_samples(&self) -> u32 {
        let own = self.min_samples.unwrap_or(1);
        let compared = self.provider.compare.as_ref();
        compared.map_or(own, |_| self.looks().max(own))
    }

    /// Looks that a comparison has planned.
    pub fn looks(&self) -> u32 {
        let least = compare::Comparison::LOOKS.max(self.min_samples.unwrap_or(1));
        self.count.unwrap_or(least)
    }

    /// Whether it is only looked at.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }

    /// Samples that are kept for people.
    pub fn retain(&self) -> usize {
        let retained = self.retain.unwrap_or(5).min(Self::MOST_RETAINED);
        usize::try_from(retained).unwrap_or(0)
    }

    /// The conditions under which a sample is good or bad, by the name of their field.
    pub fn conditions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let both = [("pass", &self.pass), ("fail", &self.fail)];
        let said = both.into_iter();
        said.filter_map(|(field, text)| Some((field, text.as_deref()?)))
    }
}
