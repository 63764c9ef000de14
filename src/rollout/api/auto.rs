//! A strategy by the risk of the change, in YAML. Types only. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// How risky a change is.
    pub enum RiskLevel {
        /// Everything that counts is known, and nothing of it speaks against it.
        Low,
        /// Something speaks against it, or is not known.
        Medium,
        /// Something speaks strongly against it.
        High,
    }
}

closed_set! {
    /// The shape of a change that a level of risk gets.
    pub enum Shape {
        /// A second set of pods that takes over at once.
        BlueGreen,
        /// A growing share of the traffic.
        Canary,
        /// Pod by pod.
        Rolling,
    }
}

/// By the risk of the change.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Auto {
    /// What counts, and what it says about the risk. A signal that is left out does not count; one that counts and is
    /// not known is a medium risk. Default: those of the example. Example: `{migrations: High, majorVersion: High,
    /// configuration: Medium, changedLines: {medium: 200, high: 2000}, errorBudgetBelow: {"0.25": High},
    /// recentFailureRate: {"0.3": High}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<Signals>,
    /// What a change of low risk gets: `blueGreen`, or all pods of the new revision and then all of the traffic; `steps`,
    /// or 10 % for 15 minutes and 50 % for 30 minutes; `rolling`, or pod by pod. Default `BlueGreen`; without
    /// `traffic` `Rolling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<Shape>,
    /// What a change of medium risk gets. Default `Canary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Shape>,
    /// What a change of high risk gets. Default `Rolling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<Shape>,
}

/// What counts, and what it says about the risk.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Signals {
    /// Risk of a change with database migrations. Default: they do not count. Example: `High`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<RiskLevel>,
    /// Risk of another major version (before 1.0 another minor one), by the tags of the images or by commits that say that
    /// they break something (`feat!: …`). Default: it does not count. Example: `High`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_version: Option<RiskLevel>,
    /// Risk of a change of the template that leaves the images as they are. Default: it does not count.
    /// Example: `Medium`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<RiskLevel>,
    /// Risk by the number of lines that were changed. Default: they do not count.
    /// Example: `{medium: 200, high: 2000}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_lines: Option<ChangedLines>,
    /// Risk by the files that were changed. Default: they do not count.
    /// Example: `[{paths: ["db/**"], level: High}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub changed_paths: Vec<ChangedPaths>,
    /// Risk while less than this share of the error budget is left: at most five shares from 0 to 1, as texts.
    /// Default: it does not count. Example: `{"0.25": High}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::few::<5>)]
    pub error_budget_below: BTreeMap<String, RiskLevel>,
    /// Risk while at least this share of the last changes of this Rollout (those of `status.history`) went back: at most
    /// five shares from 0 to 1, as texts. Default: it does not count. Example: `{"0.3": High}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::few::<5>)]
    pub recent_failure_rate: BTreeMap<String, RiskLevel>,
}

/// Risk by the number of changed lines.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "!has(self.medium) || !has(self.high) || self.medium <= self.high",
    "changedLines.medium must not be above changedLines.high",
)]))]
pub struct ChangedLines {
    /// From this many lines on the risk is medium. Default: at no number. Example: `200`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub medium: Option<i32>,
    /// From this many lines on the risk is high. Default: at no number. Example: `2000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub high: Option<i32>,
}

/// Risk of a change of certain files.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ChangedPaths {
    /// Paths in the repository, as globs: `*` within a name, `**` for any folders; at most 20. Example: `["db/**"]`.
    #[schemars(length(min = 1), transform = schema::texts::<20, 256>)]
    pub paths: Vec<String>,
    /// Risk when one of them was changed. Example: `High`.
    pub level: RiskLevel,
}
