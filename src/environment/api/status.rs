//! What an Environment looks like in YAML: the status. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cluster::MirrorStatus;
use super::incident::AlertStatus;
use super::preview::PreviewStatus;
use super::protection::Policy;
use super::slo::{RulesRef, SloStatus};
use super::tag::TaggedImage;
use super::write_back::WriteBackStatus;
use crate::decision::api::DecisionAction;
use crate::dora::api::DoraStatus;
use crate::outbox::api::OutboxEntry;
use crate::promotion::api::TemplateRef;
use crate::release::api::{ImageRef, ReleaseRef};
use crate::schema::{self, closed_set};

closed_set! {
    /// Where an Environment is.
    #[derive(Default)]
    pub enum EnvironmentPhase {
        /// What should run runs, and nothing waits.
        #[default]
        Steady,
        /// A candidate waits for what must hold before it starts.
        Pending,
        /// The database is brought to where a Release needs it.
        Migrating,
        /// The Rollouts are bringing a Release up.
        Promoting,
        /// The Rollouts are healthy, smoke tests run.
        Verifying,
        /// The Rollouts are going back to the last good Release.
        RollingBack,
        /// A person stopped promotions.
        Held,
    }
}

/// What the operator knows about an Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// Generation of the spec that this status is about; `-1` until the operator has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Healthy`, `LastPromotion`, where there are SLOs `AlertsReady`, where there are migrations `MigrationsHealthy`, where there are previews `PreviewsReady`, where it is in another cluster `ClusterReady`, where what runs is written back `WrittenBack`, and while they are true `Reconciling`,
    /// `Stalled`, `PromotionPending`, `Promoting`, `Held`, `IncidentOpen` and `ActionFailed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
    /// `Steady`, `Pending`, `Migrating`, `Promoting`, `Verifying`, `RollingBack` or `Held`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<EnvironmentPhase>,
    /// Where it is, what it waits for and until when, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// What should run, by Pipeline. Rollouts read this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<32>)]
    pub desired: Vec<Deployed>,
    /// What runs, by Pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<32>)]
    pub current: Vec<Deployed>,
    /// What a rollback goes back to, by Pipeline: the last that passed everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<32>)]
    pub last_good: Vec<Deployed>,
    /// The Release that comes next, and what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// Releases that may not be promoted until a person lifts it; at most 50, the oldest go first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<50>)]
    pub holds: Vec<Hold>,
    /// Releases at which the Environment stays until a person lifts it; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<32>)]
    pub pins: Vec<Hold>,
    /// The templates that its Rollouts are to wear, where Promotions bring them; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub templates: Vec<TemplateRef>,
    /// The protection that approvals are bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Decisions about it that this status has taken in, latest last; at most 8, the oldest go first. What came of each is in
    /// the records of Promotions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<8>)]
    pub decided: Vec<TakenIn>,
    /// How its SLOs are, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<10>)]
    pub slos: Vec<SloStatus>,
    /// What has the recording rules and alerts of its SLOs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesRef>,
    /// Alerts that were delivered and concern it, at most 64: those that fire and the newest first to stay. One that ended
    /// stays for a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<64>)]
    pub alerts: Vec<AlertStatus>,
    /// Number of open incidents of its Promotions; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub open_incidents: Option<u32>,
    /// How well deliveries go, counted from the records of Promotions; absent until something was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dora: Option<DoraStatus>,
    /// Previews of pull requests, and those that wait for their turn; at most 50, by number, the highest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_number::<50>)]
    pub previews: Vec<PreviewStatus>,
    /// With `imageTag`: the images of what it has, and which of them have the tag; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<32>)]
    pub tagged: Vec<TaggedImage>,
    /// Where its mirror is, where it is in another cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorStatus>,
    /// How far what runs is written back to Git; absent where it is not to be, and until something runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackStatus>,
    /// Messages that are to leave the cluster, or did lately; at most 40, those that are over go first. Of those that are
    /// still to be sent there may be 128; then the oldest is given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<128>)]
    pub outbox: Vec<OutboxEntry>,
}

/// A Decision that was taken in.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TakenIn {
    /// Its name. Example: `production-approve-x7k2p`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// What was decided.
    pub action: DecisionAction,
    /// By whom.
    #[schemars(transform = schema::some_text::<256>)]
    pub user: String,
    /// When it was made.
    pub at: Time,
}

/// A Release in an Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// Name of the Pipeline that it comes from.
    #[schemars(transform = schema::name)]
    pub pipeline: String,
    /// Name of the Release.
    #[schemars(transform = schema::record_name)]
    pub release: String,
    /// Name of the Promotion that brought it.
    #[schemars(transform = schema::record_name)]
    pub promotion: String,
    /// The Releases that it stands for, where it is a set; the name of the set is in `pipeline`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<8>)]
    pub members: Vec<ReleaseRef>,
    /// Its images by name.
    #[schemars(transform = schema::by_name::<32>)]
    pub images: Vec<ImageRef>,
    /// Since when.
    pub since: Time,
    /// Of what runs: since when every Rollout has served and no SLO has burned so fast that somebody is paged; absent while that
    /// is not so. Environments after this one let Releases soak by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<Time>,
    /// How long that was so before, in seconds, since its promotion succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_seconds: Option<u64>,
    /// When its promotion failed, where it did and the Release stays nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
    /// Rollouts that do not follow it yet, because those that they depend on come first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<32>)]
    pub waiting: Vec<String>,
}

/// The Release that comes next.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Name of the Release.
    #[schemars(transform = schema::record_name)]
    pub release: String,
    /// The Releases that it stands for, where it is a set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_pipeline::<8>)]
    pub members: Vec<ReleaseRef>,
    /// What must hold before it starts, in the order in which it is asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub gates: Vec<CandidateGate>,
}

closed_set! {
    /// What a gate before a promotion says.
    pub enum CandidateGateState {
        /// Not yet.
        Waiting,
        /// Go on.
        Passed,
        /// Not this Release.
        Failed,
        /// People let this Release pass it.
        Overridden,
    }
}

impl CandidateGateState {
    /// Whether it stands in nobody's way.
    pub const fn lets_pass(self) -> bool {
        matches!(self, Self::Passed | Self::Overridden)
    }
}

/// One thing that must hold before a promotion starts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CandidateGate {
    /// Name of the gate. Example: `approvals`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// `Waiting`, `Passed`, `Failed` or `Overridden`.
    pub state: CandidateGateState,
    /// Why, and what to do. Example: `1 of 2 approvals`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// When the answer changes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// A Release that may not be promoted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Name of the Release; absent when every Release is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub release: Option<String>,
    /// Why.
    #[schemars(transform = schema::text::<1024>)]
    pub reason: String,
    /// Who: a user, or `slipway` after a rollback.
    #[schemars(transform = schema::text::<256>)]
    pub by: String,
    /// Since when.
    pub at: Time,
}
