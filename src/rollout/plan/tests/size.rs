//! Stories of autoscalers: another number of pods in the middle of a change.

use super::*;

/// What the planner remembers of `seen`, and another number of pods then.
fn resized(mut seen: Observed, replicas: i32) -> Observed {
    let first = plan(&seen, NOW);
    seen.status = status::status(&seen, &first, &Outcome::default(), NOW);
    seen.spec_mut().replicas = replicas;
    seen
}

fn known(plan: &Plan<Memory>) -> Option<i32> {
    plan.progress.progress.replicas
}

fn with_weight() -> Value {
    let mut extra = ten_then_half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    extra
}

#[test]
fn fewer_pods_wait_while_two_revisions_share_the_traffic() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let held = plan(&resized(under_way(&extra, 3, 2, 50), 2), later(1));
    assert_eq!((scaled(&held, &v1), scaled(&held, &v2)), (None, None));
    assert_eq!((phase(&held), known(&held)), (Phase::Paused, Some(4)));
    assert!(
        held.why.message.ends_with(
            "spec.replicas went down to 2: 4 go on until one revision has all of the traffic"
        ),
        "{}",
        held.why.message
    );
}

#[test]
fn fewer_pods_are_followed_at_once_before_the_first_weight_and_after_the_last() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    for (step, canary, weight) in [(0, 1, 0), (4, 4, 100)] {
        let followed = plan(
            &resized(under_way(&extra, step, canary, weight), 2),
            later(1),
        );
        assert_eq!(scaled(&followed, &v1), Some(2), "{weight} %");
        assert_eq!(known(&followed), None, "{weight} %");
    }
}

#[test]
fn fewer_pods_wait_until_the_data_plane_knows_who_has_all_of_the_traffic() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let mut seen = resized(under_way(&extra, 3, 4, 50), 2);
    seen.routes = vec![seen.route_with(100, false)];
    assert_eq!(scaled(&plan(&seen, later(1)), &v1), None);
    seen.routes = vec![seen.route_with(100, true)];
    assert_eq!(scaled(&plan(&seen, later(1)), &v1), Some(2));
}

#[test]
fn more_pods_are_followed_at_once_and_then_kept() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let seen = resized(under_way(&extra, 3, 2, 50), 6);
    let more = plan(&seen, later(1));
    assert_eq!((scaled(&more, &v1), known(&more)), (Some(6), Some(6)));
    let fewer = plan(&resized(seen, 3), later(2));
    assert_eq!((scaled(&fewer, &v1), known(&fewer)), (Some(6), Some(6)));
}

#[test]
fn no_pods_at_all_are_followed_at_once() {
    let extra = ten_then_half();
    let off = plan(&resized(under_way(&extra, 3, 2, 50), 0), later(1));
    assert_eq!(scaled(&off, &revision("1", &extra)), Some(0));
}

#[test]
fn fewer_pods_wait_until_a_failed_revision_has_given_its_traffic_back() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = resized(under_way(&extra, 3, 2, 50).crashing(&v2), 2);
    let back = plan(&seen, later(1));
    assert_eq!((shifted_to(&back), scaled(&back, &v1)), (Some(0), None));
    let over = plan(&seen.with_traffic(&v1, &v2, 0), later(1));
    assert_eq!(scaled(&over, &v1), Some(2));
}

#[test]
fn a_stable_that_has_to_grow_again_does_not_wait_for_a_number_that_nobody_asks_for() {
    let extra = with_weight();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 3, 2, 50);
    seen.decisions = vec![decision::decided("Abort", &json!({}))];
    let aborted = plan(&seen, later(2));
    seen.status = status::status(&seen, &aborted, &Outcome::default(), later(2));
    assert_eq!(seen.status.progress.as_ref().unwrap().change, None);
    let fewer = plan(&resized(seen, 2), later(3));
    assert_eq!(scaled(&fewer, &v1), Some(2));
}

#[test]
fn a_change_that_went_on_with_more_pods_ends_with_those_that_are_asked_for() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = resized(under_way(&extra, 4, 4, 50), 2);
    let last = plan(&seen, later(1));
    assert_eq!(shifted_to(&last), Some(100));
    let swap = plan(&seen.clone().with_traffic(&v1, &v2, 100), later(2));
    assert_eq!(selected(&swap, "api-stable"), Some(v2.to_string()));
    let done = plan(&seen.with_traffic(&v2, &v2, 0), later(3));
    assert_eq!(done.progress.progress.stable, Some(v2.clone()));
    assert_eq!(scaled(&done, &v2), Some(2));
}

#[test]
fn fewer_pods_in_the_moment_of_a_switch_do_not_hold_it_up() {
    let mut extra = routed();
    extra["strategy"] = json!({"type": "BlueGreen"});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let before = plan(&resized(under_way(&extra, 1, 4, 0), 2), later(1));
    assert_eq!(
        shifted_to(&before),
        Some(100),
        "four pods are enough for two"
    );
    let seen = resized(under_way(&extra, 2, 4, 100), 2);
    let after = plan(&seen, later(1));
    assert_eq!(selected(&after, "api-stable"), Some(v2.to_string()));
    assert_eq!(scaled(&after, &v1), Some(2));
}

mod without_router {
    use super::*;

    #[test]
    fn fewer_pods_wait_while_two_revisions_have_pods() {
        let extra = json!({"strategy": {"maxSurge": 1, "steps": [
            {"setWeight": {"weight": 50}}, {"pause": {}}]}});
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 2)
            .promoted(&v1, NOW)
            .with_set(&v2, 2)
            .remembering(at_step(&v1, &v2, 1, NOW));
        let held = plan(&resized(seen, 2), later(1));
        assert_eq!((held.actions.len(), known(&held)), (0, Some(4)));
    }
}
