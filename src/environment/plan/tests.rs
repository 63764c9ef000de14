//! Stories of Environments.

use serde_json::json;

use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::{Nature, World};

fn running(number: u32) -> World {
    let mut world = World::shop();
    world.release(number, Nature::Good);
    world.settle();
    let release = json!({"release": format!("shop-{number}")});
    world.decide("alice", "Approve", "production", &release);
    world.settle();
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

    world.decide(
        "alice",
        "Approve",
        "production",
        &json!({"release": "shop-1"}),
    );
    world.settle();
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.serves("production-api"), Some(1));
    assert_eq!(world.status("production").last_good[0].release, "shop-1");
    assert_eq!(world.condition("production", "LastPromotion"), Some(true));
}
