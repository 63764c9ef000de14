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
        /// A growing share of the traffic.
        #[default]
        Canary,
    }
}

/// How a new revision takes over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "!has(self.maxSurge) || !(string(self.maxSurge) in ['0', '0%']) || (has(self.maxUnavailable) && !(string(self.maxUnavailable) in ['0', '0%']))",
    "maxSurge and maxUnavailable cannot both be 0 (maxUnavailable is by default): no pod could ever be replaced",
)]))]
pub struct Strategy {
    /// The shape of the change. Default `Canary`.
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
    /// What is done one after the other; at the end all of the traffic goes to the new revision. Default: nothing
    /// in between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<50>)]
    pub steps: Vec<Step>,
}

/// One step: an object with exactly one key.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "[has(self.setWeight), has(self.pause), has(self.analyse)].filter(x, x).size() == 1",
    "a step has exactly one of setWeight, pause, analyse",
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
    /// For how long. A duration. Example: `15m`.
    #[serde(rename = "for")]
    #[schemars(transform = schema::duration)]
    pub for_: Duration,
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
    /// Number of pods, for `/scale`.
    pub replicas: i32,
    /// Ready pods of wanted ones, for `kubectl get`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<String>,
    /// Selector of the pods, for `/scale`.
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
    /// What the operator remembers between two looks. Not an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// `Ready`, `Healthy`, and while they hold `Reconciling`, `Stalled`, `Paused`, `ActionFailed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
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
    /// Fields that this operator does not know.
    #[serde(flatten)]
    #[schemars(skip)]
    pub rest: Map<String, Value>,
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
