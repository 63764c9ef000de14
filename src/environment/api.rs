//! What an Environment looks like in YAML: the spec. Its status is in `api/status.rs`. No I/O.
//!
//! Lists carry no schema defaults (GitOps tools would show them as drift): what an entry leaves out is
//! filled in by the methods at the end.

use std::time;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::notification::api::{self as notification, Notification};
use crate::schema::{self, closed_set};

mod check;
mod cluster;
mod incident;
mod migration;
mod preview;
mod promotion;
mod protection;
mod signed;
mod slo;
mod status;
mod tag;
mod validation;
mod write_back;

pub use check::*;
pub use cluster::*;
pub use incident::*;
pub use migration::*;
pub use preview::*;
pub use promotion::*;
pub use protection::*;
pub use signed::*;
pub use slo::*;
pub use status::*;
pub use tag::*;
pub use validation::*;
pub use write_back::*;

/// Where Releases go, and what must hold before and after.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Environment",
    plural = "environments",
    shortname = "senv",
    category = "slipway",
    namespaced,
    status = "EnvironmentStatus",
    derive = "PartialEq",
    doc = "Where Releases go, and what must hold before and after. Rollouts bound to an Environment run the images in its status.desired.",
    validation = schema::short_name(),
    validation = Rule::new("!has(self.spec.promotion.from.environments) || !(self.metadata.name in self.spec.promotion.from.environments)")
        .message("an Environment cannot take Releases from itself: remove its own name from promotion.from.environments"),
    validation = Rule::new("!has(self.spec.slos) || has(self.spec.metrics) && has(self.spec.metrics.prometheus) || self.spec.slos.all(slo, has(slo.prometheus))")
        .message("an SLO needs a Prometheus: set spec.metrics.prometheus.address, or prometheus.address of each SLO"),
    validation = Rule::new("!has(self.spec.protection) || !has(self.spec.protection.soak) || has(self.spec.promotion.from.environments)")
        .message("protection.soak counts how long a Release has run well in the Environments before this one: set promotion.from.environments"),
    validation = Rule::new("!has(self.spec.rollback) || !('GateRevoked' in self.spec.rollback.on) || has(self.spec.promotion.from.environments)")
        .message("rollback.on lists GateRevoked, and Releases come from Pipelines, which revoke nothing: name promotion.from.environments, or take it out"),
    validation = Rule::new("!has(self.spec.rollouts) || self.spec.rollouts.all(one, !has(one.dependsOn) || one.dependsOn.all(name, name != one.name && self.spec.rollouts.exists(other, other.name == name)))")
        .message("rollouts[].dependsOn names other Rollouts of the same list: correct the name, or add the Rollout"),
    validation = Rule::new("!has(self.spec.rollback) || !('AlertFiring' in self.spec.rollback.on) || has(self.spec.incidents)")
        .message("rollback.on lists AlertFiring, and no alerts come in: set spec.incidents.alertmanager, or take AlertFiring out"),
    validation = Rule::new("!has(self.spec.migrations) || !has(self.spec.migrations.contract) || !has(self.spec.rollback) || duration(self.spec.migrations.contract.after) >= duration(self.spec.rollback.within)")
        .message("migrations.contract.after is shorter than rollback.within: what may still be gone back to needs what contract removes; make it as long at least"),
    validation = Rule::new("!has(self.spec.previews) || self.spec.tier != 'Production'")
        .message("previews are copies of this Environment's namespace that show commits nobody has merged: set tier to Development or Staging, or take previews out"),
    validation = Rule::new("!has(self.spec.previews) || !has(self.spec.previews.idle) || has(self.spec.metrics) && has(self.spec.metrics.prometheus)")
        .message("previews.idle asks a Prometheus whether anybody uses a preview: set spec.metrics.prometheus.address"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Current", type_ = "string", json_path = ".status.current[0].release"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.candidate.release"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.promotion.mode", priority = 1),
    printcolumn(name = "Incidents", type_ = "integer", json_path = ".status.openIncidents", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSpec {
    /// How much depends on it: `Development`, `Staging` or `Production`. Example: `Staging`.
    pub tier: Tier,
    /// Where Releases come from, and who starts a promotion.
    pub promotion: PromotionRule,
    /// The Rollouts, in the same namespace (or that of `cluster`), that run the images; a promotion ends when all of them have.
    /// At most 32. A Rollout that is not listed here does not follow the Environment. Default: none.
    /// Example: `[{name: api}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub rollouts: Vec<RolloutRef>,
    /// What must hold before a promotion starts. To change anything of the spec but `notifications` and `history`, to
    /// create or to delete the Environment takes the verb `protect`.
    #[serde(default)]
    pub protection: Protection,
    /// How the database is brought to where a Release needs it, before any traffic moves. Default: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Migrations>,
    /// Checks after the Rollouts are healthy, at most 16, one after another; told apart by name.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub smoke_tests: Vec<SmokeTest>,
    /// When and how the Environment goes back to its last good Release by itself.
    #[serde(default)]
    pub rollback: RollbackRule,
    /// Where the metrics of SLOs come from. Default: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricSources>,
    /// Shares of requests that are to be good, at most 10, told apart by name: measured, shown in the status, written down
    /// as rules for Prometheus, and a reason to go back. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<10>)]
    pub slos: Vec<Slo>,
    /// Where alerts come from, and which promotions they are incidents of. Default: nowhere; failures and burns are
    /// incidents all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incidents: Option<Incidents>,
    /// Who is told what, at most 16, told apart by name. Default: nobody.
    /// Example: `[{name: team, slack: {secretRef: {name: chat, key: url}}, on: [PromotionSucceeded, RolledBack]}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub notifications: Vec<Notification<NotificationEvent>>,
    /// A preview for each open pull request whose run passed. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previews: Option<Previews>,
    /// A tag that the images of what it has get in their registry. Default: none. Example: `{name: production}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<ImageTag>,
    /// The cluster that its Rollouts are in, where that is another one than this: promotions are decided here, the operator there
    /// runs the Rollouts. Default: this one.
    /// Example: `{kubeconfigSecretRef: {name: prod-eu, key: kubeconfig}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterTarget>,
    /// Writes what runs into a file of a repository: a commit or a pull request after each change of it. Default: Git is not
    /// told; Rollouts read what runs from `status.desired` in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBack>,
    /// What happens to the Promotions when the Environment is deleted: `Retain` keeps them, and one
    /// created again under the same name goes on from them; `Delete` removes them.
    /// Default: `Retain` for tier `Production`, else `Delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// How many finished Promotions are kept.
    #[serde(default)]
    pub history: History,
}

closed_set! {
    /// How much depends on an Environment.
    pub enum Tier {
        /// For the people who build.
        Development,
        /// The last stop before production.
        Staging,
        /// For users.
        Production,
    }
}

closed_set! {
    /// What makes an Environment go back.
    pub enum RollbackCause {
        /// A Rollout could not bring the images up, or went back itself.
        RolloutFailed,
        /// A smoke test failed.
        SmokeFailed,
        /// The budget of an SLO burns so fast that somebody is paged for it, since the promotion began.
        SLOBurn,
        /// An alert that was delivered fires since the promotion began.
        AlertFiring,
        /// An Environment that the Release came from holds it since.
        GateRevoked,
    }
}

/// When and how an Environment goes back to its last good Release by itself.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RollbackRule {
    /// What makes it go back: `RolloutFailed`, `SmokeFailed`, `SLOBurn`, `AlertFiring`, `GateRevoked` (an Environment that
    /// the Release came from went back from it, or holds it). Default: the first three. An empty list means never.
    #[serde(default = "rollback_causes")]
    #[schemars(transform = schema::words::<8>)]
    pub on: Vec<RollbackCause>,
    /// How long after the start of a promotion a failure still makes it go back; later ones are left to
    /// people. A burn of an SLO, an alert and a Release that is revoked count as long as the promotion takes, and so long
    /// after its end. A duration; default `30m`.
    #[serde(default = "rollback_within")]
    #[schemars(transform = schema::duration)]
    pub within: Duration,
    /// Holds the failed Release afterwards: it is no candidate again until a Decision `Resume` names it.
    /// Default `true`.
    #[serde(default = "yes")]
    pub hold_after: bool,
}

closed_set! {
    /// What people are told about.
    pub enum NotificationEvent {
        /// A promotion ended well.
        PromotionSucceeded,
        /// A promotion failed.
        PromotionFailed,
        /// The Environment went back to its last good Release.
        RolledBack,
        /// A promotion waits for approvals.
        ApprovalNeeded,
        /// Something goes wrong because of a promotion.
        IncidentOpened,
        /// It is over.
        IncidentResolved,
        /// A promotion starts though a gate stood against it.
        GateOverridden,
        /// A promotion waits for a freeze to end.
        FreezeBlocked,
    }
}

closed_set! {
    /// What happens to the records when an Environment is deleted.
    pub enum DeletionPolicy {
        /// They stay.
        Retain,
        /// They go too.
        Delete,
    }
}

/// How many finished Promotions are kept.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Number of finished Promotions that are kept, 1 to 1000. Those that current, desired or last good
    /// refer to are kept beyond it. Default `50`.
    #[serde(default = "kept_promotions")]
    #[schemars(range(min = 1, max = 1000))]
    pub promotions: u32,
}

fn yes() -> bool {
    true
}

/// What is measured here makes it go back by itself. What other people's rules say does so where that is wanted.
fn rollback_causes() -> Vec<RollbackCause> {
    use RollbackCause::{RolloutFailed, SLOBurn, SmokeFailed};
    vec![RolloutFailed, SmokeFailed, SLOBurn]
}

fn rollback_within() -> Duration {
    time::Duration::from_mins(30).into()
}

fn kept_promotions() -> u32 {
    50
}

impl NotificationEvent {
    /// How much it matters. Who hears that something is wrong hears that it is over.
    pub const fn severity(self) -> notification::Severity {
        match self {
            Self::PromotionSucceeded | Self::ApprovalNeeded | Self::FreezeBlocked => {
                notification::Severity::Info
            }
            Self::PromotionFailed | Self::RolledBack | Self::GateOverridden => {
                notification::Severity::Warning
            }
            Self::IncidentOpened | Self::IncidentResolved => notification::Severity::Critical,
        }
    }

    /// What CloudEvents call it. An interface: none is renamed.
    pub const fn cloud_type(self) -> &'static str {
        match self {
            Self::PromotionSucceeded => "dev.slipway.promotion.succeeded",
            Self::PromotionFailed => "dev.slipway.promotion.failed",
            Self::RolledBack => "dev.slipway.environment.rolledback",
            Self::ApprovalNeeded => "dev.slipway.promotion.approvalneeded",
            Self::IncidentOpened => "dev.slipway.incident.opened",
            Self::IncidentResolved => "dev.slipway.incident.resolved",
            Self::GateOverridden => "dev.slipway.promotion.gateoverridden",
            Self::FreezeBlocked => "dev.slipway.promotion.freezeblocked",
        }
    }
}

impl Default for RollbackRule {
    fn default() -> Self {
        Self {
            on: rollback_causes(),
            within: rollback_within(),
            hold_after: yes(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            promotions: kept_promotions(),
        }
    }
}

impl EnvironmentSpec {
    /// Whether Promotions bring the templates of Rollouts.
    pub fn gates_templates(&self) -> bool {
        let rule = self.promotion.template_changes;
        let default = match self.tier {
            Tier::Production => TemplateChanges::Gate,
            Tier::Development | Tier::Staging => TemplateChanges::Direct,
        };
        rule.unwrap_or(default) == TemplateChanges::Gate
    }

    /// What happens to the records when the Environment is deleted.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or(match self.tier {
            Tier::Production => DeletionPolicy::Retain,
            Tier::Development | Tier::Staging => DeletionPolicy::Delete,
        })
    }
}
