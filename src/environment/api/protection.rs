//! What must hold before a promotion starts. No I/O.

use std::time;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Duration;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::RequireSigned;
use crate::schema::{self, closed_set};

mod evidence;
mod external;
mod freeze;
mod source;

pub use evidence::*;
pub use external::*;
pub use freeze::*;
pub use source::*;

/// What must hold before a promotion starts. A rollback waits for none of it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.gates) || !self.gates.exists(gate, gate.name in ['hold', 'source', 'signature', 'evidence', 'freeze', 'error-budget', 'soak', 'approvals'])",
     "a gate cannot be called hold, source, signature, evidence, freeze, error-budget, soak or approvals: give it another name"),
]))]
pub struct Protection {
    /// Where a Release may come from. Default: from any branch and any tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<ReleaseSources>,
    /// What must be signed for each image. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_signed: Option<RequireSigned>,
    /// What the evidence of a Release must show, at most 16, told apart by name. Default: nothing.
    /// Example: `[{name: coverage, coverage: {min: 80}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub evidence: Vec<EvidenceRule>,
    /// Times at which nothing is promoted, and times at which something may be; at most 16, told apart by name. `Deny` wins over
    /// `Allow`; where there is an `Allow`, one of them must be open. Default: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<16>)]
    pub freezes: Vec<Freeze>,
    /// How much of the error budget must be left. Default: none has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget: Option<ErrorBudget>,
    /// How long a Release must have run well in every Environment before this one. Default: no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// What other systems must agree to, at most 8, told apart by name. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<8>)]
    pub gates: Vec<ExternalGate>,
    /// People who must agree. Default: nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// Which Releases are urgent repairs, and what these do not wait for. Default: none is.
    /// Example: `{branches: ["hotfix/*"]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotfixes: Option<Hotfixes>,
    /// What it takes to let a Release pass a gate that stands against it. Default: one Decision `Override`.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_: Option<OverrideRule>,
}

/// People who must agree to a promotion. A rollback needs no approval.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// Number of different people who must approve, 0 to 10. Example: `2`.
    #[schemars(range(min = 0, max = 10))]
    pub required: u32,
    /// Whose approvals count, at most 16: users, and members of groups, who have to name the group in their Decision. With `min`
    /// that many of them are needed. Default: everybody's who may approve.
    /// Example: `[{group: platform-leads, min: 1}, {user: carol@example.com}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<16>)]
    pub approvers: Vec<Approver>,
    /// Does not count the approval of the person who asked for the promotion. Default `true`.
    #[serde(default = "yes")]
    pub prevent_self_approval: bool,
    /// Does not count the approval of an author of the change: whose name or e-mail address is that of a commit of the Release,
    /// or of one since the Release that runs here. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prevent_author_approval: Option<bool>,
    /// Service accounts whose approvals count, at most 16; those of others do not. Default: none.
    /// Example: `["system:serviceaccount:change-board:bot"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 256>)]
    pub allow_service_accounts: Vec<String>,
    /// How long an approval counts. A duration; default `168h` (seven days). Example: `24h`.
    #[serde(default = "approval_valid_for")]
    #[schemars(transform = schema::duration)]
    pub valid_for: Duration,
    /// How long after it was made a promotion without enough approvals is refused. A duration; default: it waits.
    /// Example: `72h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// A user or a group whose approval counts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.user) != has(self.group)", "an approver has exactly one of user and group"),
]))]
pub struct Approver {
    /// Name of the user, as the API server knows it. Example: `carol@example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub user: Option<String>,
    /// Name of the group. Example: `platform-leads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub group: Option<String>,
    /// Number of approvals that must come from here, at most 10. Default `0`. Example: `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10))]
    pub min: Option<u32>,
}

closed_set! {
    /// What becomes of the time that a Release has run well when it does not any more.
    #[derive(Default)]
    pub enum SoakLoss {
        /// It starts anew.
        #[default]
        Reset,
        /// It is kept, and goes on when the Release runs well again.
        Pause,
    }
}

/// How long a Release must have run well in every Environment before this one. Only time counts in which the Rollouts there were
/// healthy and no SLO burned so fast that somebody was paged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Soak {
    /// The time. A duration. Example: `4h`.
    #[schemars(transform = schema::duration)]
    pub duration: Duration,
    /// What becomes of the time when something goes wrong: `Reset`, it starts anew; `Pause`, it is kept. Default `Reset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unhealthy: Option<SoakLoss>,
}

closed_set! {
    /// What a gate says when it is not known what it asks for.
    #[derive(Default)]
    pub enum Unknown {
        /// It has not passed.
        #[default]
        Block,
        /// It has passed.
        Allow,
    }
}

/// How much of the error budget must be left.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.minRemaining) || has(self.maxBurnRate)",
     "errorBudget needs a limit: set minRemaining or maxBurnRate"),
]))]
pub struct ErrorBudget {
    /// Names of SLOs of this Environment, at most 10. Default: all of them. Example: `[api-availability]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<10>)]
    pub slos: Vec<String>,
    /// Share of the budget of the period that must be left, as a text. Default: any. Example: `"0.10"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = share)]
    pub min_remaining: Option<String>,
    /// How many times as fast as the budget allows it may burn, as a text: it burns too fast when it does so over the last hour
    /// and still over the last five minutes. Default: any. Example: `"2"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = rate)]
    pub max_burn_rate: Option<String>,
    /// What follows when it is not known: `Block` or `Allow`. Default `Block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_no_data: Option<Unknown>,
}

/// What it takes to let a Release pass a gate that stands against it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OverrideRule {
    /// Number of different people who must say so, 1 to 10. Example: `2`.
    #[schemars(range(min = 1, max = 10))]
    pub required: u32,
}

/// The protection that approvals are bound to.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// SHA-256 over `spec.protection`, in hex.
    #[schemars(transform = schema::text::<64>)]
    pub hash: String,
    /// When the operator saw it change; approvals and overrides from before do not count. Absent while it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

fn number_text(schema: &mut Schema, rule: &str, message: &str) {
    schema.insert("maxLength".to_owned(), 8.into());
    schema.insert(
        "x-kubernetes-validations".to_owned(),
        json!([{"rule": rule, "message": message}]),
    );
}

fn share(schema: &mut Schema) {
    number_text(
        schema,
        r"self.matches('^(0(\\.[0-9]{1,4})?|1(\\.0{1,4})?)$')",
        "must be a share between 0 and 1 as a text, such as \"0.10\"",
    );
}

fn rate(schema: &mut Schema) {
    number_text(
        schema,
        r"self.matches('^[0-9]{1,4}(\\.[0-9]{1,2})?$') && double(self) > 0.0",
        "must be a number above 0 as a text, such as \"2\"",
    );
}

fn approval_valid_for() -> Duration {
    time::Duration::from_hours(168).into()
}

fn yes() -> bool {
    true
}

impl Protection {
    /// Number of different people whose Decision `Override` lets a Release pass a gate.
    pub fn overrides_required(&self) -> usize {
        let rule = self.override_.as_ref();
        let required = rule.map_or(1, |rule| rule.required).max(1);
        usize::try_from(required).unwrap_or(usize::MAX)
    }
}

impl Approvals {
    /// Whether anybody has to approve.
    pub fn asks_people(&self) -> bool {
        self.required > 0 || self.approvers.iter().any(|from| from.min() > 0)
    }

    /// Whether authors of the change are left out.
    pub fn prevents_authors(&self) -> bool {
        self.prevent_author_approval.unwrap_or(false)
    }
}

impl Approver {
    /// Approvals that must come from here.
    pub fn min(&self) -> usize {
        usize::try_from(self.min.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Who it is, for people.
    pub fn who(&self) -> String {
        match (&self.user, &self.group) {
            (Some(user), _) => user.clone(),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => "nobody".to_owned(),
        }
    }

    /// Whether an approval by this user, in the name of these groups, comes from here.
    pub fn is(&self, user: &str, groups: &[String]) -> bool {
        let is_user = self.user.as_deref() == Some(user);
        let has_group = self.group.as_ref().is_some_and(|own| groups.contains(own));
        is_user || has_group
    }
}

impl Soak {
    /// What becomes of the time when something goes wrong.
    pub fn on_unhealthy(&self) -> SoakLoss {
        self.on_unhealthy.unwrap_or_default()
    }
}
