//! Figures of deliveries: they are counted from what is written down, and nothing that is lost or pruned changes them.

use serde_json::{Value, json};

use crate::dora::api::{Band, DoraStatus, DoraWindow};
use crate::dora::record::Line;
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;

fn dora(world: &World) -> DoraStatus {
    let known = world.status("staging").dora;
    known.unwrap_or_default()
}

fn week(world: &World) -> DoraWindow {
    dora(world).windows.remove(0)
}

/// The lines of all pages of staging.
fn lines(world: &World) -> Vec<Line> {
    let pages = world.names(ObjectKind::ControllerRevision).into_iter();
    let pages = pages.filter(|name| name.starts_with("staging-ledger-"));
    let lines = pages.flat_map(|name| {
        let page = world.object(ObjectKind::ControllerRevision, &name);
        serde_json::from_value::<Vec<Line>>(page["data"]["lines"].clone()).unwrap()
    });
    lines.collect()
}

fn release(world: &mut World, number: u32, nature: Nature) {
    world.tick(600);
    world.release(number, nature);
    world.tick(60);
    world.settle();
}

/// Four Releases, of which the second is taken back.
fn story(kept: u32) -> World {
    let mut world = World::shop();
    world.edit("staging", &json!({"history": {"promotions": kept}}));
    release(&mut world, 1, Nature::Good);
    release(&mut world, 2, Nature::Breaks);
    release(&mut world, 3, Nature::Good);
    release(&mut world, 4, Nature::Good);
    world
}

#[test]
fn a_failure_and_its_rollback_are_counted() {
    let world = story(50);
    let shown = week(&world);
    assert_eq!(shown.frequency.deployments, 3);
    assert_eq!(
        shown.frequency.per_day, "3.0000",
        "it has been there for a day at most"
    );
    assert_eq!(shown.frequency.band, Band::Elite);
    // The commit of the second comes with the third.
    assert_eq!(shown.lead_time.as_ref().unwrap().count, 4);
    let failures = shown.change_failures.unwrap();
    assert_eq!((failures.count, failures.of), (1, 4));
    assert_eq!(shown.recovery_time.unwrap().count, 1);
    assert_eq!(shown.unrecovered, None);
    let rework = shown.rework.unwrap();
    assert_eq!((rework.count, rework.of), (1, 4), "the rollback");
}

#[test]
fn pruning_changes_no_figure() {
    let (kept, pruned) = (story(50), story(1));
    assert_eq!(kept.promotions_of("staging").len(), 5);
    assert!(pruned.promotions_of("staging").len() < 5);
    assert_eq!(dora(&pruned).windows, dora(&kept).windows);
    let told = |world: &World| {
        let mut all: Vec<(u32, Vec<i64>)> = lines(world)
            .into_iter()
            .map(|line| (line.number, line.leads))
            .collect();
        all.sort();
        all
    };
    assert_eq!(told(&pruned), told(&kept));
    assert_eq!(told(&pruned).len(), 5, "each of them once");
}

#[test]
fn no_lost_status_and_no_restart_changes_a_figure() {
    for kept in [1, 50] {
        let mut world = story(kept);
        let before = dora(&world);
        world.restart();
        world.settle();
        assert_eq!(dora(&world), before, "restarted");
        world.wipe_all(ObjectKind::Environment);
        world.settle();
        assert_eq!(
            dora(&world),
            before,
            "without the status of the Environment"
        );
        world.wipe_all(ObjectKind::Promotion);
        world.settle();
        assert_eq!(dora(&world), before, "without those of Promotions");
        world.wipe_all(ObjectKind::Environment);
        world.wipe_all(ObjectKind::Promotion);
        world.restart();
        world.settle();
        assert_eq!(dora(&world).windows, before.windows, "without any");
    }
}

#[test]
fn a_record_that_was_deleted_and_is_made_again_is_counted_once() {
    let mut world = story(50);
    let before = dora(&world).windows;
    let current = world.status("staging").current.remove(0).promotion;
    world.delete(ObjectKind::Promotion, &current);
    world.settle();
    assert!(
        world.names(ObjectKind::Promotion).contains(&current),
        "it is made again"
    );
    assert_eq!(dora(&world).windows, before);
}

#[test]
fn nothing_is_deleted_before_it_is_written_down_whoever_dies_when() {
    for fuse in 0..40 {
        let mut world = World::shop();
        world.edit("staging", &json!({"history": {"promotions": 1}}));
        release(&mut world, 1, Nature::Good);
        world.fuse = Some(fuse);
        for number in 2..5 {
            release(&mut world, number, Nature::Good);
        }
        world.fuse = None;
        world.settle();
        let mut uids: Vec<String> = lines(&world).into_iter().map(|line| line.uid).collect();
        assert_eq!(uids.len(), 4, "{fuse}");
        uids.sort();
        uids.dedup();
        assert_eq!(uids.len(), 4, "{fuse}: each of them once");
        assert_eq!(week(&world).frequency.deployments, 4, "{fuse}");
    }
}

#[test]
fn an_incident_that_ends_later_is_written_down_again() {
    let mut world = World::shop();
    let takes = json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}}});
    world.edit(
        "staging",
        &json!({"incidents": takes, "history": {"promotions": 1}}),
    );
    release(&mut world, 1, Nature::Good);
    world.tick(60);
    world.deliver("staging", "a1", 30, false);
    world.settle();
    assert_eq!(week(&world).unrecovered, Some(1));
    assert_eq!(week(&world).recovery_time, None);
    release(&mut world, 2, Nature::Good);
    world.deliver("staging", "a1", 700, true);
    world.settle();
    release(&mut world, 3, Nature::Good);
    let promotions = world.promotions_of("staging");
    assert!(
        promotions.iter().all(|one| one.spec.release != "shop-1"),
        "it is pruned"
    );
    let shown = week(&world);
    assert_eq!(shown.unrecovered, None);
    assert_eq!(shown.recovery_time.unwrap().count, 1);
    assert_eq!(shown.change_failures.unwrap().count, 1);
}

#[test]
fn an_incident_of_a_record_that_was_made_again_is_written_down_with_the_first() {
    let mut world = World::shop();
    let takes = json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}}});
    world.edit("staging", &json!({"incidents": takes}));
    release(&mut world, 1, Nature::Good);
    let current = world.status("staging").current.remove(0).promotion;
    world.delete(ObjectKind::Promotion, &current);
    world.settle();
    world.tick(60);
    world.deliver("staging", "a1", 30, false);
    world.settle();
    let promotion = world.promotions_of("staging").remove(0);
    let incidents = promotion.status.unwrap().incidents;
    assert_eq!(incidents.len(), 1, "it is on its record");
    assert_eq!(week(&world).unrecovered, Some(1));
    let failures = week(&world).change_failures.unwrap();
    assert_eq!((failures.count, failures.of), (1, 1));
}

#[test]
fn a_release_that_was_left_out_comes_with_the_next_and_one_that_never_started_does_not_count() {
    let mut world = World::shop();
    release(&mut world, 1, Nature::Good);
    let approve = |world: &mut World, number: u32| {
        let of = json!({"release": format!("shop-{number}")});
        world.decide("alice", "Approve", "production", &of);
        world.settle();
    };
    approve(&mut world, 1);
    release(&mut world, 2, Nature::Good);
    release(&mut world, 3, Nature::Good);
    approve(&mut world, 3);
    let shown = world.status("production").dora.unwrap().windows.remove(0);
    assert_eq!(shown.frequency.deployments, 2);
    assert_eq!(
        shown.lead_time.unwrap().count,
        3,
        "the commit of 2 came with 3"
    );
    assert_eq!(shown.change_failures.unwrap().of, 2, "2 never started");
}

#[test]
fn a_hotfix_is_rework() {
    let mut world = World::shop();
    let hotfixes = json!({"branches": ["hotfix/*"]});
    world.edit("staging", &json!({"protection": {"hotfixes": hotfixes}}));
    release(&mut world, 1, Nature::Good);
    world.tick(60);
    world.release_of(2, &json!({"ref": "refs/heads/hotfix/pay"}));
    world.settle();
    let rework = week(&world).rework.unwrap();
    assert_eq!((rework.count, rework.of, rework.band), (1, 2, None));
}

#[test]
fn nothing_is_written_at_rest_and_once_on_the_next_day() {
    let mut world = story(1);
    assert_eq!(world.writes_at_rest(&["staging"]), 0);
    let at = dora(&world).at;
    world.tick(24 * 3600);
    assert_eq!(world.writes_at_rest(&["staging"]), 1, "the day is another");
    assert!(dora(&world).at > at);
    world.tick(3600);
    assert_eq!(world.writes_at_rest(&["staging"]), 0);
    // After so long only what runs is still on record, and nothing of it counts.
    world.tick(100 * 24 * 3600);
    world.settle();
    assert_eq!(lines(&world), []);
    let shown = world.object(ObjectKind::Environment, "staging")["status"]["dora"].clone();
    assert_eq!(shown, Value::Null, "nothing is known of the last 90 days");
}
