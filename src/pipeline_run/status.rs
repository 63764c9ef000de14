//! The whole status, from scratch. Pure.

use jiff::Timestamp;

use super::api::{PipelineRunStatus, RunPhase};
use super::fit;
use super::observed::{Observed, Snapshot};
use crate::git::refs;
use crate::model::action::Outcome;
use crate::model::condition::{Conditions, truncate};
use crate::model::plan::Plan;

/// Longest message of a status.
const MAX_MESSAGE: usize = 1024;

/// Everything that a run says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<PipelineRunStatus>,
    outcome: &Outcome,
    now: Timestamp,
) -> PipelineRunStatus {
    let message = match &outcome.failure {
        Some(failure) => format!("{}; last try failed: {failure}", plan.why.message),
        None => plan.why.message.clone(),
    };
    let mut status = plan.progress.clone();
    let phase = status.phase.unwrap_or_default();
    let reason = plan.why.reason;
    let is_stalled = (phase.is_finished() && phase != RunPhase::Succeeded)
        || matches!(
            reason,
            "NoPipeline"
                | "NoCaBundle"
                | "NoRunnerImage"
                | "NoReceiver"
                | "NoSecret"
                | "SecretsNotAllowed"
        );
    let is_ready = phase == RunPhase::Succeeded;
    status.observed_generation = Some(seen.generation);
    status.conditions = Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", is_ready, reason, &message)
        .set_if("Reconciling", !is_ready && !is_stalled, reason, &message)
        .set_if("Stalled", is_stalled, reason, &message)
        .set_if(
            "ActionFailed",
            outcome.failure.is_some(),
            "ActionFailed",
            outcome.failure.as_deref().unwrap_or_default(),
        )
        .build();
    status.message = Some(truncate(&message, MAX_MESSAGE).to_owned());
    if let Some(failure) = &mut status.failure {
        let hint = failure.hint.take();
        failure.hint = hint.map(|hint| truncate(&hint, MAX_MESSAGE).to_owned());
    }
    fit::fit(&mut status);
    answered(seen, status, outcome)
}

/// Takes in the answer to the question for the head.
fn answered(
    seen: &Observed,
    mut status: PipelineRunStatus,
    outcome: &Outcome,
) -> PipelineRunStatus {
    let Snapshot::Taken(spec) = &seen.snapshot else {
        return status;
    };
    let Some(reply) = outcome.replies.get(&seen.question(spec)) else {
        return status;
    };
    match refs::head(reply, &seen.spec.git_ref) {
        Ok(sha) => {
            status.sha = Some(sha);
            status.source_error = None;
        }
        Err(error) => status.source_error = Some(error),
    }
    status
}
