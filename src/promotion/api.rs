//! What a Promotion looks like in YAML. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline_run::api::{GateVerdict, Latency};
use crate::release::api::{ImageRef, ReleaseRef};
use crate::schema::{self, closed_set};

mod incident;
mod migration;

pub use incident::*;
pub use migration::*;

/// One attempt to bring one Release into one Environment.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Promotion",
    plural = "promotions",
    shortname = "spromo",
    category = "slipway",
    namespaced,
    status = "PromotionStatus",
    derive = "PartialEq",
    doc = "One attempt to bring one Release into one Environment: who asked, who approved, what was done, how it ended. Written by the operator only.",
    selectable = ".spec.environment",
    selectable = ".spec.release",
    printcolumn(
        name = "Environment",
        type_ = "string",
        json_path = ".spec.environment"
    ),
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Requested By",
        type_ = "string",
        json_path = ".spec.requestedBy",
        priority = 1
    ),
    printcolumn(
        name = "Attempt",
        type_ = "integer",
        json_path = ".spec.attempt",
        priority = 1
    ),
    printcolumn(
        name = "Migrations",
        type_ = "string",
        json_path = ".status.migrations.state",
        priority = 1
    ),
    printcolumn(
        name = "Incident",
        type_ = "string",
        json_path = ".status.incidents[0].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self == oldSelf",
     "the spec of a Promotion cannot change: a Decision Retry makes another attempt"),
]))]
pub struct PromotionSpec {
    /// Name of the Environment, in the same namespace.
    #[schemars(transform = schema::name)]
    pub environment: String,
    /// Name of the Release, in the same namespace.
    #[schemars(transform = schema::record_name)]
    pub release: String,
    /// Name of the Pipeline that made the Release.
    #[schemars(transform = schema::name)]
    pub pipeline: String,
    /// The Releases that are promoted as one, where it is a set: `release` has its name then, and `pipeline` that of the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<8>)]
    pub members: Vec<ReleaseRef>,
    /// The images of the Release by name; 1 to 32.
    #[schemars(length(min = 1), transform = schema::by_name::<32>)]
    pub images: Vec<ImageRef>,
    /// The templates that the Rollouts are to wear, where the Environment has `templateChanges: Gate`; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub templates: Vec<TemplateRef>,
    /// `Promote`, forward; `Config`, the Release that runs with other templates; `Rollback`, to the last good Release; `Migrate`
    /// and `Contract`, migrations of the database only.
    pub kind: PromotionKind,
    /// Number of the attempt with these images in this Environment, from 1.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// Who asked for it: a user, or `slipway` when it followed from the spec. Example: `alice@example.com`.
    #[schemars(transform = schema::some_text::<256>)]
    pub requested_by: String,
    /// Name of the Release that it replaces; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub previous: Option<String>,
    /// Number of the promotion in its Environment, from 1: which came before which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number: Option<u32>,
    /// Name of the Decision that asked for it; absent when it followed from the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub decision: Option<String>,
    /// The commit that the Release was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::commit_sha)]
    pub commit: Option<String>,
    /// SHA-256 over the protection of the Environment when it was made, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub policy_hash: Option<String>,
    /// Why it was made, where neither a Release nor a Decision is the reason. Example: `SLOBurn: api-availability burns …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<700>)]
    pub reason: Option<String>,
    /// The version that a person wants the database at; for kind `Migrate`. Default: the newest of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<128>)]
    pub version: Option<String>,
}

impl PromotionSpec {
    /// Whether it brings another template of some Rollout than another promotion. Of a Rollout that one of them brings none
    /// for, as before templates were brought, nothing is known.
    pub fn has_other_templates(&self, other: &Self) -> bool {
        let is_other = |own: &TemplateRef| {
            let mut theirs = other.templates.iter();
            theirs.any(|theirs| theirs.name == own.name && theirs.id != own.id)
        };
        self.templates.iter().any(is_other)
    }

    /// Whether it brings other images or templates than another promotion: only then is it a way back from that.
    pub fn differs_from(&self, other: &Self) -> bool {
        self.images != other.images || self.has_other_templates(other)
    }

    /// Whether its migrations removed what Releases before its own needed, as its status says.
    pub fn has_contracted(&self, status: &PromotionStatus) -> bool {
        let known = status.migrations.as_ref();
        let contract = known.and_then(|known| known.phase(MigrationPhase::Contract));
        let has_begun = contract.is_some_and(|phase| phase.state != StepState::Pending);
        let was_lost = status.reason.as_deref() == Some(LOST);
        self.kind == PromotionKind::Contract && (has_begun || was_lost)
    }
}

/// The reason of a promotion whose status was lost.
pub const LOST: &str = "StatusLost";

/// A pod template of a Rollout, by its id.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// Name of the Rollout.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// Id of the template: the ControllerRevision `<rollout>-template-<id>` has it. Example: `3f9c2e1a0b`.
    #[schemars(transform = schema::text::<64>)]
    pub id: String,
}

closed_set! {
    /// Which way a promotion goes.
    #[derive(Default)]
    pub enum PromotionKind {
        /// Forward.
        #[default]
        Promote,
        /// Forward with the Release that runs, and other templates.
        Config,
        /// Back to the last good Release.
        Rollback,
        /// The migrations of a Release, asked for by a person; nothing else changes.
        Migrate,
        /// What the Release before still needed is removed.
        Contract,
    }
}

impl PromotionKind {
    /// Whether it is about the database alone, and changes nothing of what should run.
    pub const fn is_of_database(self) -> bool {
        matches!(self, Self::Migrate | Self::Contract)
    }
}

closed_set! {
    /// Where a promotion is.
    #[derive(Default)]
    pub enum PromotionPhase {
        /// It waits for what must hold before it starts.
        #[default]
        Pending,
        /// It waits for people.
        AwaitingApproval,
        /// The database is brought to where it has to be.
        Migrating,
        /// The Rollouts are bringing the images up.
        Promoting,
        /// Smoke tests run.
        Verifying,
        /// The images run and everything passed.
        Succeeded,
        /// It failed, or a person refused it.
        Failed,
        /// It failed, and the Environment went back.
        RolledBack,
        /// A newer Release came before it started.
        Superseded,
    }
}

impl PromotionPhase {
    /// Whether nothing will change any more.
    pub const fn is_finished(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::RolledBack | Self::Superseded
        )
    }
}

/// What happened in a promotion.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// Generation of the spec that this status is about; `-1` until the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and while they are true `Reconciling`, `Stalled`, `Succeeded` and `Failed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
    /// `Pending`, `AwaitingApproval`, `Migrating`, `Promoting`, `Verifying`, or how it ended: `Succeeded`, `Failed`,
    /// `RolledBack`, `Superseded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PromotionPhase>,
    /// Why it is there, in one word. Example: `SmokeFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<128>)]
    pub reason: Option<String>,
    /// Where it is, what it waits for and until when, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// When it started to change what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What was done, in order: Rollouts, smoke tests; at most 48.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<48>)]
    pub steps: Vec<StepStatus>,
    /// Who approved it; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<10>)]
    pub approvals: Vec<Approval>,
    /// What became of the migrations of its database, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationStatus>,
    /// What went wrong because of it, also after its end, in the order in which it became known; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<8>)]
    pub incidents: Vec<Incident>,
    /// What happened, each entry chained to the one before by its hash; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<64>)]
    pub audit: Vec<AuditEntry>,
}

closed_set! {
    /// Where a step is.
    #[derive(Default)]
    pub enum StepState {
        /// Not started.
        #[default]
        Pending,
        /// Under way.
        Running,
        /// Done.
        Succeeded,
        /// It failed.
        Failed,
        /// It was not needed, or a step before it failed.
        Skipped,
    }
}

/// One step of a promotion.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name of the step. Example: `smoke-critical-paths`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Skipped`.
    pub state: StepState,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What happened, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
    /// Name of its Job, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub job: Option<String>,
    /// Which attempt it is at, where it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempt: Option<u32>,
    /// When that attempt begins, or has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// What its gates found, where it is a check whose reports are judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub gates: Vec<GateVerdict>,
    /// Its load tests, with which the next ones are compared; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub latency: Vec<Latency>,
}

/// One person who approved.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The user, as the API server knows it.
    #[schemars(transform = schema::text::<256>)]
    pub user: String,
    /// Groups that the user claimed and has; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 256>)]
    pub groups: Vec<String>,
    /// When.
    pub at: Time,
    /// Name of the Decision.
    #[schemars(transform = schema::text::<253>)]
    pub decision: String,
}

/// One thing that happened.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Number of the entry, from 1.
    #[schemars(range(min = 1))]
    pub seq: u32,
    /// When.
    pub at: Time,
    /// Who: a user, or `slipway`.
    #[schemars(transform = schema::text::<256>)]
    pub actor: String,
    /// What, in one sentence.
    #[schemars(transform = schema::text::<256>)]
    pub event: String,
    /// Hash of the entry before; empty for the first one.
    #[schemars(transform = schema::text::<64>)]
    pub prev_hash: String,
    /// SHA-256 over the hash before and this entry, in hex.
    #[schemars(transform = schema::text::<64>)]
    pub hash: String,
}
