//! What must hold after every write: the invariants of Environments and their records.

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::Value;

use super::World;
use crate::model::object::ObjectKind;
use crate::promotion::api::Promotion;
use crate::promotion::audit;

/// The template that Rollouts begin with, in stories that are about templates.
pub(crate) const FIRST: &str = "t0";

impl World {
    /// What must hold after every write.
    pub(super) fn check(&mut self) {
        self.check_migrations();
        for name in self.names(ObjectKind::Environment) {
            let promotions = self.promotions_of(&name);
            // One without a phase is new, or its status was lost; only the last one can be new.
            let last = promotions.last().map(ResourceExt::name_any);
            let is_active = |promotion: &&Promotion| {
                let phase = promotion.status.as_ref().and_then(|status| status.phase);
                match phase {
                    Some(phase) => !phase.is_finished(),
                    None => last == Some(promotion.name_any()),
                }
            };
            let active = promotions.iter().filter(is_active);
            assert!(active.count() <= 1, "I1: {:?}", self.told(&name));
            Self::check_burns(&promotions);
            self.check_templates(&name, &promotions);
            self.check_sets(&name);
            self.check_attempts(&name, &promotions);
            let spec = &self.object(ObjectKind::Environment, &name)["spec"];
            assert_eq!(*spec, self.specs[&name], "I8: {name}");
            for promotion in &promotions {
                self.check_promotion(&name, promotion);
            }
        }
    }

    /// I2: what is worn was brought by a promotion that has started; the first template was there before.
    fn check_templates(&self, environment: &str, promotions: &[Promotion]) {
        let own = |rollout: &&String| rollout.starts_with(environment);
        for rollout in self.templates.keys().filter(own) {
            let Some(worn) = self.wears(rollout).filter(|worn| *worn != FIRST) else {
                continue;
            };
            let is_brought = promotions.iter().any(|promotion| {
                // One whose status was lost may have started.
                let status = promotion.status.clone().unwrap_or_default();
                let has_started = status.started_at.is_some() || status.phase.is_none();
                let mut templates = promotion.spec.templates.iter();
                has_started && templates.any(|one| one.name == *rollout && one.id == worn)
            });
            assert!(is_brought, "I2: {rollout} wears {worn}");
        }
    }

    /// I4: what is measured does not move.
    pub(super) fn check_stillness(&self, environment: &str) {
        let spec = &self.specs[environment];
        let listed = spec["rollouts"].as_array().into_iter().flatten();
        for rollout in listed.filter_map(|rollout| rollout["name"].as_str()) {
            let model = self.models.get(rollout);
            assert!(
                model.is_none_or(|model| model.canary.is_empty() || model.failed.is_some()),
                "I4: {rollout} moves"
            );
        }
    }

    /// What is in use is not deleted: neither what a status names, nor what a hold is read off.
    pub(super) fn check_unused(&self, kind: ObjectKind, name: &str) {
        if kind != ObjectKind::Promotion {
            return;
        }
        let environment = self.object(kind, name)["spec"]["environment"].clone();
        let status = self.status(environment.as_str().unwrap());
        let named = status.current.iter().chain(&status.desired);
        let mut named = named.chain(&status.last_good);
        assert!(named.all(|deployed| deployed.promotion != name), "{name}");
        let by_it = format!("Promotion {name}: ");
        let mut holds = status.holds.iter();
        assert!(!holds.any(|hold| hold.reason.contains(&by_it)), "{name}");
    }

    /// I12: every spec was looked at.
    pub(super) fn check_at_rest(&self) {
        for name in self.names(ObjectKind::Environment) {
            let object = self.object(ObjectKind::Environment, &name);
            assert_eq!(
                object["status"]["observedGeneration"], object["metadata"]["generation"],
                "I12: {name}"
            );
        }
    }

    /// I6: what failed does not come again by itself, unless a person said that it may.
    fn check_attempts(&self, environment: &str, promotions: &[Promotion]) {
        let lifts = self.names(ObjectKind::Decision).into_iter().any(|name| {
            let spec = &self.object(ObjectKind::Decision, &name)["spec"];
            // A Retry lifts what holds, also where another wish comes before it.
            let lifts = spec["action"] == "Resume" || spec["action"] == "Retry";
            spec["target"]["name"] == environment && lifts
        });
        let holds = self.specs[environment].pointer("/rollback/holdAfter");
        if lifts || holds == Some(&Value::Bool(false)) {
            return;
        }
        let status = |promotion: &Promotion| promotion.status.clone().unwrap_or_default();
        let has_failed = |promotion: &&Promotion| {
            let status = status(promotion);
            let was_lost = status.reason.as_deref() == Some("StatusLost");
            let phase = status.phase.unwrap_or_default();
            // What was asked of the database alone says nothing about the Release.
            let is_of_release = !promotion.spec.kind.is_of_database();
            matches!(phase.as_str(), "Failed" | "RolledBack") && !was_lost && is_of_release
        };
        for failed in promotions.iter().filter(has_failed) {
            let again = promotions.iter().find(|other| {
                // Of a Promotion of templates those are what failed; it is no other attempt at the Release.
                let is_config = |one: &Promotion| one.spec.kind.as_str() == "Config";
                let is_same = is_config(failed) == is_config(other)
                    && (!is_config(failed) || other.spec.templates == failed.spec.templates);
                other.spec.number > failed.spec.number
                    && other.spec.images == failed.spec.images
                    && is_same
            });
            let is_asked = again.is_none_or(|again| {
                again.spec.decision.is_some()
                    || again.spec.kind.as_str() == "Rollback"
                    || status(again).reason.as_deref() == Some("StatusLost")
            });
            assert!(is_asked, "I6: {} again", failed.name_any());
        }
    }

    /// Nothing goes back from a way back, and nothing goes back twice: what was started before is a promotion that had
    /// succeeded, and what a burn ended is none that goes back.
    fn check_burns(promotions: &[Promotion]) {
        // One whose status was lost had one.
        let is_started = |promotion: &&Promotion| {
            let status = promotion.status.clone().unwrap_or_default();
            status.started_at.is_some() || status.phase.is_none()
        };
        for promotion in promotions {
            let status = promotion.status.clone().unwrap_or_default();
            let is_back = promotion.spec.kind.as_str() == "Rollback";
            let is_told = |reason: &str| {
                let causes = ["SLOBurn", "AlertFiring", "GateRevoked"];
                causes.iter().any(|cause| reason.starts_with(cause))
            };
            let is_burnt = status.reason.as_deref().is_some_and(is_told);
            assert!(
                !(is_back && is_burnt),
                "{} is taken back",
                promotion.name_any()
            );
            let reason = promotion.spec.reason.as_deref();
            if reason.is_none_or(|reason| !is_told(reason)) {
                continue;
            }
            let mut earlier = promotions
                .iter()
                .filter(|other| other.spec.number < promotion.spec.number);
            let last = earlier.rfind(is_started).unwrap();
            assert!(is_back, "{}", promotion.name_any());
            if promotion.spec.decision.is_none() {
                let goes_on = matches!(last.spec.kind.as_str(), "Promote" | "Config");
                assert!(goes_on, "{}", promotion.name_any());
                assert_eq!(promotion.spec.previous.as_ref(), Some(&last.spec.release));
            }
        }
    }

    fn check_promotion(&mut self, environment: &str, promotion: &Promotion) {
        let name = promotion.name_any();
        let status = promotion.status.clone().unwrap_or_default();
        assert_eq!(audit::verify(&status.audit), Ok(()), "I10: {name}");
        if status.phase.unwrap_or_default().is_finished() {
            let mut now = serde_json::to_value(&status).unwrap();
            // What it did wrong is found out later.
            now.as_object_mut().unwrap().remove("incidents");
            let before = self
                .ended
                .entry(name.clone())
                .or_insert_with(|| now.clone());
            assert_eq!(*before, now, "I6: {name} had ended");
        }
        // I2, I5: whatever is started was approved, or goes back, or was found running.
        let object = self.object(ObjectKind::Environment, environment);
        let required = object.pointer("/spec/protection/approvals/required");
        let required = required.and_then(Value::as_u64).unwrap_or(0);
        let is_rollback = promotion.spec.kind.as_str() == "Rollback";
        let was_lost = status
            .audit
            .iter()
            .any(|entry| entry.event.contains("status was lost"));
        let open = status
            .incidents
            .iter()
            .filter(|one| one.resolved_at.is_none());
        assert!(open.count() <= 1, "{name} has one incident at a time");
        // What is asked for later is not asked of what has started.
        let is_start = status.started_at.is_some() && !is_rollback && !was_lost;
        if is_start && self.begun.insert(name.clone()) {
            self.check_start(environment, promotion);
            let users: BTreeSet<&str> = status.approvals.iter().map(|a| a.user.as_str()).collect();
            assert_eq!(users.len(), status.approvals.len(), "I5: {name}");
            assert!(users.len() as u64 >= required, "I2: {name} {users:?}");
            assert!(
                !users.contains(promotion.spec.requested_by.as_str()),
                "I5: {name}"
            );
        }
    }
}
