//! Stories of the way of a Release: which comes next, from where, after which Rollout, and for how long.

use serde_json::{Value, json};

use super::{approve, running};
use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;

fn steps(world: &World, environment: &str) -> Vec<String> {
    let last = world.promotions_of(environment).pop().unwrap();
    let steps = last.status.unwrap_or_default().steps.into_iter();
    steps
        .map(|step| format!("{} {}", step.name, step.state))
        .collect()
}

#[test]
fn in_order_each_release_has_its_turn() {
    let mut world = running(1);
    world.edit("production", &json!({"promotion": {"order": "InOrder"}}));
    for number in 2..=4 {
        world.release(number, Nature::Good);
        world.settle();
    }
    assert_eq!(
        world.told("production")[1..],
        ["Promote shop-2 AwaitingApproval"],
        "it does not give way, though shop-4 runs in staging"
    );
    for number in 2..=4 {
        approve(&mut world, "alice", number);
        assert_eq!(world.serves("production-api"), Some(number));
    }
    assert_eq!(
        world.told("production"),
        [1, 2, 3, 4].map(|number| format!("Promote shop-{number} Succeeded"))
    );
}

#[test]
fn in_order_begins_with_the_newest_where_nothing_runs() {
    let mut world = World::shop();
    world.edit("staging", &json!({"promotion": {"order": "InOrder"}}));
    for number in 1..=3 {
        world.release(number, Nature::Good);
    }
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-3 Succeeded"]);
}

#[test]
fn in_order_what_failed_is_passed_over() {
    let mut world = running(1);
    world.edit("staging", &json!({"promotion": {"order": "InOrder"}}));
    for nature in [Nature::Breaks, Nature::Good] {
        let number = u32::try_from(world.names(ObjectKind::Release).len() + 1).unwrap();
        world.release(number, nature);
    }
    world.settle();
    assert_eq!(
        world.told("staging")[1..],
        [
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Succeeded",
            "Promote shop-3 Succeeded"
        ]
    );
}

#[test]
fn what_has_waited_for_too_long_keeps_its_place() {
    let mut world = running(1);
    world.edit("production", &json!({"promotion": {"maxHold": "2h"}}));
    for number in 2..=4 {
        world.release(number, Nature::Good);
        world.settle();
        world.tick(3000);
    }
    assert_eq!(
        world.told("production")[1..],
        [
            "Promote shop-2 Superseded",
            "Promote shop-3 Superseded",
            "Promote shop-4 AwaitingApproval"
        ],
        "within two hours the newest counts"
    );
    world.release(5, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("production").last().unwrap(),
        "Promote shop-4 AwaitingApproval"
    );
    approve(&mut world, "alice", 4);
    assert_eq!(world.serves("production-api"), Some(4));
    assert_eq!(
        world.told("production").last().unwrap(),
        "Promote shop-5 AwaitingApproval",
        "and then the newest again"
    );
}

#[test]
fn what_keeps_its_place_gives_way_once_it_may_not_come_any_more() {
    let mut world = running(1);
    world.edit("production", &json!({"promotion": {"order": "InOrder"}}));
    for number in 2..=3 {
        world.release(number, Nature::Good);
        world.settle();
    }
    world.decide("bob", "Hold", "staging", &json!({"release": "shop-2"}));
    world.settle();
    assert_eq!(
        world.told("production")[1..],
        [
            "Promote shop-2 Superseded",
            "Promote shop-3 AwaitingApproval"
        ]
    );
}

/// Two Environments before production.
fn from_two(availability: Option<&str>) -> World {
    let mut world = World::shop();
    let smoke = json!([{"name": "paths", "job": {"image": "smoke:1"}}]);
    world.environment(
        "canary",
        &json!({"tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}, "mode": "Manual"},
                "rollouts": [{"name": "canary-api"}], "smokeTests": smoke}),
    );
    world.rollout("canary-api", "canary");
    let from = json!({"environments": ["staging", "canary"], "availability": availability});
    world.edit("production", &json!({"promotion": {"from": from}}));
    world.release(1, Nature::Good);
    world.settle();
    world
}

#[test]
fn a_release_has_to_be_good_in_all_environments_before_or_in_any() {
    let mut world = from_two(None);
    assert_eq!(world.told("production"), [] as [&str; 0], "not in canary");
    world.decide("bob", "Promote", "canary", &json!({"release": "shop-1"}));
    world.settle();
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 AwaitingApproval"]
    );
    let mut world = from_two(Some("Any"));
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 AwaitingApproval"]
    );
    world.decide("bob", "Hold", "staging", &json!({"release": "shop-1"}));
    world.settle();
    let message = world.message("production");
    let told = "shop-1 does not run in staging or canary any more";
    assert!(message.contains(told), "{message}");
}

/// Production runs shop-2, and staging goes back from it.
fn revoked(causes: &Value, is_running: bool) -> World {
    let mut world = running(1);
    world.edit("production", &json!({"rollback": {"on": causes}}));
    world.release(2, Nature::Good);
    world.settle();
    if is_running {
        approve(&mut world, "alice", 2);
        assert_eq!(world.serves("production-api"), Some(2));
    }
    world.decide("bob", "Rollback", "staging", &json!({}));
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(1));
    world
}

#[test]
fn what_is_left_before_does_not_come_any_more() {
    let mut world = revoked(&json!(["RolloutFailed"]), false);
    approve(&mut world, "alice", 2);
    let message = world.message("production");
    let told = "shop-2 does not run in staging any more";
    assert!(message.contains(told), "{message}");
    assert_eq!(world.serves("production-api"), Some(1));
}

#[test]
fn what_is_left_before_is_taken_back_where_that_is_wanted() {
    let world = revoked(&json!(["RolloutFailed"]), true);
    assert_eq!(world.serves("production-api"), Some(2), "nobody asked");
    let mut world = revoked(&json!(["RolloutFailed", "GateRevoked"]), true);
    assert_eq!(
        world.told("production")[1..],
        ["Promote shop-2 Succeeded", "Rollback shop-1 Succeeded"]
    );
    assert_eq!(world.serves("production-api"), Some(1));
    let back = world.promotions_of("production").pop().unwrap();
    let reason = back.spec.reason.unwrap();
    assert!(
        reason.starts_with("GateRevoked: shop-2 is held in staging: left by Promotion"),
        "{reason}"
    );
    let writes = world.writes;
    world.settle();
    assert_eq!(world.writes, writes, "once");
}

#[test]
fn what_was_left_before_long_after_stays() {
    let mut world = running(1);
    let rule = json!({"rollback": {"on": ["GateRevoked"], "within": "1h"}});
    world.edit("production", &rule);
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    world.tick(7200);
    world.decide("bob", "Rollback", "staging", &json!({}));
    world.settle();
    assert_eq!(world.serves("production-api"), Some(2));
}

#[test]
fn a_promotion_that_takes_too_long_fails_as_what_it_was_at() {
    let mut world = running(1);
    world.edit("staging", &json!({"promotion": {"timeout": "10m"}}));
    world.are_tests_slow = true;
    world.edit(
        "staging",
        &json!({"smokeTests": [{"name": "paths", "timeout": "1h", "job": {"image": "smoke:1"}}]}),
    );
    world.release(2, Nature::Good);
    world.settle();
    let failed = &world.promotions_of("staging")[1];
    let status = failed.status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some("SmokeFailed"));
    let message = status.message.unwrap();
    assert!(
        message.starts_with("it took longer than 10m (spec.promotion.timeout): smoke test paths"),
        "{message}"
    );
    assert_eq!(world.serves("staging-api"), Some(1));
    let back = world.promotions_of("staging").pop().unwrap();
    let phase = back.status.unwrap().phase.unwrap();
    assert_eq!(phase.as_str(), "Verifying", "going back is not given up");
}

#[test]
fn an_environment_that_is_made_again_goes_on_from_its_records() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.set_nature(2, Nature::FailsSmoke);
    approve(&mut world, "alice", 2);
    let told = world.told("production");
    assert_eq!(
        told[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    let (runs, holds) = (
        world.runs("production"),
        world.status("production").holds.len(),
    );
    assert_eq!(holds, 1);
    let spec = world.object(ObjectKind::Environment, "production")["spec"].clone();
    world.delete(ObjectKind::Environment, "production");
    world.settle();
    assert_eq!(world.serves("production-api"), Some(1), "it goes on");
    world.tick(3600);
    world.environment("production", &spec);
    world.settle();
    assert_eq!(world.told("production"), told, "nothing is promoted again");
    assert_eq!(world.runs("production"), runs);
    assert_eq!(world.status("production").holds.len(), holds);
    world.decide("bob", "Retry", "production", &json!({}));
    approve(&mut world, "alice", 2);
    let again = &world.promotions_of("production")[3];
    assert_eq!(again.spec.release, "shop-2");
    assert_eq!((again.spec.number, again.spec.attempt), (Some(4), 2));
}

/// `web` comes after `api`.
fn chained() -> World {
    let mut world = World::shop();
    let rollouts = json!([
        {"name": "staging-web", "dependsOn": ["staging-api"]}, {"name": "staging-api"},
    ]);
    world.edit("staging", &json!({"rollouts": rollouts}));
    world.rollout("staging-web", "staging");
    world
}

#[test]
fn a_rollout_follows_once_what_it_depends_on_is_healthy() {
    let mut world = chained();
    world.release(1, Nature::Good);
    let mut seen = Vec::new();
    for _ in 0..12 {
        world.settle_once();
        let now = (world.serves("staging-api"), world.serves("staging-web"));
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    world.settle();
    assert_eq!(
        seen,
        [(None, None), (Some(1), None), (Some(1), Some(1))],
        "one after the other"
    );
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.status("staging").desired[0].waiting, [] as [&str; 0]);
}

#[test]
fn a_rollout_that_comes_later_is_not_touched_when_the_first_fails() {
    let mut world = chained();
    world.release(1, Nature::Good);
    world.settle();
    world.release(2, Nature::Breaks);
    for _ in 0..40 {
        world.settle_once();
        assert_eq!(world.serves("staging-web"), Some(1));
    }
    world.settle();
    assert_eq!(
        world.told("staging")[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    let failed = &world.promotions_of("staging")[1];
    let steps = failed.status.clone().unwrap().steps;
    let web = steps.iter().find(|step| step.name == "rollout-staging-web");
    assert_eq!(web.map(|step| step.state.as_str()), Some("Skipped"));
    assert_eq!(world.serves("staging-web"), Some(1));
    assert_eq!(
        steps_of_last(&world),
        [
            "rollout-staging-web Succeeded",
            "rollout-staging-api Succeeded",
            "smoke-paths Succeeded"
        ]
    );
}

fn steps_of_last(world: &World) -> Vec<String> {
    steps(world, "staging")
}

#[test]
fn rollouts_that_wait_for_each_other_are_named() {
    let mut world = chained();
    let ring = json!([
        {"name": "staging-web", "dependsOn": ["staging-api"]},
        {"name": "staging-api", "dependsOn": ["staging-web"]},
    ]);
    world.edit("staging", &json!({"rollouts": ring}));
    world.release(1, Nature::Good);
    world.settle();
    world.tick(600);
    world.settle();
    let message = world.message("staging");
    assert!(
        message.contains("staging-web and staging-api wait for each other"),
        "{message}"
    );
    assert_eq!(world.condition("staging", "Stalled"), Some(true));
    assert_eq!(world.serves("staging-api"), None);
    let status = world.status("staging");
    assert_eq!(status.phase, Some(EnvironmentPhase::Promoting));
}

#[test]
fn what_people_decided_is_on_record_once_it_was_taken_in() {
    let mut world = running(1);
    let mut hold = || world.decide("bob", "Hold", "production", &json!({}));
    let names: Vec<String> = (0..9).map(|_| hold()).collect();
    let known = |world: &World| -> Vec<String> {
        let decided = world.status("production").decided.into_iter();
        decided.map(|taken| taken.name).collect()
    };
    assert!(
        !known(&world).contains(&names[8]),
        "it was not looked at yet"
    );
    world.settle();
    assert_eq!(known(&world), names[1..], "the last of them");
    assert_eq!(world.status("staging").decided, []);
}
