//! How an object stands, for those who wait for it. No I/O.
//!
//! It is said of what the operator has looked at last. A spec that it has not seen yet is under way; a Decision that it has not
//! seen yet is not known here, but to those who wait ([`super::status::decided`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::environment::api::{CandidateGateState, Environment, EnvironmentPhase};
use crate::model::condition::{find, is_true};
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::{PipelineRun, RunPhase};
use crate::promotion::api::{Promotion, PromotionPhase};
use crate::rollout::api::{Phase, Rollout, RolloutStatus};
use crate::schema::closed_set;

use super::answer::End;
use super::text::Tone;

closed_set! {
    /// How an object stands.
    pub enum Standing {
        /// It goes on by itself.
        Underway,
        /// It has come to a good end.
        Well,
        /// It waits for a person.
        Waiting,
        /// It has failed, or was rolled back.
        Bad,
    }
}

impl Standing {
    /// How a verb ends that says so.
    pub const fn end(self) -> End {
        match self {
            Self::Underway | Self::Well => End::Well,
            Self::Waiting => End::Waiting,
            Self::Bad => End::Bad,
        }
    }

    /// How it is meant.
    pub const fn tone(self) -> Tone {
        match self {
            Self::Underway => Tone::Plain,
            Self::Well => Tone::Good,
            Self::Waiting => Tone::Warn,
            Self::Bad => Tone::Bad,
        }
    }
}

/// Of a Rollout.
pub fn of_rollout(rollout: &Rollout) -> Standing {
    let Some(status) = &rollout.status else {
        return Standing::Underway;
    };
    if Some(status.observed_generation) != rollout.metadata.generation {
        return Standing::Underway;
    }
    match status.phase.unwrap_or_default() {
        Phase::Pending
        | Phase::Progressing
        | Phase::Analysing
        | Phase::Promoting
        | Phase::RollingBack => Standing::Underway,
        Phase::Paused if goes_on(rollout, status) => Standing::Underway,
        Phase::Paused => Standing::Waiting,
        Phase::Healthy => Standing::Well,
        Phase::RolledBack | Phase::Degraded => Standing::Bad,
    }
}

/// Whether a Rollout waits for the first Release of its Environment: there is nothing to do until then.
pub fn has_nothing_to_run(rollout: &Rollout) -> bool {
    let Some(status) = &rollout.status else {
        return false;
    };
    let is_current = Some(status.observed_generation) == rollout.metadata.generation;
    let ready = find(&status.conditions, "Ready");
    is_current && ready.is_some_and(|ready| ready.reason == "NoRelease")
}

/// Whether a pause ends by itself.
fn goes_on(rollout: &Rollout, status: &RolloutStatus) -> bool {
    let progress = status.progress.as_ref();
    let is_stopped = progress.is_some_and(|progress| progress.paused.is_some());
    let change = progress.and_then(|progress| progress.change.as_ref());
    let is_stuck = change.is_some_and(|change| change.stuck.is_some());
    let is_held = rollout.spec.paused.unwrap_or(false) || is_stopped || is_stuck;
    let until = status.step.as_ref().and_then(|step| step.until);
    !is_held && until.is_some()
}

/// Of an Environment.
pub fn of_environment(environment: &Environment) -> Standing {
    let Some(status) = &environment.status else {
        return Standing::Underway;
    };
    if status.observed_generation != environment.metadata.generation {
        return Standing::Underway;
    }
    match status.phase.unwrap_or_default() {
        EnvironmentPhase::Migrating
        | EnvironmentPhase::Promoting
        | EnvironmentPhase::Verifying
        | EnvironmentPhase::RollingBack => Standing::Underway,
        EnvironmentPhase::Held => Standing::Waiting,
        EnvironmentPhase::Pending => {
            let gates = status.candidate.iter().flat_map(|next| &next.gates);
            let open = gates.filter(|gate| !gate.state.lets_pass());
            let open: Vec<_> = open.collect();
            let asks = |name: &str| ["approvals", "hold"].contains(&name);
            if open
                .iter()
                .any(|gate| gate.state == CandidateGateState::Failed)
            {
                Standing::Bad
            } else if !open.is_empty() && open.iter().all(|gate| asks(&gate.name)) {
                Standing::Waiting
            } else {
                Standing::Underway
            }
        }
        EnvironmentPhase::Steady if last_failure(environment).is_some() => Standing::Bad,
        EnvironmentPhase::Steady => Standing::Well,
    }
}

/// Of an Environment in which nothing moves: that its last promotion was none of the good ones, and why.
pub fn last_failure(environment: &Environment) -> Option<&Condition> {
    let status = environment.status.as_ref()?;
    if status.phase.unwrap_or_default() != EnvironmentPhase::Steady {
        return None;
    }
    let last = find(&status.conditions, "LastPromotion");
    last.filter(|last| last.status == "False")
}

/// Of a Pipeline: whether what is pushed gets its runs. How these go is said of them.
pub fn of_pipeline(pipeline: &Pipeline) -> Standing {
    let Some(status) = &pipeline.status else {
        return Standing::Underway;
    };
    if status.observed_generation != pipeline.metadata.generation {
        return Standing::Underway;
    }
    if is_true(&status.conditions, "Ready") {
        return match status.paused_by {
            Some(_) => Standing::Waiting,
            None => Standing::Well,
        };
    }
    if is_true(&status.conditions, "Stalled") || status.source_error.is_some() {
        Standing::Bad
    } else {
        Standing::Underway
    }
}

/// Of a run.
pub fn of_run(run: &PipelineRun) -> Standing {
    let status = run.status.clone().unwrap_or_default();
    match status.phase.unwrap_or_default() {
        RunPhase::Queued | RunPhase::Running => {
            if waits_for_approval(run) {
                Standing::Waiting
            } else {
                Standing::Underway
            }
        }
        RunPhase::Succeeded => Standing::Well,
        RunPhase::Failed | RunPhase::TimedOut | RunPhase::Cancelled => Standing::Bad,
    }
}

/// Whether a run waits until somebody approves it. One that was not looked at yet will.
pub fn waits_for_approval(run: &PipelineRun) -> bool {
    let status = run.status.clone().unwrap_or_default();
    let ready = find(&status.conditions, "Ready");
    run.spec.trigger.needs_approval == Some(true)
        && !status.phase.unwrap_or_default().is_finished()
        && status.started_at.is_none()
        && ready.is_none_or(|ready| ready.reason == "AwaitingApproval")
}

/// Of a Promotion.
pub fn of_promotion(promotion: &Promotion) -> Standing {
    let status = promotion.status.as_ref();
    match status.and_then(|status| status.phase).unwrap_or_default() {
        PromotionPhase::Pending
        | PromotionPhase::Migrating
        | PromotionPhase::Promoting
        | PromotionPhase::Verifying => Standing::Underway,
        PromotionPhase::AwaitingApproval => Standing::Waiting,
        PromotionPhase::Succeeded | PromotionPhase::Superseded => Standing::Well,
        PromotionPhase::Failed | PromotionPhase::RolledBack => Standing::Bad,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::explain::testing::{STORIES, story};

    #[test]
    fn every_story_of_a_rollout_stands_as_its_phase_says() {
        for (name, tell) in STORIES {
            let mut rollout = tell().rollout();
            let status = rollout.status.clone().unwrap();
            rollout.metadata.generation = Some(status.observed_generation);
            let standing = of_rollout(&rollout);
            let phase = status.phase.unwrap_or_default();
            let expected = match phase {
                Phase::Healthy => standing == Standing::Well,
                Phase::RolledBack | Phase::Degraded => standing == Standing::Bad,
                Phase::Paused => [Standing::Waiting, Standing::Underway].contains(&standing),
                Phase::Pending
                | Phase::Progressing
                | Phase::Analysing
                | Phase::Promoting
                | Phase::RollingBack => standing == Standing::Underway,
            };
            assert!(expected, "{name}: {phase} is {standing}");
        }
    }

    #[test]
    fn a_pause_with_an_end_goes_on_and_one_without_waits_for_people() {
        let mut rollout = story("pauses for a time").rollout();
        rollout.metadata.generation = rollout.status.as_ref().map(|one| one.observed_generation);
        assert_eq!(of_rollout(&rollout), Standing::Underway);
        rollout.spec.paused = Some(true);
        assert_eq!(of_rollout(&rollout), Standing::Waiting);
        rollout.metadata.generation = Some(99);
        assert_eq!(of_rollout(&rollout), Standing::Underway);
    }

    #[test]
    fn an_environment_waits_for_people_only_if_nothing_else_stands_in_the_way() {
        let environment = |gates: serde_json::Value| {
            let environment = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
                "metadata": {"name": "production", "generation": 2},
                "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}},
                "status": {"phase": "Pending", "observedGeneration": 2, "candidate": {"release": "shop-4", "gates": gates}},
            });
            of_environment(&serde_json::from_value(environment).unwrap())
        };
        let gate = |name: &str, state: &str| json!({"name": name, "state": state});
        let approvals = gate("approvals", "Waiting");
        assert_eq!(
            environment(json!([gate("hold", "Passed"), approvals])),
            Standing::Waiting
        );
        assert_eq!(
            environment(json!([gate("freeze", "Waiting"), approvals])),
            Standing::Underway
        );
        assert_eq!(
            environment(json!([gate("source", "Failed"), approvals])),
            Standing::Bad
        );
    }

    #[test]
    fn a_pipeline_is_bad_while_nobody_sees_what_is_pushed() {
        let pipeline = |reason: &str, more: serde_json::Value| {
            let condition = |type_: &str, is: bool| {
                json!({"type": type_, "status": if is { "True" } else { "False" }, "reason": reason, "message": "",
                       "lastTransitionTime": "2026-11-26T10:00:00Z"})
            };
            let is_ready = ["Watching", "Suspended", "Paused"].contains(&reason);
            let mut pipeline = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "shop", "generation": 2},
                "spec": {"source": {"git": {"url": "https://git.example/shop.git"}}, "stages": []},
                "status": {"observedGeneration": 2, "conditions": [
                    condition("Ready", is_ready), condition("Stalled", reason == "SourceRefused")]},
            });
            for (field, value) in more.as_object().unwrap() {
                pipeline["status"][field] = value.clone();
            }
            of_pipeline(&serde_json::from_value(pipeline).unwrap())
        };
        let none = || json!({});
        let error = json!({"sourceError": {"kind": "Unreachable", "message": "cannot reach it"}});
        assert_eq!(pipeline("Watching", none()), Standing::Well);
        assert_eq!(pipeline("Resolving", none()), Standing::Underway);
        assert_eq!(pipeline("SourceUnavailable", error.clone()), Standing::Bad);
        assert_eq!(pipeline("SourceRefused", none()), Standing::Bad);
        // Nobody asks it meanwhile.
        assert_eq!(pipeline("Suspended", error), Standing::Well);
        let paused = json!({"pausedBy": "olga"});
        assert_eq!(pipeline("Paused", paused), Standing::Waiting);
        let edited = json!({"observedGeneration": 1});
        assert_eq!(pipeline("Watching", edited), Standing::Underway);
    }

    #[test]
    fn a_rollout_without_a_release_has_nothing_to_run() {
        let mut rollout = story("is over").rollout();
        let mut status = rollout.status.clone().unwrap();
        rollout.metadata.generation = Some(status.observed_generation);
        rollout.status = Some(status.clone());
        assert!(!has_nothing_to_run(&rollout));
        for condition in &mut status.conditions {
            if condition.type_ == "Ready" {
                condition.reason = "NoRelease".to_owned();
            }
        }
        rollout.status = Some(status);
        assert!(has_nothing_to_run(&rollout));
        rollout.metadata.generation = Some(99);
        assert!(!has_nothing_to_run(&rollout));
    }

    #[test]
    fn a_run_that_was_approved_waits_for_its_turn_and_no_more_for_a_person() {
        let run = |reason: &str| {
            let run = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "shop-7"},
                "spec": {"pipelineRef": {"name": "shop"}, "ref": "refs/heads/main",
                         "trigger": {"kind": "Manual", "actor": "alice", "needsApproval": true}},
                "status": {"phase": "Queued", "conditions": [{
                    "type": "Ready", "status": "False", "reason": reason, "message": "",
                    "lastTransitionTime": "2026-11-26T10:00:00Z",
                }]},
            });
            of_run(&serde_json::from_value(run).unwrap())
        };
        assert_eq!(run("AwaitingApproval"), Standing::Waiting);
        assert_eq!(run("Queued"), Standing::Underway);
    }

    #[test]
    fn runs_end_well_or_not() {
        let run = |phase: &str, asks: bool| {
            let run = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "shop-7"},
                "spec": {"pipelineRef": {"name": "shop"}, "ref": "refs/heads/main",
                         "trigger": {"kind": "Manual", "actor": "alice", "needsApproval": asks}},
                "status": {"phase": phase},
            });
            of_run(&serde_json::from_value(run).unwrap())
        };
        assert_eq!(run("Running", false), Standing::Underway);
        assert_eq!(run("Queued", true), Standing::Waiting);
        assert_eq!(run("Succeeded", false), Standing::Well);
        assert_eq!(run("TimedOut", false), Standing::Bad);
    }
}
