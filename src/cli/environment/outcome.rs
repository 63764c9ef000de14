//! What came of a Decision about an Environment, for who waits for it. No I/O.

use kube::ResourceExt;

use crate::cli::answer::End;
use crate::cli::standing::{self, Standing};
use crate::cli::text::plain;
use crate::decision::api::{DecisionAction, DecisionSpec};
use crate::environment::api::{Environment, EnvironmentPhase};
use crate::promotion::api::{Promotion, PromotionPhase};

/// What is said of a Decision that was taken in, and that nothing follows from.
pub(super) const NOTHING: &str =
    "it was taken in, and no promotion came of it: look at env describe";

/// What is waited for.
pub(super) struct Wait<'a> {
    /// Name of the Decision.
    pub(super) decision: &'a str,
    /// What was decided.
    pub(super) action: DecisionAction,
    /// Name of the Promotion that it is about, where that was there before.
    pub(super) subject: Option<String>,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// The operator has not taken it in yet.
    Unseen,
    /// It was taken in, and nothing has come of it so far.
    Nothing,
    /// Something goes on.
    Underway,
    /// It is over: in words, and how that ends the wait.
    Ended(String, End),
}

/// The Promotion that a Decision is about, of those of its Environment in their order: the last one that is not over.
pub(super) fn subject(spec: &DecisionSpec, promotions: &[Promotion]) -> Option<String> {
    let may_be_without_release = match spec.action {
        DecisionAction::Promote
        | DecisionAction::Approve
        | DecisionAction::Reject
        | DecisionAction::Override => false,
        DecisionAction::Abort => true,
        DecisionAction::Skip
        | DecisionAction::Pause
        | DecisionAction::Resume
        | DecisionAction::Retry
        | DecisionAction::Rollback
        | DecisionAction::Undo
        | DecisionAction::Restart
        | DecisionAction::Hold
        | DecisionAction::Pin
        | DecisionAction::Veto
        | DecisionAction::Cancel
        | DecisionAction::Migrate
        | DecisionAction::LinkIncident => return None,
    };
    let is_meant = |promotion: &&Promotion| match &spec.release {
        Some(release) => promotion.spec.release == *release,
        None => may_be_without_release,
    };
    let mut all = promotions.iter();
    let found = all.rfind(|promotion| is_meant(promotion) && !phase(promotion).is_finished());
    found.map(ResourceExt::name_any)
}

/// What has come of a Decision, by its Environment and the Promotions of that.
pub(super) fn of(environment: &Environment, promotions: &[Promotion], wait: &Wait<'_>) -> Found {
    let status = environment.status.clone().unwrap_or_default();
    let mut all = promotions.iter();
    let asked = all.rfind(|one| one.spec.decision.as_deref() == Some(wait.decision));
    let mut decided = status.decided.iter();
    if asked.is_none() && !decided.any(|one| one.name == wait.decision) {
        return Found::Unseen;
    }
    if let Some(problem) = problem(status.message.as_deref(), wait.decision) {
        return Found::Ended(problem, End::Failed);
    }
    let counts = match wait.action {
        DecisionAction::Hold
        | DecisionAction::Resume
        | DecisionAction::Pin
        | DecisionAction::Veto
        | DecisionAction::LinkIncident => true,
        DecisionAction::Approve
        | DecisionAction::Reject
        | DecisionAction::Promote
        | DecisionAction::Skip
        | DecisionAction::Pause
        | DecisionAction::Abort
        | DecisionAction::Retry
        | DecisionAction::Rollback
        | DecisionAction::Undo
        | DecisionAction::Restart
        | DecisionAction::Override
        | DecisionAction::Cancel
        | DecisionAction::Migrate => false,
    };
    if counts {
        let phase = status.phase.unwrap_or_default().as_str();
        let text = sentence(phase, status.message.as_deref());
        let text = format!("it counts; {text}");
        return Found::Ended(text, End::Well);
    }
    let is_subject = |one: &&Promotion| wait.subject.as_ref() == Some(&one.name_any());
    match asked.or_else(|| promotions.iter().find(is_subject)) {
        Some(promotion) => of_promotion(environment, promotion, wait.action),
        None if is_moving(status.phase.unwrap_or_default()) => Found::Underway,
        None => Found::Nothing,
    }
}

/// Why a Decision cannot be followed, where the Environment says so.
fn problem(message: Option<&str>, decision: &str) -> Option<String> {
    let start = format!("Decision {decision} cannot be followed: ");
    let (_, problem) = message?.split_once(&start)?;
    Some(format!("it cannot be followed: {}", plain(problem)))
}

fn of_promotion(environment: &Environment, promotion: &Promotion, action: DecisionAction) -> Found {
    let goes_back = matches!(action, DecisionAction::Reject | DecisionAction::Abort);
    let end = match phase(promotion) {
        PromotionPhase::Pending | PromotionPhase::AwaitingApproval => {
            match of_waiting(environment, promotion) {
                Some(end) => end,
                None => return Found::Underway,
            }
        }
        PromotionPhase::Migrating | PromotionPhase::Promoting | PromotionPhase::Verifying => {
            return Found::Underway;
        }
        // Who wanted it stopped comes too late.
        PromotionPhase::Succeeded if goes_back => End::Bad,
        PromotionPhase::Succeeded => End::Well,
        PromotionPhase::Failed | PromotionPhase::RolledBack | PromotionPhase::Superseded => {
            if goes_back {
                End::Well
            } else {
                End::Bad
            }
        }
    };
    let status = promotion.status.clone().unwrap_or_default();
    let said = match end {
        End::Waiting => environment.status.clone().unwrap_or_default().message,
        End::Well | End::Failed | End::Invalid | End::Bad | End::Late => status.message,
    };
    let name = promotion.name_any();
    let text = sentence(phase(promotion).as_str(), said.as_deref());
    Found::Ended(format!("Promotion {name}: {text}"), end)
}

/// How the wait for a promotion ends that has not started; nothing while it may start by itself.
fn of_waiting(environment: &Environment, promotion: &Promotion) -> Option<End> {
    let status = environment.status.as_ref()?;
    let next = status.candidate.as_ref();
    // What is said of another one is older than this one.
    next.filter(|next| next.release == promotion.spec.release)?;
    match standing::of_environment(environment) {
        Standing::Underway | Standing::Well => None,
        standing @ (Standing::Waiting | Standing::Bad) => Some(standing.end()),
    }
}

fn phase(promotion: &Promotion) -> PromotionPhase {
    let status = promotion.status.as_ref();
    status.and_then(|status| status.phase).unwrap_or_default()
}

/// Whether something is brought to where it should be.
fn is_moving(phase: EnvironmentPhase) -> bool {
    match phase {
        EnvironmentPhase::Migrating
        | EnvironmentPhase::Promoting
        | EnvironmentPhase::Verifying
        | EnvironmentPhase::RollingBack => true,
        EnvironmentPhase::Steady | EnvironmentPhase::Pending | EnvironmentPhase::Held => false,
    }
}

/// A phase and what is said of it.
fn sentence(phase: &str, message: Option<&str>) -> String {
    match message {
        Some(message) => format!("{phase}: {}", plain(message)),
        None => phase.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing;
    use super::*;

    fn environment(status: &Value) -> Environment {
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "production", "generation": 1},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}}, "status": status,
        });
        serde_json::from_value(environment).unwrap()
    }

    /// An Environment that has taken in Decision `mine`.
    fn seen(mut status: Value) -> Environment {
        status["observedGeneration"] = json!(1);
        status["decided"] = json!([{"name": "mine", "action": "Approve", "user": "alice", "at": "2026-11-26T10:00:00Z"}]);
        environment(&status)
    }

    fn promotions(phase: &str) -> Vec<Promotion> {
        let mut all = testing::promotions();
        all[2].status = Some(serde_json::from_value(json!({"phase": phase})).unwrap());
        all
    }

    fn wait(action: DecisionAction) -> Wait<'static> {
        Wait {
            decision: "mine",
            action,
            subject: Some("production-3".to_owned()),
        }
    }

    fn end(found: &Found) -> Option<End> {
        match found {
            Found::Ended(_, end) => Some(*end),
            Found::Unseen | Found::Nothing | Found::Underway => None,
        }
    }

    #[test]
    fn nothing_is_said_before_it_is_taken_in() {
        let old = environment(&json!({"phase": "Steady", "observedGeneration": 1}));
        let hold = wait(DecisionAction::Hold);
        assert_eq!(of(&old, &[], &hold), Found::Unseen);
        let stopped = seen(json!({"phase": "Held", "message": "held by alice: Friday"}));
        let told = "it counts; Held: held by alice: Friday".to_owned();
        assert_eq!(of(&stopped, &[], &hold), Found::Ended(told, End::Well));
    }

    #[test]
    fn a_promotion_is_followed_to_its_end() {
        let moving = seen(json!({"phase": "Promoting"}));
        let approve = wait(DecisionAction::Approve);
        for (phase, expected) in [
            ("Promoting", None),
            ("Verifying", None),
            ("Succeeded", Some(End::Well)),
            ("Failed", Some(End::Bad)),
            ("RolledBack", Some(End::Bad)),
            ("Superseded", Some(End::Bad)),
        ] {
            let found = of(&moving, &promotions(phase), &approve);
            assert_eq!(end(&found), expected, "{phase}");
        }
        let abort = wait(DecisionAction::Abort);
        let found = of(&moving, &promotions("RolledBack"), &abort);
        assert_eq!(end(&found), Some(End::Well));
        let found = of(&moving, &promotions("Succeeded"), &abort);
        assert_eq!(end(&found), Some(End::Bad));
    }

    #[test]
    fn the_one_that_was_asked_for_counts_before_the_one_that_was_there() {
        let mut all = promotions("Superseded");
        all[1].spec.decision = Some("mine".to_owned());
        // It is there, so the Decision was taken in, whatever the status says yet.
        let found = of(
            &environment(&json!({})),
            &all,
            &wait(DecisionAction::Rollback),
        );
        let Found::Ended(text, End::Well) = found else {
            panic!("{found:?}");
        };
        assert!(
            text.starts_with("Promotion production-2: Succeeded"),
            "{text}"
        );
    }

    #[test]
    fn the_next_person_is_not_waited_for() {
        let gates = |state: &str| {
            let gate = json!({"name": "approvals", "state": state});
            json!({"phase": "Pending", "candidate": {"release": "shop-3", "gates": [gate]}})
        };
        let approve = wait(DecisionAction::Approve);
        let all = promotions("AwaitingApproval");
        let found = of(&seen(gates("Waiting")), &all, &approve);
        assert_eq!(end(&found), Some(End::Waiting));
        let found = of(&seen(gates("Passed")), &all, &approve);
        assert_eq!(found, Found::Underway);
        let mut other = gates("Waiting");
        other["candidate"]["release"] = json!("shop-2");
        assert_eq!(of(&seen(other), &all, &approve), Found::Underway);
    }

    #[test]
    fn what_cannot_be_followed_is_told_and_what_nothing_comes_of_too() {
        let told = "shop-1 runs; Decision mine cannot be followed: nothing had failed by then";
        let retry = Wait {
            subject: None,
            ..wait(DecisionAction::Retry)
        };
        let found = of(
            &seen(json!({"phase": "Steady", "message": told})),
            &[],
            &retry,
        );
        let expected = "it cannot be followed: nothing had failed by then".to_owned();
        assert_eq!(found, Found::Ended(expected, End::Failed));
        let found = of(&seen(json!({"phase": "Steady"})), &[], &retry);
        assert_eq!(found, Found::Nothing);
        let found = of(&seen(json!({"phase": "Verifying"})), &[], &retry);
        assert_eq!(found, Found::Underway);
    }

    #[test]
    fn a_decision_is_about_the_last_promotion_that_is_not_over() {
        let decided = |action, release: Option<&str>| DecisionSpec {
            release: release.map(str::to_owned),
            ..DecisionSpec::about(
                crate::decision::api::TargetKind::Environment,
                "production",
                action,
            )
        };
        let all = promotions("Pending");
        let approve = decided(DecisionAction::Approve, Some("shop-3"));
        assert_eq!(subject(&approve, &all).as_deref(), Some("production-3"));
        let other = decided(DecisionAction::Approve, Some("shop-2"));
        assert_eq!(subject(&other, &all), None);
        let abort = decided(DecisionAction::Abort, None);
        assert_eq!(subject(&abort, &all).as_deref(), Some("production-3"));
        assert_eq!(
            subject(&decided(DecisionAction::Rollback, None), &all),
            None
        );
    }
}
