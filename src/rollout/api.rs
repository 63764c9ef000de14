//! What a Rollout looks like in YAML: the spec, with its strategy in `api/strategy.rs` and `api/auto.rs`, and its traffic
//! in `api/traffic.rs`. Its status is in `api/status.rs`. Types only. No I/O.

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analysis::api::Metric;
use crate::model::raw::Raw;
use crate::schema::{self, closed_set};

mod auto;
mod status;
mod strategy;
mod tally;
mod traffic;

pub use auto::*;
pub use status::*;
pub use strategy::*;
pub use tally::*;
pub use traffic::*;

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
    validation = Rule::new("!has(self.spec.analysis) || !has(self.spec.analysis.slos) || has(self.spec.release)")
        .message("analysis.slos names SLOs of the Environment that the Rollout follows: set release.environment, or take analysis.slos out"),
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
#[schemars(transform = schema::Rules(&[
    ("has(self.template) != has(self.workloadRef)",
     "the pods come from exactly one of template and workloadRef: give template and selector, or name a Deployment in workloadRef"),
    ("has(self.template) == has(self.selector)",
     "selector goes with template: give both, or, with workloadRef, neither (the Deployment has them)"),
    ("!has(self.workloadRef) || (!has(self.release) && !has(self.configs) && (!has(self.gracefulShutdown) || self.gracefulShutdown == 'Off'))",
     "with workloadRef pods are what the Deployment's template says and nothing is added: leave release and configs out, and gracefulShutdown out or Off"),
    ("!has(self.deletionPolicy) || self.deletionPolicy != (has(self.workloadRef) ? 'Orphan' : 'GiveBack')",
     "deletionPolicy GiveBack needs workloadRef, and with workloadRef Orphan is not possible, because the Deployment would take what is left as it is: use GiveBack there, and Orphan without it"),
    ("has(self.workloadRef) == has(oldSelf.workloadRef) && (!has(self.workloadRef) || self.workloadRef.name == oldSelf.workloadRef.name)",
     "workloadRef can be neither added nor taken away, nor name another Deployment: delete the Rollout with deletionPolicy GiveBack, which gives the pods back, and create another one"),
]))]
pub struct RolloutSpec {
    /// Number of pods that serve. Also settable through `/scale`. A smaller number waits while two revisions share the
    /// traffic (a weight above 0 and below 100); a larger one, and `0`, are followed at once. Default `1`, with `workloadRef`
    /// what the Deployment asks for. Example: `6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub replicas: Option<i32>,
    /// Labels that the template's pods carry and nobody else's do. Cannot be changed. Needed with `template`. Default: with
    /// `workloadRef` those of the Deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The pods: a PodTemplateSpec, as in a Deployment. It is passed on as it is, so fields that are newer
    /// than this operator work. Containers that take their image from a Release omit `image`. Default: with `workloadRef` that
    /// of the Deployment.
    #[serde(default, skip_serializing_if = "Raw::is_null")]
    #[schemars(with = "Value", transform = schema::raw_object)]
    pub template: Raw,
    /// The Deployment whose pods the Rollout takes over, in place of `template` and `selector`: its ReplicaSets become the
    /// Rollout's, no pod restarts, and from then on a change of its pod template is a change of the Rollout. It has to have
    /// `spec.paused: true`, and nothing of it is ever written. Cannot be added or taken away. Default: none. Example:
    /// `{kind: Deployment, name: api}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadReference>,
    /// Takes images from the Release that an Environment wants. Default: images stand in the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseSource>,
    /// What becomes of the configuration that pods read. Default: every revision has copies of its ConfigMaps, and Secrets
    /// are read live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configs: Option<Configs>,
    /// Whether containers that declare no preStop hook go on serving for `traffic.drain` after they were
    /// told to end, which is what makes updates lose no request: `Inject` adds a preStop sleep and lengthens
    /// terminationGracePeriodSeconds by it, `Off` leaves the template as it is. Default `Inject`, with `workloadRef` `Off`.
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
    /// stable revision, its Services and its route go on serving without an owner, `GiveBack` (with `workloadRef` only) gives
    /// the ReplicaSets back to the Deployment. Default `Delete`, with `workloadRef` `GiveBack`.
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
    /// What is measured while the canary has weight. A failed analysis sends all traffic back to stable, and without a good
    /// verdict of every metric nothing takes over. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// What takes a change back by itself, and what makes going back quick. Default: every failure takes it back, and a
    /// change back to an earlier revision is a change like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

impl RolloutSpec {
    /// What becomes of the pods at the end.
    pub fn policy_of_deletion(&self) -> DeletionPolicy {
        let default = if self.workload_ref.is_some() {
            DeletionPolicy::GiveBack
        } else {
            DeletionPolicy::Delete
        };
        self.deletion_policy.unwrap_or(default)
    }

    /// The AnalysisTemplates that it names.
    pub fn template_names(&self) -> impl Iterator<Item = &str> {
        let templates = self.analysis.iter().flat_map(|of| &of.templates);
        templates.map(|template| template.name.as_str())
    }
}

/// What takes a change back by itself, and what makes going back quick.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// Failures that take a change back by themselves. One that is left out holds the change where it is, without traffic
    /// where its pods do not serve, until somebody decides. To be written with quotes, `"on"`, because YAML takes the bare
    /// word for `true`. Default: all of them. Example: `[CrashLoop, ImagePull]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::words::<16>)]
    pub on: Option<Vec<FailureReason>>,
    /// Which earlier revisions are good enough to be gone back to without steps. Default: none, but for one that
    /// `strategy.keepOldFor` still keeps at full size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RollbackWindow>,
}

closed_set! {
    /// Why a change fails by itself.
    pub enum FailureReason {
        /// A metric of the analysis is bad.
        AnalysisFailed,
        /// The budget of an SLO burns so fast that somebody is paged for it, since the change began.
        SLOBurn,
        /// An analyse step had no verdict in time.
        NoVerdict,
        /// The Job of a run step failed, or did not end in time.
        HookFailed,
        /// Nothing got further for too long.
        ProgressDeadline,
        /// A container of it ends again and again.
        CrashLoop,
        /// The same, for want of memory.
        OutOfMemory,
        /// An image of it cannot be pulled.
        ImagePull,
        /// A container of it cannot be made as it is configured.
        ContainerConfig,
    }
}

impl FailureReason {
    /// Whether it is about pods, which do not serve then.
    pub fn is_of_pods(self) -> bool {
        match self {
            Self::CrashLoop | Self::OutOfMemory | Self::ImagePull | Self::ContainerConfig => true,
            Self::AnalysisFailed
            | Self::SLOBurn
            | Self::NoVerdict
            | Self::HookFailed
            | Self::ProgressDeadline => false,
        }
    }

    /// Whether a container of it was never made: for want of its image, of what it is configured with, or of a runtime
    /// that answers. That may be so in one place and not in another.
    pub fn is_of_making(self) -> bool {
        match self {
            Self::ImagePull | Self::ContainerConfig => true,
            Self::AnalysisFailed
            | Self::SLOBurn
            | Self::NoVerdict
            | Self::HookFailed
            | Self::ProgressDeadline
            | Self::CrashLoop
            | Self::OutOfMemory => false,
        }
    }

    /// The reason of this name, where this operator knows it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == name)
    }
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

/// Names the Deployment whose pods are taken over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadReference {
    /// What it is; `Deployment` is the only kind that can be taken over. Example: `Deployment`.
    pub kind: WorkloadKind,
    /// Its name; it is in the namespace of the Rollout. Example: `api`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// Gives back although the Deployment asks for another template or another number of pods than those that serve: once
    /// somebody takes its pause away, it begins a rollout of its own, and its number of pods counts at once. Default `false`:
    /// giving back waits until the two agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_rollout: Option<bool>,
}

closed_set! {
    /// What can be taken over.
    pub enum WorkloadKind {
        /// A Deployment.
        Deployment,
    }
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

/// What becomes of the configuration that pods read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.snapshotSecrets) || !has(self.secrets) || self.secrets == 'Live'",
     "snapshotSecrets names what is copied although secrets is Live; with Snapshot all are, so leave it out"),
]))]
pub struct Configs {
    /// ConfigMaps that the template names: `Snapshot` copies them for each revision, so that an edit of one starts a new
    /// revision, and going back brings its values back; `Live` lets pods read them as they are, and an edit reaches
    /// stable and canary alike. Default `Snapshot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_maps: Option<ConfigPolicy>,
    /// Secrets that the template reads in variables and volumes, in the same way. Copies need an operator that may read
    /// Secrets (`secretSnapshots.enabled` in the chart). Default `Live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<ConfigPolicy>,
    /// Secrets that are copied although `secrets` is `Live`. Default: none. Example: `[api-keys]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::record_names::<32>)]
    pub snapshot_secrets: Vec<String>,
}

closed_set! {
    /// What becomes of a ConfigMap or Secret that pods read.
    #[derive(Default)]
    pub enum ConfigPolicy {
        /// A copy for each revision.
        #[default]
        Snapshot,
        /// Nothing.
        Live,
    }
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
        /// They go back to the Deployment that they were taken over from.
        GiveBack,
    }
}

/// What is measured.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[(
    "(has(self.metrics) && self.metrics.size() > 0) || (has(self.templates) && self.templates.size() > 0) || (has(self.slos) && self.slos.size() > 0)",
    "an analysis needs something to go by: give metrics, templates, or slos of the Environment, or leave analysis out",
)]))]
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
    /// The metrics, told apart by name. Default: those of `templates`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<20>)]
    pub metrics: Vec<Metric>,
    /// AnalysisTemplates of this namespace whose metrics are measured as well, as if they stood in `metrics`; at most 20
    /// metrics in all, no two of one name. Default: none. Example: `[{name: house-rules, args: {service: api}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<10>)]
    pub templates: Vec<TemplateReference>,
    /// SLOs of the Environment that the Rollout follows: a change under way fails (`SLOBurn`) when the budget of one begins to
    /// burn so fast that somebody is paged for it. Default: none. Example: `[api-availability]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<10>)]
    pub slos: Vec<String>,
}

/// Names an AnalysisTemplate.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Name of the AnalysisTemplate. Example: `house-rules`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Values of its arguments; they may name fields of the Rollout, as in `{{metadata.labels['team']}}`. Default: those
    /// that the template gives. Example: `{service: api}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<20>)]
    pub args: BTreeMap<String, String>,
}

/// When measuring in the background begins.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StartAt {
    /// With the first weight that is at least this, in percent. Example: `10`.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
}
