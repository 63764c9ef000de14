//! Stories of databases that something else comes before: people, a way back, another name, an end that nobody saw.

use serde_json::{Value, json};

use super::{World, approve, last};
use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::{Nature, Play, migrations};
use crate::model::object::ObjectKind;
use crate::promotion::api::PromotionStatus;

const HOUR: i64 = 3600;

/// A shop whose production runs so many Releases, one after the other, and leaves its database alone when it goes back.
fn shop_with(releases: u32) -> World {
    let mut world = World::shop_with_a_database();
    let keep = json!({"migrations": {"rollback": {"onRollback": "Keep"}}});
    world.edit("production", &keep);
    for number in 1..=releases {
        world.release(number, Nature::Good);
        world.settle();
        approve(&mut world, "alice", number);
    }
    let served = (releases > 0).then_some(releases);
    assert_eq!(world.serves("production-api"), served);
    world.ledger.clear();
    world
}

fn about(number: u32) -> Value {
    json!({"release": format!("shop-{number}")})
}

fn say(world: &mut World, user: &str, action: &str, rest: &Value) {
    world.decide(user, action, "production", rest);
    world.settle();
}

/// Somebody asks for the migrations of what runs, and somebody else agrees.
fn migrate(world: &mut World, number: u32) {
    say(world, "alice", "Migrate", &json!({}));
    approve(world, "bob", number);
}

fn told_last(world: &World) -> String {
    world.told("production").pop().unwrap()
}

/// Another Environment takes the database, and keeps it.
fn somebody_else_has_it(world: &mut World) {
    let mut rules = migrations();
    rules["timeout"] = json!("1000h");
    let spec = json!({
        "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "migrations": rules,
    });
    world.plays.insert("run", Play::Hang);
    world.environment("other", &spec);
    world.settle();
    assert_eq!(world.holders().len(), 1);
}

#[test]
fn a_way_back_does_not_wait_for_a_backup() {
    let mut world = shop_with(2);
    world.plays.insert("backup", Play::Hang);
    migrate(&mut world, 2);
    assert_eq!(told_last(&world), "Migrate shop-2 Migrating");
    say(&mut world, "carol", "Rollback", &json!({}));
    let told = world.told("production");
    assert_eq!(
        told[2..],
        ["Migrate shop-2 Superseded", "Rollback shop-1 Succeeded"]
    );
    assert_eq!(world.ledger, ["validate"]);
    assert_eq!(world.holders(), [""; 0]);
    let jobs = world.names(ObjectKind::Job);
    let is_left = |name: &String| name.contains("-2-migrate-backup");
    assert!(!jobs.iter().any(is_left), "it is given up: {jobs:?}");
}

#[test]
fn a_way_back_waits_for_what_is_being_changed_and_for_nothing_that_waits_after_it() {
    let mut world = shop_with(2);
    world.plays.insert("run", Play::Hang);
    migrate(&mut world, 2);
    say(&mut world, "carol", "Rollback", &json!({}));
    assert_eq!(told_last(&world), "Migrate shop-2 Migrating");
    // What comes next would need a Secret that nobody has made.
    let secret = json!({"name": "P", "secretRef": {"name": "none", "key": "k"}});
    world.edit("production", &json!({"migrations": {"env": [secret]}}));
    world.plays.clear();
    world.settle();
    let told = world.told("production");
    assert_eq!(
        told[2..],
        ["Migrate shop-2 Failed", "Rollback shop-1 Succeeded"]
    );
    let all = world.promotions_of("production");
    let migrated = all[2].status.clone().unwrap();
    assert_eq!(migrated.reason.as_deref(), Some("MigrationStuck"));
    let message = migrated.message.unwrap();
    assert!(message.contains("going back comes first"), "{message}");
    assert_eq!(world.status("production").open_incidents, Some(1));
    assert_eq!(
        world.status("production").phase,
        Some(EnvironmentPhase::Held)
    );
}

#[test]
fn what_nobody_approves_of_in_time_is_over() {
    let mut world = shop_with(1);
    world.edit(
        "production",
        &json!({"protection": {"approvals": {"timeout": "10h"}}, "migrations": {"timeout": "100h"}}),
    );
    world.plays.insert("validate", Play::Hang);
    say(&mut world, "alice", "Migrate", &json!({}));
    world.tick(4 * HOUR);
    world.settle();
    world.plays.clear();
    world.settle();
    // Time counts from when people can see what is pending.
    world.tick(7 * HOUR);
    world.settle();
    assert_eq!(told_last(&world), "Migrate shop-1 AwaitingApproval");
    world.tick(4 * HOUR);
    world.settle();
    assert_eq!(told_last(&world), "Migrate shop-1 Failed");
    let status = last(&world);
    assert_eq!(status.reason.as_deref(), Some("ApprovalTimeout"));
    let message = status.message.unwrap();
    assert!(
        message.contains("make another Decision Migrate"),
        "{message}"
    );
    assert_eq!(world.holders(), [""; 0]);
    assert_eq!(status.incidents, []);
    assert_eq!(
        world.status("production").phase,
        Some(EnvironmentPhase::Steady)
    );
}

#[test]
fn who_lets_migrations_pass_a_freeze_is_announced() {
    let mut world = shop_with(1);
    let freeze = json!({
        "name": "quiet", "kind": "Deny", "start": "2020-01-01T00:00:00", "end": "2099-01-01T00:00:00",
    });
    let sink = json!({
        "name": "team", "webhook": {"url": "http://hooks.example/x"}, "on": ["GateOverridden"],
    });
    world.edit(
        "production",
        &json!({"notifications": [sink], "protection": {"freezes": [freeze]}}),
    );
    say(&mut world, "alice", "Migrate", &json!({}));
    assert_eq!(world.ledger, [""; 0]);
    let freeze = json!({"gates": ["freeze"], "release": "shop-1"});
    say(&mut world, "olga", "Override", &freeze);
    assert_eq!(world.ledger, ["validate"]);
    let events = |status: PromotionStatus| {
        let audit = status.audit.into_iter();
        let told = audit.filter(|entry| entry.event.starts_with("overrode freeze"));
        told.map(|entry| entry.actor).collect::<Vec<_>>()
    };
    assert_eq!(events(last(&world)), ["olga"]);
    let sent = world.sent.iter().filter_map(|sent| sent.body.as_ref());
    let sent: Vec<&String> = sent
        .filter(|body| body.contains("GateOverridden"))
        .collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    approve(&mut world, "bob", 1);
    assert_eq!(told_last(&world), "Migrate shop-1 Succeeded");
    assert_eq!(events(last(&world)), ["olga"], "once");
}

#[test]
fn what_is_under_way_keeps_the_lock_of_the_database_that_it_began_with() {
    let mut world = shop_with(0);
    world.plays.insert("run", Play::Hang);
    world.release(1, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 1);
    let held = world.names(ObjectKind::Lease);
    let renamed = json!({"migrations": {"database": "another-db"}});
    world.edit("production", &renamed);
    world.settle();
    assert_eq!(world.names(ObjectKind::Lease), held);
    world.plays.clear();
    world.settle();
    assert_eq!(told_last(&world), "Promote shop-1 Succeeded");
    assert_eq!(world.holders(), [""; 0], "nothing is left of it");
    let jobs = world.names(ObjectKind::Job);
    let verify = jobs.iter().find(|name| name.contains("migrate-verify"));
    let verify = world.object(ObjectKind::Job, verify.unwrap()).to_string();
    assert!(verify.contains(r#""value":"shop-db""#), "{verify}");
    // The next one is of the other.
    world.plays.insert("run", Play::Hang);
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    let held = world.names(ObjectKind::Lease);
    assert!(held[0].contains("another-db"), "{held:?}");
}

#[test]
fn who_waits_for_one_database_and_is_told_of_another_takes_that() {
    let mut world = shop_with(0);
    world.release(1, Nature::Good);
    somebody_else_has_it(&mut world);
    approve(&mut world, "alice", 1);
    let message = world.message("production");
    assert!(message.contains("migrates the database"), "{message}");
    let renamed = json!({"migrations": {"database": "another-db"}});
    world.edit("production", &renamed);
    // Nothing tells of a lock that is free: it is looked again.
    world.tick(11);
    world.settle();
    let held = world.names(ObjectKind::Lease);
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held.iter().any(|name| name.contains("another-db")));
}

#[test]
fn who_waits_for_a_database_that_is_not_migrated_any_more_goes_on() {
    let mut world = shop_with(0);
    world.plays.insert("validate", Play::Hang);
    world.release(1, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 1);
    assert_eq!(world.holders().len(), 1);
    world.edit("production", &json!({"migrations": null}));
    world.settle();
    assert_eq!(told_last(&world), "Promote shop-1 Succeeded");
    assert_eq!(world.holders(), [""; 0]);
}

#[test]
fn a_contract_that_waits_gives_way_to_a_hold_and_comes_again() {
    let mut world = shop_with(1);
    let contract = json!({"after": "24h", "command": ["db", "contract"]});
    world.edit("production", &json!({"migrations": {"contract": contract}}));
    somebody_else_has_it(&mut world);
    world.tick(25 * HOUR);
    world.settle();
    assert_eq!(told_last(&world), "Contract shop-1 Migrating");
    say(&mut world, "carol", "Hold", &json!({"reason": "sale"}));
    assert_eq!(told_last(&world), "Contract shop-1 Superseded");
    let message = last(&world).message.unwrap();
    assert!(message.contains("held by carol: sale"), "{message}");
    // Meanwhile the other one comes to its end.
    world.plays.clear();
    world.settle();
    assert!(!world.ledger.contains(&"contract".to_owned()));
    say(&mut world, "carol", "Resume", &json!({}));
    assert_eq!(told_last(&world), "Contract shop-1 Succeeded");
    let contracts = world.ledger.iter().filter(|word| *word == "contract");
    assert_eq!(contracts.count(), 1);
}

#[test]
fn nothing_goes_back_past_a_contract() {
    let mut world = shop_with(2);
    let contract = json!({"after": "24h", "command": ["db", "contract"]});
    world.edit("production", &json!({"migrations": {"contract": contract}}));
    world.tick(25 * HOUR);
    world.settle();
    assert_eq!(told_last(&world), "Contract shop-2 Succeeded");
    let refused = "a contract has removed what shop-1 needs";
    for rest in [json!({}), about(1)] {
        say(&mut world, "carol", "Rollback", &rest);
        let message = world.message("production");
        assert!(message.contains(refused), "{message}");
    }
    assert_eq!(world.serves("production-api"), Some(2));
    // From what comes after it the way is free, down to what it was made for.
    world.edit("staging", &json!({"smokeTests": null}));
    world.release(3, Nature::FailsSmoke);
    world.settle();
    approve(&mut world, "alice", 3);
    assert_eq!(told_last(&world), "Rollback shop-2 Succeeded");
}

#[test]
fn a_database_that_migrations_failed_on_is_an_incident_until_it_is_well() {
    let mut world = shop_with(1);
    world.plays.insert("run", Play::Exit(3));
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    let taken_back = last(&world);
    assert_eq!(taken_back.reason.as_deref(), Some("MigrationFailed"));
    assert_eq!(taken_back.incidents.len(), 1);
    let incident = &taken_back.incidents[0];
    assert_eq!(incident.key, "MigrationFailed");
    assert!(incident.message.contains("exit code 3"), "{incident:?}");
    assert!(incident.resolved_at.is_some(), "it was taken back");
    assert_eq!(world.status("production").open_incidents, None);

    world.plays.insert("run", Play::Vanish);
    world.release(3, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 3);
    assert_eq!(last(&world).reason.as_deref(), Some("MigrationStuck"));
    assert_eq!(world.status("production").open_incidents, Some(1));
    // Somebody looks, and has the rest done.
    world.plays.clear();
    say(&mut world, "alice", "Migrate", &about(3));
    approve(&mut world, "bob", 3);
    assert_eq!(world.status("production").open_incidents, None);
    let stuck = world.promotions_of("production").remove(2).status.unwrap();
    assert!(stuck.incidents[0].resolved_at.is_some());
}

#[test]
fn what_was_refused_before_it_began_is_no_incident() {
    let mut world = shop_with(1);
    world.plays.insert("backup", Play::Exit(1));
    world.release(2, Nature::Good);
    world.settle();
    approve(&mut world, "alice", 2);
    assert_eq!(last(&world).reason.as_deref(), Some("MigrationRefused"));
    assert_eq!(last(&world).incidents, []);
}
