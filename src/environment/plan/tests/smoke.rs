//! Stories of checks: those that came to no verdict, and those that the operator makes itself.

use serde_json::json;

use super::running;
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;
use crate::promotion::api::StepStatus;

fn smoke_step(world: &World, number: usize) -> StepStatus {
    let promotion = &world.promotions_of("staging")[number];
    let steps = promotion.status.clone().unwrap().steps;
    let mut steps = steps.into_iter();
    steps
        .find(|step| step.name.starts_with("smoke-"))
        .expect("a smoke test")
}

/// Staging is looked at from outside.
fn asking(what: &serde_json::Value) -> World {
    let mut world = World::shop();
    let mut test = json!({"name": "front"});
    json_patch::merge(&mut test, what);
    world.edit("staging", &json!({"smokeTests": [test]}));
    world
}

fn front() -> World {
    asking(
        &json!({"http": {"requests": [{"name": "page", "url": "http://shop/", "contains": "ok"}]}}),
    )
}

#[test]
fn a_check_whose_pod_is_evicted_is_made_again() {
    let mut world = running(1);
    world.release(2, Nature::LosesSmoke);
    world.settle();
    assert_eq!(world.told("staging")[1..], ["Promote shop-2 Succeeded"]);
    let step = smoke_step(&world, 1);
    assert_eq!(step.attempt, Some(3));
    assert!(step.job.unwrap().ends_with("-3"));
    let jobs = world.names(ObjectKind::Job);
    assert_eq!(jobs.len(), 5, "one for each attempt: {jobs:?}");
}

#[test]
fn a_check_that_is_lost_too_often_fails() {
    let mut world = running(1);
    world.edit("staging", &json!({"promotion": {"retries": {"limit": 1}}}));
    world.release(2, Nature::LosesSmoke);
    world.settle();
    assert_eq!(
        world.told("staging")[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    let message = smoke_step(&world, 1).message.unwrap();
    assert_eq!(
        message,
        "smoke test paths failed: Evicted: the node was low on memory"
    );
}

#[test]
fn a_verdict_is_never_tried_again() {
    let mut world = running(1);
    world.release(2, Nature::FailsSmoke);
    world.settle();
    assert_eq!(smoke_step(&world, 1).attempt, None);
    assert_eq!(world.serves("staging-api"), Some(1));
}

#[test]
fn a_request_is_made_until_it_is_answered_well() {
    let mut world = front();
    world.unanswered = 2;
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.asked, 3);
    let step = smoke_step(&world, 0);
    assert_eq!((step.attempt, step.retry_at), (Some(3), None));
    assert_eq!(step.job, None);
}

#[test]
fn a_request_that_is_answered_badly_fails_after_its_attempts() {
    let mut world = front();
    world.release(1, Nature::Good);
    world.settle();
    let asked = world.asked;
    world.release(2, Nature::FailsSmoke);
    world.settle();
    assert_eq!(
        world.told("staging"),
        [
            "Promote shop-1 Succeeded",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Succeeded"
        ]
    );
    assert_eq!(
        world.asked - asked,
        6,
        "five times, and once after it went back"
    );
    let message = smoke_step(&world, 1).message.unwrap();
    assert_eq!(
        message,
        "smoke test front failed: page: answered with 503 instead of 200; that was attempt 5"
    );
}

#[test]
fn a_check_ends_at_its_time_whatever_attempts_are_left() {
    let mut world = asking(&json!({
        "tcp": {"host": "db", "port": 5432}, "timeout": "25s", "attempts": {"count": 20, "interval": "10s"},
    }));
    world.unanswered = 100;
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Failed"]);
    let message = smoke_step(&world, 0).message.unwrap();
    assert!(message.ends_with("it did not pass within 25s"), "{message}");
    assert_eq!(100 - world.unanswered, 3);
}

#[test]
fn a_restart_in_the_middle_asks_again_and_counts_on() {
    let mut world = front();
    world.unanswered = 2;
    world.release(1, Nature::Good);
    for _ in 0..30 {
        world.settle_once();
        world.restart();
        world.tick(3);
    }
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    assert_eq!(smoke_step(&world, 0).attempt, Some(3));
}

/// Staging has a load test of half an hour, which may not become slower by more than a tenth.
fn loaded() -> World {
    asking(&json!({
        "job": {"image": "k6:1", "command": ["k6", "run", "load.js"]}, "timeout": "30m",
        "reports": {"k6": ["k6.json"]},
        "gates": [{"name": "p95", "latency": {"maxRegressionPercent": 10}}],
    }))
}

#[test]
fn a_load_test_is_compared_with_that_of_the_last_good_release() {
    let mut world = loaded();
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    let step = smoke_step(&world, 0);
    assert_eq!(step.latency[0].p95, Some(100.0));
    assert_eq!(step.gates[0].result.as_str(), "Passed");
    world.p95 = 105.0;
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(2));
    world.p95 = 130.0;
    world.release(3, Nature::Good);
    world.settle_once();
    let gate = loop {
        world.settle_once();
        let step = world.promotions_of("staging")[2].status.clone();
        let steps = step.unwrap_or_default().steps;
        if let Some(gate) = steps.iter().find_map(|step| step.gates.first()) {
            break gate.clone();
        }
    };
    world.p95 = 105.0;
    world.settle();
    assert_eq!(gate.result.as_str(), "Failed");
    let told = "p95 is 130.0 ms and was 105.0 ms, accepted: 10 % slower";
    assert!(gate.message.unwrap().contains(told));
    assert_eq!(
        world.told("staging")[2..],
        ["Promote shop-3 RolledBack", "Rollback shop-2 Succeeded"]
    );
    let message = smoke_step(&world, 2).message.unwrap();
    assert!(
        message.starts_with("smoke test front failed: gate p95: load: p95 is 130.0 ms"),
        "{message}"
    );
}

#[test]
fn a_job_whose_reports_are_read_brings_the_runner() {
    let mut world = loaded();
    world.release(1, Nature::Good);
    world.settle();
    let name = world.names(ObjectKind::Job).remove(0);
    let job = world.object(ObjectKind::Job, &name);
    insta::assert_json_snapshot!(job["spec"]);
}
