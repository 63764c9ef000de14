//! Stories of templates of Rollouts that people edit: in production they take a Promotion, and go back with one.

use serde_json::json;

use super::approve;
use crate::environment::testing::{FIRST, Nature, World};
use crate::model::object::ObjectKind;

const ROLLOUT: &str = "production-api";

/// A shop whose production runs `shop-1` with the first template.
fn dressed() -> World {
    let mut world = World::shop();
    world.edit_template(ROLLOUT, FIRST);
    world.release(1, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 1);
    assert_eq!(world.serves(ROLLOUT), Some(1));
    world
}

fn edit(world: &mut World, id: &str) {
    world.edit_template(ROLLOUT, id);
    world.settle();
}

#[test]
fn an_edited_template_takes_a_promotion_and_an_approval_of_its_own() {
    let mut world = dressed();
    edit(&mut world, "t2");
    let told = ["Promote shop-1 Succeeded", "Config shop-1 AwaitingApproval"];
    assert_eq!(world.told("production"), told, "that of alice was of t0");
    assert_eq!(world.wears(ROLLOUT), Some(FIRST));
    approve(&mut world, "alice", 1);
    assert_eq!(world.told("production")[1..], ["Config shop-1 Succeeded"]);
    assert_eq!(world.wears(ROLLOUT), Some("t2"));
    assert_eq!(world.serves(ROLLOUT), Some(1));
    assert_eq!(world.writes_at_rest(&["staging", "production"]), 0);
}

#[test]
fn a_bad_template_goes_back_holds_no_release_and_waits_for_an_edit() {
    let mut world = dressed();
    edit(&mut world, "bad");
    approve(&mut world, "alice", 1);
    assert_eq!(
        world.told("production")[1..],
        ["Config shop-1 RolledBack", "Rollback shop-1 Succeeded"]
    );
    assert_eq!(world.wears(ROLLOUT), Some(FIRST));
    assert_eq!(world.status("production").holds, []);
    let message = world.message("production");
    assert!(
        message.contains("in the spec is not worn: Promotion"),
        "{message}"
    );
    edit(&mut world, "t3");
    approve(&mut world, "bob", 1);
    assert_eq!(world.wears(ROLLOUT), Some("t3"));
}

#[test]
fn a_release_brings_the_template_along_and_the_way_back_restores_the_whole() {
    let mut world = dressed();
    edit(&mut world, "t2");
    world.release(2, Nature::Good);
    world.settle();
    assert_eq!(
        world.told("production")[1..],
        [
            "Config shop-1 Superseded",
            "Promote shop-2 AwaitingApproval"
        ]
    );
    approve(&mut world, "alice", 2);
    assert_eq!(
        (world.serves(ROLLOUT), world.wears(ROLLOUT)),
        (Some(2), Some("t2"))
    );
    world.decide("bob", "Rollback", "production", &json!({}));
    world.settle();
    assert_eq!(
        (world.serves(ROLLOUT), world.wears(ROLLOUT)),
        (Some(1), Some(FIRST))
    );
    assert_eq!(
        world.told("production")[3..],
        ["Rollback shop-1 Succeeded"],
        "t2 was left"
    );
    // The next Release brings what is in the spec.
    world.release(3, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 3);
    assert_eq!(
        (world.serves(ROLLOUT), world.wears(ROLLOUT)),
        (Some(3), Some("t2"))
    );
}

#[test]
fn what_was_approved_is_what_comes() {
    let mut world = dressed();
    let two = json!({"approvals": {"required": 2}});
    world.edit("production", &json!({"protection": two}));
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    edit(&mut world, "t2");
    approve(&mut world, "bob", 2);
    assert_eq!(
        world.told("production")[1..],
        [
            "Promote shop-2 Superseded",
            "Promote shop-2 AwaitingApproval"
        ],
        "that of alice was of another template"
    );
    approve(&mut world, "alice", 2);
    assert_eq!(
        (world.serves(ROLLOUT), world.wears(ROLLOUT)),
        (Some(2), Some("t2"))
    );
}

#[test]
fn by_hand_a_decision_that_names_what_runs_brings_the_template() {
    let mut world = dressed();
    world.edit("production", &json!({"promotion": {"mode": "Manual"}}));
    edit(&mut world, "t2");
    assert_eq!(world.told("production").len(), 1);
    let message = world.message("production");
    assert!(
        message.contains("a Decision Promote that names shop-1 brings it"),
        "{message}"
    );
    let release = json!({"release": "shop-1"});
    world.decide("bob", "Promote", "production", &release);
    world.settle();
    approve(&mut world, "alice", 1);
    assert_eq!(world.told("production")[1..], ["Config shop-1 Succeeded"]);
    assert_eq!(world.wears(ROLLOUT), Some("t2"));
}

#[test]
fn a_failed_template_is_tried_again_when_a_person_says_so() {
    let mut world = dressed();
    edit(&mut world, "bad");
    approve(&mut world, "alice", 1);
    world.decide("bob", "Retry", "production", &json!({}));
    world.settle();
    assert_eq!(
        world.told("production")[3..],
        ["Config shop-1 AwaitingApproval"]
    );
}

#[test]
fn lost_statuses_do_not_lose_which_template_is_worn() {
    let mut world = dressed();
    edit(&mut world, "t2");
    approve(&mut world, "alice", 1);
    let templates = world.status("production").templates;
    assert_eq!(templates.len(), 1);
    world.wipe_all(ObjectKind::Environment);
    world.settle();
    assert_eq!(world.status("production").templates, templates);
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    assert_eq!(world.status("production").templates, templates);
    assert_eq!(world.wears(ROLLOUT), Some("t2"));
}

#[test]
fn templates_alone_keep_no_contract_from_coming() {
    for id in ["t2", "bad"] {
        let mut world = World::shop_with_a_database();
        let contract = json!({"after": "24h", "command": ["db", "contract"]});
        let keep = json!({"onRollback": "Keep"});
        world.edit(
            "production",
            &json!({"migrations": {"contract": contract, "rollback": keep}}),
        );
        world.edit_template(ROLLOUT, FIRST);
        world.release(1, Nature::Good);
        world.settle();
        approve(&mut world, "alice", 1);
        edit(&mut world, id);
        approve(&mut world, "alice", 1);
        assert!(world.told("production").len() > 1);
        world.tick(25 * 3600);
        world.settle();
        let told = world.told("production");
        let contracts = told
            .iter()
            .filter(|told| *told == "Contract shop-1 Succeeded");
        assert_eq!(contracts.count(), 1, "{id}: {told:?}");
    }
}

#[test]
fn a_release_that_is_left_is_held_though_a_template_of_it_was_refused() {
    let mut world = dressed();
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    edit(&mut world, "t2");
    let release = json!({"release": "shop-2"});
    world.decide("carol", "Reject", "production", &release);
    world.settle();
    world.decide("bob", "Rollback", "production", &json!({}));
    world.settle();
    assert_eq!(
        world.told("production")[1..],
        [
            "Promote shop-2 Succeeded",
            "Config shop-2 Failed",
            "Rollback shop-1 Succeeded"
        ]
    );
    let holds = world.status("production").holds;
    assert_eq!(holds[0].release.as_deref(), Some("shop-2"));
    assert_eq!(world.serves(ROLLOUT), Some(1));
}

#[test]
fn a_record_that_is_written_again_has_the_template_that_is_worn() {
    let mut world = dressed();
    let templates = world.status("production").templates;
    assert_eq!(templates.len(), 1);
    let last = world.status("production").current[0].promotion.clone();
    world.delete(ObjectKind::Promotion, &last);
    edit(&mut world, "t2");
    assert_eq!(world.status("production").templates, templates);
    assert_eq!(world.wears(ROLLOUT), Some(FIRST));
}
