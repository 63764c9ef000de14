//! Stories of databases.

use serde_json::json;

use super::{World, last};
use crate::environment::testing::{Nature, Play, migrations};
use crate::model::object::ObjectKind;
use crate::promotion::api::MigrationStatus;

const ALL: [&str; 5] = ["validate", "backup", "restore-test", "run", "verify"];

fn shop() -> World {
    World::shop_with_a_database()
}

fn bring(world: &mut World, number: u32) {
    world.release(number, Nature::Good);
    approve(world, number);
}

fn approve(world: &mut World, number: u32) {
    world.settle();
    super::approve(world, "alice", number);
}

fn left(world: &World) -> MigrationStatus {
    last(world).migrations.unwrap()
}

fn reason(world: &World) -> String {
    last(world).reason.unwrap()
}

fn reason_of_last(world: &World) -> Option<String> {
    let all = world.promotions_of("production");
    all.last()?.status.clone()?.reason
}

#[test]
fn a_database_is_looked_at_backed_up_changed_and_verified_before_traffic_moves() {
    let mut world = shop();
    bring(&mut world, 1);
    assert_eq!(world.ledger, ALL);
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
    let left = left(&world);
    assert_eq!(left.state.as_str(), "Done");
    assert_eq!(left.version_before.as_deref(), Some("1"));
    assert_eq!(left.version.as_deref(), Some("2"));
    assert_eq!(left.pending, ["V2__prices.sql"]);
    let backup = left.backup.unwrap();
    assert_eq!(
        (&*backup.reference, backup.bytes),
        ("/backups/1.dump", 4096)
    );
    assert!(backup.tested_at.is_some());
    assert_eq!(world.holders(), [""; 0], "the lock is free");
    assert_eq!(
        world.condition("production", "MigrationsHealthy"),
        Some(true)
    );
}

#[test]
fn what_is_up_to_date_is_left_alone() {
    let mut world = shop();
    world
        .plays
        .insert("validate", Play::Tells("version 7\nuptodate"));
    bring(&mut world, 1);
    assert_eq!(world.ledger, ["validate"]);
    assert_eq!(world.told("production"), ["Promote shop-1 Succeeded"]);
    assert_eq!(left(&world).version.as_deref(), Some("7"));
}

#[test]
fn what_is_destructive_is_refused_unless_it_is_allowed() {
    let mut world = shop();
    let told = "pending V3\ndestructive V3: DROP COLUMN price";
    world.plays.insert("validate", Play::Tells(told));
    bring(&mut world, 1);
    assert_eq!(world.ledger, ["validate"]);
    assert_eq!(world.told("production"), ["Promote shop-1 Failed"]);
    assert_eq!(reason(&world), "MigrationRefused");
    let message = last(&world).message.unwrap();
    assert!(
        message.contains("DROP COLUMN price") && message.contains("was not changed"),
        "{message}"
    );
    assert_eq!(world.serves("production-api"), None);

    world.edit(
        "production",
        &json!({"migrations": {"allowDestructive": true}}),
    );
    world.decide("bob", "Retry", "production", &json!({}));
    approve(&mut world, 1);
    assert_eq!(world.serves("production-api"), Some(1));
    assert_eq!(left(&world).destructive, ["V3: DROP COLUMN price"]);
}

#[test]
fn without_a_backup_that_can_be_restored_nothing_is_changed() {
    for (phase, play) in [
        ("backup", Play::Exit(1)),
        ("backup", Play::Tells("backup /b")),
        ("backup", Play::Tells("backup /b\nbytes 0")),
        ("backup", Play::Mute),
        ("restore-test", Play::Exit(1)),
        ("restore-test", Play::Vanish),
        ("validate", Play::Mute),
    ] {
        let mut world = shop();
        world.plays.insert(phase, play);
        bring(&mut world, 1);
        assert_eq!(reason(&world), "MigrationRefused", "{phase} {play:?}");
        assert!(!world.ledger.contains(&"run".to_owned()));
        assert_eq!(world.serves("production-api"), None);
        assert_eq!(world.holders(), [""; 0]);
    }
}

#[test]
fn what_fails_is_taken_back_by_down_or_from_the_backup_and_the_release_is_held() {
    for (phase, policy, expected) in [
        ("run", "Down", "down"),
        ("verify", "Down", "down"),
        ("run", "Restore", "restore"),
    ] {
        let mut world = shop();
        let rule = json!({"onFailure": policy, "restore": {"command": ["db", "restore"]}});
        world.edit("production", &json!({"migrations": {"rollback": rule}}));
        world.plays.insert(phase, Play::Exit(3));
        bring(&mut world, 1);
        assert_eq!(world.ledger.last().unwrap(), expected);
        assert_eq!(reason(&world), "MigrationFailed");
        assert_eq!(left(&world).state.as_str(), "RolledBack");
        let message = last(&world).message.unwrap();
        assert!(message.contains("exit code 3"), "{message}");
        assert_eq!(world.serves("production-api"), None);
        let holds = world.status("production").holds;
        assert_eq!(holds[0].release.as_deref(), Some("shop-1"));
        // What is repaired comes by itself.
        world.plays.clear();
        bring(&mut world, 2);
        assert_eq!(world.serves("production-api"), Some(2));
    }
}

#[test]
fn a_result_that_is_lost_is_never_tried_again_until_somebody_has_looked() {
    for play in [Play::Vanish, Play::Exit(137)] {
        let mut world = shop();
        world.plays.insert("run", play);
        bring(&mut world, 1);
        assert_eq!(reason(&world), "MigrationStuck", "{play:?}");
        assert_eq!(
            world.condition("production", "MigrationsHealthy"),
            Some(false)
        );
        assert_eq!(world.condition("production", "Held"), Some(true));
        assert_eq!(
            world.holders(),
            ["shop/production/production-010101010101-1"]
        );
        let runs = |world: &World| world.ledger.iter().filter(|word| *word == "run").count();
        let before = runs(&world);

        // Nothing new is brought either.
        world.plays.clear();
        bring(&mut world, 2);
        assert_eq!(runs(&world), before);
        assert_eq!(world.serves("production-api"), None);

        // Somebody looked, and has the rest done.
        world.decide(
            "bob",
            "Migrate",
            "production",
            &json!({"release": "shop-1"}),
        );
        world.settle();
        assert_eq!(
            world.told("production").last().unwrap(),
            "Migrate shop-1 AwaitingApproval"
        );
        approve(&mut world, 1);
        assert!(
            world
                .told("production")
                .contains(&"Migrate shop-1 Succeeded".to_owned())
        );
        assert_eq!(
            world.condition("production", "MigrationsHealthy"),
            Some(true)
        );
        // What waited comes after that.
        assert_eq!(runs(&world), before + 2);
        assert_eq!(
            world.serves("production-api"),
            Some(2),
            "{:?}",
            world.told("production")
        );
    }
}

#[test]
fn a_job_that_does_not_end_is_given_up_and_may_still_run() {
    let mut world = shop();
    world.plays.insert("run", Play::Hang);
    bring(&mut world, 1);
    assert_eq!(last(&world).phase.unwrap().as_str(), "Migrating");
    world.tick(3600);
    world.settle();
    assert_eq!(reason(&world), "MigrationStuck");
    let message = last(&world).message.unwrap();
    assert!(message.contains("may still run"), "{message}");
}

#[test]
fn a_failure_that_is_left_to_people_is_stuck() {
    let mut world = shop();
    world.edit(
        "production",
        &json!({"migrations": {"rollback": {"onFailure": "Manual"}}}),
    );
    world.plays.insert("run", Play::Exit(1));
    bring(&mut world, 1);
    assert_eq!(reason(&world), "MigrationStuck");
    // They tell it to try again as it is.
    world.plays.clear();
    world.decide("bob", "Retry", "production", &json!({}));
    approve(&mut world, 1);
    assert_eq!(world.serves("production-api"), Some(1));
}

/// A promotion whose verification fails and is taken back, by an operator that dies after so many writes.
fn interrupted(writes: usize) -> World {
    let mut world = shop();
    world.plays.insert("verify", Play::Exit(1));
    world.release(1, Nature::Good);
    world.settle();
    let release = json!({"release": "shop-1"});
    world.decide("alice", "Approve", "production", &release);
    world.fuse = Some(writes);
    for _ in 0..100 {
        if world.fuse.is_some() {
            world.settle_once();
        }
    }
    world.fuse = None;
    world
}

#[test]
fn a_retry_right_after_a_failure_counts_although_its_incident_is_resolved_in_the_same_second() {
    let is_between = |world: &World| {
        let incidents = last(world).incidents;
        let is_open = incidents.iter().any(|one| one.resolved_at.is_none());
        is_open && reason_of_last(world).as_deref() == Some("MigrationFailed")
    };
    let mut writes = 1..100;
    let end = writes.find(|writes| is_between(&interrupted(*writes)));
    // The Decision is older than the last write of the record, as one is that is made before the incident is resolved, and
    // heard of after it.
    let mut world = interrupted(end.unwrap() - 1);
    assert_eq!(reason_of_last(&world).as_deref(), Some("Migrating"));
    world.plays.clear();
    // A Decision comes a second later, but for this one.
    world.tick(-1);
    world.decide("bob", "Retry", "production", &json!({}));
    world.settle();
    let told = world.told("production");
    let expected = ["Promote shop-1 Failed", "Promote shop-1 AwaitingApproval"];
    assert_eq!(told, expected, "{}", world.message("production"));
    let records = world.promotions_of("production");
    let status = records[0].status.clone().unwrap();
    let resolved = status.incidents[0].resolved_at.as_ref();
    assert_eq!(resolved.map(|at| at.0), status.finished_at.map(|at| at.0));
}

#[test]
fn the_way_back_takes_the_traffic_first_and_the_database_then() {
    let mut world = shop();
    bring(&mut world, 1);
    world.ledger.clear();
    world.release(2, Nature::FailsSmoke);
    world.edit("staging", &json!({"smokeTests": null}));
    approve(&mut world, 2);
    let told = [
        "Promote shop-1 Succeeded",
        "Promote shop-2 RolledBack",
        "Rollback shop-1 Succeeded",
    ];
    assert_eq!(world.told("production"), told);
    let expected = [&ALL[..], &["backup", "restore-test", "down"]].concat();
    assert_eq!(world.ledger, expected);
    let status = last(&world);
    assert!(status.started_at.is_some());
    assert_eq!(status.migrations.unwrap().version.as_deref(), Some("1"));
    // By default it stays: what ran before runs on it.
    let mut world = shop();
    world.edit(
        "production",
        &json!({"migrations": {"rollback": {"onRollback": "Keep"}}}),
    );
    bring(&mut world, 1);
    world.edit("staging", &json!({"smokeTests": null}));
    world.release(2, Nature::FailsSmoke);
    approve(&mut world, 2);
    assert_eq!(world.told("production"), told);
    assert!(!world.ledger.contains(&"down".to_owned()));
}

#[test]
fn a_way_down_that_fails_holds_everything_with_the_traffic_where_it_was_good() {
    let mut world = shop();
    bring(&mut world, 1);
    world.edit("staging", &json!({"smokeTests": null}));
    world.release(2, Nature::FailsSmoke);
    world.plays.insert("down", Play::Exit(1));
    approve(&mut world, 2);
    assert_eq!(
        world.told("production").last().unwrap(),
        "Rollback shop-1 Failed"
    );
    assert_eq!(reason(&world), "MigrationStuck");
    assert_eq!(world.serves("production-api"), Some(1));
    assert_eq!(world.condition("production", "Held"), Some(true));
}

#[test]
fn what_the_release_before_needed_goes_once_it_has_run_for_long_enough() {
    let mut world = shop();
    let contract = json!({"after": "24h", "command": ["db", "contract"]});
    world.edit("production", &json!({"migrations": {"contract": contract}}));
    bring(&mut world, 1);
    assert!(!world.ledger.contains(&"contract".to_owned()));
    world.tick(23 * 3600);
    world.settle();
    assert_eq!(world.told("production").len(), 1);
    world.tick(2 * 3600);
    world.settle();
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 Succeeded", "Contract shop-1 Succeeded"]
    );
    let expected = [&ALL[..], &["backup", "restore-test", "contract", "verify"]].concat();
    assert_eq!(world.ledger, expected);
    world.tick(48 * 3600);
    world.settle();
    assert_eq!(world.told("production").len(), 2, "once");
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));
}

#[test]
fn by_hand_it_is_shown_what_is_pending_before_people_agree() {
    let mut world = shop();
    bring(&mut world, 1);
    world.ledger.clear();
    world.decide("alice", "Migrate", "production", &json!({"version": "9"}));
    world.settle();
    assert_eq!(world.ledger, ["validate"]);
    let message = world.message("production");
    assert!(message.contains("pending: V2__prices.sql"), "{message}");
    super::approve(&mut world, "alice", 1);
    assert_eq!(world.ledger, ["validate"], "not by who asked for it");
    super::approve(&mut world, "bob", 1);
    assert_eq!(world.ledger, ALL);
    let promotions = world.promotions_of("production");
    assert_eq!(promotions[1].spec.version.as_deref(), Some("9"));
    assert_eq!(last(&world).approvals[0].user, "bob");
    let job = world.names(ObjectKind::Job);
    let job = job
        .iter()
        .rfind(|name| name.contains("-2-migrate-run"))
        .unwrap();
    let job = world.object(ObjectKind::Job, job).to_string();
    assert!(
        job.contains(r#"{"name":"SLIPWAY_TARGET_VERSION","value":"9"}"#),
        "{job}"
    );
    assert_eq!(world.runs("production"), ("shop-1".into(), "shop-1".into()));
}

#[test]
fn one_database_is_migrated_by_one_environment_at_a_time() {
    let mut world = shop();
    let rules = json!({"migrations": migrations()});
    world.edit("staging", &rules);
    world.environment(
        "other",
        &json!({"tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "migrations": migrations()}),
    );
    world.plays.insert("run", Play::Hang);
    world.release(1, Nature::Good);
    for _ in 0..20 {
        world.settle_once();
    }
    let messages = ["other", "staging"].map(|name| world.message(name));
    let waits = |message: &&String| message.contains("migrates the database");
    assert_eq!(messages.iter().filter(waits).count(), 1, "{messages:?}");
    world.plays.clear();
    world.settle();
    assert_eq!(world.told("other"), ["Promote shop-1 Succeeded"]);
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
}
