//! Stories of Environments.

mod alone;
mod burn;
mod incident;
mod ledger;
mod migrate;
mod mirror;
mod notify;
mod promotion;
mod protection;
mod set;
mod smoke;
mod tag;
mod template;

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::json;

use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::{self, Nature, World};
use crate::model::object::ObjectKind;
use crate::promotion::api::PromotionStatus;

/// How the last promotion of production is.
fn last(world: &World) -> PromotionStatus {
    let all = world.promotions_of("production");
    all.last().unwrap().status.clone().unwrap()
}

/// Somebody approves a Release for production, and everybody acts.
fn approve(world: &mut World, user: &str, number: u32) {
    let release = json!({"release": format!("shop-{number}")});
    world.decide(user, "Approve", "production", &release);
    world.settle();
}

fn running(number: u32) -> World {
    let mut world = World::shop();
    world.release(number, Nature::Good);
    world.settle();
    approve(&mut world, "alice", number);
    assert_eq!(world.serves("production-api"), Some(number));
    world
}

#[test]
fn staging_takes_a_release_by_itself_and_production_after_an_approval() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 AwaitingApproval"]
    );
    let status = world.status("production");
    assert_eq!(status.phase, Some(EnvironmentPhase::Pending));
    assert_eq!(world.condition("production", "Ready"), Some(true));
    assert_eq!(
        world.condition("production", "PromotionPending"),
        Some(true)
    );
    assert!(
        world.message("production").contains("0 of 1 approvals"),
        "{}",
        world.message("production")
    );
    assert_eq!(world.serves("production-api"), None);

    approve(&mut world, "alice", 1);
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.serves("production-api"), Some(1));
    assert_eq!(world.status("production").last_good[0].release, "shop-1");
    assert_eq!(world.condition("production", "LastPromotion"), Some(true));
}

#[test]
fn the_person_who_asked_cannot_approve() {
    let mut world = running(1);
    world.edit("production", &json!({"promotion": {"mode": "Manual"}}));
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("production").len(),
        1,
        "manual: nothing comes by itself"
    );
    world.decide(
        "alice",
        "Promote",
        "production",
        &json!({"release": "shop-2"}),
    );
    approve(&mut world, "alice", 2);
    assert_eq!(
        world.told("production")[1],
        "Promote shop-2 AwaitingApproval"
    );
    let message = world.message("production");
    assert!(
        message.contains("that of alice does not count, who asked for the promotion"),
        "{message}"
    );
    approve(&mut world, "bob", 2);
    assert_eq!(world.serves("production-api"), Some(2));
    let approvals = world.promotions_of("production")[1]
        .status
        .clone()
        .unwrap()
        .approvals;
    assert_eq!(
        approvals
            .iter()
            .map(|a| a.user.as_str())
            .collect::<Vec<_>>(),
        ["bob"]
    );
}

#[test]
fn two_approvals_come_from_two_people() {
    let mut world = World::shop();
    world.edit(
        "production",
        &json!({"protection": {"approvals": {"required": 2}}}),
    );
    world.release(1, Nature::Good);
    for user in ["alice", "alice"] {
        world.decide(user, "Approve", "production", &json!({"release": "shop-1"}));
    }
    world.settle();
    let message = world.message("production");
    assert!(message.contains("1 of 2 approvals (alice)"), "{message}");
    approve(&mut world, "bob", 1);
    assert_eq!(world.serves("production-api"), Some(1));
}

#[test]
fn an_approval_counts_for_its_release_and_digest_and_for_its_time_only() {
    for (rest, refused) in [
        (json!({"release": "shop-2"}), None),
        (
            json!({"release": "shop-1", "digest": testing::digest(2)}),
            Some("which names another digest"),
        ),
        (
            json!({"release": "shop-1", "expiresAt": "2026-01-01T00:00:00Z"}),
            Some("which ended at"),
        ),
    ] {
        let mut world = World::shop();
        world.release(1, Nature::Good);
        world.settle();
        world.decide("alice", "Approve", "production", &rest);
        world.settle();
        assert_eq!(
            world.told("production"),
            ["Promote shop-1 AwaitingApproval"],
            "{rest}"
        );
        let message = world.message("production");
        assert!(
            refused.is_none_or(|text| message.contains(text)),
            "{message}"
        );
    }
    let mut world = World::shop();
    world.decide(
        "alice",
        "Approve",
        "production",
        &json!({"release": "shop-1"}),
    );
    world.tick(168 * 3600);
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 AwaitingApproval"]
    );
}

#[test]
fn an_approval_of_a_promotion_by_its_name_counts_for_it() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.settle();
    let name = world.promotions_of("production")[0].name_any();
    let target = json!({"target": {"kind": "Promotion", "name": name}});
    world.decide("alice", "Approve", "production", &target);
    world.settle();
    assert_eq!(world.serves("production-api"), Some(1));
}

#[test]
fn a_refused_release_is_not_tried_again_and_the_next_one_is() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.decide("bob", "Reject", "production", &json!({"release": "shop-2"}));
    approve(&mut world, "alice", 2);
    assert_eq!(world.told("production")[1], "Promote shop-2 Failed");
    assert_eq!(
        world.status("production").holds[0].release.as_deref(),
        Some("shop-2")
    );
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("production")[2..],
        ["Promote shop-3 AwaitingApproval"]
    );
}

#[test]
fn a_newer_release_takes_the_place_of_one_that_waits() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.release(3, Nature::Good);
    world.settle();
    let told = world.told("production");
    assert_eq!(
        told[1..],
        [
            "Promote shop-2 Superseded",
            "Promote shop-3 AwaitingApproval"
        ]
    );
    approve(&mut world, "alice", 2);
    assert_eq!(
        world.serves("production-api"),
        Some(1),
        "an approval of what is gone"
    );
}

#[test]
fn a_failed_smoke_test_takes_the_environment_back_and_holds_the_release() {
    let mut world = running(1);
    world.release(2, Nature::FailsSmoke);
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    assert_eq!(world.serves("staging-api"), Some(1));
    let status = world.status("staging");
    assert_eq!(status.holds[0].release.as_deref(), Some("shop-2"));
    assert_eq!(status.phase, Some(EnvironmentPhase::Steady));
    assert_eq!(world.condition("staging", "LastPromotion"), Some(false));
    assert_eq!(world.condition("staging", "Ready"), Some(true));
    assert_eq!(
        world.told("production").len(),
        1,
        "what failed in staging goes no further"
    );
    // The smoke test ran again after going back.
    assert!(world.names(ObjectKind::Job).len() >= 4);
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(3));
}

#[test]
fn a_rollout_that_gives_up_takes_the_environment_back() {
    let mut world = running(1);
    world.release(2, Nature::Breaks);
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    let failed = &world.promotions_of("staging")[1].status.clone().unwrap();
    assert_eq!(failed.reason.as_deref(), Some("RolloutFailed"));
    assert!(
        failed
            .message
            .as_ref()
            .unwrap()
            .contains("going back to shop-1")
    );
}

#[test]
fn a_retry_tries_the_same_release_again() {
    let mut world = running(1);
    for (action, rest) in [
        ("Retry", json!({})),
        ("Resume", json!({"release": "shop-2"})),
    ] {
        let mut world = {
            world.release(2, Nature::Breaks);
            world.settle();
            std::mem::replace(&mut world, running(1))
        };
        assert_eq!(world.serves("staging-api"), Some(1));
        world.set_nature(2, Nature::Good);
        world.settle();
        assert_eq!(world.serves("staging-api"), Some(1), "not by itself");
        world.decide("alice", action, "staging", &rest);
        world.settle();
        assert_eq!(
            world.serves("staging-api"),
            Some(2),
            "{action}: {:?}",
            world.told("staging")
        );
        assert!(world.status("staging").holds.is_empty());
        let last = world.promotions_of("staging").pop().unwrap();
        assert_eq!(last.spec.attempt, 2);
        let expected = if action == "Retry" {
            "alice"
        } else {
            "slipway"
        };
        assert_eq!(last.spec.requested_by, expected);
    }
}

#[test]
fn approvals_of_an_attempt_that_failed_do_not_count_for_the_next() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.set_nature(2, Nature::Breaks);
    approve(&mut world, "alice", 2);
    assert_eq!(world.serves("production-api"), Some(1));
    world.set_nature(2, Nature::Good);
    world.decide("alice", "Retry", "production", &json!({}));
    world.settle();
    let told = world.told("production");
    assert_eq!(
        told.last().unwrap(),
        "Promote shop-2 AwaitingApproval",
        "{told:?}"
    );
    approve(&mut world, "bob", 2);
    assert_eq!(world.serves("production-api"), Some(2));
}

#[test]
fn without_an_earlier_good_release_the_failed_one_stays_for_people_to_look_at() {
    let mut world = World::shop();
    world.release(1, Nature::FailsSmoke);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Failed"]);
    let status = world.status("staging");
    assert_eq!(status.phase, Some(EnvironmentPhase::Held));
    assert_eq!(world.runs("staging"), (String::new(), "shop-1".into()));
    assert!(
        world.message("staging").contains("no earlier good Release"),
        "{}",
        world.message("staging")
    );
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(
        world.serves("staging-api"),
        Some(2),
        "a repair comes by itself"
    );
    assert_eq!(
        world.status("staging").phase,
        Some(EnvironmentPhase::Steady)
    );
}

#[test]
fn the_first_release_that_never_becomes_ready_fails_at_its_deadline() {
    let mut world = World::shop();
    world.release(1, Nature::Breaks);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Failed"]);
    assert!(world.now >= testing::NOW + jiff::SignedDuration::from_secs(600));
}

#[test]
fn a_rollback_is_not_rolled_back() {
    let mut world = running(1);
    world.release(2, Nature::FailsSmoke);
    world.set_nature(1, Nature::FailsSmoke);
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Failed"]
    );
    assert_eq!(world.status("staging").phase, Some(EnvironmentPhase::Held));
    assert_eq!(world.condition("staging", "Held"), Some(true));
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("staging").last().unwrap(),
        "Promote shop-3 Pending"
    );
    world.set_nature(1, Nature::Good);
    world.decide("alice", "Retry", "staging", &json!({}));
    world.settle();
    assert_eq!(
        world.serves("staging-api"),
        Some(3),
        "{:?}",
        world.told("staging")
    );
}

#[test]
fn going_back_follows_the_rules() {
    for (rule, text) in [
        (
            json!({"on": ["RolloutFailed"]}),
            "spec.rollback.on does not list SmokeFailed",
        ),
        (
            json!({"within": "1s"}),
            "it is more than 1s (spec.rollback.within)",
        ),
    ] {
        let mut world = running(1);
        world.edit("staging", &json!({"rollback": rule}));
        world.release(2, Nature::FailsSmoke);
        if text.contains("within") {
            while world.names(ObjectKind::Job).len() < 3 {
                world.settle_once();
            }
            world.tick(5);
        }
        world.settle();
        assert_eq!(world.told("staging")[1..], ["Promote shop-2 Failed"]);
        assert_eq!(world.status("staging").phase, Some(EnvironmentPhase::Held));
        assert!(
            world.message("staging").contains(text),
            "{}",
            world.message("staging")
        );
        assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-2".into()));
        world.decide("alice", "Rollback", "staging", &json!({}));
        world.settle();
        assert_eq!(
            world.serves("staging-api"),
            Some(1),
            "{:?}",
            world.told("staging")
        );
    }
}

#[test]
fn a_person_goes_back_from_what_runs_and_automation_does_not_undo_it() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    let name = world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    let last = world.promotions_of("staging").pop().unwrap();
    assert_eq!(
        (
            last.spec.requested_by.as_str(),
            last.spec.decision.as_deref()
        ),
        ("alice", Some(name.as_str()))
    );
    assert_eq!(world.serves("staging-api"), Some(1));
    let hold = world.status("staging").holds[0].clone();
    assert_eq!(hold.release.as_deref(), Some("shop-2"));
    world.restart();
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(1));
    world.release(3, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(3));
}

#[test]
fn a_person_goes_back_in_the_middle_of_a_promotion() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    while world.status("staging").phase != Some(EnvironmentPhase::Promoting) {
        world.settle_once();
    }
    world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    assert_eq!(world.promotions_of("staging")[2].spec.requested_by, "alice");
}

#[test]
fn a_hold_stops_promotions_but_no_rollback() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.decide("alice", "Hold", "staging", &json!({}));
    world.release(3, Nature::Good);
    world.settle();
    let status = world.status("staging");
    assert_eq!(status.phase, Some(EnvironmentPhase::Held));
    assert_eq!(
        world.told("staging").last().unwrap(),
        "Promote shop-3 Pending"
    );
    assert!(world.message("staging").contains("held by alice: because"));
    assert_eq!(world.condition("staging", "Ready"), Some(true));
    world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(1));
    world.decide("alice", "Resume", "staging", &json!({}));
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(3));
}

#[test]
fn a_hold_ends_at_its_time() {
    let mut world = running(1);
    let until = (world.now + jiff::SignedDuration::from_secs(300)).to_string();
    world.decide("alice", "Hold", "staging", &json!({"expiresAt": until}));
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(2));
    assert!(world.now >= until.parse().unwrap());
}

#[test]
fn a_vetoed_release_is_passed_over() {
    let mut world = running(1);
    world.decide("alice", "Hold", "staging", &json!({}));
    world.release(2, Nature::Good);
    world.release(3, Nature::Good);
    world.settle();
    world.decide("alice", "Veto", "staging", &json!({"release": "shop-3"}));
    world.decide("alice", "Resume", "staging", &json!({}));
    world.settle();
    assert_eq!(
        world.serves("staging-api"),
        Some(2),
        "{:?}",
        world.told("staging")
    );
}

#[test]
fn a_person_promotes_an_older_release() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    world.decide("alice", "Promote", "staging", &json!({"release": "shop-1"}));
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(1));
    world.restart();
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told.last().unwrap(),
        "Promote shop-1 Succeeded",
        "once, and for good: {told:?}"
    );
}

#[test]
fn a_decision_that_cannot_be_followed_is_named() {
    let mut world = running(1);
    world.decide("alice", "Promote", "staging", &json!({"release": "shop-9"}));
    world.settle();
    assert!(
        world
            .message("staging")
            .contains("there is no Release shop-9"),
        "{}",
        world.message("staging")
    );
}

#[test]
fn references_that_lead_nowhere_are_awaited_then_take_an_edit() {
    let mut world = World::new();
    let spec = json!({"tier": "Staging", "promotion": {"from": {"environments": ["dev"]}}, "rollouts": [{"name": "api"}]});
    world.environment("staging", &spec);
    world.reconcile("staging");
    assert_eq!(world.condition("staging", "Reconciling"), Some(true));
    assert_eq!(world.condition("staging", "Stalled"), None);
    world.settle();
    assert_eq!(world.condition("staging", "Stalled"), Some(true));
    assert_eq!(world.condition("staging", "Reconciling"), None);
    let message = world.message("staging");
    assert!(
        message.contains("there is no Environment dev")
            && message.contains("there is no Rollout api"),
        "{message}"
    );
}

#[test]
fn everything_is_rebuilt_when_every_status_is_lost() {
    let mut world = running(1);
    world.release(2, Nature::FailsSmoke);
    world.settle();
    let before = (world.told("staging"), world.told("production"));
    world.wipe_all(ObjectKind::Environment);
    world.wipe_all(ObjectKind::Promotion);
    world.wipe_all(ObjectKind::Rollout);
    world.restart();
    world.settle();
    assert_eq!((world.told("staging"), world.told("production")), before);
    assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));
    assert_eq!(
        world.status("staging").holds[0].release.as_deref(),
        Some("shop-2")
    );
    assert_eq!(
        (world.serves("staging-api"), world.serves("production-api")),
        (Some(1), Some(1))
    );
}

/// A world in which shop-1 failed, and stays because there is nothing to go back to.
fn failed_and_stays() -> World {
    let mut world = World::shop();
    world.release(1, Nature::FailsSmoke);
    world.settle();
    world.set_nature(1, Nature::Good);
    world
}

#[test]
fn a_failure_is_known_when_the_records_are_lost_though_somebody_else_holds_the_release() {
    for action in ["Hold", "Veto"] {
        let mut world = failed_and_stays();
        world.decide("alice", action, "staging", &json!({"release": "shop-1"}));
        world.settle();
        world.wipe_all(ObjectKind::Promotion);
        world.settle();
        assert_eq!(world.told("staging"), ["Promote shop-1 Failed"], "{action}");
        assert_eq!(world.runs("staging"), (String::new(), "shop-1".into()));
    }
}

#[test]
fn a_failure_is_known_when_the_records_are_lost_though_it_holds_nothing() {
    let mut world = World::shop();
    world.edit("staging", &json!({"rollback": {"holdAfter": false}}));
    world.release(1, Nature::FailsSmoke);
    world.settle();
    assert!(world.status("staging").holds.is_empty());
    world.set_nature(1, Nature::Good);
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Failed"]);
}

#[test]
fn a_retry_from_before_a_failure_does_not_count_when_the_records_are_lost() {
    let mut world = World::shop();
    world.release(1, Nature::Breaks);
    world.settle_once();
    world.decide("alice", "Retry", "staging", &json!({}));
    world.settle();
    let told = world.told("staging");
    assert_eq!(told, ["Promote shop-1 Failed"], "it failed after the Retry");
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    assert_eq!(world.told("staging"), told);
}

#[test]
fn a_retry_of_what_was_good_when_it_was_left_does_not_count_when_the_records_are_lost() {
    for hold_after in [true, false] {
        let mut world = World::shop();
        world.edit("staging", &json!({"rollback": {"holdAfter": hold_after}}));
        for number in [1, 2] {
            world.release(number, Nature::Good);
            world.settle();
        }
        for action in ["Rollback", "Retry"] {
            world.decide("alice", action, "staging", &json!({}));
            world.settle();
        }
        let holds = world.status("staging").holds;
        assert_eq!(world.told("staging")[2], "Rollback shop-1 Succeeded");
        world.wipe_all(ObjectKind::Promotion);
        world.settle();
        assert_eq!(world.told("staging").len(), 3, "nothing is tried again");
        assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
        assert_eq!(world.status("staging").holds, holds);
    }
}

#[test]
fn a_retry_of_what_had_failed_before_it_was_left_counts_when_the_records_are_lost() {
    let mut world = World::shop();
    world.edit("staging", &json!({"rollback": {"on": []}}));
    world.release(1, Nature::Good);
    world.settle();
    world.release(2, Nature::FailsSmoke);
    world.settle();
    world.tick(60);
    world.decide("alice", "Rollback", "staging", &json!({}));
    world.settle();
    let told = world.told("staging");
    assert_eq!(
        told[1..],
        ["Promote shop-2 Failed", "Rollback shop-1 Succeeded"]
    );
    world.set_nature(2, Nature::Good);
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    world.decide("alice", "Retry", "staging", &json!({}));
    world.settle();
    assert_eq!(world.runs("staging"), ("shop-2".into(), "shop-2".into()));
}

#[test]
fn what_a_person_left_for_something_older_does_not_come_again_when_everything_is_lost() {
    for hold_after in [true, false] {
        let mut world = World::shop();
        world.edit("staging", &json!({"rollback": {"holdAfter": hold_after}}));
        world.release(1, Nature::Good);
        world.release(2, Nature::FailsSmoke);
        world.settle();
        world.decide("alice", "Promote", "staging", &json!({"release": "shop-1"}));
        world.settle();
        let told = ["Promote shop-2 Failed", "Promote shop-1 Succeeded"];
        assert_eq!(world.told("staging"), told);
        world.set_nature(2, Nature::Good);
        if hold_after {
            world.wipe_all(ObjectKind::Environment);
            world.wipe_all(ObjectKind::Rollout);
        }
        world.wipe_all(ObjectKind::Promotion);
        world.restart();
        world.settle();
        assert_eq!(world.told("staging"), told);
        assert_eq!(world.serves("staging-api"), Some(1));
    }
}

#[test]
fn the_way_back_is_taken_though_the_release_that_it_leads_to_is_held() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.settle();
    for action in ["Reject", "Promote"] {
        world.decide("alice", action, "staging", &json!({"release": "shop-1"}));
    }
    world.settle();
    let holds = world.status("staging").holds;
    assert_eq!(holds[0].release.as_deref(), Some("shop-1"));
    world.release(2, Nature::Breaks);
    world.settle();
    assert_eq!(
        world.told("staging"),
        [
            "Promote shop-1 Succeeded",
            "Promote shop-1 Failed",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Succeeded"
        ]
    );
}

#[test]
fn a_refusal_is_about_one_attempt_when_the_records_are_lost_too() {
    let mut world = World::shop();
    world.release(1, Nature::Good);
    world.decide("alice", "Reject", "staging", &json!({"release": "shop-1"}));
    world.settle();
    world.decide("alice", "Hold", "staging", &json!({"release": "shop-1"}));
    world.decide("alice", "Retry", "staging", &json!({}));
    world.settle();
    let told = ["Promote shop-1 Failed", "Promote shop-1 Pending"];
    assert_eq!(world.told("staging"), told);
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    assert_eq!(world.told("staging"), told);
}

#[test]
fn everything_is_rebuilt_when_the_records_themselves_are_lost() {
    let mut world = running(1);
    world.release(2, Nature::Good);
    world.settle();
    for name in world.names(ObjectKind::Promotion) {
        world.delete(ObjectKind::Promotion, &name);
    }
    world.wipe_all(ObjectKind::Environment);
    world.restart();
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-2 Succeeded"]);
    // Production runs shop-1, which nobody has to approve again; shop-2 waits as before.
    assert_eq!(
        world.told("production"),
        [
            "Promote shop-1 Succeeded",
            "Promote shop-2 AwaitingApproval"
        ]
    );
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));
}

#[test]
fn a_record_that_somebody_deleted_is_made_again() {
    let mut world = running(1);
    let names = world.names(ObjectKind::Promotion);
    for name in &names {
        world.delete(ObjectKind::Promotion, name);
    }
    world.settle();
    assert_eq!(world.names(ObjectKind::Promotion), names);
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
}

#[test]
fn records_outlive_an_environment_that_retains_them() {
    let world = running(1);
    let production = world.promotions_of("production").pop().unwrap();
    assert_eq!(production.metadata.owner_references, None);
    let staging = world.promotions_of("staging").pop().unwrap();
    assert_eq!(
        staging.metadata.owner_references.unwrap()[0].name,
        "staging"
    );
}

#[test]
fn old_records_go_and_what_is_needed_stays() {
    let mut world = running(1);
    world.edit("staging", &json!({"history": {"promotions": 2}}));
    world.release(2, Nature::FailsSmoke);
    world.settle();
    for number in 3..8 {
        world.release(number, Nature::Good);
        world.settle();
    }
    let told = world.told("staging");
    assert_eq!(
        told,
        [
            "Promote shop-2 RolledBack",
            "Promote shop-6 Succeeded",
            "Promote shop-7 Succeeded"
        ]
    );
}

#[test]
fn people_are_told_once_and_again_until_it_arrives() {
    let mut world = World::shop();
    let sink = json!([{"name": "team", "webhook": {"url": "http://hooks.example/x"},
                       "on": ["PromotionSucceeded", "PromotionFailed", "RolledBack", "ApprovalNeeded"]}]);
    world.edit("production", &json!({"notifications": sink}));
    world.receiver = 503;
    world.release(1, Nature::Good);
    world.reconcile("production");
    for _ in 0..40 {
        world.settle_once();
    }
    assert!(!world.sent.is_empty());
    let entry = world.status("production").outbox[0].clone();
    assert_eq!(
        entry.last_error.as_deref(),
        Some("the receiver answered 503")
    );
    world.receiver = 200;
    world.settle();
    let keys: BTreeSet<&str> = world
        .sent
        .iter()
        .map(|request| request.headers["idempotency-key"].as_str())
        .collect();
    assert_eq!(keys.len(), 1);
    let body: serde_json::Value =
        serde_json::from_str(world.sent[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(
        (&body["event"], &body["release"]),
        (&json!("ApprovalNeeded"), &json!("shop-1"))
    );
    let sent = world.sent.len();
    approve(&mut world, "alice", 1);
    assert_eq!(world.sent.len(), sent + 1);
    assert!(
        world.sent[sent]
            .body
            .as_ref()
            .unwrap()
            .contains("PromotionSucceeded")
    );
}

#[test]
fn a_smoke_test_whose_image_nobody_has_fails_at_once() {
    let mut world = running(1);
    let promotion = json!({"promotion": {"retries": {"limit": 0}}});
    world.edit("staging", &promotion);
    world.release(2, Nature::LacksSmoke);
    let asked = world.now;
    world.settle();
    assert_eq!(
        world.told("staging")[1..],
        ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"]
    );
    let records = world.names(ObjectKind::Promotion).into_iter();
    let records = records.map(|name| world.object(ObjectKind::Promotion, &name).to_string());
    let why = "ImagePull: container check: ImagePullBackOff: no such image";
    assert!(records.into_iter().any(|record| record.contains(why)));
    let took = world.now.duration_since(asked);
    assert!(took.as_secs() < 60, "it does not wait for the Job: {took}");
}

#[test]
fn a_smoke_test_is_told_what_it_tests() {
    let world = running(1);
    let name = world
        .names(ObjectKind::Job)
        .into_iter()
        .find(|name| name.starts_with("staging"))
        .unwrap();
    let mut job = world.object(ObjectKind::Job, &name);
    for field in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
        job["metadata"].as_object_mut().unwrap().remove(field);
    }
    job["metadata"]["ownerReferences"][0]["uid"] = "uid".into();
    job.as_object_mut().unwrap().remove("status");
    insta::assert_json_snapshot!(job);
}

#[test]
fn names_fit_however_long_the_environment_is_called() {
    let mut world = World::new();
    let name = "e".repeat(52);
    let test = "t".repeat(52);
    world.environment(
        &name,
        &json!({"tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}},
                "smokeTests": [{"name": test, "job": {"image": "smoke:1"}}]}),
    );
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.told(&name), ["Promote shop-1 Succeeded"]);
}
