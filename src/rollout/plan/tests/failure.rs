//! Stories of failures that `rollback.on` leaves to people: the change stays where it is, and loses no request.

use super::decision::decided;
use super::*;
use crate::check::Outcome as Ended;
use crate::model::manifest::Target;
use crate::rollout::observed::{Hook, SloBurn, Trouble};
use crate::rollout::testing::switched;

/// Only these failures take a change back.
fn only(extra: &Value, on: &[&str]) -> Value {
    let mut extra = extra.clone();
    extra["rollback"] = json!({"on": on});
    extra
}

/// The status that a plan leaves.
fn left(seen: &Observed, plan: &Plan<Memory>, second: i64) -> RolloutStatus {
    status::status(seen, plan, &Outcome::default(), later(second))
}

fn stuck(plan: &Plan<Memory>) -> Option<&str> {
    let change = plan.progress.progress.change.as_ref()?;
    Some(change.stuck.as_ref()?.reason.as_str())
}

/// v2 has half of the traffic, and its metric is bad.
fn bad_at_half(on: &[&str]) -> Observed {
    let mut extra = only(&super::analysed(), on);
    extra["strategy"]["steps"] = json!([{"setWeight": {"weight": 50}}, {"pause": {"for": "1h"}}]);
    let mut seen = under_way(&extra, 1, 2, 50);
    seen.status.analysis = vec![Tally {
        name: "errors".into(),
        failed: 1,
        at: Some(NOW),
        ..Tally::default()
    }];
    seen
}

/// The same Rollout later, as the plan left it.
fn later_on(seen: &Observed, before: &Plan<Memory>) -> Observed {
    seen.clone().remembering(left(seen, before, 1))
}

#[test]
fn a_failure_that_is_left_to_people_holds_the_change_and_says_what_they_can_do() {
    let seen = bad_at_half(&["CrashLoop"]);
    let held = plan(&seen, later(1));
    assert_eq!(
        (phase(&held), held.why.reason),
        (Phase::Paused, "FailureHeld")
    );
    assert_eq!(stuck(&held), Some("AnalysisFailed"));
    assert_eq!(held.progress.progress.failed, None);
    assert_eq!(shifted_to(&held), None);
    let words = &held.why.message;
    for part in [
        "50 % to canary, held (AnalysisFailed: ",
        "rollback.on",
        "Retry",
        "Promote",
        "Abort",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let status = serde_json::to_value(left(&seen, &held, 1)).unwrap();
    let conditions = status["conditions"].as_array().unwrap();
    let is = |type_: &str| {
        let mut conditions = conditions.iter();
        conditions
            .find(|condition| condition["type"] == type_)
            .map(|found| found["status"] == "True")
    };
    assert_eq!(
        (is("Ready"), is("Stalled"), is("Paused")),
        (Some(false), Some(true), Some(true))
    );
    // Time does not move it, nor does a metric that is good again.
    let mut seen = later_on(&seen, &held);
    seen.status.analysis.clear();
    let still = plan(&seen, later(7200));
    assert_eq!(
        (still.why.reason, shifted_to(&still)),
        ("FailureHeld", None)
    );
}

#[test]
fn by_default_and_where_it_is_listed_it_goes_back() {
    for on in [None, Some(&["AnalysisFailed"][..])] {
        let mut seen = bad_at_half(on.unwrap_or_default());
        if on.is_none() {
            let spec = spec("2", &super::analysed());
            seen.spec_mut().rollback_on = spec.rollback_on;
        }
        let back = plan(&seen, later(1));
        assert_eq!(
            (phase(&back), shifted_to(&back)),
            (Phase::RollingBack, Some(0)),
            "{on:?}"
        );
    }
}

#[test]
fn people_take_it_back_have_it_tried_again_or_go_on_with_it() {
    let seen = bad_at_half(&[]);
    let seen = later_on(&seen, &plan(&seen, later(1)));
    let after = |action: &str| {
        let mut seen = seen.clone();
        seen.decisions = vec![decided(action, &json!({}))];
        let plan = plan(&seen, later(2));
        let said = plan.progress.last_decision.clone().unwrap().result;
        (plan, said)
    };
    let (aborted, _) = after("Abort");
    assert_eq!(
        (phase(&aborted), shifted_to(&aborted)),
        (Phase::RollingBack, Some(0))
    );
    assert_eq!(aborted.progress.progress.failed.unwrap().reason, "Aborted");
    let (again, said) = after("Retry");
    assert_eq!(
        (stuck(&again), again.why.reason),
        (None, "PauseStep"),
        "{said}"
    );
    let counted = again.progress.tallies.iter();
    assert!(
        counted.into_iter().all(|tally| *tally == tally.afresh()),
        "what was measured does not count"
    );
    let (skipped, _) = after("Skip");
    assert_eq!(stuck(&skipped), None);
    assert_eq!(skipped.progress.progress.change.unwrap().step, 2);
    let (on, said) = after("Promote");
    assert!(
        said.contains("AnalysisFailed does not hold it any more"),
        "{said}"
    );
    let change = on.progress.progress.change.clone().unwrap();
    assert_eq!(
        (stuck(&on), change.overruled),
        (None, vec!["AnalysisFailed".to_owned()])
    );
    let (resumed, said) = after("Resume");
    assert_eq!(stuck(&resumed), Some("AnalysisFailed"));
    assert!(
        said.starts_with("no effect: AnalysisFailed holds it"),
        "{said}"
    );
    // What people went on with does not hold it again, and what takes it back still does.
    let mut seen = seen.clone().remembering(left(&seen, &on, 2));
    seen.status.analysis = bad_at_half(&[]).status.analysis;
    assert_eq!(plan(&seen, later(3)).why.reason, "Promoting");
    let crashing = seen.crashing(&revision("2", &bad_extra()));
    assert_eq!(stuck(&plan(&crashing, later(3))), Some("CrashLoop"));
}

fn bad_extra() -> Value {
    let mut extra = only(&super::analysed(), &[]);
    extra["strategy"]["steps"] = json!([{"setWeight": {"weight": 50}}, {"pause": {"for": "1h"}}]);
    extra
}

#[test]
fn a_reason_that_is_added_to_the_list_takes_back_what_it_held() {
    let seen = bad_at_half(&[]);
    let mut seen = later_on(&seen, &plan(&seen, later(1)));
    seen.spec_mut().rollback_on = [FailureReason::AnalysisFailed].into();
    let back = plan(&seen, later(2));
    assert_eq!(
        (phase(&back), shifted_to(&back)),
        (Phase::RollingBack, Some(0))
    );
}

#[test]
fn a_burn_that_began_with_the_change_takes_it_back_and_an_older_one_does_not() {
    let burning = |since: Timestamp, on: &[&str]| {
        let mut seen = under_way(&only(&ten_then_half(), on), 3, 2, 50);
        seen.burns = vec![SloBurn {
            slo: "api".into(),
            since,
            message: "burns 20 times as fast as its budget allows".into(),
        }];
        plan(&seen, later(1))
    };
    let back = burning(later(1), &["SLOBurn"]);
    let failed = back.progress.progress.failed.unwrap();
    assert_eq!(failed.reason, "SLOBurn");
    assert!(
        failed.message.starts_with("SLO api burns 20 times"),
        "{}",
        failed.message
    );
    let held = burning(later(1), &[]);
    assert_eq!(stuck(&held), Some("SLOBurn"));
    let older = burning(later(-100_000), &["SLOBurn"]);
    assert_eq!(older.progress.progress.failed, None);
    assert_eq!(stuck(&older), None);
}

#[test]
fn of_two_failures_the_one_that_takes_back_counts() {
    let v2 = revision("2", &bad_extra());
    let both = bad_at_half(&["AnalysisFailed"]).crashing(&v2);
    let back = plan(&both, later(1));
    assert_eq!(
        back.progress.progress.failed.unwrap().reason,
        "AnalysisFailed"
    );
    // Also when the other one came first.
    let seen = bad_at_half(&["AnalysisFailed"]);
    let mut alone = seen.clone().crashing(&v2);
    alone.status.analysis.clear();
    let held = plan(&alone, later(1));
    assert_eq!(stuck(&held), Some("CrashLoop"));
    let mut seen = later_on(&alone, &held);
    seen.status.analysis = bad_at_half(&[]).status.analysis;
    assert_eq!(phase(&plan(&seen, later(2))), Phase::RollingBack);
}

#[test]
fn a_change_that_is_held_while_its_pods_crash_gets_no_traffic() {
    let extra = only(&ten_then_half(), &["AnalysisFailed"]);
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = under_way(&extra, 3, 2, 50).crashing(&v2);
    let held = plan(&seen, later(1));
    assert_eq!(
        (stuck(&held), shifted_to(&held)),
        (Some("CrashLoop"), Some(0))
    );
    assert!(
        held.why.message.contains("its pods do not serve"),
        "{}",
        held.why.message
    );
    // Its pods stay, for people to look at, and it is not marked as given up.
    assert_eq!(
        (scaled(&held, &v2), held.progress.progress.failed.clone()),
        (None, None)
    );
    let mut seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 2)
        .with_traffic(&v1, &v2, 0)
        .remembering(left(&seen, &held, 1));
    // They serve again: that alone brings nothing back.
    let waiting = plan(&seen, later(9));
    assert_eq!(
        (waiting.why.reason, &waiting.actions[..]),
        ("FailureHeld", &[][..])
    );
    seen.decisions = vec![decided("Retry", &json!({}))];
    let again = plan(&seen, later(9));
    assert_eq!((stuck(&again), shifted_to(&again)), (None, Some(50)));
}

#[test]
fn pods_that_do_not_serve_cannot_be_decided_away() {
    let extra = only(&ten_then_half(), &[]);
    let v2 = revision("2", &extra);
    let seen = under_way(&extra, 3, 2, 50).crashing(&v2);
    let held = plan(&seen, later(1));
    for action in ["Retry", "Promote", "Skip"] {
        let mut seen = later_on(&seen, &held);
        seen.decisions = vec![decided(action, &json!({}))];
        let after = plan(&seen, later(2));
        let said = after.progress.last_decision.clone().unwrap().result;
        assert!(said.starts_with("no effect: CrashLoop"), "{action}: {said}");
        assert_eq!(
            (stuck(&after), shifted_to(&after)),
            (Some("CrashLoop"), Some(0))
        );
    }
}

#[test]
fn one_pod_of_stable_is_enough_to_take_the_traffic_of_pods_that_crash() {
    let extra = only(&ten_then_half(), &[]);
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 3, 2, 50).crashing(&v2);
    let gone: Vec<String> = seen
        .pods
        .iter_mut()
        .filter(|pod| pod.revision == v1)
        .skip(1)
        .map(|pod| {
            pod.is_ready = false;
            pod.uid.clone()
        })
        .collect();
    seen.service_mut(Side::Stable)
        .ready
        .retain(|uid| !gone.contains(uid));
    assert_eq!(shifted_to(&plan(&seen, later(1))), Some(0));
}

#[test]
fn a_service_that_was_switched_is_switched_back_while_the_change_is_held() {
    let mut extra = only(&switched(), &[]);
    extra["strategy"] =
        json!({"type": "BlueGreen", "blueGreen": {"postPromotion": [{"pause": {"for": "1h"}}]}});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let steps = u32::try_from(spec("2", &extra).steps.len()).unwrap();
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 4)
        .with_traffic(&v2, &v2, 0)
        .remembering(at_step(&v1, &v2, steps - 1, NOW))
        .crashing(&v2);
    let held = plan(&seen, later(1));
    assert_eq!(stuck(&held), Some("CrashLoop"));
    assert_eq!(
        selected(&held, "api-stable"),
        Some(v1.to_string()),
        "{held:?}"
    );
}

#[test]
fn a_hook_that_failed_runs_again_when_people_say_so() {
    let smoke = json!({"name": "smoke", "job": {"image": "smoke:1"}});
    let extra = only(&routed_steps(&json!([{"run": smoke}])), &[]);
    let seen = under_way(&extra, 0, 1, 0);
    let name = |plan: &Plan<Memory>| {
        plan.actions.iter().find_map(|action| match action {
            Action::Create(manifest) if manifest.kind == ObjectKind::Job => {
                Some(manifest.key.clone())
            }
            _ => None,
        })
    };
    let first = name(&plan(&seen, NOW)).unwrap();
    let mut failed = seen;
    failed.hooks.insert(
        first.name.clone(),
        Hook {
            target: Target {
                kind: ObjectKind::Job,
                key: first.clone(),
                uid: "j".into(),
                resource_version: "1".into(),
            },
            outcome: Ended::Failed("BackoffLimitExceeded".into()),
            is_ending: false,
        },
    );
    let held = plan(&failed, later(1));
    assert_eq!((stuck(&held), name(&held)), (Some("HookFailed"), None));
    let mut again = later_on(&failed, &held);
    again.decisions = vec![decided("Retry", &json!({}))];
    let again = plan(&again, later(2));
    let second = name(&again).unwrap();
    assert_ne!(second, first);
}

#[test]
fn a_deadline_that_is_left_to_people_holds_the_weight_that_is_there() {
    let extra = only(&ten_then_half(), &["CrashLoop"]);
    let mut seen = under_way(&extra, 2, 1, 10);
    let progress = seen.status.progress.as_mut().unwrap();
    progress.change.as_mut().unwrap().ready = 1;
    let moving = plan(&seen, later(599));
    assert_eq!(stuck(&moving), None);
    let held = plan(&seen, later(600));
    assert_eq!(
        (stuck(&held), shifted_to(&held)),
        (Some("ProgressDeadline"), None)
    );
    let mut again = later_on(&seen, &held);
    again.decisions = vec![decided("Retry", &json!({}))];
    let again = plan(&again, later(700));
    assert_eq!(stuck(&again), None);
    assert!(
        again.wake.is_some_and(|wake| wake > later(1200)),
        "{:?}",
        again.wake
    );
}

#[test]
fn without_a_router_stable_gets_its_pods_back_and_one_of_the_others_stays() {
    let steps = json!({"strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {}}]}});
    let extra = only(&steps, &[]);
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 2)
        .promoted(&v1, NOW)
        .with_set(&v2, 2)
        .remembering(at_step(&v1, &v2, 1, NOW))
        .crashing(&v2);
    let held = plan(&seen, later(1));
    assert_eq!(stuck(&held), Some("CrashLoop"));
    // One more than wanted may be there at a time.
    assert_eq!((scaled(&held, &v1), scaled(&held, &v2)), (Some(3), Some(1)));
}

/// One of the canary's two pods, at half of the traffic, in trouble.
fn one_in_trouble(reason: FailureReason) -> Observed {
    let extra = ten_then_half();
    let v2 = revision("2", &extra);
    let mut seen = under_way(&extra, 2, 2, 10);
    let progress = seen.status.progress.as_mut().unwrap();
    progress.change.as_mut().unwrap().ready = 1;
    let mut pods = seen.pods.iter_mut();
    let pod = pods.find(|pod| pod.revision == v2).unwrap();
    pod.is_ready = false;
    let message = "container web: it will not start".to_owned();
    pod.trouble = Some(Trouble { reason, message });
    let uid = pod.uid.clone();
    let mut sets = seen.sets.iter_mut();
    sets.find(|set| set.revision == v2).unwrap().available = 1;
    seen.service_mut(Side::Canary).ready.remove(&uid);
    seen
}

#[test]
fn one_pod_that_cannot_be_made_is_no_failure_of_a_revision_of_which_others_are_ready() {
    for reason in [FailureReason::ImagePull, FailureReason::ContainerConfig] {
        let seen = one_in_trouble(reason);
        let waiting = plan(&seen, later(1));
        let progress = &waiting.progress.progress;
        assert_eq!((&progress.failed, stuck(&waiting)), (&None, None));
        assert_eq!(waiting.wake, Some(later(600)), "{reason}");
        let words = &waiting.why.message;
        assert!(words.contains("it will not start"), "{words}");
        // It is missing, and nothing gets further without it.
        let seen = later_on(&seen, &waiting);
        let failed = plan(&seen, later(600)).progress.progress.failed.unwrap();
        assert_eq!(failed.reason, "ProgressDeadline");
        let words = &failed.message;
        assert!(words.contains("it will not start"), "{words}");
    }
    // What runs and ends does so wherever it is.
    for reason in [FailureReason::CrashLoop, FailureReason::OutOfMemory] {
        let back = plan(&one_in_trouble(reason), later(1));
        assert_eq!(phase(&back), Phase::RollingBack, "{reason}");
    }
}

/// The canary's only pod, before it has traffic, in trouble.
fn none_ready(reason: FailureReason) -> Observed {
    let extra = ten_then_half();
    let v2 = revision("2", &extra);
    let mut seen = under_way(&extra, 0, 1, 0).crashing(&v2);
    for pod in seen.pods.iter_mut().filter(|pod| pod.revision == v2) {
        let message = "container web: CreateContainerError: context deadline exceeded".to_owned();
        pod.trouble = Some(Trouble { reason, message });
    }
    seen
}

#[test]
fn a_container_that_cannot_be_made_is_tried_once_more_before_that_counts() {
    let seen = none_ready(FailureReason::ContainerConfig);
    let first = plan(&seen, later(1));
    assert_eq!(first.progress.progress.failed, None);
    assert_eq!(first.wake, Some(later(21)));
    let words = &first.why.message;
    assert!(words.contains("context deadline exceeded"), "{words}");
    let seen = later_on(&seen, &first);
    let second = plan(&seen, later(20));
    assert_eq!(second.progress.progress.failed, None);
    // It may have passed.
    let extra = ten_then_half();
    let passed = under_way(&extra, 0, 1, 0).remembering(seen.status.clone());
    let passed = plan(&passed, later(20));
    assert_eq!(shifted_to(&passed), Some(10));
    let change = passed.progress.progress.change.unwrap();
    assert_eq!(change.unmade_since, None);
    let failed = plan(&seen, later(21)).progress.progress.failed.unwrap();
    assert_eq!(failed.reason, "ContainerConfig");
}

#[test]
fn a_revision_of_which_no_pod_is_ready_is_given_up_at_once_for_what_does_not_pass() {
    for reason in [FailureReason::ImagePull, FailureReason::CrashLoop] {
        let failed = plan(&none_ready(reason), later(1)).progress.progress.failed;
        assert_eq!(failed.unwrap().reason, reason.as_str());
    }
    // Nor does anybody wait whose requests it has.
    let extra = ten_then_half();
    let v2 = revision("2", &extra);
    let mut seen = none_ready(FailureReason::ContainerConfig);
    let trouble = seen.trouble(&v2).cloned();
    seen = under_way(&extra, 1, 1, 10).crashing(&v2);
    for pod in seen.pods.iter_mut().filter(|pod| pod.revision == v2) {
        pod.trouble.clone_from(&trouble);
    }
    assert_eq!(shifted_to(&plan(&seen, later(1))), Some(0));
}

#[test]
fn every_failure_of_pods_holds_or_goes_back_as_the_list_says() {
    for reason in FailureReason::ALL
        .iter()
        .filter(|reason| reason.is_of_pods())
    {
        for listed in [true, false] {
            let on = if listed {
                vec![reason.as_str()]
            } else {
                Vec::new()
            };
            let extra = only(&ten_then_half(), &on);
            let v2 = revision("2", &extra);
            let mut seen = under_way(&extra, 1, 1, 10).crashing(&v2);
            for pod in seen.pods.iter_mut().filter(|pod| pod.revision == v2) {
                let message = "no".to_owned();
                let reason = *reason;
                pod.trouble = Some(Trouble { reason, message });
            }
            let plan = plan(&seen, later(1));
            let failed = plan.progress.progress.failed.clone();
            let found = (
                failed.map(|failed| failed.reason),
                stuck(&plan).map(str::to_owned),
            );
            let word = Some(reason.as_str().to_owned());
            let expected = if listed { (word, None) } else { (None, word) };
            assert_eq!(found, expected, "{reason}");
            assert_eq!(
                shifted_to(&plan),
                Some(0),
                "{reason}: its pods do not serve"
            );
        }
    }
}
