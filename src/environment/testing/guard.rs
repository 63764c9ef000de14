//! What must hold when a promotion starts: an account of the gates that is not the planner's own (I2, I5, I11).
//!
//! It knows the protection of [`World::guarded`], and looks at the objects only.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::World;
use crate::model::object::ObjectKind;
use crate::promotion::api::Promotion;

/// Hours of the night, in UTC, in which nothing starts.
const NIGHT: std::ops::Range<i8> = 0..6;
/// How long a Release has to run in staging, in seconds.
const SOAK: i64 = 3600;
/// How long an answer counts, in seconds.
const FRESH: i64 = 60;

impl World {
    /// A shop whose production has every kind of gate.
    pub(crate) fn guarded() -> Self {
        let mut world = Self::shop();
        let protection = json!({
            "sources": {"branches": ["main", "release/*"]},
            "freezes": [{"name": "night", "kind": "Deny", "cron": "0 0 * * *", "duration": "6h"}],
            "soak": {"duration": "1h"},
            "gates": [{"name": "change", "web": {"url": "https://others.example/{{release.name}}", "path": "$.state"},
                       "pass": "value == 'approved'", "interval": "1m"}],
            "approvals": {"required": 1, "preventAuthorApproval": true},
        });
        world.edit("production", &json!({"protection": protection}));
        world
            .others
            .insert("change".into(), json!({"state": "approved"}));
        world
    }

    /// What must hold when a promotion has just started.
    pub(super) fn check_start(&self, environment: &str, promotion: &Promotion) {
        let object = self.object(ObjectKind::Environment, environment);
        let protection = object["spec"]["protection"].clone();
        let is_guarded = ["freezes", "soak", "gates"]
            .iter()
            .all(|rule| protection.get(rule).is_some());
        if !is_guarded {
            return;
        }
        let name = promotion.metadata.name.clone().unwrap_or_default();
        let status = promotion.status.clone().unwrap_or_default();
        let is_overridden = |gate: &str| {
            let mut audit = status.audit.iter();
            audit.any(|entry| entry.event.starts_with("overrode ") && entry.event.contains(gate))
        };
        let hour = TimeZone::UTC.to_datetime(self.now).hour();
        assert!(
            !NIGHT.contains(&hour) || is_overridden("freeze"),
            "I2: {name} starts in the freeze"
        );
        assert!(
            self.frozen.is_none() || is_overridden("freeze"),
            "I2: {name} starts in the operator's freeze"
        );
        let release = &promotion.spec.release;
        let soaked = self.promotions_of("staging").into_iter().any(|before| {
            let finished = before.status.and_then(|status| status.finished_at);
            let long_ago =
                finished.is_some_and(|at| at.0 + SignedDuration::from_secs(SOAK) <= self.now);
            before.spec.release == *release && long_ago
        });
        assert!(soaked || is_overridden("soak"), "I2: {name} has not soaked");
        let agreed = self
            .agreed_at
            .is_some_and(|at| at + SignedDuration::from_secs(FRESH) >= self.now);
        assert!(
            agreed || is_overridden("change"),
            "I11: {name} starts and nobody agreed to it"
        );
        let author = self.object(ObjectKind::Release, release);
        let author = author
            .pointer("/spec/commit/author")
            .and_then(Value::as_str);
        let by_author = status
            .approvals
            .iter()
            .any(|approval| Some(approval.user.as_str()) == author);
        assert!(!by_author, "I5: {name} was approved by its author");
        let policy = self
            .status(environment)
            .policy
            .and_then(|policy| policy.since);
        let is_old = |approval: &crate::promotion::api::Approval| {
            policy
                .as_ref()
                .is_some_and(|since| approval.at.0 <= since.0)
        };
        assert!(
            !status.approvals.iter().any(is_old),
            "I5: {name} was approved under another protection"
        );
        let pinned = self.status(environment).pins;
        let is_pinned = pinned
            .iter()
            .all(|pin| pin.release.as_ref() == Some(release));
        assert!(
            is_pinned,
            "I2: {name} starts though another Release is pinned"
        );
    }
}
