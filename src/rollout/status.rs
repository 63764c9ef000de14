//! The whole status, from scratch. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::adopt;
use super::api::{Change, Phase, Progress, RevisionStatus, RolloutStatus, Tally, Weights};
use super::observed::Observed;
use super::plan::{self, Memory};
use crate::metric::{judge, provider};
use crate::model::action::Outcome;
use crate::model::condition::Conditions;
use crate::model::label;
use crate::model::plan::Plan;
use crate::model::revision::Revision;
use crate::model::text::truncate;
use crate::model::weight::Weight;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 2048;

fn truncate_to(text: &mut String, limit: usize) {
    let end = truncate(text, limit).len();
    text.truncate(end);
}

/// Everything that a Rollout says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<Memory>,
    outcome: &Outcome,
    now: Timestamp,
) -> RolloutStatus {
    let memory = &plan.progress;
    let shown = &memory.shown;
    let (weight, observed) = shown.weight.unwrap_or((Weight::ZERO, false));
    let stable = memory.progress.stable.as_ref();
    let ready: i32 = seen.sets.iter().map(|set| seen.ready(&set.revision)).sum();
    let wanted = seen.wanted.spec();
    let mut message = plan.why.message.clone();
    if let Some(notice) = &seen.notice {
        message = format!("{message}; {notice}");
    }
    message = outcome.told_after(&message);
    truncate_to(&mut message, MAX_MESSAGE);
    // An autoscaler looks at pods that serve: a preview, or what drains, would make the others look idle.
    let canary = shown.canary.as_ref().filter(|_| weight > Weight::ZERO);
    let serving: Vec<&Revision> = stable.into_iter().chain(canary).collect();
    RolloutStatus {
        observed_generation: seen.generation,
        phase: Some(shown.phase),
        step: shown.step.clone(),
        weights: shown.weight.map(|_| Weights {
            stable: weight.rest().percent(),
            canary: weight.percent(),
            observed,
        }),
        template: offered(seen),
        stable: stable.and_then(|revision| revision_status(seen, revision)),
        canary: shown
            .canary
            .as_ref()
            .and_then(|revision| revision_status(seen, revision)),
        replicas: serving
            .iter()
            .filter_map(|revision| seen.set(revision))
            .map(|set| set.current)
            .sum(),
        ready_replicas: wanted.map(|spec| format!("{ready}/{}", spec.replicas)),
        selector: wanted.map(|spec| {
            let labels = spec
                .selector
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            let own = format!("{}={}", label::ROLLOUT, seen.key.name);
            let names: Vec<&str> = serving.iter().map(|revision| revision.as_str()).collect();
            let these = format!("{} in ({})", label::REVISION, names.join(","));
            let these = Some(these).filter(|_| !names.is_empty());
            labels
                .chain([own])
                .chain(these)
                .collect::<Vec<_>>()
                .join(",")
        }),
        analysis: tallies(seen, memory, outcome, now),
        history: memory.history.clone(),
        risk: memory.risk.clone(),
        last_decision: memory.last_decision.clone(),
        progress: Some(plan::noted(&memory.progress, outcome, now)),
        conditions: conditions(seen, plan, &message, outcome, now),
        message: Some(message),
    }
}

/// Whether two statuses say the same of what is written at once.
pub fn has_same_essence(seen: &Observed, one: &RolloutStatus, other: &RolloutStatus) -> bool {
    let spec = seen.wanted.spec();
    // Without a router they are a count of ready pods.
    let has_weights = spec.is_some_and(|spec| spec.routing.is_some());
    let have_same_weights = !has_weights || one.weights == other.weights;
    have_same_weights && essence(one) == essence(other)
}

/// What of a status is written at once, weights aside.
///
/// Left out is what only informs: numbers of pods, sentences, what `progress` says in another way, and the progress of
/// pods within a step. Of that last the next plan makes the same again from the pods, a moment later at most. The
/// selector stays: with one of an old revision an autoscaler would look at pods that serve nobody.
fn essence(status: &RolloutStatus) -> impl PartialEq {
    let RolloutStatus {
        observed_generation,
        phase,
        message: _,
        step,
        weights: _,
        template,
        stable,
        canary: _,
        replicas: _,
        ready_replicas: _,
        selector,
        analysis,
        history,
        risk,
        last_decision,
        progress,
        conditions,
    } = status;
    let worn = stable.as_ref().map(|stable| &stable.template);
    let shown = (observed_generation, phase, step, selector, template, worn);
    let told = (analysis, history, risk, last_decision);
    let conditions = conditions.iter().map(|condition| {
        let Condition {
            type_,
            status,
            reason,
            observed_generation,
            last_transition_time,
            message: _,
        } = condition;
        let since = last_transition_time;
        (type_, status, reason, observed_generation, since)
    });
    let conditions: Vec<_> = conditions.collect();
    (shown, told, progress.as_ref().map(remembered), conditions)
}

fn remembered(progress: &Progress) -> impl PartialEq {
    let Progress {
        stable,
        change,
        failed,
        draining,
        unreported,
        down_since,
        replicas,
        driven,
        foreign,
        meddled,
        paused,
        undo,
        restart,
        decided,
        rest,
    } = progress;
    let change = change.as_ref().map(|change| {
        let Change {
            revision,
            started_at,
            step,
            step_started_at,
            ready: _,
            progressed_at: _,
            peak_weight: _,
            unmade_since,
            measuring_since,
            trail,
            held,
            approvals,
            stuck,
            overruled,
            retries,
        } = change;
        let step = (step, step_started_at, measuring_since, trail);
        let held = (held, approvals, stuck, overruled, retries, unmade_since);
        (revision, started_at, step, held)
    });
    let revisions = (stable, change, failed, draining, undo, restart);
    let times = (unreported, down_since);
    let others = (replicas, driven, foreign, meddled, paused, decided, rest);
    (revisions, times, others)
}

/// The template that an Environment may take in: one that is kept.
fn offered(seen: &Observed) -> Option<String> {
    let offer = seen.offer.as_ref()?;
    let mut kept = seen.templates.iter();
    let is_kept = kept.any(|kept| kept.offer.id == offer.id);
    is_kept.then(|| offer.id.clone())
}

fn revision_status(seen: &Observed, revision: &Revision) -> Option<RevisionStatus> {
    let set = seen.set(revision)?;
    Some(RevisionStatus {
        revision: revision.to_string(),
        images: set.images.clone(),
        template: set.template.clone(),
        replicas: set.replicas,
        ready: seen.ready(revision),
    })
}

/// The metric that a measurement is of, by the key of its exchange: revision/step/metric/number, see `plan/measure.rs`.
pub(super) fn metric_of(key: &str) -> Option<&str> {
    key.split('/').nth(2)
}

/// Counts what came back from this plan's measurements.
fn tallies(seen: &Observed, memory: &Memory, outcome: &Outcome, now: Timestamp) -> Vec<Tally> {
    let mut tallies = memory.tallies.clone();
    let Some(spec) = seen.wanted.spec() else {
        return tallies;
    };
    let Some(analysis) = &spec.analysis else {
        return tallies;
    };
    for (key, reply) in &outcome.replies {
        let Some(name) = metric_of(key) else { continue };
        let Some(metric) = analysis.metric(name) else {
            continue;
        };
        let sample = provider::read(metric, reply);
        judge::add(&mut tallies, metric, &sample, now);
    }
    tallies
}

fn conditions(
    seen: &Observed,
    plan: &Plan<Memory>,
    message: &str,
    outcome: &Outcome,
    now: Timestamp,
) -> Vec<Condition> {
    let reason = plan.why.reason;
    let phase = plan.progress.shown.phase;
    let is_moving = matches!(
        phase,
        Phase::Progressing | Phase::Promoting | Phase::RollingBack
    );
    // Waiting for time, metrics or people is no movement; only what takes an edit is stalled. A restart moves, and takes
    // nothing away that has to be there.
    let is_failed = reason == "FailureHeld";
    let is_ready = !is_failed
        && (matches!(phase, Phase::Healthy | Phase::Paused | Phase::Analysing)
            || matches!(reason, "NoRelease" | "Restarting"));
    let takes_an_edit = matches!(
        reason,
        "InvalidSpec"
            | "FieldContested"
            | "ForeignService"
            | "DeploymentUnfit"
            | "PodsNotTaken"
            | "GiveBackHeld"
    );
    // What does not run yet may wait for what is applied a moment later.
    let is_awaited = seen.adoption.is_some() && phase == Phase::Pending;
    let takes_an_edit = takes_an_edit || (reason == "DeploymentMissing" && !is_awaited);
    let is_stalled = phase == Phase::RolledBack || takes_an_edit || is_failed;
    let stable = plan.progress.progress.stable.as_ref();
    let wanted = seen.wanted.spec().filter(|_| !is_awaited);
    let wanted = wanted.map_or(0, |spec| spec.replicas);
    let ready = stable.map_or(0, |stable| seen.ready(stable));
    let is_sick = phase == Phase::Degraded && !takes_an_edit;
    let is_healthy = ready >= wanted.min(1) && !is_sick;
    let pods = format!("{ready} pods of the stable revision are ready");
    let health = if is_healthy {
        "StableServes"
    } else {
        "StableDown"
    };
    let losses = seen.wanted.spec().and_then(adopt::losses);
    Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", is_ready && is_healthy, reason, message)
        .set("Healthy", is_healthy, health, &pods)
        .set_if("Reconciling", is_moving && !is_stalled, reason, message)
        .set_if("Stalled", is_stalled, reason, message)
        .set_if("Paused", phase == Phase::Paused, reason, message)
        .set_if("Completed", phase == Phase::Healthy, reason, message)
        .set_if(
            "LosesRequests",
            losses.is_some(),
            "NoPreStop",
            losses.as_deref().unwrap_or_default(),
        )
        .set_failure(outcome)
        .build()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rollout::plan::plan;
    use crate::rollout::testing::{NOW, later, revision, routed_steps, spec, untouched};

    fn told(seen: &Observed, now: Timestamp) -> Value {
        let plan = plan(seen, now);
        serde_json::to_value(status(seen, &plan, &Outcome::default(), now)).unwrap()
    }

    fn is_same(seen: &Observed, one: &Value, other: &Value) -> bool {
        let read = |status: &Value| serde_json::from_value(status.clone()).unwrap();
        has_same_essence(seen, &read(one), &read(other))
    }

    /// Version 2 on its way, with a status that was written when it had one ready pod of two.
    fn under_way(extra: &Value) -> (Observed, Value) {
        let (old, new) = (revision("1", extra), revision("2", extra));
        let mut seen = untouched(spec("2", extra))
            .with_set(&old, 4)
            .promoted(&old, NOW)
            .with_set(&new, 2);
        seen.pods.last_mut().unwrap().is_ready = false;
        let first = told(&seen, NOW);
        seen = seen.remembering(serde_json::from_value(first).unwrap());
        let second = told(&seen, later(1));
        let seen = seen.remembering(serde_json::from_value(second.clone()).unwrap());
        (seen, second)
    }

    fn steps() -> Value {
        json!({"strategy": {"steps": [{"setWeight": {"weight": 75}}, {"pause": {}}]}})
    }

    #[test]
    fn one_more_ready_pod_may_wait() {
        let (mut seen, before) = under_way(&steps());
        seen.pods.last_mut().unwrap().is_ready = true;
        let after = told(&seen, later(2));
        assert_ne!(before, after);
        assert_ne!(before["progress"]["change"], after["progress"]["change"]);
        assert!(is_same(&seen, &before, &after));
    }

    #[test]
    fn a_step_a_failure_and_a_pod_less_of_stable_than_it_takes_may_not_wait() {
        let (seen, before) = under_way(&steps());
        let new = revision("2", &steps());
        let crashing = told(&seen.crashing(&new), later(2));
        assert_eq!(crashing["progress"]["failed"]["reason"], "CrashLoop");
        let (mut seen, _) = under_way(&steps());
        assert!(!is_same(&seen, &before, &crashing));
        for pod in &mut seen.pods {
            pod.is_ready = false;
        }
        let down = told(&seen, later(2));
        assert!(!is_same(&seen, &before, &down));
    }

    #[test]
    fn weights_of_a_route_may_not_wait() {
        let extra = routed_steps(&json!([{"setWeight": {"weight": 50}}, {"pause": {}}]));
        let (old, new) = (revision("1", &extra), revision("2", &extra));
        let seen = |weight| {
            let seen = untouched(spec("2", &extra))
                .with_set(&old, 4)
                .with_set(&new, 2);
            seen.promoted(&old, NOW).with_traffic(&old, &new, weight)
        };
        let (none, half) = (told(&seen(0), NOW), told(&seen(50), NOW));
        assert_eq!(half["weights"]["canary"], 50);
        let mut other = half.clone();
        other["weights"] = none["weights"].clone();
        assert!(!is_same(&seen(50), &half, &other));
    }

    #[test]
    fn what_is_left_out_of_the_essence_is_all_that_may_wait() {
        let (seen, before) = under_way(&steps());
        let mut other = before.clone();
        other["message"] = "other".into();
        other["readyReplicas"] = "0/4".into();
        other["replicas"] = 0.into();
        other["weights"]["canary"] = 0.into();
        other["stable"]["ready"] = 0.into();
        other["canary"] = Value::Null;
        other["progress"]["change"]["ready"] = 0.into();
        other["progress"]["change"]["peakWeight"] = 0.into();
        other["progress"]["change"]["progressedAt"] = later(9).to_string().into();
        other["conditions"][0]["message"] = "other".into();
        assert!(is_same(&seen, &before, &other));
        let count = Value::from(9);
        for (field, value) in [
            ("/observedGeneration", &count),
            ("/phase", &"Degraded".into()),
            ("/selector", &"other".into()),
            ("/step/index", &count),
            ("/progress/change/step", &count),
        ] {
            let mut other = before.clone();
            *other.pointer_mut(field).unwrap() = value.clone();
            assert!(!is_same(&seen, &before, &other), "{field}");
        }
        for field in ["type", "status", "reason"] {
            let mut other = before.clone();
            other["conditions"][0][field] = "other".into();
            assert!(!is_same(&seen, &before, &other), "{field}");
        }
    }
}
