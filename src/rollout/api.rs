//! What a Rollout looks like in YAML. Types only. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::analysis::api::Metric;
use crate::check::api::CheckJob;
use crate::decision::api::DecisionAction;
use crate::model::revision::Revision;
use crate::schema::{self, closed_set};

/// A workload, and how traffic moves between its revisions.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Rollout",
    plural = "rollouts",
    shortname = "sro",
    category = "slipway",
    namespaced,
    status = "RolloutStatus",
    derive = "PartialEq",
    doc = "A workload, and how traffic moves between its revisions: step by step, watched, and back by itself when the new revision is bad.",
    validation = schema::short_name(),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step.position"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.weights.canary"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.readyReplicas"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Stable", type_ = "string", json_path = ".status.stable.revision", priority = 1),
    printcolumn(name = "Canary", type_ = "string", json_path = ".status.canary.revision", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// Number of pods that serve. Also settable through `/scale`. Default `1`. Example: `6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: Option<i32>,
    /// Labels that the template's pods carry and nobody else's do. Cannot be changed.
    pub selector: Selector,
    /// The pods: a PodTemplateSpec, as in a Deployment. It is passed on as it is, so fields that are newer
    /// than this operator work. Containers that take their image from a Release omit `image`.
    #[schemars(transform = schema::raw_object)]
    pub template: Value,
    /// Takes images from the Release that an Environment wants. Default: images stand in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseSource>,
    /// Whether containers that declare no preStop hook go on serving for `traffic.drain` after they were
    /// told to end, which is what makes updates lose no request: `Inject` adds a preStop sleep and lengthens
    /// terminationGracePeriodSeconds by it, `Off` leaves the template as it is. Default `Inject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown: Option<GracefulShutdown>,
    /// Time a pod has to be ready before it counts. In seconds. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub min_ready_seconds: Option<i32>,
    /// Time without progress, while pods, the data plane or a verdict are awaited, after which the revision is
    /// given up and traffic goes back. In seconds. Default `600`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub progress_deadline_seconds: Option<i32>,
    /// Number of old revisions that are kept, at zero pods. Default `10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub revision_history_limit: Option<i32>,
    /// What becomes of the pods when the Rollout is deleted: `Delete` as with a Deployment, `Orphan` lets the
    /// stable revision, its Services and its route go on serving without an owner. Default `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Holds a change where it is: no step, no weight, no scaling of the new revision. A way back is not held.
    /// Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// How a new revision takes over. Default: a canary whose one step is all of the traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// How requests reach the pods. Default: through a Service of yours that selects all of them, so that
    /// weights are ratios of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What is measured while the canary has weight. A failed analysis sends all traffic back to stable.
    /// Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// What makes going back quick. Default: a change back to an earlier revision is a change like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// What makes going back quick.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Which earlier revisions are good enough to be gone back to without steps. Default: none, but for one that
    /// `strategy.keepOldFor` still keeps at full size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RollbackWindow>,
}

/// Which earlier revisions are gone back to without steps.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RollbackWindow {
    /// As many of the revisions that were stable before the present one. Example: `3`.
    #[schemars(range(min = 1, max = 100))]
    pub revisions: i32,
}

/// Labels of the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self == oldSelf", "spec.selector cannot be changed; create a Rollout with another name"),
]))]
pub struct Selector {
    /// Labels by key; at least one. Example: `{app: api}`.
    #[schemars(length(min = 1), transform = schema::text_map::<16>)]
    pub match_labels: BTreeMap<String, String>,
}

/// Where images come from.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSource {
    /// The Environment, in the same namespace. It has to list this Rollout in `spec.rollouts`.
    pub environment: EnvironmentReference,
    /// Image of the Release by container of the template. Those containers omit `image`.
    /// Example: `{web: api}`.
    #[schemars(length(min = 1), transform = schema::text_map::<20>)]
    pub images: BTreeMap<String, String>,
}

/// Names an Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentReference {
    /// Name of the Environment. Example: `staging`.
    #[schemars(transform = schema::name)]
    pub name: String,
}

closed_set! {
    /// Whether pods are made to go on serving while they end.
    #[derive(Default)]
    pub enum GracefulShutdown {
        /// Add what is missing.
        #[default]
        Inject,
        /// Leave the template as it is.
        Off,
    }
}

closed_set! {
    /// What becomes of the pods.
    #[derive(Default)]
    pub enum DeletionPolicy {
        /// They go.
        #[default]
        Delete,
        /// The stable ones go on serving.
        Orphan,
    }
}

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
    ("!has(self.steps) || self.steps.size() == 0 || !has(self.type) || self.type == 'Canary'",
     "steps are those of a Canary: set type to Canary, or use blueGreen.steps"),
    ("!has(self.blueGreen) || (has(self.type) && self.type == 'BlueGreen')",
     "blueGreen needs type BlueGreen: set it, or leave blueGreen out"),
    ("!has(self.rolling) || (has(self.type) && self.type == 'Rolling')",
     "rolling needs type Rolling: set it, or leave rolling out"),
    ("!has(self.stableScale) || !has(self.type) || self.type == 'Canary'",
     "stableScale is for a Canary: BlueGreen keeps stable at full size, and Rolling goes with the weight"),
]))]
pub struct Strategy {
    /// The shape of the change: `Canary` gives the new revision a growing share of the traffic, `BlueGreen` starts
    /// all of its pods before it gets any, `Rolling` replaces a few pods after the other. Default `Canary`.
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
    /// nothing in between.
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
    /// How long the revision before stays at full size after a new one became stable, so that going back to it takes
    /// no time. Needs `traffic`. A duration. Default: not longer than `traffic.drain`. Example: `10m`.
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
    "[has(self.setWeight), has(self.pause), has(self.analyse), has(self.scale), has(self.approve), has(self.run)].filter(x, x).size() == 1",
    "a step has exactly one of setWeight, pause, analyse, scale, approve, run",
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
    /// Waits for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    /// Runs a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
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
    /// Names of metrics of `spec.analysis`. Their counts start afresh with this step.
    #[schemars(length(min = 1), transform = schema::names::<20>)]
    pub metrics: Vec<String>,
    /// Shortest time of the analysis. A duration; default: until every metric has its `minSamples`.
    /// Example: `10m`.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub for_: Option<Duration>,
}

/// How requests reach the pods.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Port of the Services `<name>-stable` and `<name>-canary`, which are created. Default `80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Port of the pods, by name or number; a name goes with each revision when it changes. Default: the same
    /// as `port`. Example: `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::port_or_name)]
    pub target_port: Option<IntOrString>,
    /// Time for which a pod that is being replaced goes on answering: proxies need it to hear that it
    /// is going. A duration. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub drain: Option<Duration>,
    /// Weights through the Gateway API.
    #[serde(rename = "gatewayAPI")]
    pub gateway_api: GatewayApi,
}

/// Weights through the Gateway API.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApi {
    /// The HTTPRoute that is created, with the Rollout's name.
    pub generate: GeneratedRoute,
}

/// The HTTPRoute that is created.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedRoute {
    /// Gateways that the route attaches to, as in an HTTPRoute. Example: `[{name: web, namespace: gateways}]`.
    #[schemars(length(min = 1), transform = schema::raw_objects::<8>)]
    pub parent_refs: Vec<Value>,
    /// Host names, as in an HTTPRoute. Default: all hosts of the Gateway. Example: `[shop.example.com]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 253>)]
    pub hostnames: Vec<String>,
    /// Which requests, as in a rule of an HTTPRoute. Default: all.
    /// Example: `[{path: {type: PathPrefix, value: /api}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::raw_objects::<8>)]
    pub matches: Vec<Value>,
}

/// What is measured.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// When measuring in the background begins. Default: with the first weight above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<StartAt>,
    /// Time between two samples of a metric that does not say its own. A duration. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub interval: Option<Duration>,
    /// Time between the first weight (or the beginning of an analyse step) and the first sample. A duration.
    /// Default: the metric's interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub initial_delay: Option<Duration>,
    /// The metrics, told apart by name.
    #[schemars(length(min = 1), transform = schema::by_name::<20>)]
    pub metrics: Vec<Metric>,
}

/// When measuring in the background begins.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StartAt {
    /// With the first weight that is at least this, in percent. Example: `10`.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}

closed_set! {
    /// Where a Rollout is.
    #[derive(Default)]
    pub enum Phase {
        /// Nothing is running yet.
        #[default]
        Pending,
        /// Pods or weights are moving.
        Progressing,
        /// Waiting, by a step or by `spec.paused`.
        Paused,
        /// Waiting for metrics.
        Analysing,
        /// The new revision has all of the traffic and becomes the stable one.
        Promoting,
        /// The wanted revision is stable and serves.
        Healthy,
        /// Traffic is going back to stable.
        RollingBack,
        /// Back at stable; the wanted revision was given up.
        RolledBack,
        /// The stable revision does not serve as it should, or the spec cannot be used.
        Degraded,
    }
}

/// Where the Rollout is, why, and until when.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// The generation of the spec that this status is about; -1 before the operator has seen the object.
    pub observed_generation: i64,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Why it is there, what it waits for and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The step that is being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepStatus>,
    /// How traffic is divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The revision that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<RevisionStatus>,
    /// The revision that is on its way, or was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<RevisionStatus>,
    /// Number of pods of the revisions that have traffic, for `/scale`.
    pub replicas: i32,
    /// Ready pods of wanted ones, for `kubectl get`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<String>,
    /// Selector of the pods of the revisions that have traffic, for `/scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The last sample of each metric, and how many there were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<20>)]
    pub analysis: Vec<Tally>,
    /// How the last changes ended, latest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub history: Vec<Ending>,
    /// The last Decision on this Rollout, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<DecisionOutcome>,
    /// What the operator remembers between two looks. Not an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// `Ready`, `Healthy`, and while they hold `Reconciling`, `Stalled`, `Paused`, `ActionFailed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
}

/// A Decision, and what came of it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DecisionOutcome {
    /// Name of the Decision.
    pub name: String,
    /// What was decided.
    pub action: DecisionAction,
    /// By whom.
    pub user: String,
    /// When it was made.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What it did, or why it did nothing.
    pub result: String,
}

/// The step that is being done.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Which one of how many, counted from 1, as `kubectl get` shows it. Example: `2/5`.
    pub position: String,
    /// Which one, counted from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
    /// Since when.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// Until when, where the step has an end of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

/// How traffic is divided, in percent.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Weights {
    /// Share of the stable revision.
    pub stable: u8,
    /// Share of the canary.
    pub canary: u8,
    /// Whether the data plane has acknowledged it.
    pub observed: bool,
}

/// One revision.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatus {
    /// Its identity, as in the label `slipway.dev/revision`.
    pub revision: String,
    /// Its images, by container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Pods that it should have.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
}

/// What the samples of one metric say so far.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Name of the metric.
    pub name: String,
    /// Good samples.
    pub passed: u32,
    /// Bad samples.
    pub failed: u32,
    /// Samples that were neither.
    pub inconclusive: u32,
    /// Errors in a row.
    pub errors: u32,
    /// Samples without data in a row.
    pub no_data: u32,
    /// The last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What was wrong with the last sample, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the last sample was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

closed_set! {
    /// How a change ended.
    pub enum EndingResult {
        /// The revision became stable.
        Promoted,
        /// Traffic went back.
        RolledBack,
        /// Another revision took its place before it was done.
        Superseded,
    }
}

/// How a change ended.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The revision.
    pub revision: String,
    /// How it ended.
    pub result: EndingResult,
    /// Why.
    pub reason: String,
    /// When it began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When it ended.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// The largest share of the traffic that it had, in percent.
    pub peak_weight: u8,
}

/// What the operator remembers between two looks. Read tolerantly: an older or newer operator's is as good.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// The revision that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub stable: Option<Revision>,
    /// The change that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The revision that was given up, and why. It is not tried again while the spec asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failure>,
    /// Until when a revision without weight goes on serving what it has accepted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub draining: BTreeMap<String, Timestamp>,
    /// Who holds the change with a Decision, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Hold>,
    /// The revision that somebody went back to, while the spec asks for the one that was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// Decisions that were followed, latest last: the last few, because they may arrive late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
    /// Fields that this operator does not know.
    #[serde(flatten)]
    #[schemars(skip)]
    pub rest: Map<String, Value>,
}

impl Progress {
    /// The revision that the spec asked for last.
    pub fn asked(&self) -> Option<&Revision> {
        let undone = self.undo.as_ref().map(|undo| &undo.from);
        let failed = self.failed.as_ref().map(|failed| &failed.revision);
        let change = self.change.as_ref().map(|change| &change.revision);
        undone.or(failed).or(change).or(self.stable.as_ref())
    }
}

/// Who holds a change, and why.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The user.
    pub by: String,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is run although the spec asks for something else.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    /// The revision that the spec asks for: once it asks for another, that counts again.
    #[schemars(with = "String")]
    pub from: Revision,
    /// The revision that is run.
    #[schemars(with = "String")]
    pub to: Revision,
}

/// A Decision that was followed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// When it was made.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Its name.
    pub name: String,
}

/// A change that is under way.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The revision that is wanted.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// When it began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// The step that is being done, counted from 0; the number of steps when all are done.
    pub step: u32,
    /// Since when.
    #[schemars(with = "String")]
    pub step_started_at: Timestamp,
    /// Ready pods of the revision when it last made progress.
    #[serde(default)]
    pub ready: i32,
    /// When it last made progress.
    #[schemars(with = "String")]
    pub progressed_at: Timestamp,
    /// The largest share of the traffic so far, in percent.
    #[serde(default)]
    pub peak_weight: u8,
    /// When measuring began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub measuring_since: Option<Timestamp>,
    /// What the steps were up to the present one, a mark each: a list that is edited meanwhile is taken up
    /// where it is still the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trail: String,
    /// Whether `spec.paused` held it at the last look: that time is not time without progress.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Who has approved the present step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
}

/// A revision that was given up.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The revision.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// A word for it.
    pub reason: String,
    /// A sentence for it.
    pub message: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The Promotion that asked for the revision, where one did. Another one for the same revision asks to
    /// try it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
}
