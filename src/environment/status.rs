//! The whole status, from scratch. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::api::EnvironmentStatus;
use super::observed::Observed;
use super::plan::{MISSING, Memory, Said, WAITING};
use crate::model::action::Outcome;
use crate::model::condition::{Conditions, truncate};
use crate::model::plan::Plan;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Everything that an Environment says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<Memory>,
    outcome: &Outcome,
    now: Timestamp,
) -> EnvironmentStatus {
    let memory = &plan.progress;
    let message = match &outcome.failure {
        Some(failure) => format!("{}; last try failed: {failure}", plan.why.message),
        None => plan.why.message.clone(),
    };
    let message = truncate(&message, MAX_MESSAGE).to_owned();
    let mut outbox = memory.outbox.clone();
    for (key, reply) in &outcome.replies {
        outbox.record(key, reply, now);
    }
    EnvironmentStatus {
        observed_generation: Some(seen.generation),
        conditions: conditions(seen, plan, &message, now),
        phase: Some(memory.shown.phase),
        message: Some(message),
        desired: memory.desired.clone(),
        current: memory.current.clone(),
        last_good: memory.current.clone(),
        candidate: memory.candidate.clone(),
        holds: memory.holds.clone(),
        outbox: outbox.entries().to_vec(),
    }
}

/// Ready means that the spec is followed; a candidate that waits or failed does not change that. Health
/// is that of what runs, and has a condition of its own.
fn conditions(
    seen: &Observed,
    plan: &Plan<Memory>,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let shown = &plan.progress.shown;
    let reason = plan.why.reason;
    let is_waiting = reason == WAITING;
    let is_stalled = reason == MISSING;
    let of = |said: &Option<Said>| said.clone().unwrap_or_default();
    let (pending, promoting, held) = (of(&shown.pending), of(&shown.promoting), of(&shown.held));
    let mut conditions = Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", !is_waiting && !is_stalled, reason, message)
        .set_if("Reconciling", is_waiting, reason, message)
        .set_if("Stalled", is_stalled, reason, message);
    if let Some((is_good, said)) = &shown.health {
        conditions = conditions.set("Healthy", *is_good, &said.reason, &said.message);
    }
    if let Some((is_good, said)) = &shown.last {
        conditions = conditions.set("LastPromotion", *is_good, &said.reason, &said.message);
    }
    conditions
        .set_if(
            "PromotionPending",
            shown.pending.is_some(),
            &pending.reason,
            &pending.message,
        )
        .set_if(
            "Promoting",
            shown.promoting.is_some(),
            &promoting.reason,
            &promoting.message,
        )
        .set_if("Held", shown.held.is_some(), &held.reason, &held.message)
        .build()
}
