//! What a Rollout says about itself, and what the operator remembers of it. Types only. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auto::RiskLevel;
use super::tally::Tally;
use super::traffic::DestinationRuleReference;
use crate::decision::api::DecisionAction;
use crate::model::revision::Revision;
use crate::schema::{self, closed_set};

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
    /// Id of the template in the spec, where an Environment decides when that is worn. Example: `3f9c2e1a0b`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
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
    /// With strategy `Auto`: the risk of the change that is under way, or of the last one. It was assessed when that began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The last Decision on this Rollout, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<DecisionOutcome>,
    /// What the operator remembers between two looks. Not an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// `Ready`, `Healthy`, and while they hold `Reconciling`, `Stalled`, `Paused`, `Completed`, `LosesRequests`, `ActionFailed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::conditions)]
    pub conditions: Vec<Condition>,
}

/// How risky a change is, and why.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Risk {
    /// How risky.
    pub level: RiskLevel,
    /// What gives it this level. Example: `[changedLines 412]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<16>)]
    pub because: Vec<String>,
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
    /// Id of its template, where an Environment decides which that is. Example: `3f9c2e1a0b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Pods that it should have.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
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
    /// What routers say of which one does not report what the data plane knows, and until when that may not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreported: Option<Unreported>,
    /// Since when stable, which should serve, has had no pod that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub down_since: Option<Timestamp>,
    /// Number of pods that serve, while revisions share the traffic: a smaller `spec.replicas` waits until they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Objects of people's whose weights are driven, and how often somebody has taken them back in this change.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driven: BTreeMap<String, u32>,
    /// Objects of people's that are written into, by kind and name, and what it takes to put them back.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub foreign: BTreeMap<String, Foreign>,
    /// Objects of ours that somebody else writes into, and how often that was put right.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meddled: BTreeMap<String, Meddled>,
    /// Who holds the change with a Decision, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Hold>,
    /// The revision that somebody went back to, while the spec asks for the one that was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// Pods that are being replaced because somebody asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
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

/// How routers divide of which one reports nothing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Unreported {
    /// Share of the canary Service, in percent.
    pub weight: u8,
    /// Whether something comes on top of it: requests by what they have, or copies.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
    /// Until when requests may still go by what was said before.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// How an object of people's leads to both sides: enough to put it back when the spec does not name it any more.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Foreign {
    /// The stable Service, where it leads to Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// The canary's Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// Names of the routes in it that are driven; none: all that lead to both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// The DestinationRule whose subsets tell the sides apart, or that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<DestinationRuleReference>,
    /// The last write of somebody else that was answered by one of ours: it counts once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// A write of somebody else.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Taken {
    /// The field manager.
    pub by: String,
    /// When, to the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

/// How often somebody has written into an object of ours.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Meddled {
    /// The last write that was answered by one of ours: it counts once.
    pub last: Taken,
    /// How often, in this change, or where none is on its way within an hour.
    pub times: u32,
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

/// Pods that are being replaced because somebody asked for it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// When it was asked for: older pods go.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// The user.
    pub by: String,
    /// Why the next pod may not go yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// An eviction that a PodDisruptionBudget does not allow yet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When it is tried again.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// The API server's words.
    pub message: String,
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
    /// Since when a container of it cannot be made, while none of its pods is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub unmade_since: Option<Timestamp>,
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
    /// The failure that holds it, where `spec.rollback.on` leaves that one to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
    /// Failures that somebody has decided to go on with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<String>,
    /// How often somebody has had it tried again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "that is how serde calls it"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A failure that holds a change until people decide.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Stuck {
    /// A word for it.
    pub reason: String,
    /// A sentence for it.
    pub message: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Whether its traffic was taken away, because its pods do not serve.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
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
