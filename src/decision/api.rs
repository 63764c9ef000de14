//! What a Decision looks like in YAML. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

/// One human act on one object.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "slipway.dev",
    version = "v1alpha1",
    kind = "Decision",
    plural = "decisions",
    shortname = "sdec",
    category = "slipway",
    namespaced,
    derive = "PartialEq",
    doc = "One human act on one object: an approval, a pause, a rollback. Made once, never changed; the API server proves who made it.",
    selectable = ".spec.target.kind",
    selectable = ".spec.target.name",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "User", type_ = "string", json_path = ".spec.user"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".spec.reason",
        priority = 1
    ),
    printcolumn(
        name = "Expires",
        type_ = "date",
        json_path = ".spec.expiresAt",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self == oldSelf",
     "a Decision cannot be changed: make another one instead"),
    ("self.target.kind != 'Environment' || self.action in ['Approve', 'Reject', 'Promote', 'Abort', 'Retry', 'Rollback', 'Hold', 'Resume', 'Pin', 'Veto', 'Override', 'Migrate', 'LinkIncident']",
     "an Environment takes Approve, Reject, Promote, Abort, Retry, Rollback, Hold, Resume, Pin, Veto, Override, Migrate or LinkIncident"),
    ("self.target.kind != 'Rollout' || self.action in ['Approve', 'Reject', 'Promote', 'Skip', 'Pause', 'Resume', 'Abort', 'Retry', 'Undo', 'Restart']",
     "a Rollout takes Approve, Reject, Promote, Skip, Pause, Resume, Abort, Retry, Undo or Restart"),
    ("self.target.kind != 'Pipeline' || self.action in ['Pause', 'Resume']",
     "a Pipeline takes Pause or Resume; to start a run, make a PipelineRun"),
    ("self.target.kind != 'PipelineRun' || self.action in ['Approve', 'Reject', 'Cancel', 'Retry']",
     "a PipelineRun takes Approve, Reject, Cancel or Retry"),
    ("self.target.kind != 'Promotion' || self.action in ['Approve', 'Reject', 'Abort', 'Retry', 'LinkIncident']",
     "a Promotion takes Approve, Reject, Abort, Retry or LinkIncident"),
    ("self.target.kind != 'Environment' || !(self.action in ['Approve', 'Reject', 'Promote', 'Pin', 'Veto']) || has(self.release)",
     "release is needed: name the Release that you approve, reject, promote, pin or veto"),
    ("self.action != 'Override' || (has(self.release) && has(self.gates) && self.gates.size() > 0)",
     "an Override names the Release and the gates that it may pass: set release and gates"),
    ("!has(self.gates) || self.action == 'Override'",
     "gates are for an Override: leave them out"),
    ("!has(self.version) || self.action == 'Migrate'",
     "version is for a Migrate: leave it out"),
    ("!has(self.revision) || self.action == 'Undo'",
     "revision is for an Undo: leave it out"),
    ("!(self.action in ['Override', 'Veto', 'LinkIncident']) || has(self.reason)",
     "reason is needed: an Override, a Veto and a LinkIncident say why"),
]))]
pub struct DecisionSpec {
    /// The object that the Decision is about.
    pub target: Target,
    /// What is to happen. For an `Environment`: Approve, Reject, Promote, Abort, Retry, Rollback, Hold,
    /// Resume, Pin, Veto, Override, Migrate, LinkIncident. For a `Rollout`: Approve, Reject, Promote, Skip,
    /// Pause, Resume, Abort, Retry, Undo, Restart. For a `Pipeline`: Pause, Resume. For a `PipelineRun`:
    /// Approve, Reject, Cancel, Retry. For a `Promotion`: Approve, Reject, Abort, Retry, LinkIncident.
    /// Each needs the verb of the same name, in lower case, on the target.
    pub action: DecisionAction,
    /// The user who decides: the one who creates this object, or it is refused.
    /// Example: `alice@example.com`.
    #[schemars(transform = schema::some_text::<256>)]
    pub user: String,
    /// Groups in whose name the user decides: all of them the user's own, or it is refused. At most 32.
    /// Default: none. Example: `[platform-leads]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<32, 256>)]
    pub groups: Vec<String>,
    /// Why, for those who read it later. Needed for Override, Veto and LinkIncident. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub reason: Option<String>,
    /// Name of the Release that it is about. Needed on an Environment for Approve, Reject, Promote, Pin and
    /// Veto. Example: `shop-api-3f9c2e1b4d5a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub release: Option<String>,
    /// For an `Undo`: the revision to go back to, as `status.history` and the label `slipway.dev/revision` have it.
    /// Default: the one that was stable before. Example: `5d8f6c9b7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<63>)]
    pub revision: Option<String>,
    /// Digest of the image that the user has seen: the Decision counts for no other.
    /// Default: whatever the Release has. Example: `sha256:9b2c…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::digest)]
    pub digest: Option<String>,
    /// For an `Override`: the gates that the Release may pass, as `status.candidate.gates` has them; at most 16. `hold`, `source`,
    /// `signature` and `approvals` cannot be passed like this. Example: `[freeze]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<16>)]
    pub gates: Vec<String>,
    /// The version that a Migrate is to bring the database to. Default: the newest of the Release. Example: `"12"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<128>)]
    pub version: Option<String>,
    /// When it stops to count. Default: by the rules of the target. Example: `2026-12-24T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

impl DecisionSpec {
    /// What is decided about what, before it is said by whom and why.
    pub fn about(kind: TargetKind, name: &str, action: DecisionAction) -> Self {
        Self {
            target: Target {
                kind,
                name: name.to_owned(),
            },
            action,
            user: String::new(),
            groups: Vec::new(),
            reason: None,
            release: None,
            revision: None,
            digest: None,
            gates: Vec::new(),
            version: None,
            expires_at: None,
        }
    }
}

/// The object that a Decision is about.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `Environment`, `Rollout`, `Pipeline`, `PipelineRun` or `Promotion`.
    pub kind: TargetKind,
    /// Name of the object, in the same namespace. Example: `production`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
}

closed_set! {
    /// What a Decision can be about.
    pub enum TargetKind {
        /// An Environment.
        Environment,
        /// A Rollout.
        Rollout,
        /// A Pipeline.
        Pipeline,
        /// A PipelineRun.
        PipelineRun,
        /// A Promotion.
        Promotion,
    }
}

closed_set! {
    /// What is to happen.
    pub enum DecisionAction {
        /// Agree to what waits for approval.
        Approve,
        /// Refuse what waits for approval.
        Reject,
        /// Bring a Release into an Environment, or a Rollout to its end.
        Promote,
        /// Go on to the next step.
        Skip,
        /// Stop where it is.
        Pause,
        /// End a Pause or a Hold.
        Resume,
        /// Stop and go back.
        Abort,
        /// Try again what has failed.
        Retry,
        /// Go back to the last good Release.
        Rollback,
        /// Go back to an earlier revision.
        Undo,
        /// Replace all pods by new ones of the same revision.
        Restart,
        /// No promotions until Resume.
        Hold,
        /// Stay at one Release until Resume.
        Pin,
        /// Never promote one Release.
        Veto,
        /// Let a Release pass a rule that stands against it.
        Override,
        /// Stop a run.
        Cancel,
        /// Run migrations by hand.
        Migrate,
        /// Say that a promotion caused an incident.
        LinkIncident,
    }
}

impl TargetKind {
    /// What can be decided about it, as the rules of the kind have it.
    pub const fn actions(self) -> &'static [DecisionAction] {
        use DecisionAction::{
            Abort, Approve, Cancel, Hold, LinkIncident, Migrate, Override, Pause, Pin, Promote,
            Reject, Restart, Resume, Retry, Rollback, Skip, Undo, Veto,
        };
        match self {
            Self::Environment => &[
                Approve,
                Reject,
                Promote,
                Abort,
                Retry,
                Rollback,
                Hold,
                Resume,
                Pin,
                Veto,
                Override,
                Migrate,
                LinkIncident,
            ],
            Self::Rollout => &[
                Approve, Reject, Promote, Skip, Pause, Resume, Abort, Retry, Undo, Restart,
            ],
            Self::Pipeline => &[Pause, Resume],
            Self::PipelineRun => &[Approve, Reject, Cancel, Retry],
            Self::Promotion => &[Approve, Reject, Abort, Retry, LinkIncident],
        }
    }
}

impl DecisionAction {
    /// The RBAC verb that a user needs on the target.
    pub fn verb(self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    #[test]
    fn what_can_be_decided_is_what_the_rules_let_pass() {
        let definition = serde_json::to_string(&Decision::crd()).unwrap();
        for kind in TargetKind::ALL {
            let actions = kind.actions().iter().map(|action| format!("'{action}'"));
            let actions: Vec<String> = actions.collect();
            let rule = format!(
                "self.target.kind != '{kind}' || self.action in [{}]",
                actions.join(", ")
            );
            assert!(definition.contains(&rule), "no rule says: {rule}");
        }
    }
}
