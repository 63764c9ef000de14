//! Properties over any story: what must hold after every write (see `World::check`), that a crash at any
//! write changes nothing in the end, and that lost statuses come back.
//!
//! | | what holds | where that is looked at |
//! |---|---|---|
//! | I1 | one promotion of an Environment is active, one migration of a database | `World::check`, `World::migrates` |
//! | I2 | what should run changes by a promotion that has passed every gate, or the record says who let it pass; templates too | `World::check_promotion`, `World::check_start`, `World::check_templates`, `World::check_sets` |
//! | I3 | no traffic moves before the migrations are verified | `World::check_migrations` |
//! | I4 | nothing moves while it is looked at | `World::check_stillness` |
//! | I5 | an approval counts once a person, for its Release and protection, and of neither author nor who asked | `World::check_promotion`, `World::check_start` |
//! | I6 | what has ended stays as it is, and what failed does not come again by itself | `World::check_promotion`, `World::check_attempts` |
//! | I7 | a crash at any write changes nothing in the end | `a_crash_changes_nothing_in_the_end`, `a_crash_changes_nothing_of_a_database` |
//! | I8 | what people wrote stays as they wrote it | `World::check` |
//! | I9 | previews go in time, and never because of an error | there are no previews yet |
//! | I10 | the chain of what happened verifies | `World::check_promotion` |
//! | I11 | what is not known has not passed, but for the way back | `World::check_start`, `without_prometheus_it_is_as_without_slos` |
//! | I12 | every spec is looked at, a wrong one too | `World::check_at_rest` |

mod event; // what happens, and where
mod set; // Releases that are promoted as one

use proptest::prelude::*;
use serde_json::json;

use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::World;
use crate::model::object::ObjectKind;
use event::{
    Event, alerts, burns, chained, chains, databases, edits, events, happen, losses, shop,
    shop_with_a_database, shop_with_templates, wipe_all, wipes, with_sink,
};

const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// What a world looks like to people, but for times.
fn looks(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ENVIRONMENTS {
        lines.extend(world.told(name));
        let holds = world.status(name).holds;
        let held = holds.iter().map(|hold| hold.release.clone());
        lines.push(format!(
            "{name} {:?} holds {:?}",
            world.runs(name),
            held.collect::<Vec<_>>()
        ));
        lines.push(format!("{name} {:?}", world.status(name).phase));
        lines.push(format!(
            "{name} serves {:?}",
            world.serves(&format!("{name}-api"))
        ));
    }
    lines
}

/// Lets the same happen to two worlds, which come to rest after each of it; in one of them the operator dies.
fn side_by_side(calm: &mut World, shaken: &mut World, events: &[Event], fuses: Vec<usize>) {
    let mut fuses = fuses.into_iter();
    for event in events {
        for world in [&mut *calm, &mut *shaken] {
            happen(world, event);
        }
        if shaken.fuse.is_none() {
            shaken.fuse = fuses.next();
        }
        calm.settle();
        shaken.settle();
    }
}

/// Some cases each time, many in the long version.
fn config() -> ProptestConfig {
    let is_full = std::env::var_os("SLIPWAY_TEST_FULL").is_some();
    ProptestConfig {
        cases: if is_full { 3000 } else { 48 },
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// One active promotion, only approved ones start, what has ended stays as it is, every chain verifies;
    /// and whatever happened, the world comes to rest.
    #[test]
    fn the_rules_hold_whatever_happens(
        events in proptest::collection::vec(prop_oneof![8 => events(), 1 => wipes()], 1..40),
    ) {
        let mut world = shop();
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        prop_assert_eq!(world.writes_at_rest(&ENVIRONMENTS), 0, "a world at rest is left alone");
    }

    /// The same whatever the chain is like and whoever dies when; and a Rollout that comes later never runs what the one
    /// before it was not healthy on.
    #[test]
    fn the_rules_hold_in_any_chain(
        chain in chains(),
        events in proptest::collection::vec(prop_oneof![6 => events(), 2 => losses(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = chained(&chain);
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        prop_assert_eq!(world.writes_at_rest(&ENVIRONMENTS), 0, "a world at rest is left alone");
    }

    /// The same where people edit templates, whoever dies when: none is worn that no promotion has brought (see
    /// `World::check_templates`), and what was left does not come again by itself.
    #[test]
    fn no_template_is_worn_that_no_promotion_has_brought(
        events in proptest::collection::vec(prop_oneof![6 => events(), 4 => edits()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = shop_with_templates();
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        prop_assert_eq!(world.writes_at_rest(&ENVIRONMENTS), 0, "a world at rest is left alone");
    }

    /// The same where budgets burn, whatever of it is known: see `World::check_burns`.
    #[test]
    fn no_burn_takes_back_a_way_back_or_anything_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 4 => burns(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = with_sink(World::shop_with_slos());
        world.play(&events, fuses, happen);
        world.settle();
    }

    /// The same where alerts take back, whoever dies when: see `World::check_burns`. Of a Promotion one incident is open at
    /// most, and once nothing fires and something good serves, none is.
    #[test]
    fn no_alert_takes_back_a_way_back_or_anything_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 5 => alerts(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = shop();
        let takes = json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}}});
        world.edit("production", &json!({"incidents": takes, "rollback": {"on": ["RolloutFailed", "SmokeFailed", "AlertFiring"]}}));
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        for number in 0..3 {
            world.deliver("production", &format!("a{number}"), 0, true);
        }
        world.settle();
        prop_assert_eq!(world.writes_at_rest(&["production"]), 0, "a world at rest is left alone");
        let alerts = world.status("production").alerts;
        prop_assert!(alerts.iter().all(|alert| alert.ends_at.is_some()), "{:?}", alerts);
    }

    /// Whoever dies when, whatever fails or vanishes: nothing is done to a database twice, nothing by two at a time, and no
    /// traffic moves before (see `World::check_migrations` and `World::migrates`).
    #[test]
    fn no_migration_is_done_twice_whoever_dies_when(
        events in proptest::collection::vec(prop_oneof![6 => events(), 4 => databases(true)], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..4),
    ) {
        let mut world = shop_with_a_database();
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        prop_assert_eq!(world.writes_at_rest(&["production"]), 0, "a world at rest is left alone");
    }

    /// The same where statuses are lost: their Jobs tell what was done.
    #[test]
    fn no_lost_status_has_a_migration_done_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 3 => databases(false), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = shop_with_a_database();
        world.play(&events, fuses, happen);
        world.settle();
    }

    /// A crash changes nothing of what is done to a database in the end, and nothing is left that holds it.
    #[test]
    fn a_crash_changes_nothing_of_a_database(
        events in proptest::collection::vec(events(), 1..12),
        fuses in proptest::collection::vec(0..40_usize, 1..4),
    ) {
        let mut calm = with_sink(World::shop_with_a_database());
        let mut shaken = with_sink(World::shop_with_a_database());
        side_by_side(&mut calm, &mut shaken, &events, fuses);
        shaken.fuse = None;
        for world in [&mut calm, &mut shaken] {
            world.settle();
        }
        prop_assert_eq!(looks(&calm), looks(&shaken));
        prop_assert_eq!(&calm.ledger, &shaken.ledger);
        prop_assert_eq!(shaken.holders(), [""; 0]);
    }

    /// What is not known of SLOs changes nothing.
    #[test]
    fn without_prometheus_it_is_as_without_slos(events in proptest::collection::vec(events(), 1..20)) {
        let mut plain = shop();
        let mut blind = with_sink(World::shop_with_slos());
        blind.has_prometheus = false;
        for event in &events {
            for world in [&mut plain, &mut blind] {
                happen(world, event);
            }
        }
        plain.settle();
        blind.settle();
        let told = |world: &World| ENVIRONMENTS.map(|name| world.told(name));
        prop_assert_eq!(told(&plain), told(&blind));
    }

    /// The operator may die after any write.
    #[test]
    fn a_crash_changes_nothing_in_the_end(
        events in proptest::collection::vec(events(), 1..15),
        fuses in proptest::collection::vec(0..30_usize, 1..4),
    ) {
        let mut calm = shop();
        let mut shaken = shop();
        side_by_side(&mut calm, &mut shaken, &events, fuses);
        prop_assert_eq!(looks(&calm), looks(&shaken));
    }

    /// Figures of deliveries are counted from what is written down: neither a restart nor a lost status of an Environment changes
    /// any, and nobody who dies writes anything twice.
    #[test]
    fn no_lost_status_changes_a_figure(
        events in proptest::collection::vec(events(), 1..20),
        fuses in proptest::collection::vec(0..40_usize, 0..3),
    ) {
        let mut world = shop();
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        let figures = |world: &World| {
            ENVIRONMENTS.map(|name| world.status(name).dora.map(|dora| dora.windows))
        };
        let before = figures(&world);
        world.wipe_all(ObjectKind::Environment);
        world.restart();
        world.settle();
        prop_assert_eq!(figures(&world), before);
    }

    /// What serves goes on serving, and is known again.
    #[test]
    fn lost_statuses_come_back(events in proptest::collection::vec(events(), 1..20)) {
        let mut world = shop();
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        let before = looks(&world);
        let told = ENVIRONMENTS.map(|name| world.told(name));
        let runs = ENVIRONMENTS.map(|name| world.runs(name));
        let serves = ENVIRONMENTS.map(|name| world.serves(&format!("{name}-api")));
        // What had failed is tried again when nothing is left that says so. Of a Release that was refused, retried and
        // refused again, nothing tells any more which refusal was about which attempt.
        let has_failed =
            |told: &Vec<String>| told.last().is_some_and(|last| last.ends_with("Failed"));
        let is_calm = !told.iter().any(has_failed)
            && ENVIRONMENTS
                .iter()
                .all(|name| world.status(name).phase == Some(EnvironmentPhase::Steady));

        world.wipe_all(ObjectKind::Environment);
        world.settle();
        prop_assert_eq!(&looks(&world), &before, "from the Promotions");

        world.wipe_all(ObjectKind::Promotion);
        world.settle();
        prop_assert_eq!(ENVIRONMENTS.map(|name| world.runs(name)), runs.clone(), "from the Environment");

        wipe_all(&mut world);
        world.restart();
        for name in ENVIRONMENTS {
            world.settle_once();
            let index = usize::from(name == "production");
            prop_assert_eq!(world.serves(&format!("{name}-api")), serves[index], "{}", name);
        }
        world.settle();
        for (index, name) in ENVIRONMENTS.iter().enumerate() {
            if is_calm {
                prop_assert_eq!(&world.runs(name), &runs[index], "from the Rollouts: {:?} {:?}", told, world.told(name));
            }
        }
    }
}
