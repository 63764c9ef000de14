//! Stories of what people, tools and bad luck do in the middle of things.

use std::sync::Arc;

use super::super::super::observed::Wanted;
use super::*;
use crate::rollout::spec::Invalid;
use crate::traffic::router::Router;

/// A change as the plan before has left it, now with other steps.
fn edited(before: &Value, after: &Value, step: u32) -> Plan<Memory> {
    let seen = under_way(before, step, 2, 10);
    let first = plan(&seen, NOW);
    let memory = status::status(&seen, &first, &Outcome::default(), NOW);
    let mut seen = seen.remembering(memory);
    seen.wanted = Wanted::Spec(spec("2", after).into());
    plan(&seen, later(1))
}

fn step_of(plan: &Plan<Memory>) -> u32 {
    plan.progress.progress.change.as_ref().unwrap().step
}

fn with_steps(steps: &Value) -> Value {
    let mut extra = analysed();
    extra["strategy"]["steps"] = steps.clone();
    extra
}

#[test]
fn edited_steps_go_on_where_the_list_is_the_same_and_never_skip_an_analysis() {
    let ten = json!({"setWeight": {"weight": 10}});
    let pause = json!({"pause": {"for": "60s"}});
    let analyse = json!({"analyse": {"metrics": ["errors"], "for": "60s"}});
    let before = with_steps(&json!([ten, pause, analyse, pause]));
    let longer = with_steps(&json!([ten, pause, analyse, pause, pause]));
    assert_eq!(step_of(&edited(&before, &longer, 3)), 3);
    let shorter = with_steps(&json!([ten, analyse]));
    assert_eq!(step_of(&edited(&before, &shorter, 3)), 1);
    let inserted = with_steps(&json!([ten, analyse, pause, analyse, pause]));
    assert_eq!(step_of(&edited(&before, &inserted, 3)), 1);
    let cut = with_steps(&json!([ten, pause]));
    assert_eq!(step_of(&edited(&before, &cut, 1)), 1);
}

#[test]
fn a_pause_that_is_shortened_keeps_its_beginning() {
    let ten = json!({"setWeight": {"weight": 10}});
    let long = with_steps(&json!([ten, {"pause": {"for": "60s"}}]));
    let short = with_steps(&json!([ten, {"pause": {"for": "1s"}}]));
    assert_eq!(step_of(&edited(&long, &short, 1)), 2);
}

#[test]
fn time_in_which_a_person_holds_it_is_not_time_without_progress() {
    let extra = ten_then_half();
    let mut held = extra.clone();
    held["paused"] = true.into();
    let mut seen = under_way(&held, 2, 1, 10);
    let paused = plan(&seen, later(60));
    let memory = status::status(&seen, &paused, &Outcome::default(), later(60));
    seen = seen.remembering(memory);
    seen.wanted = Wanted::Spec(spec("2", &extra).into());
    let resumed = plan(&seen, later(7200));
    assert_eq!(step_of(&resumed), 2, "{:?}", resumed.why);
    assert_eq!(resumed.wake, Some(later(7200 + 600)));
}

#[test]
fn what_was_superseded_goes_back_even_while_a_person_holds_the_next() {
    let mut extra = ten_then_half();
    extra["paused"] = true.into();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 1)
        .with_traffic(&v1, &v2, 10);
    let plan = plan(&seen.remembering(at_step(&v1, &v2, 1, NOW)), NOW);
    assert_eq!(shifted_to(&plan), Some(0));
}

#[test]
fn a_crashing_revision_that_was_superseded_needs_one_stable_pod_to_go_back_to() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("3", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 1)
        .with_traffic(&v1, &v2, 10);
    seen.service_mut(Side::Stable).ready = [format!("{v1}-0")].into();
    let seen = seen.remembering(at_step(&v1, &v2, 1, NOW));
    assert_eq!(
        shifted_to(&plan(&seen, NOW)),
        None,
        "it serves: it can wait for all"
    );
    assert_eq!(shifted_to(&plan(&seen.crashing(&v2), NOW)), Some(0));
}

#[test]
fn stable_being_down_for_a_moment_skips_nothing() {
    let extra = ten_then_half();
    let v1 = revision("1", &extra);
    let seen = under_way(&extra, 1, 1, 10);
    let down = plan(&seen.clone().crashing(&v1), later(1));
    assert_eq!((shifted_to(&down), phase(&down)), (None, Phase::Paused));
    let memory = status::status(&seen, &down, &Outcome::default(), later(1));
    let up = plan(&seen.remembering(memory), later(2));
    assert_eq!((step_of(&up), phase(&up)), (1, Phase::Paused));
}

#[test]
fn a_selector_that_somebody_changed_is_put_right_at_once() {
    let extra = routed();
    let v1 = revision("1", &extra);
    let mut seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0);
    seen.service_mut(Side::Stable).revision = None;
    seen.service_mut(Side::Stable).ready.clear();
    let plan = plan(&seen, NOW);
    assert_eq!(selected(&plan, "api-stable"), Some(v1.to_string()));
    assert_eq!(
        (shifted_to(&plan), phase(&plan)),
        (None, Phase::Progressing)
    );
}

#[test]
fn a_route_that_somebody_pointed_elsewhere_comes_back() {
    let extra = routed();
    let v1 = revision("1", &extra);
    let mut seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0);
    let route = &mut seen.routes[0];
    let mut live = route.live.as_ref().clone();
    live.data["spec"]["rules"][0]["backendRefs"] = json!([{"name": "other", "port": 80}]);
    route.live = Arc::new(live);
    assert_eq!(shifted_to(&plan(&seen, NOW)), Some(0));
}

#[test]
fn a_route_that_the_server_refuses_to_correct_does_not_hold_up_the_way_back() {
    let extra = ten_then_half();
    let v2 = revision("2", &extra);
    let mut seen = under_way(&extra, 1, 1, 10).crashing(&v2);
    let mut other = spec("2", &extra);
    let routing = other.routing.as_mut().unwrap();
    let Router::Generated(route) = &mut routing.routers[0] else {
        panic!("the route is ours")
    };
    route.hostnames = vec!["not a host".into()];
    seen.wanted = Wanted::Spec(other.into());
    let plan = plan(&seen, NOW);
    assert_eq!(shifted_to(&plan), Some(0));
    let text = serde_json::to_string(&plan.actions).unwrap();
    assert!(!text.contains("not a host"), "{text}");
}

#[test]
fn without_the_router_its_route_goes_then_its_services_then_the_pods() {
    let extra = routed();
    let v1 = revision("1", &extra);
    let with_route = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_traffic(&v1, &v1, 0);
    let mut plain = spec("2", &json!({}));
    plain.drain = std::time::Duration::from_secs(10);
    let mut seen = with_route.clone();
    seen.wanted = Wanted::Spec(plain.into());
    seen = seen.with_set(&revision("2", &json!({})), 1);
    let deleted = |observed: &Observed| {
        let cleaning = plan(observed, NOW);
        assert_eq!(scaled(&cleaning, &v1), None, "it is still selected");
        let kinds = cleaning.actions.iter().filter_map(|action| match action {
            Action::Delete { target, .. } => Some(target.kind),
            _ => None,
        });
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(deleted(&seen), [ObjectKind::HttpRoute]);
    seen.routes.clear();
    assert_eq!(deleted(&seen), [ObjectKind::Service, ObjectKind::Service]);
    seen.services = [None, None];
    assert_eq!(scaled(&plan(&seen, NOW), &v1), Some(3));
}

#[test]
fn orphaning_does_not_wait_for_ever_for_a_stable_revision_that_is_down() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = under_way(&extra, 1, 1, 10).crashing(&v1).crashing(&v2);
    seen.service_mut(Side::Stable).ready.clear();
    seen.deletion = Some(Deletion::Orphan);
    seen.deleted_at = Some(NOW);
    let waiting = plan(&seen, later(1));
    assert_eq!((waiting.finished, waiting.wake), (false, Some(later(600))));
    assert_eq!(plan(&seen, later(600)).actions.len(), 5);
}

#[test]
fn a_clock_that_went_back_does_not_write_for_ever() {
    let extra = routed();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("2", &extra))
        .with_set(&v1, 0)
        .promoted(&v1, later(3))
        .with_set(&v2, 4)
        .with_traffic(&v2, &v2, 0)
        .remembering(at_step(&v2, &v2, 0, NOW));
    let first = plan(&seen, NOW);
    let Some(Action::Patch { change, .. }) = first.actions.first() else {
        panic!("{first:?}")
    };
    let at = change
        .pointer("/metadata/annotations/slipway.dev~1promoted-at")
        .unwrap();
    seen.sets[1].promoted_at = Some(at.as_str().unwrap().parse().unwrap());
    assert_eq!(plan(&seen, NOW).actions, []);
}

#[test]
fn going_back_by_the_spec_is_not_healthy_before_the_traffic_is_back() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let seen = untouched(spec("1", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 1)
        .with_traffic(&v1, &v2, 10)
        .remembering(at_step(&v1, &v2, 1, NOW));
    assert_eq!(phase(&plan(&seen, NOW)), Phase::Progressing);
}

#[test]
fn a_stable_revision_without_pods_serves_nobody_and_the_phase_says_so() {
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut seen = untouched(spec("2", &extra))
        .with_set(&v1, 4)
        .promoted(&v1, NOW)
        .with_set(&v2, 0)
        .with_traffic(&v1, &v1, 0)
        .crashing(&v1);
    seen.sets[1].failed = Some("CrashLoop".into());
    let plan = plan(&seen, NOW);
    assert_eq!(
        (phase(&plan), plan.why.reason),
        (Phase::Degraded, "StableDown")
    );
}

#[test]
fn counts_of_a_metric_that_was_renamed_are_dropped() {
    let mut seen = measuring(&Tally::default());
    seen.status.analysis.push(Tally {
        name: "of-old".into(),
        ..Tally::default()
    });
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.tallies.len(), 1);
}

#[test]
fn the_largest_status_fits() {
    let long = "x".repeat(100_000);
    let extra = ten_then_half();
    let (v1, v2) = (revision("1", &extra), revision("2", &extra));
    let mut memory = at_step(&v1, &v2, 1, NOW);
    for number in 0..30 {
        let mut seen = under_way(&extra, 1, 1, 10)
            .crashing(&v2)
            .remembering(memory.clone());
        for pod in &mut seen.pods {
            if let Some(trouble) = &mut pod.trouble {
                trouble.message.clone_from(&long);
            }
        }
        let given_up = plan(&seen, later(number));
        let outcome = Outcome {
            failure: Some(long.clone()),
            ..Outcome::default()
        };
        memory = status::status(&seen, &given_up, &outcome, later(number));
        memory.progress.as_mut().unwrap().failed = None;
        memory.progress.as_mut().unwrap().change =
            at_step(&v1, &v2, 1, NOW).progress.unwrap().change;
    }
    let size = serde_json::to_string(&memory).unwrap().len();
    assert!(memory.history.len() == 10 && size < 40_000, "{size}");
}

mod without_router {
    use super::*;

    #[test]
    fn an_analysis_under_all_of_the_traffic_is_not_skipped() {
        let mut extra = analysed();
        extra["traffic"] = Value::Null;
        extra["strategy"]["steps"] = json!([
            {"setWeight": {"weight": 100}}, {"analyse": {"metrics": ["errors"], "for": "60s"}},
        ]);
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 0)
            .promoted(&v1, NOW)
            .with_set(&v2, 4)
            .remembering(at_step(&v1, &v2, 1, NOW));
        assert_eq!(phase(&plan(&seen, NOW)), Phase::Analysing);
    }

    #[test]
    fn a_lost_status_does_not_skip_the_steps_of_a_small_weight() {
        let extra = json!({"replicas": 1, "strategy": {"maxSurge": 1, "steps": [
            {"setWeight": {"weight": 10}}, {"pause": {"for": "60s"}},
            {"setWeight": {"weight": 50}}, {"pause": {"for": "60s"}},
        ]}});
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let seen = untouched(spec("2", &extra))
            .with_set(&v1, 1)
            .promoted(&v1, NOW)
            .with_set(&v2, 1);
        assert_eq!(step_of(&plan(&seen, NOW)), 1);
    }

    #[test]
    fn a_sick_pod_of_stable_does_not_hold_up_what_may_cure_it() {
        let extra = json!({"strategy": {"maxSurge": 1, "steps": [
            {"setWeight": {"weight": 50}}, {"pause": {"for": "60s"}}]}});
        let (v1, v2) = (revision("1", &extra), revision("2", &extra));
        let mut seen = untouched(spec("2", &extra))
            .with_set(&v1, 2)
            .promoted(&v1, NOW)
            .with_set(&v2, 2)
            .remembering(at_step(&v1, &v2, 0, NOW));
        seen.sets[0].available = 1;
        assert_eq!(step_of(&plan(&seen, NOW)), 1);
    }
}

/// The spec was edited into something that cannot be, in the middle of a change.
fn unsound(mut seen: Observed) -> Observed {
    let asked = seen
        .status
        .progress
        .as_ref()
        .unwrap()
        .asked()
        .unwrap()
        .clone();
    let Wanted::Spec(spec) = &seen.wanted else {
        panic!("a spec is needed")
    };
    let mut spec = spec.as_ref().clone();
    spec.is_sound = false;
    spec.steps.clear();
    let problem = Invalid::new(
        "spec.strategy.steps[0].analyse.metrics",
        "there is no metric latency",
    );
    seen.wanted = Wanted::Invalid(vec![problem], Some(Box::new(spec.holding(asked))));
    seen
}

#[test]
fn an_impossible_spec_holds_what_is_there_and_says_what_to_edit() {
    let seen = unsound(under_way(&ten_then_half(), 1, 1, 10));
    let plan = plan(&seen, later(99_999));
    assert_eq!(plan.actions, []);
    assert_eq!(
        (phase(&plan), plan.why.reason),
        (Phase::Degraded, "InvalidSpec")
    );
    assert!(plan.why.message.starts_with(
        "spec.strategy.steps[0].analyse.metrics: there is no metric latency; meanwhile:"
    ));
    assert_eq!(
        plan.progress.progress.change.unwrap().step,
        1,
        "it goes on there once the spec is mended"
    );
}

#[test]
fn an_impossible_spec_does_not_keep_a_bad_revision_in_traffic() {
    let extra = ten_then_half();
    let seen = unsound(under_way(&extra, 1, 1, 10).crashing(&revision("2", &extra)));
    let plan = plan(&seen, later(5));
    assert_eq!(shifted_to(&plan), Some(0));
    assert_eq!(
        (phase(&plan), plan.why.reason),
        (Phase::RollingBack, "InvalidSpec")
    );
}

#[test]
fn an_impossible_spec_never_becomes_pods() {
    let extra = ten_then_half();
    let mut seen = unsound(under_way(&extra, 1, 1, 10));
    seen.sets.clear();
    seen.pods.clear();
    assert!(
        !plan(&seen, NOW)
            .actions
            .iter()
            .any(|action| matches!(action, Action::Create(_)))
    );
}
