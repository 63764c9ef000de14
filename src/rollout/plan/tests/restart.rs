//! Stories of restarts: pods are replaced by new ones of the same revision, one after the other.

use super::decision::act;
use super::*;
use crate::decision::act::Act;
use crate::model::action::Eviction;

fn decided(action: &str, second: i64) -> Act {
    let spec =
        json!({"target": {"kind": "Rollout", "name": "api"}, "action": action, "user": "alice"});
    act(&format!("d-{second}"), second, &spec)
}

/// v1 serves with all of its pods, and Alice has just asked for new ones.
fn asked(extra: &Value, replicas: i32) -> Observed {
    let mut extra = extra.clone();
    extra["replicas"] = replicas.into();
    let v1 = revision("1", &extra);
    let mut seen = untouched(spec("1", &extra))
        .with_set(&v1, replicas)
        .promoted(&v1, NOW);
    if extra.get("traffic").is_some() {
        seen = seen.with_traffic(&v1, &v1, 0);
    }
    let progress = Progress {
        stable: Some(v1),
        ..Progress::default()
    };
    seen.decisions = vec![decided("Restart", 1)];
    seen.remembering(RolloutStatus {
        observed_generation: 1,
        progress: Some(progress),
        ..RolloutStatus::default()
    })
}

/// Names of the pods that a plan evicts.
fn evicted(plan: &Plan<Memory>) -> Vec<&str> {
    let evicted = plan.actions.iter().filter_map(|action| match action {
        Action::Evict { target } => Some(target.key.name.as_str()),
        _ => None,
    });
    evicted.collect()
}

/// What the next plan sees: the server's answers are in the status.
fn next(mut seen: Observed, plan: &Plan<Memory>, answer: &Eviction, second: i64) -> Observed {
    let answers = evicted(plan).into_iter();
    let outcome = Outcome {
        evictions: answers
            .map(|name| (name.to_owned(), answer.clone()))
            .collect(),
        ..Outcome::default()
    };
    seen.status = status::status(&seen, plan, &outcome, later(second));
    seen
}

/// The ReplicaSet controller and the kubelet have replaced a pod, and it answers.
fn replace(seen: &mut Observed, index: usize) {
    let uid = format!("new-{index}");
    let old = std::mem::replace(&mut seen.pods[index].uid, uid.clone());
    let pod = &mut seen.pods[index];
    pod.name = format!("api-{uid}");
    pod.created_at = later(5);
    (pod.is_ready, pod.is_ending, pod.trouble) = (true, false, None);
    for service in seen.services.iter_mut().flatten() {
        if service.ready.remove(&old) {
            service.ready.insert(uid.clone());
        }
    }
}

fn result(plan: &Plan<Memory>) -> &str {
    &plan.progress.last_decision.as_ref().unwrap().result
}

#[test]
fn a_restart_replaces_one_pod_after_the_other_and_then_is_over() {
    for extra in [routed(), json!({})] {
        let mut seen = asked(&extra, 4);
        for index in 0..4 {
            let first = plan(&seen, later(10));
            assert_eq!(evicted(&first), [seen.pods[index].name.as_str()]);
            assert_eq!(first.actions.len(), 1, "no other change");
            assert_eq!(
                (first.why.reason, first.why.message.as_str()),
                (
                    "Restarting",
                    format!("restarting: {index} of 4 pods, as alice asked").as_str()
                )
            );
            seen = next(seen, &first, &Eviction::Granted, 10);
            seen.pods[index].is_ending = true;
            assert!(plan(&seen, later(11)).actions.is_empty(), "three serve");
            seen.pods[index].is_ending = false;
            seen.pods[index].is_ready = false;
            seen.pods[index].created_at = later(5);
            assert!(plan(&seen, later(12)).actions.is_empty(), "one starts");
            replace(&mut seen, index);
        }
        let over = plan(&seen, later(20));
        assert_eq!((phase(&over), over.wake), (Phase::Healthy, None));
        assert_eq!(result(&over), "done: every pod in use is newer");
        assert_eq!(over.progress.progress.restart, None);
    }
}

#[test]
fn the_next_pod_waits_until_the_new_one_answers_behind_the_service() {
    let mut seen = asked(&routed(), 4);
    replace(&mut seen, 0);
    assert_eq!(evicted(&plan(&seen, later(10))).len(), 1);
    seen.service_mut(Side::Stable).ready.remove("new-0");
    assert!(evicted(&plan(&seen, later(10))).is_empty());
}

#[test]
fn a_restart_does_not_make_a_rollout_unready() {
    let seen = asked(&routed(), 4);
    let first = plan(&seen, later(10));
    let status = status::status(&seen, &first, &Outcome::default(), later(10));
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
    assert_eq!(ready.map(|ready| ready.status.as_str()), Some("True"));
    assert_eq!(phase(&first), Phase::Progressing);
}

#[test]
fn as_many_pods_go_at_once_as_may_be_unavailable() {
    let mut extra = routed();
    extra["strategy"] = json!({"maxUnavailable": 2});
    let mut seen = asked(&extra, 4);
    seen.pods[0].is_ending = true;
    assert_eq!(evicted(&plan(&seen, later(10))).len(), 1);
    seen.pods[1].is_ending = true;
    assert!(evicted(&plan(&seen, later(10))).is_empty());
}

#[test]
fn a_pod_that_does_not_serve_goes_first_and_not_before_the_last_new_one_serves() {
    let mut seen = asked(&routed(), 4);
    seen.pods[2].is_ready = false;
    seen.pods[3].is_ready = false;
    let name = seen.pods[2].name.clone();
    assert_eq!(evicted(&plan(&seen, later(10))), [name.as_str()]);
    replace(&mut seen, 2);
    seen.pods[2].is_ready = false;
    let waiting = plan(&seen, later(10));
    assert!(evicted(&waiting).is_empty());
    assert_eq!(waiting.why.reason, "WaitingForPods");
    assert!(
        waiting
            .why
            .message
            .ends_with("; restarting: 0 of 4 pods, as alice asked"),
        "{}",
        waiting.why.message
    );
}

#[test]
fn new_pods_that_do_not_start_end_a_restart_where_it_is_and_are_named() {
    let mut seen = asked(&routed(), 4);
    replace(&mut seen, 0);
    seen.pods[0].is_ready = false;
    let starting = plan(&seen, later(10));
    assert_eq!(starting.why.reason, "Restarting");
    assert_eq!(starting.wake, Some(later(605)));
    assert_eq!(plan(&seen, later(606)).why.reason, "WaitingForPods");
    let crashing = super::super::super::observed::Trouble {
        reason: FailureReason::CrashLoop,
        message: "container web: exit 1".into(),
    };
    seen.pods[0].trouble = Some(crashing);
    let sick = plan(&seen, later(10));
    assert_eq!(
        (phase(&sick), sick.why.reason),
        (Phase::Degraded, "CrashLoop")
    );
    assert!(evicted(&sick).is_empty());
}

#[test]
fn what_a_budget_does_not_allow_is_tried_again_later_and_said() {
    let words = "The disruption budget api needs 4 healthy pods and has 4 currently";
    let refused = Eviction::Refused(words.to_owned());
    let seen = asked(&routed(), 4);
    let first = plan(&seen, later(10));
    let mut seen = next(seen, &first, &refused, 10);
    let waiting = plan(&seen, later(11));
    assert_eq!(
        (evicted(&waiting).len(), waiting.wake),
        (0, Some(later(20)))
    );
    let text = format!(
        "restarting: 0 of 4 pods, as alice asked; the next one may not go now: {words}; tried again at 08:00:20Z"
    );
    assert_eq!(waiting.why.message, text);
    let mut waits = Vec::new();
    let mut at = 20;
    for _ in 0..6 {
        let again = plan(&seen, later(at));
        assert_eq!(evicted(&again).len(), 1, "at {at}");
        seen = next(seen, &again, &refused, at);
        let until = plan(&seen, later(at)).wake.unwrap();
        let wait = until.duration_since(later(at)).as_secs();
        waits.push(wait);
        at += wait;
    }
    assert_eq!(waits, [10, 20, 40, 60, 60, 60]);
    let again = plan(&seen, later(at));
    let seen = next(seen, &again, &Eviction::Granted, at);
    let progress = seen.status.progress.clone().unwrap();
    assert_eq!(progress.restart.unwrap().refused, None);
}

#[test]
fn the_only_pod_goes_when_another_serves_beside_it() {
    for extra in [routed(), json!({})] {
        let mut seen = asked(&extra, 1);
        let v1 = seen.sets[0].revision.clone();
        let more = plan(&seen, later(10));
        assert_eq!((scaled(&more, &v1), evicted(&more).len()), (Some(2), 0));
        seen = next(seen, &more, &Eviction::Granted, 10);
        seen.sets[0].replicas = 2;
        seen.sets[0].current = 2;
        assert!(evicted(&plan(&seen, later(11))).is_empty(), "it starts");
        let mut new = seen.pods[0].clone();
        (new.name, new.uid, new.created_at) = ("api-new".into(), "new".into(), later(11));
        seen.pods.push(new);
        seen.sets[0].available = 2;
        if extra.get("traffic").is_some() {
            assert!(
                evicted(&plan(&seen, later(12))).is_empty(),
                "it does not answer"
            );
            seen.service_mut(Side::Stable).ready.insert("new".into());
        }
        let name = seen.pods[0].name.clone();
        assert_eq!(evicted(&plan(&seen, later(13))), [name.as_str()]);
        seen.pods.remove(0);
        let over = plan(&seen, later(14));
        assert_eq!(over.progress.progress.restart, None);
    }
}

#[test]
fn people_who_want_no_surge_do_without_the_only_pod() {
    let extra = json!({"strategy": {"maxSurge": 0, "maxUnavailable": 1}});
    let seen = asked(&extra, 1);
    let plan = plan(&seen, later(10));
    assert_eq!(evicted(&plan).len(), 1);
}

#[test]
fn a_restart_waits_while_a_change_moves_and_goes_on_in_its_pauses() {
    let extra = ten_then_half();
    let restart = [decided("Restart", 1)];
    let mut moving = under_way(&extra, 0, 0, 0);
    moving.decisions = restart.to_vec();
    let waiting = plan(&moving, later(10));
    assert!(evicted(&waiting).is_empty());
    let text = "; restarting: 0 of 5 pods, as alice asked; waits until the change pauses or ends";
    let text = text.replace("of 5", "of 4");
    assert!(
        waiting.why.message.ends_with(&text),
        "{}",
        waiting.why.message
    );

    let mut pausing = under_way(&extra, 1, 1, 10);
    pausing.decisions = restart.to_vec();
    let more = plan(&pausing, later(10));
    let v2 = revision("2", &extra);
    assert_eq!(
        scaled(&more, &v2),
        Some(2),
        "the only pod of the canary serves, too"
    );
    let mut two = under_way(&extra, 1, 2, 10);
    two.decisions = restart.to_vec();
    let first = plan(&two, later(10));
    assert_eq!((evicted(&first).len(), phase(&first)), (1, Phase::Paused));
}

#[test]
fn a_way_back_never_waits_for_a_restart() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 1, 2, 10);
    seen.decisions = vec![decided("Restart", 1), decided("Abort", 2)];
    let back = plan(&seen, later(10));
    assert_eq!(shifted_to(&back), Some(0));
    assert!(evicted(&back).is_empty());
    assert_eq!(
        result(&back),
        format!("{} is given up", revision("2", &extra))
    );
    assert!(back.progress.progress.restart.is_some(), "it goes on later");
}

#[test]
fn an_abort_ends_a_restart_where_no_change_is_on_its_way() {
    let mut seen = asked(&routed(), 4);
    seen.decisions.push(decided("Abort", 2));
    let ended = plan(&seen, later(10));
    assert_eq!(result(&ended), "the restart ends where it is");
    assert_eq!((phase(&ended), ended.actions.len()), (Phase::Healthy, 0));
}

#[test]
fn a_restart_goes_on_when_the_status_is_lost_unless_it_was_ended() {
    let mut seen = asked(&routed(), 4);
    replace(&mut seen, 0);
    seen.status = RolloutStatus::default();
    let goes_on = plan(&seen, later(10));
    assert_eq!(evicted(&goes_on), [seen.pods[1].name.as_str()]);
    seen.decisions.push(decided("Abort", 2));
    let ended = plan(&seen, later(10));
    assert!(evicted(&ended).is_empty());
    assert_eq!(ended.progress.progress.restart, None);
}

#[test]
fn a_restart_of_nothing_is_over_at_once() {
    let mut seen = asked(&routed(), 4);
    for index in 0..4 {
        replace(&mut seen, index);
    }
    let over = plan(&seen, later(10));
    assert_eq!(result(&over), "done: every pod in use is newer");
    assert_eq!(phase(&over), Phase::Healthy);
}

#[test]
fn a_rollout_that_goes_is_not_restarted() {
    let mut seen = asked(&routed(), 4);
    seen.deletion = Some(Deletion::Orphan);
    seen.deleted_at = Some(NOW);
    assert!(evicted(&plan(&seen, later(10))).is_empty());
}
