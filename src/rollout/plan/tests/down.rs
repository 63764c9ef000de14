//! Stories of a stable revision of which nothing serves.

use super::decision::decided;
use super::*;
use crate::rollout::api::Stuck;
use crate::rollout::testing::switched;

/// Remembers that stable has been down since then.
fn down_since(mut seen: Observed, since: Timestamp) -> Observed {
    let progress = seen.status.progress.as_mut().unwrap();
    progress.down_since = Some(since);
    seen
}

fn present(plan: &Plan<Memory>) -> (Option<Revision>, Option<u32>) {
    let Progress { stable, change, .. } = &plan.progress.progress;
    (stable.clone(), change.as_ref().map(|change| change.step))
}

#[test]
fn a_fix_gets_the_traffic_of_a_stable_revision_that_stays_down() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let seen = under_way(&extra, 1, 4, 10).crashing(&v1);
    let first = plan(&seen, NOW);
    let progress = &first.progress.progress;
    assert_eq!((progress.down_since, shifted_to(&first)), (Some(NOW), None));
    assert_eq!(first.wake, Some(later(30)));
    let seen = down_since(seen, NOW);
    let before = plan(&seen, later(29));
    assert_eq!((shifted_to(&before), before.wake), (None, Some(later(30))));
    let after = plan(&seen, later(30));
    assert_eq!(shifted_to(&after), Some(100));
    assert_eq!(present(&after), (Some(v1), Some(1)), "no step is skipped");
    let words = "has had no ready pod since";
    assert!(after.why.message.contains(words), "{}", after.why.message);
}

#[test]
fn a_pod_of_stable_that_is_ready_ends_what_was_remembered() {
    let seen = down_since(under_way(&ten_then_half(), 1, 4, 10), NOW);
    let up = plan(&seen, later(40));
    assert_eq!(up.progress.progress.down_since, None);
    assert_eq!((shifted_to(&up), up.wake), (None, Some(later(900))));
}

#[test]
fn people_are_asked_although_it_has_all_of_the_traffic() {
    let extra = routed_steps(&json!([{"approve": {}}, {"setWeight": {"weight": 50}}]));
    let v1 = revision("1", &extra);
    let seen = down_since(under_way(&extra, 0, 4, 100), NOW);
    let down = plan(&seen.clone().crashing(&v1), later(60));
    assert_eq!(present(&down), (Some(v1.clone()), Some(0)));
    assert_eq!((down.why.reason, shifted_to(&down)), ("ApproveStep", None));
    assert_eq!(selected(&down, "api-stable"), None);
    let back = plan(&seen, later(61));
    assert_eq!(present(&back), (Some(v1), Some(0)));
    assert_eq!(
        shifted_to(&back),
        Some(0),
        "the weight is what the step says"
    );
}

#[test]
fn a_service_that_is_switched_for_it_promotes_nothing_and_comes_back() {
    let mut extra = switched();
    let gate = json!({"promote": {"mode": "Manual"}});
    extra["strategy"] = json!({"type": "BlueGreen", "blueGreen": gate});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let at = |weight| down_since(under_way(&extra, 1, 4, weight), NOW);
    let early = plan(&at(0).crashing(&v1), later(29));
    assert_eq!(selected(&early, "api-stable"), None, "it may be a restart");
    let late = plan(&at(0).crashing(&v1), later(30));
    assert_eq!(selected(&late, "api-stable"), Some(v2.to_string()));
    let switched = plan(&at(100).crashing(&v1), later(31));
    assert_eq!(present(&switched), (Some(v1.clone()), Some(1)));
    assert_eq!(switched.why.reason, "ApproveStep");
    assert_eq!(selected(&switched, "api-stable"), None);
    let back = plan(&at(100), later(60));
    assert_eq!(selected(&back, "api-stable"), Some(v1.to_string()));
    assert_eq!(present(&back), (Some(v1), Some(1)));
}

/// Version 3 is wanted, version 1 is gone, and the Services select these.
fn beside(stable: &str, canary: &str, weight: u8) -> Observed {
    let extra = ten_then_half();
    let revision = |version: &str| revision(version, &extra);
    let seen = untouched(spec("3", &extra))
        .with_set(&revision("2"), 1)
        .with_set(&revision("3"), 4)
        .with_traffic(&revision(stable), &revision(canary), weight)
        .remembering(at_step(&revision("1"), &revision("3"), 0, NOW));
    down_since(seen, NOW)
}

#[test]
fn a_fix_comes_in_beside_a_dead_stable_and_what_was_superseded() {
    let v3 = revision("3", &ten_then_half()).to_string();
    let early = plan(&beside("1", "2", 10), later(29));
    assert_eq!(selected(&early, "api-stable"), None);
    let late = plan(&beside("1", "2", 10), later(30));
    assert_eq!(selected(&late, "api-stable"), Some(v3.clone()));
    assert_eq!(shifted_to(&plan(&beside("3", "2", 10), later(30))), Some(0));
    let idle = plan(&beside("3", "2", 0), later(30));
    assert_eq!(selected(&idle, "api-canary"), Some(v3));
}

#[test]
fn a_change_that_is_withdrawn_takes_nothing_from_what_serves_in_the_place_of_stable() {
    let mut extra = ten_then_half();
    extra["rollback"] = json!({"on": []});
    let withdrawn = |mut seen: Observed| {
        seen.wanted = Wanted::Spec(spec("3", &extra).into());
        let progress = seen.status.progress.as_mut().unwrap();
        progress.change.as_mut().unwrap().stuck = Some(Stuck {
            reason: "CrashLoop".into(),
            message: "exit 1".into(),
            since: NOW,
            withdrawn: true,
        });
        plan(&seen, later(30))
    };
    assert_eq!(shifted_to(&withdrawn(beside("2", "3", 45))), Some(0));
    let v2 = revision("2", &ten_then_half());
    let alone = withdrawn(beside("2", "3", 45).crashing(&v2));
    assert_eq!(shifted_to(&alone), Some(100), "nothing else serves");
}

#[test]
fn what_came_in_by_the_stable_service_gives_it_back_and_does_its_steps() {
    let v1 = revision("1", &ten_then_half());
    let ahead = plan(&beside("3", "3", 0), later(30));
    assert_eq!(shifted_to(&ahead), Some(100), "of both it is the same");
    let aside = plan(&beside("3", "3", 100), later(30));
    assert_eq!(selected(&aside, "api-stable"), Some(v1.to_string()));
    let there = plan(&beside("1", "3", 100), later(30));
    assert_eq!(shifted_to(&there), None);
    assert_eq!(present(&there), (Some(v1), Some(1)), "its steps go on");
}

#[test]
fn without_a_router_pods_of_the_fix_take_the_place_of_those_that_crash_but_for_one() {
    let steps = json!([{"setWeight": {"weight": 25}}, {"pause": {}}]);
    let extra = json!({"strategy": {"steps": steps}});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = |old, new| {
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, old)
            .promoted(&v1, NOW)
            .with_set(&v2, new)
            .crashing(&v1);
        down_since(seen.remembering(at_step(&v1, &v2, 1, NOW)), NOW)
    };
    assert_eq!(scaled(&plan(&seen(3, 1), later(29)), &v2), None);
    let more = plan(&seen(3, 1), later(30));
    assert_eq!(scaled(&more, &v2), Some(2));
    assert_eq!(scaled(&plan(&seen(3, 2), later(30)), &v1), Some(2));
    let whole = plan(&seen(1, 4), later(30));
    assert_eq!((scaled(&whole, &v1), scaled(&whole, &v2)), (None, None));
    assert_eq!(present(&whole), (Some(v1), Some(1)));
}

#[test]
fn what_has_everything_by_the_stable_service_is_not_given_to_a_stable_that_is_gone() {
    let v3 = revision("3", &ten_then_half()).to_string();
    let at_once = plan(&beside("3", "2", 0), later(1));
    assert_eq!(selected(&at_once, "api-canary"), Some(v3));
}

#[test]
fn what_gets_no_more_pods_gives_way_with_those_that_it_has() {
    let extra = ten_then_half();
    let revision = |version: &str| revision(version, &extra);
    let seen = untouched(spec("4", &extra))
        .with_set(&revision("2"), 3)
        .with_set(&revision("3"), 1)
        .with_set(&revision("4"), 4)
        .with_traffic(&revision("2"), &revision("3"), 25)
        .remembering(at_step(&revision("1"), &revision("4"), 0, NOW));
    let plan = plan(&down_since(seen, NOW), later(30));
    assert_eq!(shifted_to(&plan), Some(0), "v2 never has 4");
}

#[test]
fn what_has_the_stable_service_gets_its_pods_beside_what_was_superseded() {
    let extra = ten_then_half();
    let revision = |version: &str| revision(version, &extra);
    let (v1, v3) = (revision("1"), revision("3"));
    let seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&revision("2"), 1)
        .with_set(&v3, 3)
        .with_traffic(&v3, &revision("2"), 18);
    let plan = plan(&seen.remembering(at_step(&v1, &v3, 0, NOW)), NOW);
    assert_eq!(scaled(&plan, &v3), Some(4));
}

#[test]
fn the_preview_follows_a_service_that_was_switched() {
    let mut extra = switched();
    extra["strategy"] = json!({"type": "BlueGreen"});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = down_since(under_way(&extra, 0, 4, 100), NOW).crashing(&v1);
    seen.service_mut(Side::Canary).revision = Some(v1);
    let plan = plan(&seen, later(31));
    assert_eq!(selected(&plan, "api-canary"), Some(v2.to_string()));
}

#[test]
fn without_a_router_a_stable_that_is_gone_takes_no_room() {
    let steps = json!([{"setWeight": {"weight": 25}}, {"pause": {}}]);
    let extra = json!({"strategy": {"steps": steps}});
    let revision = |version: &str| revision(version, &extra);
    let (v2, v3) = (revision("2"), revision("3"));
    let seen = untouched(spec("3", &extra))
        .with_set(&v2, 2)
        .with_set(&v3, 2)
        .remembering(at_step(&revision("1"), &v3, 0, NOW));
    let plan = plan(&down_since(seen, NOW), later(30));
    assert_eq!(scaled(&plan, &v3), Some(3));
}

/// With only so many pods of a revision that are ready.
fn with_ready(mut seen: Observed, revision: &Revision, count: usize) -> Observed {
    let pods = seen.pods.iter_mut();
    for pod in pods.filter(|pod| pod.revision == *revision).skip(count) {
        pod.is_ready = false;
        for service in seen.services.iter_mut().flatten() {
            service.ready.remove(&pod.uid);
        }
    }
    let mut sets = seen.sets.iter_mut();
    let set = sets.find(|set| set.revision == *revision).unwrap();
    set.available = i32::try_from(count).unwrap();
    seen
}

#[test]
fn half_of_the_pods_of_a_fix_are_enough_where_nothing_else_serves() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let with = |count| {
        let seen = under_way(&extra, 1, 4, 10).crashing(&v1);
        let seen = with_ready(seen, &v2, count);
        plan(&down_since(seen, NOW), later(30))
    };
    assert_eq!(shifted_to(&with(2)), Some(100));
    assert_eq!(shifted_to(&with(1)), None, "it would be overrun");
}

#[test]
fn what_serves_in_the_place_of_stable_is_left_for_half_of_its_pods_and_in_time_for_one() {
    let routed = ten_then_half();
    let mut by_service = switched();
    by_service["strategy"] =
        json!({"type": "BlueGreen", "blueGreen": {"promote": {"mode": "Manual"}}});
    for extra in [routed, by_service] {
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let with = |count| {
            let mut seen = with_ready(under_way(&extra, 1, 4, 100), &v1, count);
            seen.decisions = vec![decided("Abort", &json!({}))];
            seen
        };
        let is_back = |plan: &Plan<Memory>| {
            shifted_to(plan) == Some(0) || selected(plan, "api-stable") == Some(v1.to_string())
        };
        assert!(is_back(&plan(&with(2), later(2))));
        let waiting = plan(&with(1), later(2));
        assert!(!is_back(&waiting), "one pod would be overrun");
        assert_eq!(waiting.wake, Some(later(602)));
        let words = format!("1 of 2 pods of {v1}");
        assert!(
            waiting.why.message.contains(&words),
            "{}",
            waiting.why.message
        );
        assert!(is_back(&plan(&with(1).crashing(&v2), later(2))));
        let status = status::status(&with(1), &waiting, &Outcome::default(), later(2));
        assert!(is_back(&plan(&with(1).remembering(status), later(602))));
    }
}
