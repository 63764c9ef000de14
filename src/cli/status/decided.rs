//! Whether what people decided was taken in yet: what an object says before is about the time before. No I/O.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::decision::api::{Decision, TargetKind};
use crate::environment::api::Environment;
use crate::rollout::api::Rollout;

/// How long an operator may take to take in a Decision. After that, things are as it says.
const TAKES: SignedDuration = SignedDuration::from_secs(30);

/// Decisions that were made lately.
#[derive(Clone, Debug, Default)]
pub struct Fresh(Vec<Decision>);

impl Fresh {
    /// Of all Decisions, those that may not have been taken in yet.
    pub fn of(mut decisions: Vec<Decision>, now: Timestamp) -> Self {
        decisions.retain(|decision| {
            let made_at = decision.creation_timestamp();
            let is_new = made_at.is_some_and(|at| now.duration_since(at.0) < TAKES);
            let until = decision.spec.expires_at.as_ref();
            is_new && until.is_none_or(|until| until.0 > now)
        });
        Self(decisions)
    }

    /// Whether a Rollout has still to take one in.
    pub fn awaits_rollout(&self, rollout: &Rollout) -> bool {
        let status = rollout.status.as_ref();
        let progress = status.and_then(|status| status.progress.as_ref());
        let names = progress.map_or(&[][..], |progress| progress.decided.as_slice());
        let is_known = |name: &str| names.iter().any(|decided| decided.name == name);
        self.awaits(TargetKind::Rollout, rollout, is_known)
    }

    /// Whether an Environment has still to take one in.
    pub fn awaits_environment(&self, environment: &Environment) -> bool {
        let status = environment.status.as_ref();
        let names = status.map_or(&[][..], |status| status.decided.as_slice());
        let is_known = |name: &str| names.iter().any(|decided| decided.name == name);
        self.awaits(TargetKind::Environment, environment, is_known)
    }

    fn awaits(
        &self,
        kind: TargetKind,
        object: &impl ResourceExt,
        is_known: impl Fn(&str) -> bool,
    ) -> bool {
        let (name, namespace) = (object.name_any(), object.namespace());
        self.0.iter().any(|decision| {
            let target = &decision.spec.target;
            let is_about = target.kind == kind && target.name == name;
            is_about && decision.namespace() == namespace && !is_known(&decision.name_any())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decision(kind: &str, target: &str, at: &str) -> Decision {
        let decision = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Decision",
            "metadata": {"name": "mine", "namespace": "shop", "creationTimestamp": at},
            "spec": {"target": {"kind": kind, "name": target}, "action": "Abort", "user": "alice"},
        });
        serde_json::from_value(decision).unwrap()
    }

    fn fresh(decision: Decision) -> Fresh {
        Fresh::of(vec![decision], "2026-11-26T10:00:00Z".parse().unwrap())
    }

    fn environment(status: &Value) -> Environment {
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "production", "namespace": "shop"},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}}, "status": status,
        });
        serde_json::from_value(environment).unwrap()
    }

    #[test]
    fn one_that_was_just_made_is_awaited_until_it_is_on_record() {
        let fresh = fresh(decision(
            "Environment",
            "production",
            "2026-11-26T09:59:59Z",
        ));
        assert!(fresh.awaits_environment(&environment(&json!({}))));
        let taken = json!({"name": "mine", "action": "Abort", "user": "alice", "at": "2026-11-26T09:59:59Z"});
        assert!(!fresh.awaits_environment(&environment(&json!({"decided": [taken]}))));
    }

    #[test]
    fn one_about_something_else_or_of_long_ago_is_not_awaited() {
        let at = "2026-11-26T09:59:59Z";
        let here = environment(&json!({}));
        for other in [
            decision("Rollout", "production", at),
            decision("Environment", "staging", at),
            decision("Environment", "production", "2026-11-26T09:59:00Z"),
        ] {
            assert!(!fresh(other).awaits_environment(&here));
        }
    }

    #[test]
    fn a_rollout_says_which_it_has_followed() {
        let mut rollout = crate::rollout::explain::testing::story("is held by a person").rollout();
        rollout.metadata.namespace = Some("shop".to_owned());
        let name = rollout.name_any();
        let mut mine = decision("Rollout", &name, "2026-11-26T09:59:59Z");
        assert!(fresh(mine.clone()).awaits_rollout(&rollout));
        let status = rollout.status.clone().unwrap();
        mine.metadata.name = Some(status.last_decision.unwrap().name);
        assert!(!fresh(mine).awaits_rollout(&rollout));
    }
}
