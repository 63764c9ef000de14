//! How a new revision takes over, in YAML. Types only. No I/O.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auto::Auto;
use crate::check::api::CheckJob;
use crate::schema::{self, closed_set};

closed_set! {
    /// The shape of a change.
    #[derive(Default)]
    pub enum StrategyType {
        /// A growing share of the traffic, step by step.
        #[default]
        Canary,
        /// A second set of pods, looked at before it takes over.
        BlueGreen,
        /// A few pods after the other.
        Rolling,
        /// One of the others, by the risk of the change.
        Auto,
    }
}

closed_set! {
    /// How many pods stable keeps while it has not all of the traffic.
    #[derive(Default)]
    pub enum StableScale {
        /// All of them.
        #[default]
        Full,
        /// As many as its weight needs.
        WithWeight,
    }
}

/// How a new revision takes over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.maxSurge) || !(string(self.maxSurge) in ['0', '0%']) || (has(self.maxUnavailable) && !(string(self.maxUnavailable) in ['0', '0%']))",
     "maxSurge and maxUnavailable cannot both be 0 (maxUnavailable is by default): no pod could ever be replaced"),
    ("!has(self.steps) || self.steps.size() == 0 || !has(self.type) || self.type in ['Canary', 'Auto']",
     "steps are those of a Canary: set type to Canary or Auto, or use blueGreen.steps"),
    ("!has(self.blueGreen) || (has(self.type) && self.type in ['BlueGreen', 'Auto'])",
     "blueGreen needs type BlueGreen or Auto: set it, or leave blueGreen out"),
    ("!has(self.rolling) || (has(self.type) && self.type in ['Rolling', 'Auto'])",
     "rolling needs type Rolling or Auto: set it, or leave rolling out"),
    ("!has(self.stableScale) || !has(self.type) || self.type in ['Canary', 'Auto']",
     "stableScale is for a Canary: BlueGreen keeps stable at full size, and Rolling goes with the weight"),
    ("!has(self.keepOldFor) || ((!has(self.type) || self.type != 'Rolling') && (!has(self.stableScale) || self.stableScale != 'WithWeight'))",
     "keepOldFor needs a revision that stays at full size, and with Rolling and stableScale WithWeight it goes down with the weight: use stableScale Full or BlueGreen, or take keepOldFor out and set rollback.window"),
    ("!has(self.auto) || (has(self.type) && self.type == 'Auto')",
     "auto needs type Auto: set it, or leave auto out"),
]))]
pub struct Strategy {
    /// The shape of the change: `Canary` gives the new revision a growing share of the traffic, `BlueGreen` starts
    /// all of its pods before it gets any, `Rolling` replaces a few pods after the other, `Auto` does one of these by the
    /// risk of the change. Default `Canary`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<StrategyType>,
    /// Pods above `replicas`, as a number or a percentage (rounded up). With a router: pods that start at the
    /// same time. Default `25%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::count_or_percent)]
    pub max_surge: Option<IntOrString>,
    /// Pods below `replicas` while pods are replaced without a router, as a number or a percentage (rounded
    /// down). Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::count_or_percent)]
    pub max_unavailable: Option<IntOrString>,
    /// What a Canary does one after the other; at the end all of the traffic goes to the new revision. Default:
    /// nothing in between; with Auto 10 % for 15 minutes and 50 % for 30 minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<50>)]
    pub steps: Vec<Step>,
    /// How many pods stable keeps while a Canary with a router has a share of the traffic: `Full` keeps all of them, so
    /// that going back takes no time; `WithWeight` keeps what its share needs, so that there are never many more
    /// than `replicas`. Default `Full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_scale: Option<StableScale>,
    /// What a BlueGreen does before and after the new revision takes over. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    /// How a Rolling goes on. Default: pod by pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
    /// What an Auto makes of the risk of a change. Default: a change of low risk is a blue-green, one of medium risk a canary,
    /// and one of high risk goes pod by pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<Auto>,
    /// How long the revision before stays at full size after a new one became stable, so that going back to it takes
    /// no time. Needs `traffic`, and a stable that stays at full size: it goes neither with `Rolling` nor with `stableScale:
    /// WithWeight`, and with `Auto` it does nothing for a change that goes pod by pod. A duration. Default: not longer than
    /// `traffic.drain`. Example: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub keep_old_for: Option<Duration>,
}

/// What a BlueGreen does before and after the new revision takes over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreen {
    /// Pods of the new revision while it has no traffic, as a number or a percentage of `replicas` (rounded up). The
    /// rest starts before it takes over. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::count_or_percent)]
    pub preview_replicas: Option<IntOrString>,
    /// Steps before any user sees it; it answers behind its own Service. Default: none.
    /// Example: `[{analyse: {metrics: [smoke]}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub pre_promotion: Vec<Check>,
    /// What has to happen before it takes over. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promote>,
    /// How it takes over. Default: at once. Example: `[{setWeight: {weight: 10}}, {pause: {for: 5m}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<20>)]
    pub steps: Vec<Step>,
    /// Steps once it has all of the traffic, while stable still has all of its pods: until they are done, going back
    /// takes no time. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub post_promotion: Vec<Check>,
}

/// A step that moves neither pods nor traffic: an object with exactly one key.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "[has(self.pause), has(self.analyse), has(self.approve), has(self.run)].filter(x, x).size() == 1",
    "a step before or after the promotion has exactly one of pause, analyse, approve, run",
)]))]
pub struct Check {
    /// Waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Goes on only when metrics say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analyse: Option<Analyse>,
    /// Waits for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    /// Runs a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

impl From<Check> for Step {
    fn from(check: Check) -> Self {
        Self {
            pause: check.pause,
            analyse: check.analyse,
            approve: check.approve,
            run: check.run,
            ..Self::default()
        }
    }
}

/// What has to happen before the new revision takes over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "!has(self.after) || !has(self.mode) || self.mode == 'Auto'",
    "after is for mode Auto: with Manual a person says when",
)]))]
pub struct Promote {
    /// `Auto`: it takes over by itself. `Manual`: when somebody approves it with a Decision. Default `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PromoteMode>,
    /// With `Auto`: how long it waits before. A duration. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub after: Option<Duration>,
}

closed_set! {
    /// Who says that the new revision takes over.
    #[derive(Default)]
    pub enum PromoteMode {
        /// Nobody has to.
        #[default]
        Auto,
        /// A person.
        Manual,
    }
}

/// How a Rolling goes on.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    /// Pods that are replaced at the same time, as a number or a percentage of `replicas` (rounded up, at least one).
    /// Default `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::count_or_percent)]
    pub batch: Option<IntOrString>,
    /// Whether every new pod has to be available (ready for `minReadySeconds`) before the next ones start. With
    /// `false` at most a batch is unavailable at any time. Default `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_each: Option<bool>,
}

/// One step: an object with exactly one key.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "[has(self.setWeight), has(self.pause), has(self.analyse), has(self.scale), has(self.route), has(self.mirror), has(self.approve), has(self.run)].filter(x, x).size() == 1",
    "a step has exactly one of setWeight, pause, analyse, scale, route, mirror, approve, run",
)]))]
pub struct Step {
    /// Gives the canary this share of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_weight: Option<SetWeight>,
    /// Waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Goes on only when metrics say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analyse: Option<Analyse>,
    /// Gives the canary this many pods, if its weight does not need more. Needs `traffic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Sends requests that have certain headers or cookies to the canary, whatever its weight, until the next `route` or
    /// the end of the steps. `{}` ends it. Needs a router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteMatch>,
    /// Sends copies of requests to the canary, whose answers nobody sees, until the next `mirror` or the end of the
    /// steps. Needs a router that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// Waits for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    /// Runs a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// What requests have that go to the canary: all of it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    /// Headers with exactly these values. Example: `[{name: x-canary, value: "yes"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<4>)]
    pub headers: Vec<HeaderMatch>,
    /// Cookies with exactly these values. Example: `[{name: group, value: beta}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<4>)]
    pub cookies: Vec<CookieMatch>,
}

/// A header of a request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Its name. Example: `x-canary`.
    #[schemars(transform = schema::header_name)]
    pub name: String,
    /// Its value. Example: `"yes"`.
    #[schemars(transform = schema::some_text::<1024>)]
    pub value: String,
}

/// A cookie of a request.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CookieMatch {
    /// Its name. Example: `group`.
    #[schemars(transform = schema::cookie_name)]
    pub name: String,
    /// Its value. Example: `beta`.
    #[schemars(transform = schema::cookie_value)]
    pub value: String,
}

/// Sends copies of requests to the canary.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// Of how many requests, in percent; `0` ends it. Example: `20`.
    #[schemars(range(min = 0, max = 100))]
    pub percent: i32,
}

/// Runs a Job, and goes on when it passes. When it fails, the change is given up.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Name of the hook. Example: `smoke`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// A Job; it passes when its container ends with exit code 0. It is told `SLIPWAY_ROLLOUT`, `SLIPWAY_REVISION`,
    /// `SLIPWAY_WEIGHT` and, with `traffic`, `SLIPWAY_CANARY_SERVICE` and `SLIPWAY_STABLE_SERVICE`.
    pub job: CheckJob,
    /// How long it may take before it counts as failed. A duration; default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// Gives the canary a number of pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Pods of the canary from here on, as a number or a percentage of `replicas` (rounded up); at most `replicas`.
    /// Example: `50%`.
    #[schemars(transform = schema::count_or_percent_of_many)]
    pub canary: IntOrString,
}

/// Waits for people: Decisions `Approve` on this Rollout that were made since the step began.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Approve {
    /// How many different people have to approve. Default `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub required: Option<i32>,
    /// Approvals count only in the name of one of these groups. Default: anybody who may. Example: `[release-managers]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<10, 256>)]
    pub groups: Vec<String>,
}

/// Gives the canary a share of the traffic.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SetWeight {
    /// Percent of the traffic. Example: `10`.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
}

/// Waits.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// For how long. A duration. Default: until a Decision `Resume` or `Skip`. Example: `15m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
}

/// Goes on only when metrics say so.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Analyse {
    /// Names of metrics of `spec.analysis`, those of its templates too. Their counts start afresh with this step.
    #[schemars(length(min = 1), transform = schema::names::<20>)]
    pub metrics: Vec<String>,
    /// Shortest time of the analysis. A duration; default: until every metric has its `minSamples`.
    /// Example: `10m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
}
