//! Stories that other tools for progressive delivery have stumbled over, or test. docs/scenarios.md has the whole list.

use super::*;
use crate::traffic::Side;

fn blue_green(more: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = json!({"type": "BlueGreen", "blueGreen": more});
    extra
}

fn step_of(plan: &Plan<Memory>) -> u32 {
    plan.progress.progress.change.as_ref().unwrap().step
}

/// v1 is stable with some of its pods, and v2 has some and a weight.
pub(super) fn shared(extra: &Value, [stable, canary]: [i32; 2], weight: u8) -> Observed {
    let (v1, v2) = (revision("1", extra), revision("2", extra));
    untouched(spec("2", extra))
        .with_set(&v1, stable)
        .promoted(&v1, NOW)
        .with_set(&v2, canary)
        .with_traffic(&v1, &v2, weight)
        .remembering(at_step(&v1, &v2, 0, NOW))
}

pub(super) fn aborted(mut seen: Observed) -> Plan<Memory> {
    seen.decisions = vec![decision::decided("Abort", &json!({}))];
    plan(&seen, later(2))
}

#[test]
fn a_share_that_cannot_be_had_exactly_is_not_reached_without_a_pod_of_either_side() {
    for (replicas, weight) in [(2, 75), (5, 90), (10, 95), (25, 98), (50, 99)] {
        let extra = json!({"replicas": replicas, "strategy": {"maxSurge": 0, "maxUnavailable": 1,
            "steps": [{"setWeight": {"weight": weight}}, {"pause": {}}]}});
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let at = |canary| {
            let seen = untouched(spec("2", &extra))
                .with_set(&v1, replicas - canary)
                .promoted(&v1, NOW)
                .with_set(&v2, canary);
            step_of(&plan(&seen.remembering(at_step(&v1, &v2, 0, NOW)), NOW))
        };
        let (none, all_but_one, all) = (at(0), at(replicas - 1), at(replicas));
        assert_eq!(
            (none, all_but_one, all),
            (0, 1, 0),
            "{weight} % of {replicas}"
        );
    }
}

#[test]
fn blue_green_that_crashes_after_the_switch_goes_back_at_once() {
    let extra = blue_green(&json!({"postPromotion": [{"pause": {"for": "5m"}}]}));
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 2, 4, 100).crashing(&v2);
    seen.service_mut(Side::Canary).ready.clear();
    let back = plan(&seen, later(5));
    assert_eq!(
        (shifted_to(&back), phase(&back)),
        (Some(0), Phase::RollingBack)
    );
    assert_eq!((scaled(&back, &v1), scaled(&back, &v2)), (None, None));
    // The Service is switched where nothing divides.
    let mut extra = extra;
    extra["traffic"] = crate::rollout::testing::switched()["traffic"].clone();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let back = plan(&under_way(&extra, 2, 4, 100).crashing(&v2), later(5));
    assert_eq!(selected(&back, "api-stable"), Some(v1.to_string()));
}

#[test]
fn after_an_abort_blue_green_takes_the_next_version() {
    let extra = blue_green(&json!({"promote": {"mode": "Manual"}}));
    let (v1, v2, v3) = (
        revision("1", &extra),
        revision("2", &extra),
        revision("3", &extra),
    );
    let seen = under_way(&extra, 0, 3, 0);
    let given_up = aborted(seen.clone());
    assert_eq!(
        given_up.progress.progress.failed.as_ref().unwrap().revision,
        v2
    );
    let memory = status::status(&seen, &given_up, &Outcome::default(), later(2));
    let mut seen = seen.remembering(memory);
    seen.wanted = Wanted::Spec(spec("3", &extra).into());
    let next = plan(&seen, later(3));
    assert_eq!(scaled(&next, &v3), Some(1), "there is room for one");
    assert_eq!((scaled(&next, &v1), shifted_to(&next)), (None, None));
}

#[test]
fn another_size_and_another_template_in_one_apply_are_both_followed() {
    let mut extra = ten_then_half();
    let v1 = revision("1", &extra);
    for replicas in [2, 6] {
        extra["replicas"] = replicas.into();
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 4)
            .promoted(&v1, NOW)
            .with_traffic(&v1, &v1, 0);
        let plan = plan(&seen, NOW);
        assert_eq!(scaled(&plan, &v1), Some(replicas.into()));
        assert_eq!(scaled(&plan, &revision("2", &extra)), Some(1));
        assert_eq!(shifted_to(&plan), None);
    }
}

#[test]
fn without_a_router_another_size_and_another_template_keep_the_pods_that_are_asked_for() {
    let mut extra = json!({"strategy": {"maxSurge": 1, "steps": [{"setWeight": {"weight": 50}}, {"pause": {}}]}});
    let v1 = revision("1", &extra);
    extra["replicas"] = 6.into();
    let seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW);
    let plan = plan(&seen, NOW);
    let (stable, canary) = (scaled(&plan, &v1), scaled(&plan, &revision("2", &extra)));
    assert_eq!(
        (stable, canary),
        (None, Some(3)),
        "six and one more at most"
    );
}

#[test]
fn an_abort_at_any_weight_gives_a_stable_that_went_down_what_it_can_take() {
    let mut extra = ten_then_half();
    extra["strategy"]["stableScale"] = "WithWeight".into();
    let v1 = revision("1", &extra);
    for weight in [25, 50, 75, 100] {
        for stable in 1..=4 {
            let back = aborted(shared(&extra, [stable, 4], weight));
            let left = u64::from(weight).min(100 - 25 * u64::try_from(stable).unwrap());
            let claim = format!("{weight} % with {stable} pods of stable");
            let moved = shifted_to(&back).unwrap_or(u64::from(weight));
            assert_eq!(moved, left, "{claim}");
            let grows = scaled(&back, &v1);
            assert_eq!(grows, Some(4).filter(|_| stable < 4), "{claim}");
        }
    }
}

#[test]
fn a_revision_that_fails_while_it_takes_over_goes_back() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let last = plan(&under_way(&extra, 4, 4, 100).crashing(&v2), NOW);
    assert_eq!((shifted_to(&last), scaled(&last, &v1)), (Some(0), None));
    // The stable Service selects it already, and the weight is still on the canary's.
    let swapped = under_way(&extra, 4, 4, 100)
        .crashing(&v2)
        .with_traffic(&v2, &v2, 100);
    let swapped = plan(&swapped, NOW);
    assert_eq!(swapped.progress.progress.stable, Some(v1.clone()));
    assert_eq!(selected(&swapped, "api-stable"), Some(v1.to_string()));
    assert_eq!(scaled(&swapped, &v1), None);
}

#[test]
fn taking_over_does_not_need_the_revision_before() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let swap = plan(&under_way(&extra, 4, 4, 100).crashing(&v1), NOW);
    assert_eq!(selected(&swap, "api-stable"), Some(v2.to_string()));
    let mut half = under_way(&extra, 3, 4, 50).crashing(&v1);
    half.status.progress.as_mut().unwrap().down_since = Some(NOW);
    let half = plan(&half, later(30));
    assert_eq!(shifted_to(&half), Some(100), "nothing else serves");
}

#[test]
fn a_stable_of_which_some_pods_are_sick_does_not_hold_up_the_fix() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let mut seen = under_way(&extra, 0, 1, 0);
    seen.service_mut(Side::Stable).ready = [format!("{v1}-0")].into();
    for pod in seen
        .pods
        .iter_mut()
        .filter(|pod| pod.revision == v1)
        .skip(1)
    {
        pod.is_ready = false;
    }
    seen.sets[0].available = 1;
    assert_eq!(shifted_to(&plan(&seen, NOW)), Some(10));
}

#[test]
fn a_weight_that_somebody_raised_is_put_right() {
    let seen = under_way(&ten_then_half(), 1, 1, 90);
    let plan = plan(&seen, later(1));
    assert_eq!((shifted_to(&plan), step_of(&plan)), (Some(10), 1));
}

#[test]
fn a_service_that_somebody_deleted_is_made_again_and_costs_no_pods() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    for (side, name, of) in [(0, "api-stable", &v1), (1, "api-canary", &v2)] {
        let mut seen = under_way(&extra, 3, 2, 50);
        seen.services[side] = None;
        let plan = plan(&seen, later(1));
        let [Action::Create(made)] = &plan.actions[..] else {
            panic!("{:?}", plan.actions)
        };
        assert_eq!(made.key.name, name);
        let selector = &made.body["spec"]["selector"];
        assert_eq!(selector["slipway.dev/revision"], of.as_str());
        assert_eq!(step_of(&plan), 3);
    }
}

#[test]
fn behind_a_service_that_was_made_again_pods_are_waited_for() {
    let extra = ten_then_half();
    let mut seen = under_way(&extra, 2, 2, 10);
    seen.service_mut(Side::Canary).ready.clear();
    let waiting = plan(&seen, later(1));
    assert_eq!((shifted_to(&waiting), step_of(&waiting)), (None, 2));
}

/// Two metrics that a step is about, with these counts.
fn two_metrics([first, second]: [Tally; 2]) -> Observed {
    let mut extra = analysed();
    let mut other = extra["analysis"]["metrics"][0].clone();
    other["name"] = "latency".into();
    extra["analysis"]["metrics"]
        .as_array_mut()
        .unwrap()
        .push(other);
    extra["strategy"]["steps"][1]["analyse"]["metrics"] = json!(["errors", "latency"]);
    let mut seen = under_way(&extra, 1, 1, 10);
    let named = |name: &str, tally| Tally {
        name: name.into(),
        at: Some(later(60)),
        ..tally
    };
    seen.status.analysis = vec![named("errors", first), named("latency", second)];
    seen
}

#[test]
fn a_step_about_several_metrics_needs_all_of_them_and_one_bad_one_ends_it() {
    let with = |passed, failed| Tally {
        passed,
        failed,
        ..Tally::default()
    };
    let both = plan(&two_metrics([with(2, 0), with(2, 0)]), later(60));
    assert_eq!(step_of(&both), 2);
    let one = plan(&two_metrics([with(2, 0), with(1, 0)]), later(60));
    assert_eq!(step_of(&one), 1);
    let bad = plan(&two_metrics([with(2, 0), with(1, 1)]), later(60));
    assert_eq!(
        (shifted_to(&bad), phase(&bad)),
        (Some(0), Phase::RollingBack)
    );
}

#[test]
fn a_strategy_that_is_changed_in_the_middle_goes_on_with_its_own_steps() {
    let before = blue_green(&json!({"promote": {"mode": "Manual"}}));
    let seen = under_way(&before, 0, 4, 0);
    let memory = status::status(&seen, &plan(&seen, NOW), &Outcome::default(), NOW);
    let mut seen = seen.remembering(memory);
    seen.wanted = Wanted::Spec(spec("2", &ten_then_half()).into());
    let plan = plan(&seen, later(1));
    assert_eq!((step_of(&plan), shifted_to(&plan)), (0, Some(10)));
}

#[test]
fn what_is_tried_again_while_it_drains_keeps_its_pods() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 1, 1, 10);
    let given_up = aborted(seen.clone());
    let memory = status::status(&seen, &given_up, &Outcome::default(), later(2));
    seen = seen.with_traffic(&v1, &v1, 0).remembering(memory);
    let draining = plan(&seen, later(3));
    assert_eq!(draining.progress.progress.draining[v2.as_str()], later(13));
    seen.status = status::status(&seen, &draining, &Outcome::default(), later(3));
    let retry =
        json!({"target": {"kind": "Rollout", "name": "api"}, "action": "Retry", "user": "olga"});
    seen.decisions = vec![decision::act("again", 4, &retry)];
    let again = plan(&seen, later(20));
    assert_eq!((scaled(&again, &v2), step_of(&again)), (None, 0));
    assert_eq!(again.progress.progress.draining.len(), 0);
}

#[test]
fn a_scale_step_starts_pods_that_no_user_sees() {
    let mut extra = routed_steps(
        &json!([{"scale": {"canary": 3}}, {"pause": {}}, {"setWeight": {"weight": 10}}]),
    );
    extra["strategy"]["maxSurge"] = 4.into();
    let v2 = revision("2", &extra);
    let started = plan(&under_way(&extra, 0, 0, 0), NOW);
    assert_eq!(
        (scaled(&started, &v2), shifted_to(&started)),
        (Some(3), None)
    );
    let paused = plan(&under_way(&extra, 1, 3, 0), NOW);
    assert_eq!((paused.actions.len(), phase(&paused)), (0, Phase::Paused));
    let weighted = plan(&under_way(&extra, 2, 3, 0), NOW);
    assert_eq!(
        (shifted_to(&weighted), scaled(&weighted, &v2)),
        (Some(10), None)
    );
}

#[test]
fn without_a_router_a_smaller_weight_takes_no_pod_away_before_another_is_there() {
    let extra = json!({"strategy": {"maxSurge": 1, "steps": [
        {"setWeight": {"weight": 75}}, {"setWeight": {"weight": 25}}, {"pause": {}}]}});
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let at = |stable, canary| {
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, stable)
            .promoted(&v1, NOW)
            .with_set(&v2, canary);
        let plan = plan(&seen.remembering(at_step(&v1, &v2, 1, NOW)), NOW);
        (scaled(&plan, &v1), scaled(&plan, &v2))
    };
    assert_eq!(at(1, 3), (Some(2), None));
    assert_eq!(at(2, 3), (None, Some(2)));
}

#[test]
fn a_canary_of_which_no_pod_is_left_does_not_hold_up_the_next_version_or_the_way_back() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = shared(&extra, [4, 0], 10);
    assert_eq!(shifted_to(&aborted(seen.clone())), Some(0));
    seen.wanted = Wanted::Spec(spec("3", &extra).into());
    let next = plan(&seen, NOW);
    assert_eq!(shifted_to(&next), Some(0));
    assert_eq!((scaled(&next, &v1), scaled(&next, &v2)), (None, None));
}
