//! What a change goes through: by hand, where the numbers matter.

use serde_json::{Value, json};

use super::super::testing;
use super::*;
use crate::model::weight::Weight;

fn raw(extra: &Value) -> RolloutSpec {
    testing::raw("1", extra)
}

fn rollout(extra: &Value) -> Rollout {
    let mut rollout = Rollout::new("api", raw(extra));
    rollout.metadata.namespace = Some("shop".into());
    rollout
}

fn simulated(extra: &Value) -> Simulation {
    simulate(&rollout(extra), &Templates::new(), RiskLevel::Medium).unwrap()
}

fn routed(strategy: &Value) -> Value {
    json!({
        "strategy": strategy,
        "traffic": {"drain": "10s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
    })
}

/// Every row as `elapsed step event: stable+canary weight`.
fn lines(simulation: &Simulation) -> Vec<String> {
    let line = |row: &Row| {
        let step = row.step.unwrap_or(0);
        format!(
            "{}s {step} {}: {}+{} {}",
            row.elapsed.as_secs(),
            row.event,
            row.stable_pods,
            row.canary_pods,
            row.weight.percent()
        )
    };
    simulation.rows.iter().map(line).collect()
}

#[test]
fn a_canary_goes_step_by_step_and_then_drains() {
    let steps = json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "15m"}}]});
    let simulation = simulated(&routed(&steps));
    assert_eq!(
        lines(&simulation),
        [
            "0s 0 Begins: 4+0 0",
            "0s 1 Moves: 4+1 0",
            "0s 1 Moves: 4+1 25",
            "0s 2 Waits: 4+1 25",
            "900s 0 Moves: 4+2 25",
            "900s 0 Moves: 4+3 25",
            "900s 0 Moves: 4+4 25",
            "900s 0 Moves: 4+4 100",
            "900s 0 Promoted: 4+4 100",
            "900s 0 Waits: 4+4 100",
            "910s 0 Moves: 0+4 100",
            "910s 0 Ends: 0+4 100",
        ]
    );
    assert_eq!((simulation.most_pods, simulation.took.as_secs()), (8, 910));
    assert_eq!(simulation.problem, None);
    assert_eq!(simulation.rows[3].until, Some(Duration::from_mins(15)));
}

#[test]
fn every_level_of_an_auto_comes_to_its_end_with_and_without_a_router() {
    let mut extra = routed(&json!({"type": "Auto"}));
    extra["analysis"] = json!({"interval": "10s", "metrics": [{
        "name": "errors", "pass": "value < 0.01", "minSamples": 3,
        "prometheus": {"address": "http://prom", "query": "errors"},
    }]});
    for traffic in [extra["traffic"].clone(), Value::Null] {
        extra["traffic"] = traffic;
        for level in RiskLevel::ALL {
            let of = simulate(&rollout(&extra), &Templates::new(), *level).unwrap();
            assert_eq!((of.problem, of.risk), (None, Some(*level)));
            let mut rows = of.rows.iter();
            // In the pauses of a canary there is time enough.
            let has_waited = rows.any(|row| row.what == "verdict on errors");
            assert_eq!(has_waited, *level != RiskLevel::Medium, "{level}");
        }
    }
}

#[test]
fn people_are_waited_for_and_say_yes() {
    let steps = json!({"steps": [
        {"approve": {"required": 2, "groups": ["leads"]}}, {"pause": {}}, {"setWeight": {"weight": 50}}]});
    let mut extra = routed(&steps);
    extra["paused"] = true.into();
    let simulation = simulated(&extra);
    let waits = simulation
        .rows
        .iter()
        .filter(|row| row.event == Event::Waits);
    let waits: Vec<(&str, Option<Duration>)> =
        waits.map(|row| (row.what.as_str(), row.until)).collect();
    assert_eq!(
        waits,
        [
            ("held by spec.paused, until somebody sets it to false", None),
            ("approve by 2 of leads: waits for approvals", None),
            ("pause, until a Decision Resume", None),
            (
                "the revision before goes on serving for 10s (drain)",
                Some(Duration::from_secs(10))
            ),
        ]
    );
    assert_eq!(simulation.problem, None);
}

#[test]
fn every_metric_is_good_and_takes_its_time() {
    let mut extra = routed(&json!({"steps": [
        {"setWeight": {"weight": 50}}, {"analyse": {"metrics": ["errors"], "for": "1m"}}]}));
    extra["analysis"] = json!({"interval": "10s", "metrics": [{
        "name": "errors", "pass": "value < 0.01", "minSamples": 20,
        "prometheus": {"address": "http://prom", "query": "errors"},
    }]});
    let simulation = simulated(&extra);
    let analysis = simulation
        .rows
        .iter()
        .find(|row| row.event == Event::Waits)
        .unwrap();
    assert_eq!(analysis.what, "analyse errors ≥ 1m");
    assert_eq!(analysis.until, Some(Duration::from_secs(200)), "20 samples");
    // A metric that can never be judged in time is found out before anybody waits for it.
    extra["analysis"]["interval"] = "1h".into();
    let never = simulated(&extra);
    let problem = never.problem.unwrap();
    assert!(problem.contains("NoVerdict"), "{problem}");
    assert_ne!(never.rows.last().unwrap().event, Event::Ends);
}

#[test]
fn rolling_takes_min_ready_seconds_for_every_batch() {
    let mut extra = routed(&json!({"type": "Rolling", "maxSurge": 1}));
    extra["minReadySeconds"] = 5.into();
    let simulation = simulated(&extra);
    assert_eq!(simulation.most_pods, 5);
    assert_eq!(simulation.problem, None);
    let last = simulation
        .rows
        .iter()
        .rfind(|row| row.event == Event::Promoted)
        .unwrap();
    assert_eq!(last.elapsed.as_secs(), 20, "{:?}", lines(&simulation));
}

/// A share in whole percent is not always one of whole pods.
#[test]
fn pods_that_go_with_the_weight_do_so_for_any_number_of_replicas() {
    for strategy in [
        json!({"type": "Rolling", "maxSurge": 1}),
        json!({"stableScale": "WithWeight", "maxSurge": 1, "steps": [{"setWeight": {"weight": 34}}]}),
    ] {
        for replicas in (1..=40).chain([97, 150]) {
            let mut extra = routed(&strategy);
            extra["replicas"] = replicas.into();
            let simulation = simulated(&extra);
            assert_eq!(
                simulation.problem,
                None,
                "{replicas}: {:?}",
                lines(&simulation)
            );
            assert!(
                simulation.most_pods <= replicas + 1,
                "{replicas}: {:?}",
                lines(&simulation)
            );
        }
    }
}

#[test]
fn blue_green_has_all_pods_before_any_traffic_and_keeps_the_old_ones() {
    let extra = routed(
        &json!({"type": "BlueGreen", "keepOldFor": "10m", "blueGreen": {"previewReplicas": 1}}),
    );
    let simulation = simulated(&extra);
    let first = simulation
        .rows
        .iter()
        .find(|row| row.weight > Weight::ZERO)
        .unwrap();
    assert_eq!((first.canary_pods, first.weight), (4, Weight::FULL));
    assert_eq!(simulation.took.as_secs(), 600);
}

#[test]
fn without_a_router_the_numbers_of_pods_are_the_split() {
    let extra = json!({"replicas": 10, "strategy": {"maxSurge": 2, "steps": [
        {"setWeight": {"weight": 10}}, {"pause": {"for": "15m"}}]}});
    let simulation = simulated(&extra);
    let pause = simulation
        .rows
        .iter()
        .find(|row| row.event == Event::Waits)
        .unwrap();
    assert_eq!(
        (pause.stable_pods, pause.canary_pods, pause.weight.percent()),
        (9, 1, 10)
    );
    assert!(simulation.most_pods <= 12);
    let last = simulation.rows.last().unwrap();
    assert_eq!(
        (last.event, last.stable_pods, last.canary_pods),
        (Event::Ends, 0, 10)
    );
}

#[test]
fn hooks_pass_at_once() {
    let steps = json!({"steps": [
        {"scale": {"canary": 1}}, {"run": {"name": "smoke", "job": {"image": "smoke:1"}}}, {"setWeight": {"weight": 50}}]});
    let simulation = simulated(&routed(&steps));
    let hook = simulation
        .rows
        .iter()
        .find(|row| row.step == Some(2))
        .unwrap();
    assert_eq!(
        (hook.what.as_str(), hook.until),
        ("run smoke", Some(Duration::ZERO))
    );
    assert!(simulation.has_hooks && simulation.problem.is_none());
}

#[test]
fn every_step_has_a_row() {
    let steps = json!({"steps": [
        {"setWeight": {"weight": 0}}, {"scale": {"canary": 1}}, {"scale": {"canary": 1}}, {"setWeight": {"weight": 100}}]});
    let simulation = simulated(&routed(&steps));
    let steps: Vec<u32> = simulation.rows.iter().filter_map(|row| row.step).collect();
    assert!(
        [1, 2, 3, 4].iter().all(|step| steps.contains(step)),
        "{steps:?}"
    );
    let idle = simulation
        .rows
        .iter()
        .find(|row| row.step == Some(1))
        .unwrap();
    assert_eq!(idle.what, "setWeight 0: nothing to do");
}

#[test]
fn nothing_runs_and_that_is_an_end_too() {
    for extra in [json!({"replicas": 0}), routed(&json!({}))] {
        let mut extra = extra;
        extra["replicas"] = 0.into();
        let simulation = simulated(&extra);
        assert_eq!(simulation.problem, None, "{:?}", lines(&simulation));
    }
}

#[test]
fn images_of_a_release_need_no_release() {
    let extra = json!({
        "template": {"spec": {"containers": [{"name": "web"}, {"name": "side", "image": "side:1",
            "lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}]}},
        "release": {"environment": {"name": "staging"}, "images": {"web": "greeter"}},
    });
    let simulation = simulated(&extra);
    assert_eq!(simulation.release_images["web"], "greeter");
    let injected = simulation.injected.unwrap();
    assert_eq!(injected.containers, ["web"]);
    let Injected {
        pre_stop_sleep_seconds: sleep,
        termination_grace_period_seconds: grace,
        ..
    } = injected;
    assert_eq!((sleep, grace), (30, 60));
    let off = json!({"gracefulShutdown": "Off"});
    assert_eq!(simulated(&off).injected, None);
}

#[test]
fn what_cannot_be_is_told_in_full() {
    let extra = json!({
        "template": {"metadata": {"labels": {"app": "other"}}},
        "strategy": {"type": "BlueGreen", "keepOldFor": "1m"},
    });
    let problems = simulate(&rollout(&extra), &Templates::new(), RiskLevel::Medium).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
}

/// The scene shows what the planner shows: whatever the steps are, the change ends, and stays within its bounds.
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0..=100i32).prop_map(|weight| json!({"setWeight": {"weight": weight}})),
            (1..100u32).prop_map(|time| json!({"pause": {"for": format!("{time}s")}})),
            Just(json!({"pause": {}})),
            Just(json!({"approve": {}})),
            Just(json!({"run": {"name": "smoke", "job": {"image": "smoke:1"}}})),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_change_ends(
            replicas in 0..12i32,
            surge in 1..5i32,
            min_ready in 0..20i32,
            steps in proptest::collection::vec(step(), 0..6),
            shape in 0..4usize,
        ) {
            let strategy = match shape {
                0 | 1 => json!({"maxSurge": surge, "steps": steps}),
                2 => json!({"maxSurge": surge, "stableScale": "WithWeight", "steps": steps}),
                _ => json!({"type": "Rolling", "maxSurge": surge}),
            };
            let mut extra = routed(&strategy);
            if shape == 0 {
                extra["traffic"] = Value::Null;
            }
            extra["replicas"] = replicas.into();
            extra["minReadySeconds"] = min_ready.into();
            let simulation = simulated(&extra);
            prop_assert_eq!(&simulation.problem, &None, "{:?}", lines(&simulation));
            // Nothing of a canary goes before its change is over, so a weight that goes down again takes more.
            let weights: Vec<i64> = steps.iter().filter_map(|step| step.pointer("/setWeight/weight")?.as_i64()).collect();
            let most = if shape == 1 || !weights.is_sorted() { 2 * replicas } else { replicas + surge };
            prop_assert!(simulation.most_pods <= most.max(replicas + surge), "{:?}", lines(&simulation));
            let last = simulation.rows.last().unwrap();
            prop_assert_eq!((last.stable_pods, last.canary_pods), (0, replicas));
        }
    }
}

fn with(extra: &Value, events: &[&str]) -> Simulation {
    let events: Vec<Happening> = events.iter().map(|text| text.parse().unwrap()).collect();
    let templates = Templates::new();
    simulate_with(&rollout(extra), &templates, RiskLevel::Medium, &events).unwrap()
}

fn events_of(simulation: &Simulation) -> Vec<Event> {
    simulation.rows.iter().map(|row| row.event).collect()
}

#[test]
fn pods_that_crash_take_the_change_back() {
    let steps = json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "15m"}}]});
    let simulation = with(&routed(&steps), &["5m=crash"]);
    let why = simulation.given_up.as_ref().unwrap();
    assert!(why.starts_with("CrashLoop: "), "{why}");
    let events = events_of(&simulation);
    let at = |event| events.iter().position(|one| *one == event).unwrap();
    assert!(at(Event::Happens) < at(Event::GivenUp), "{events:?}");
    assert!(!events.contains(&Event::Ends), "{events:?}");
    let last = simulation.rows.last().unwrap();
    assert_eq!(
        (last.weight, last.canary_pods, last.stable_pods),
        (Weight::ZERO, 0, 4)
    );
    assert_eq!(simulation.problem, None);
}

#[test]
fn bad_samples_take_it_back_and_those_of_another_metric_do_not() {
    let extra = json!({
        "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"analyse": {"metrics": ["rate"], "for": "5m"}}]},
        "analysis": {"interval": "30s", "metrics": [{
            "name": "rate", "pass": "value >= 0.99",
            "prometheus": {"address": "http://prometheus:9090", "query": "up"}}]},
        "traffic": {"gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
    });
    let bad = with(&extra, &["1m=bad:rate"]);
    let why = bad.given_up.as_ref().unwrap();
    assert!(why.starts_with("AnalysisFailed: "), "{why}");
    let good = with(&extra, &["1m=bad:other"]);
    assert_eq!(
        (good.given_up, good.rows.last().unwrap().weight),
        (None, Weight::FULL)
    );
}

#[test]
fn a_pause_holds_the_change_until_somebody_resumes_it() {
    let steps = json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "1m"}}]});
    let calm = with(&routed(&steps), &[]);
    let held = with(&routed(&steps), &["30s=pause", "10m=resume"]);
    assert_eq!((&held.given_up, &held.problem), (&None, &None));
    assert!(held.took >= Duration::from_mins(10), "{:?}", held.took);
    assert!(calm.took < Duration::from_mins(2), "{:?}", calm.took);
    assert_eq!(held.rows.last().unwrap().event, Event::Ends);
}
