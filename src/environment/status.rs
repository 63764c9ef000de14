//! The whole status, from scratch. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use serde_json::Value;

use super::api::{EnvironmentStatus, RulesKind, RulesRef, TakenIn, WriteBackStatus};
use super::observed::{Act, Observed};
use super::plan::{MISSING, Memory, Said, WAITING};
use super::slo::{self, Slos};
use super::{render, tag, write_back};
use crate::decision::api::TargetKind;
use crate::model::action::{Answer, Outcome};
use crate::model::condition::{self, Conditions};
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use crate::model::text::truncate;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1024;
/// Decisions that are shown as taken in.
const MAX_DECIDED: usize = 8;
/// Condition that says whether the alerts of SLOs would be heard.
const ALERTS_READY: &str = "AlertsReady";

/// Whether the alerts of SLOs would be heard, a word and a sentence, where that is known.
type Alerts = Option<(bool, &'static str, String)>;

/// Everything that an Environment says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<Memory>,
    outcome: &Outcome,
    now: Timestamp,
) -> EnvironmentStatus {
    // What another cluster decides is told by it. What its cluster has not answered yet changes nothing.
    let is_current = seen.status.observed_generation == Some(seen.generation);
    if seen.is_mirror || seen.mirror.is_unknown() && is_current {
        return seen.status.clone();
    }
    let memory = &plan.progress;
    let message = outcome.told_after(&plan.why.message);
    let message = truncate(&message, MAX_MESSAGE).to_owned();
    let mut outbox = memory.outbox.clone();
    for (key, reply) in &outcome.replies {
        outbox.record(key, reply, now);
    }
    let replies = outcome.replies.iter();
    let of_slos = replies.filter(|(question, _)| question.starts_with(slo::PREFIX));
    let mut answers = seen.answers.clone();
    answers.extend(of_slos.map(|(question, reply)| {
        let reply = reply.clone();
        (question.clone(), Arc::new(Answer { at: now, reply }))
    }));
    let slos = Slos::new(seen, memory.watches.clone(), false);
    let judged = slos.judge(&answers, now);
    let alerts = slos.alerts(&answers, now);
    let written = memory.write_back.as_ref();
    let written = written.map(|known| match outcome.replies.get(write_back::QUESTION) {
        Some(reply) => write_back::taken(seen, known, reply, now),
        None => known.clone(),
    });
    EnvironmentStatus {
        observed_generation: Some(seen.generation),
        conditions: conditions(seen, plan, (outcome, alerts, written.as_ref()), now),
        phase: Some(memory.shown.phase),
        message: Some(message),
        desired: memory.desired.clone(),
        current: memory.current.clone(),
        last_good: memory.current.clone(),
        candidate: memory.candidate.clone(),
        holds: memory.holds.clone(),
        pins: memory.pins.clone(),
        templates: memory.templates.clone(),
        policy: memory.policy.clone(),
        decided: decided(seen),
        alerts: memory.alerts.clone(),
        open_incidents: memory.shown.incidents.as_ref().map(|(count, _)| *count),
        slos: judged.into_iter().map(|judged| judged.status).collect(),
        rules: rules(seen),
        dora: memory.dora.clone(),
        previews: memory.previews.items.clone(),
        tagged: tag::status(seen, &memory.current, outcome),
        mirror: memory.mirror.record.clone(),
        write_back: written,
        outbox: outbox.entries().to_vec(),
    }
}

/// The last Decisions about it that the plan knew of, in the order in which they were made.
fn decided(seen: &Observed) -> Vec<TakenIn> {
    let is_own = |act: &&Act| act.spec.target.kind == TargetKind::Environment;
    let own: Vec<&Act> = seen.decisions.iter().filter(is_own).collect();
    let from = own.len().saturating_sub(MAX_DECIDED);
    let last = own.into_iter().skip(from);
    last.map(|act| TakenIn {
        name: act.name.clone(),
        action: act.spec.action,
        user: act.spec.user.clone(),
        at: Time(act.at),
    })
    .collect()
}

/// Where the rules of its SLOs are. Where it is not known, or being removed, it is where it was.
fn rules(seen: &Observed) -> Option<RulesRef> {
    let Some(rules) = &seen.rules else {
        return seen.status.rules.clone();
    };
    let manifest = render::rules(seen, rules.kind);
    let name = match manifest {
        Some(manifest) => manifest.key.name,
        None => rules
            .live
            .iter()
            .find(|live| live.is_ours)?
            .target
            .key
            .name
            .clone(),
    };
    let kind = if rules.kind == ObjectKind::PrometheusRule {
        RulesKind::PrometheusRule
    } else {
        RulesKind::ConfigMap
    };
    Some(RulesRef { kind, name })
}

/// Of a status, what may not wait: all but numbers and sentences about SLOs.
pub fn essence(status: &Value) -> Value {
    let mut status = status.clone();
    let slos = status.get_mut("slos").and_then(Value::as_array_mut);
    for slo in slos.into_iter().flatten().filter_map(Value::as_object_mut) {
        for informs in ["message", "remainingBudget", "coverage", "burnRates"] {
            slo.remove(informs);
        }
    }
    status
}

/// Ready means that the spec is followed; a candidate that waits or failed does not change that. Health
/// is that of what runs, and has a condition of its own.
fn conditions(
    seen: &Observed,
    plan: &Plan<Memory>,
    (outcome, alerts, written): (&Outcome, Alerts, Option<&WriteBackStatus>),
    now: Timestamp,
) -> Vec<Condition> {
    let shown = &plan.progress.shown;
    let reason = plan.why.reason;
    let message = outcome.told_after(&plan.why.message);
    let is_waiting = reason == WAITING || shown.is_hidden && reason != MISSING;
    let is_stalled = reason == MISSING;
    let of = |said: &Option<Said>| said.clone().unwrap_or_default();
    let (pending, promoting, held) = (of(&shown.pending), of(&shown.promoting), of(&shown.held));
    let incident = shown.incidents.clone().map(|(_, said)| said);
    let is_open = incident.is_some();
    let incident = incident.unwrap_or_default();
    let mut conditions = Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", !is_waiting && !is_stalled, reason, &message)
        .set_if("Reconciling", is_waiting, reason, &message)
        .set_if("Stalled", is_stalled, reason, &message);
    if let Some((is_good, said)) = &shown.health {
        conditions = conditions.set("Healthy", *is_good, &said.reason, &said.message);
    }
    let known = seen.status.conditions.iter();
    let mut known = known.filter(|known| known.type_ == ALERTS_READY && !seen.spec.slos.is_empty());
    match (alerts, known.next()) {
        (Some((is_good, reason, text)), _) => {
            let text = truncate(&text, MAX_MESSAGE);
            conditions = conditions.set(ALERTS_READY, is_good, reason, text);
        }
        // Not asked yet by this process: it is what it was.
        (None, Some(known)) => {
            let is_good = condition::is_true(&seen.status.conditions, ALERTS_READY);
            conditions = conditions.set(ALERTS_READY, is_good, &known.reason, &known.message);
        }
        (None, None) => {}
    }
    if let Some((is_good, said)) = &shown.last {
        conditions = conditions.set("LastPromotion", *is_good, &said.reason, &said.message);
    }
    if let Some((is_good, said)) = &shown.migrations {
        conditions = conditions.set("MigrationsHealthy", *is_good, &said.reason, &said.message);
    }
    conditions = with_parts(conditions, seen, &plan.progress, written);
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
        .set_if("IncidentOpen", is_open, &incident.reason, &incident.message)
        .set_failure(outcome)
        .build()
}

/// What parts of an Environment say that few have.
fn with_parts<'a>(
    mut conditions: Conditions<'a>,
    seen: &Observed,
    memory: &Memory,
    written: Option<&WriteBackStatus>,
) -> Conditions<'a> {
    if let Some((is_good, reason, text)) = &memory.mirror.said {
        let text = truncate(text, MAX_MESSAGE);
        conditions = conditions.set("ClusterReady", *is_good, reason, text);
    }
    if let Some((is_good, reason, text)) = &memory.previews.said {
        let text = truncate(text, MAX_MESSAGE);
        conditions = conditions.set("PreviewsReady", *is_good, reason, text);
    }
    if let (Some(spec), Some(written)) = (&seen.spec.write_back, written) {
        let (is_good, reason, text) = write_back::said(spec, written);
        conditions = conditions.set(write_back::WRITTEN_BACK, is_good, &reason, &text);
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::super::testing::World;

    #[test]
    fn what_the_server_refused_is_a_condition_until_it_is_done() {
        let mut world = World::shop();
        world.settle();
        assert_eq!(world.condition("staging", "ActionFailed"), None);
        let refused = world.status_after("staging", Some("quota exceeded"));
        let mut failed = refused.conditions.iter();
        let failed = failed.find(|condition| condition.type_ == "ActionFailed");
        assert_eq!(failed.unwrap().message, "quota exceeded");
        let message = refused.message.unwrap();
        assert!(
            message.ends_with("; last try failed: quota exceeded"),
            "{message}"
        );
        let done = world.status_after("staging", None);
        assert!(
            done.conditions
                .iter()
                .all(|condition| condition.type_ != "ActionFailed")
        );
    }
}
