//! SLOs: what is asked, what is shown, and what goes back for it.

use serde_json::{Value, json};

use crate::environment::api::{RulesKind, Severity, SloState, SloStatus};
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;

/// Staging with a Release that is good.
fn staging() -> World {
    let mut world = World::shop_with_slos();
    world.release(1, Nature::Good);
    world.settle();
    world
}

fn slo(world: &World) -> SloStatus {
    world.status("staging").slos.remove(0)
}

fn told(world: &World) -> Vec<String> {
    world.told("staging")
}

#[test]
fn an_slo_is_measured_and_shown() {
    let world = staging();
    let slo = slo(&world);
    assert_eq!((slo.state, slo.burn), (SloState::Met, None));
    assert_eq!(slo.remaining_budget.as_deref(), Some("1"));
    assert_eq!(slo.coverage.as_deref(), Some("0.0001"));
    let windows: Vec<&str> = slo
        .burn_rates
        .iter()
        .map(|burn| burn.window.as_str())
        .collect();
    assert_eq!(windows, ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]);
    assert!(slo.burn_rates.iter().all(|burn| burn.rate == "0"));
}

#[test]
fn whether_alerts_would_be_heard_is_a_condition() {
    let mut world = staging();
    assert_eq!(world.condition("staging", "AlertsReady"), Some(true));
    // A new process does not know better until it has asked.
    world.restart();
    world.has_prometheus = false;
    world.settle();
    assert_eq!(world.condition("staging", "AlertsReady"), Some(false));
    world.edit("staging", &json!({"slos": null, "metrics": null}));
    world.settle();
    assert_eq!(world.condition("staging", "AlertsReady"), None);
}

#[test]
fn without_slos_nothing_is_asked_and_nothing_written() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.reconcile("staging"), None, "nothing to wait for");
    assert!(world.names(ObjectKind::ConfigMap).is_empty());
}

#[test]
fn a_release_that_burns_the_budget_after_its_promotion_is_left_once_and_held() {
    let mut world = staging();
    let sink = json!([{"name": "team", "webhook": {"url": "http://hooks.example/x"}, "on": ["RolledBack"]}]);
    world.edit("staging", &json!({"notifications": sink}));
    world.release(2, Nature::Burns);
    world.settle();
    let expected = [
        "Promote shop-1 Succeeded",
        "Promote shop-2 Succeeded",
        "Rollback shop-1 Succeeded",
    ];
    assert_eq!(told(&world), expected);
    assert_eq!(world.serves("staging-api"), Some(1));
    let record = world.promotions_of("staging").remove(2);
    let reason = record.spec.reason.unwrap();
    assert!(
        reason.starts_with("SLOBurn: SLO api burns 100 times as fast"),
        "{reason}"
    );
    assert!(
        reason.contains(", since Promotion staging-020202020202-1"),
        "{reason}"
    );
    let audit = record.status.unwrap().audit.remove(0).event;
    assert!(audit.contains("SLOBurn"), "{audit}");
    let hold = world.status("staging").holds.remove(0);
    assert_eq!(
        (hold.release.as_deref(), hold.by.as_str()),
        (Some("shop-2"), "slipway")
    );
    assert!(hold.reason.contains("SLOBurn"), "{}", hold.reason);
    assert_eq!(world.condition("staging", "LastPromotion"), Some(false));
    assert_eq!(world.sent.len(), 1, "one message");
    let message: Value = serde_json::from_str(world.sent[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(message["event"], "RolledBack");
    assert!(message["reason"].as_str().unwrap().starts_with("SLOBurn"));

    // What is left does not burn any more, and nothing else happens.
    assert_eq!(slo(&world).state, SloState::Met);
    world.tick(3600);
    world.settle();
    assert_eq!(told(&world), expected);
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(3));
}

#[test]
fn a_burn_during_a_promotion_ends_it() {
    let mut world = staging();
    world.are_tests_slow = true;
    world.release(2, Nature::Burns);
    for _ in 0..8 {
        world.settle_once();
    }
    assert_eq!(told(&world)[1], "Promote shop-2 Verifying");
    world.tick(31);
    world.settle_once();
    assert_eq!(told(&world)[1], "Promote shop-2 RolledBack");
    let status = world.promotions_of("staging").remove(1).status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("SLOBurn"));
    let message = status.message.unwrap();
    assert!(
        message.contains("burns 100 times") && message.ends_with("going back to shop-1"),
        "{message}"
    );
    world.are_tests_slow = false;
    world.settle();
    assert_eq!(told(&world)[2], "Rollback shop-1 Succeeded");
}

#[test]
fn a_burn_that_was_there_before_goes_back_for_nothing() {
    let mut world = staging();
    world.has_outage = true;
    world.settle();
    world.tick(120);
    world.settle();
    let before = slo(&world);
    assert_eq!(before.state, SloState::Burning);
    assert_eq!(before.remaining_budget.as_deref(), Some("0.9"));
    let burn = before.burn.unwrap();
    assert_eq!(burn.severity, Severity::Page);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(600);
    world.settle();
    assert_eq!(
        told(&world),
        ["Promote shop-1 Succeeded", "Promote shop-2 Succeeded"]
    );
    assert_eq!(slo(&world).burn, Some(burn), "dated as before");
}

#[test]
fn without_prometheus_nothing_is_known_and_nothing_happens() {
    let mut world = staging();
    world.release(2, Nature::Burns);
    world.has_prometheus = false;
    world.settle();
    world.tick(60);
    world.settle();
    assert_eq!(told(&world)[1..], ["Promote shop-2 Succeeded"]);
    let slo = slo(&world);
    assert_eq!(
        (slo.state, slo.burn, slo.remaining_budget),
        (SloState::NoData, None, None)
    );
    let message = slo.message.unwrap();
    assert!(
        message.contains("http://prometheus:9090: connection refused"),
        "{message}"
    );

    // Within the time it is, as soon as it is known.
    world.has_prometheus = true;
    world.tick(60);
    world.settle();
    assert_eq!(told(&world)[2..], ["Rollback shop-1 Succeeded"]);
}

#[test]
fn what_burns_too_late_is_left_to_people() {
    let mut world = staging();
    world.release(2, Nature::Good);
    world.settle();
    world.tick(1800);
    world.set_nature(2, Nature::Burns);
    world.settle();
    assert_eq!(told(&world)[1..], ["Promote shop-2 Succeeded"]);
    assert_eq!(slo(&world).state, SloState::Burning);
}

#[test]
fn a_cause_that_is_not_listed_takes_nothing_back() {
    let mut world = staging();
    world.edit("staging", &json!({"rollback": {"on": ["SmokeFailed"]}}));
    world.release(2, Nature::Burns);
    world.settle();
    world.tick(60);
    world.settle();
    assert_eq!(told(&world)[1..], ["Promote shop-2 Succeeded"]);
    assert_eq!(slo(&world).state, SloState::Burning);
}

#[test]
fn a_way_back_that_burns_as_well_is_not_taken_back() {
    let mut world = staging();
    world.set_nature(1, Nature::Good);
    world.release(2, Nature::Burns);
    world.settle();
    world.set_nature(1, Nature::Burns);
    world.tick(60);
    world.settle();
    world.tick(60);
    world.settle();
    let expected = ["Promote shop-2 Succeeded", "Rollback shop-1 Succeeded"];
    assert_eq!(told(&world)[1..], expected);
    assert_eq!(slo(&world).state, SloState::Burning);
}

#[test]
fn without_an_earlier_release_it_stays_and_says_so() {
    let mut world = World::shop_with_slos();
    world.release(1, Nature::Burns);
    world.settle();
    world.tick(60);
    world.settle();
    assert_eq!(told(&world), ["Promote shop-1 Succeeded"]);
    let message = world.message("staging");
    assert!(
        message.contains("no earlier good Release to go back to"),
        "{message}"
    );
}

#[test]
fn what_waits_gives_way_to_the_way_back() {
    let mut world = staging();
    world.decide(
        "bob",
        "Approve",
        "production",
        &json!({"release": "shop-1"}),
    );
    world.release(2, Nature::Good);
    world.settle();
    super::approve(&mut world, "bob", 2);
    world.release(3, Nature::Good);
    for _ in 0..12 {
        world.settle_once();
    }
    assert_eq!(
        world.told("production")[2],
        "Promote shop-3 AwaitingApproval"
    );
    world.set_nature(2, Nature::Burns);
    world.tick(31);
    world.settle();
    let expected = [
        "Promote shop-1 Succeeded",
        "Promote shop-2 Succeeded",
        "Promote shop-3 Superseded",
        "Rollback shop-1 Succeeded",
    ];
    assert_eq!(world.told("production")[..4], expected);
}

#[test]
fn an_operator_that_is_new_asks_again_and_shows_what_was_known_meanwhile() {
    let mut world = staging();
    let before = slo(&world);
    world.restart();
    world.has_prometheus = true;
    world.settle_once();
    assert_eq!(slo(&world), before);
}

#[test]
fn the_rules_are_kept_and_go_with_the_slos() {
    let mut world = staging();
    let rules = world.object(ObjectKind::ConfigMap, "staging-slos");
    let text = rules["data"]["slos.rules.yaml"].as_str().unwrap();
    assert!(text.contains("slipway:sli_error:ratio_rate5m"), "{text}");
    let shown = world.status("staging").rules.unwrap();
    assert_eq!(
        (shown.kind, shown.name.as_str()),
        (RulesKind::ConfigMap, "staging-slos")
    );

    world.delete(ObjectKind::ConfigMap, "staging-slos");
    world.settle();
    assert_eq!(
        world.object(ObjectKind::ConfigMap, "staging-slos")["data"],
        rules["data"]
    );

    world.edit("staging", &json!({"slos": null, "metrics": null}));
    world.settle();
    assert_eq!(world.names(ObjectKind::ConfigMap), ["production-slos"]);
    assert_eq!(world.status("staging").rules, None);
    assert!(world.status("staging").slos.is_empty());
}

/// Two promotions close together, of which nothing is known before both are over.
fn two_in_the_dark(first: Nature, second: Nature) -> World {
    let mut world = staging();
    world.has_prometheus = false;
    world.release(2, first);
    world.settle();
    world.tick(120);
    world.release(3, second);
    world.settle();
    let expected = ["Promote shop-2 Succeeded", "Promote shop-3 Succeeded"];
    assert_eq!(told(&world)[1..], expected);
    world.has_prometheus = true;
    world.tick(60);
    world.settle();
    world
}

#[test]
fn of_two_promotions_close_together_the_first_that_burns_is_left_with_what_came_after_it() {
    let world = two_in_the_dark(Nature::Burns, Nature::Burns);
    assert_eq!(told(&world)[3..], ["Rollback shop-1 Succeeded"]);
    let reason = world
        .promotions_of("staging")
        .remove(3)
        .spec
        .reason
        .unwrap();
    let since = ", since Promotion staging-020202020202-1";
    assert!(reason.contains(since), "{reason}");
    let holds = world.status("staging").holds;
    let held: Vec<_> = holds.iter().map(|hold| hold.release.as_deref()).collect();
    assert_eq!(held, [Some("shop-3")], "and nothing older than that comes");
}

#[test]
fn of_two_promotions_close_together_only_the_second_is_left_where_only_that_burns() {
    let world = two_in_the_dark(Nature::Good, Nature::Burns);
    assert_eq!(told(&world)[3..], ["Rollback shop-2 Succeeded"]);
}

#[test]
fn of_two_promotions_close_together_the_second_may_be_the_cure() {
    let world = two_in_the_dark(Nature::Burns, Nature::Good);
    assert_eq!(told(&world).len(), 3, "{:?}", told(&world));
    assert_eq!(slo(&world).state, SloState::Met);
}

#[test]
fn a_promotion_under_way_is_not_ended_for_what_the_one_before_it_brought() {
    let mut world = staging();
    world.has_prometheus = false;
    world.release(2, Nature::Burns);
    world.settle();
    world.tick(120);
    world.are_tests_slow = true;
    world.release(3, Nature::Burns);
    for _ in 0..8 {
        world.settle_once();
    }
    world.has_prometheus = true;
    world.tick(60);
    for _ in 0..8 {
        world.settle_once();
        world.tick(31);
    }
    assert_eq!(slo(&world).state, SloState::Burning);
    assert_eq!(told(&world)[2..], ["Promote shop-3 Verifying"]);
    world.are_tests_slow = false;
    world.settle();
    let expected = ["Promote shop-3 Succeeded", "Rollback shop-1 Succeeded"];
    assert_eq!(told(&world)[2..], expected);
}
