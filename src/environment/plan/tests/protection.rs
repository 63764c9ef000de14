//! Stories of what protects an Environment, and what must hold of it whatever happens.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::approve;
use crate::environment::api::{CandidateGateState, EnvironmentPhase};
use crate::environment::observed::Frozen;
use crate::environment::testing::{NOW, Nature, World};
use crate::model::object::ObjectKind;

/// A shop whose production has this protection.
fn protected(protection: &Value) -> World {
    let mut world = World::shop();
    let none = json!({"approvals": null});
    world.edit("production", &json!({"protection": none}));
    world.edit("production", &json!({"protection": protection}));
    world
}

fn gate(world: &World, name: &str) -> (CandidateGateState, String) {
    let candidate = world.status("production").candidate.unwrap();
    let gate = candidate.gates.into_iter().find(|gate| gate.name == name);
    let gate = gate.unwrap_or_else(|| panic!("no gate {name}"));
    (gate.state, gate.message.unwrap_or_default())
}

/// When a gate may change its answer by itself.
fn until(world: &World, name: &str) -> Option<Timestamp> {
    let candidate = world.status("production").candidate.unwrap();
    let gate = candidate.gates.into_iter().find(|gate| gate.name == name);
    gate.unwrap().until.map(|until| until.0)
}

fn waits(world: &World, words: &str) {
    let message = world.message("production");
    assert!(message.contains(words), "{message}");
}

fn runs(world: &World, number: u32) {
    assert_eq!(
        world.serves("production-api"),
        Some(number),
        "{}",
        world.message("production")
    );
}

fn say(world: &mut World, user: &str, action: &str, number: u32, rest: &Value) {
    let mut about = json!({"release": format!("shop-{number}")});
    json_patch::merge(&mut about, rest);
    world.decide(user, action, "production", &about);
    world.settle();
}

/// Goes on to a time, and lets everybody act.
fn at(world: &mut World, time: &str) {
    let time: Timestamp = time.parse().unwrap();
    world.tick(time.duration_since(world.now).as_secs());
    world.settle();
}

fn arrived(world: &mut World, number: u32) {
    world.release(number, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(number));
}

#[test]
fn only_some_branches_come_here() {
    let mut world = protected(&json!({"sources": {"branches": ["main", "release/*"]}}));
    world.release_of(1, &json!({"ref": "refs/heads/feature/x"}));
    world.settle();
    assert_eq!(gate(&world, "source").0, CandidateGateState::Failed);
    waits(
        &world,
        "was built from refs/heads/feature/x, and protection.sources takes branches main, release/*",
    );
    world.release_of(2, &json!({"ref": "refs/heads/release/1.4"}));
    world.settle();
    runs(&world, 2);
}

#[test]
fn tags_come_here_where_they_are_named() {
    let mut world = protected(&json!({"sources": {"tags": ["v*"]}}));
    world.release_of(1, &json!({}));
    world.settle();
    waits(
        &world,
        "was built from refs/heads/main, and protection.sources takes tags v*",
    );
    world.release_of(2, &json!({"ref": "refs/tags/v1.2.3"}));
    world.settle();
    runs(&world, 2);
}

#[test]
fn a_hotfix_does_not_wait_for_what_it_is_exempt_from_and_that_is_on_record() {
    let always = json!({"name": "always", "kind": "Deny", "start": "2026-01-01T00:00:00", "end": "2028-01-01T00:00:00"});
    let hotfixes = json!({"branches": ["hotfix/*"], "exempt": ["Freeze", "Soak"]});
    let mut world = protected(&json!({
        "freezes": [always], "soak": {"duration": "4h"}, "hotfixes": hotfixes, "approvals": {"required": 1},
    }));
    world.release_of(1, &json!({"ref": "refs/heads/hotfix"}));
    world.settle();
    waits(&world, "waits for freeze: freeze always ends");
    world.release_of(2, &json!({"ref": "refs/heads/hotfix/login"}));
    world.settle();
    waits(&world, "waits for approvals");
    let (state, said) = gate(&world, "freeze");
    assert_eq!(state, CandidateGateState::Passed);
    assert!(
        said.contains("shop-2 is a hotfix from refs/heads/hotfix/login; freeze always ends"),
        "{said}"
    );
    approve(&mut world, "alice", 2);
    runs(&world, 2);
    let status = world
        .promotions_of("production")
        .pop()
        .unwrap()
        .status
        .unwrap();
    for gate in ["freeze", "soak"] {
        let text = format!("{gate} does not count for a hotfix from refs/heads/hotfix/login");
        assert!(
            status.audit.iter().any(|entry| entry.event == text),
            "{gate}"
        );
    }
    // The operator's own freeze is above it.
    world.release_of(3, &json!({"ref": "refs/heads/hotfix/other"}));
    world.settle();
    world.frozen = Some(Frozen {
        reason: "audit".into(),
        until: None,
    });
    world.settle();
    waits(&world, "every promotion is frozen: audit");
}

fn covered(lines: u32, of: u32) -> Value {
    json!({"evidence": {"reports": [{"stage": "unit", "summary": {"coverage": {"lines": of, "coveredLines": lines}}}]}})
}

#[test]
fn production_asks_for_more_coverage_than_the_pipeline() {
    let rule = json!({"evidence": [{"name": "coverage", "coverage": {"min": 80, "maxDrop": 5}}]});
    let mut world = protected(&rule);
    world.release_of(1, &covered(75, 100));
    world.settle();
    assert_eq!(gate(&world, "evidence").0, CandidateGateState::Failed);
    waits(&world, "coverage: 75 % of lines are covered, needed: 80 %");
    // No report is no coverage.
    world.release_of(2, &json!({}));
    world.settle();
    waits(&world, "no stage left a report of coverage");
    world.release_of(3, &covered(90, 100));
    world.settle();
    runs(&world, 3);
    // A drop is measured from what runs here, not from what ran in staging.
    world.release_of(4, &covered(84, 100));
    world.settle();
    waits(&world, "90 % were");
    say(
        &mut world,
        "alice",
        "Override",
        4,
        &json!({"gates": ["evidence"]}),
    );
    runs(&world, 4);
}

#[test]
fn groups_bring_their_minimum_and_nobody_else_counts() {
    let rule = json!({"approvals": {"required": 2, "approvers": [{"group": "leads", "min": 1}, {"group": "developers"}, {"user": "carol"}]}});
    let mut world = protected(&rule);
    arrived(&mut world, 1);
    approve(&mut world, "mallory", 1);
    waits(&world, "0 of 2 approvals, 0 of 1 from group leads");
    waits(
        &world,
        "that of mallory does not count, who is none of the approvers",
    );
    say(
        &mut world,
        "dave",
        "Approve",
        1,
        &json!({"groups": ["developers"]}),
    );
    approve(&mut world, "carol", 1);
    waits(
        &world,
        "waits for approvals: 0 of 1 from group leads (dave, carol)",
    );
    say(
        &mut world,
        "lee",
        "Approve",
        1,
        &json!({"groups": ["leads"]}),
    );
    runs(&world, 1);
}

#[test]
fn authors_and_service_accounts_do_not_count() {
    let rule = json!({"approvals": {"required": 1, "preventAuthorApproval": true, "allowServiceAccounts": ["system:serviceaccount:board:bot"]}});
    let author =
        |email: &str| json!({"commit": {"author": "Alice", "email": email}, "changes": []});
    let mut world = protected(&rule);
    world.release_of(1, &author("alice@example.com"));
    world.settle();
    for user in [
        "alice@example.com",
        "oidc:ALICE@example.com",
        "alice",
        "system:serviceaccount:shop:alice",
    ] {
        approve(&mut world, user, 1);
        waits(
            &world,
            &format!("that of {user} does not count, who is an author of the change"),
        );
    }
    approve(&mut world, "system:serviceaccount:shop:ci", 1);
    waits(
        &world,
        "a service account that allowServiceAccounts does not list",
    );
    approve(&mut world, "system:serviceaccount:board:bot", 1);
    runs(&world, 1);
    // Who wrote what comes along, because the Release before it never came here, is an author too.
    world.release_of(2, &author("bob@example.com"));
    world.settle();
    world.release_of(
        3,
        &json!({"commit": {"author": "Carol", "email": "carol@example.com"}, "changes": []}),
    );
    world.settle();
    approve(&mut world, "bob@example.com", 3);
    waits(
        &world,
        "that of bob@example.com does not count, who is an author",
    );
    approve(&mut world, "alice@example.com", 3);
    runs(&world, 3);
}

#[test]
fn an_approval_is_bound_to_the_protection_under_which_it_was_given() {
    let mut world = protected(&json!({"approvals": {"required": 2}}));
    arrived(&mut world, 1);
    approve(&mut world, "alice", 1);
    world.tick(1);
    world.edit(
        "production",
        &json!({"protection": {"approvals": {"required": 1}}}),
    );
    world.settle();
    waits(
        &world,
        "that of alice does not count, which is from before the protection changed",
    );
    // Not even when every status is lost, and nobody knows when it changed.
    world.wipe_all(ObjectKind::Environment);
    world.wipe_all(ObjectKind::Promotion);
    world.settle();
    assert_eq!(world.serves("production-api"), None);
    approve(&mut world, "alice", 1);
    runs(&world, 1);
}

#[test]
fn what_nobody_approves_in_time_is_refused() {
    let mut world = protected(&json!({"approvals": {"required": 1, "timeout": "72h"}}));
    arrived(&mut world, 1);
    world.tick(72 * 3600 - 60);
    world.settle();
    assert_eq!(world.told("production"), ["Promote shop-1 Failed"]);
    let status = world.promotions_of("production")[0].status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some("ApprovalTimeout"));
    approve(&mut world, "alice", 1);
    assert_eq!(world.serves("production-api"), None);
}

#[test]
fn a_rejection_says_what_a_rollback_would_do() {
    let mut world = protected(&json!({"approvals": {"required": 1}}));
    for number in [1, 2, 3] {
        arrived(&mut world, number);
        if number < 3 {
            approve(&mut world, "alice", number);
        }
    }
    say(&mut world, "bob", "Reject", 3, &json!({}));
    let status = world.promotions_of("production")[2].status.clone().unwrap();
    let message = status.message.unwrap();
    assert!(
        message.contains(
            "shop-2 goes on running, and a Decision Rollback would go back from it to shop-1"
        ),
        "{message}"
    );
}

#[test]
fn nothing_starts_in_a_freeze_and_a_rollback_does() {
    // NOW is Friday, 15 January 2027, 08:00 in UTC.
    let freeze = json!({"name": "friday", "kind": "Deny", "rrule": "FREQ=WEEKLY;BYDAY=FR", "start": "2026-01-02T09:00:00",
                        "duration": "15h", "timeZone": "Europe/Madrid"});
    let mut world = protected(&json!({"freezes": [freeze]}));
    assert_eq!(NOW.to_string(), "2027-01-15T08:00:00Z");
    world.tick(-3600);
    for number in [1, 2] {
        arrived(&mut world, number);
        runs(&world, number);
    }
    at(&mut world, "2027-01-15T08:00:00Z");
    arrived(&mut world, 3);
    assert_eq!(gate(&world, "freeze").0, CandidateGateState::Waiting);
    waits(&world, "freeze friday ends 2027-01-15T23:00:00Z");
    assert_eq!(
        until(&world, "freeze"),
        Some("2027-01-15T23:00:00Z".parse().unwrap())
    );
    let pending = world
        .status("production")
        .conditions
        .into_iter()
        .find(|c| c.type_ == "PromotionPending");
    assert_eq!(pending.unwrap().reason, "Frozen");
    world.decide("alice", "Rollback", "production", &json!({}));
    world.settle();
    runs(&world, 1);
}

#[test]
fn a_freeze_ends_by_itself_and_follows_the_clock_on_the_wall() {
    // Clocks go forward on Sunday, 28 March 2027.
    let hours = json!({"name": "hours", "kind": "Allow", "cron": "0 9 * * MON-FRI", "duration": "8h", "timeZone": "Europe/Madrid"});
    let mut world = protected(&json!({"freezes": [hours]}));
    at(&mut world, "2027-03-27T12:00:00Z");
    arrived(&mut world, 1);
    waits(
        &world,
        "no window is open in which something may be promoted; the next one opens 2027-03-29T07:00:00Z",
    );
    at(&mut world, "2027-03-29T06:30:00Z");
    assert_eq!(world.serves("production-api"), None);
    at(&mut world, "2027-03-29T07:00:01Z");
    runs(&world, 1);
}

#[test]
fn deny_wins_over_allow_and_a_window_takes_so_many_promotions() {
    let rules = json!({"freezes": [
        {"name": "hours", "kind": "Allow", "cron": "0 6 * * *", "duration": "12h", "maxDeploys": 2},
        {"name": "lunch", "kind": "Deny", "cron": "0 12 * * *", "duration": "1h"},
    ]});
    let mut world = protected(&rules);
    for number in [1, 2] {
        arrived(&mut world, number);
        runs(&world, number);
    }
    arrived(&mut world, 3);
    waits(
        &world,
        "hours has had its 2 promotions (maxDeploys); the next one opens 2027-01-16T06:00:00Z",
    );
    // A rollback needs no room in a window, and takes none.
    world.decide("alice", "Rollback", "production", &json!({}));
    world.settle();
    runs(&world, 1);
    at(&mut world, "2027-01-16T12:30:00Z");
    arrived(&mut world, 4);
    waits(&world, "freeze lunch ends 2027-01-16T13:00:00Z");
    at(&mut world, "2027-01-16T13:00:01Z");
    runs(&world, 4);
}

#[test]
fn a_freeze_that_cannot_be_read_is_closed() {
    let freeze = json!({"name": "typo", "kind": "Deny", "cron": "0 9 * * *", "duration": "1h", "timeZone": "Europe/Atlantis"});
    let mut world = protected(&json!({"freezes": [freeze]}));
    arrived(&mut world, 1);
    waits(
        &world,
        "protection.freezes[0] (typo) counts as closed: there is no time zone Europe/Atlantis",
    );
}

#[test]
fn an_operator_that_is_frozen_promotes_nothing_until_that_ends() {
    let mut world = protected(&json!({}));
    let until = world.now + SignedDuration::from_hours(2);
    world.frozen = Some(Frozen {
        reason: "the network is being replaced".into(),
        until: Some(until),
    });
    world.release(1, Nature::Good);
    world.settle();
    assert_eq!(world.serves("staging-api"), None);
    let message = world.message("staging");
    assert!(
        message.contains("every promotion is frozen until 2027-01-15T10:00:00Z"),
        "{message}"
    );
    world.tick(7201);
    world.settle();
    runs(&world, 1);
}

#[test]
fn an_override_takes_as_many_people_as_it_says_a_reason_and_is_told() {
    let rules = json!({
        "freezes": [{"name": "always", "kind": "Deny", "start": "2026-01-01T00:00:00", "end": "2028-01-01T00:00:00"}],
        "override": {"required": 2},
    });
    let mut world = protected(&rules);
    let sink = json!([{"name": "team", "webhook": {"url": "http://hooks.example/x"}, "on": ["GateOverridden", "FreezeBlocked"]}]);
    world.edit("production", &json!({"notifications": sink}));
    arrived(&mut world, 1);
    let freeze = json!({"gates": ["freeze"], "reason": "outage 7"});
    say(&mut world, "alice", "Override", 1, &freeze);
    say(&mut world, "alice", "Override", 1, &freeze);
    waits(&world, "1 of 2 people override it (alice)");
    say(
        &mut world,
        "bob",
        "Override",
        1,
        &json!({"gates": ["soak"]}),
    );
    waits(&world, "1 of 2 people override it (alice)");
    say(&mut world, "bob", "Override", 1, &freeze);
    runs(&world, 1);
    let status = world.promotions_of("production")[0].status.clone().unwrap();
    let told: Vec<&str> = status
        .audit
        .iter()
        .map(|entry| entry.event.as_str())
        .collect();
    let overrode = told
        .iter()
        .filter(|event| event.starts_with("overrode freeze with Decision"));
    assert_eq!(overrode.count(), 2, "{told:?}");
    let sent: Vec<String> = world
        .sent
        .iter()
        .filter_map(|request| request.body.clone())
        .collect();
    for event in ["FreezeBlocked", "GateOverridden"] {
        assert!(
            sent.iter().any(|body| body.contains(event)),
            "{event}: {sent:?}"
        );
    }
}

#[test]
fn nobody_lets_a_release_pass_a_hold_or_those_who_approve() {
    let mut world = protected(&json!({"approvals": {"required": 1}}));
    world.decide("alice", "Hold", "production", &json!({}));
    arrived(&mut world, 1);
    say(
        &mut world,
        "bob",
        "Override",
        1,
        &json!({"gates": ["hold", "source", "approvals"]}),
    );
    assert_eq!(world.serves("production-api"), None);
    world.decide("alice", "Resume", "production", &json!({}));
    world.settle();
    assert_eq!(
        world.told("production"),
        ["Promote shop-1 AwaitingApproval"]
    );
}

#[test]
fn only_healthy_time_soaks() {
    for (on_unhealthy, starts_at) in [("Reset", 30 * 60 + 600 + 3600), ("Pause", 600 + 3600)] {
        let mut world =
            protected(&json!({"soak": {"duration": "1h", "onUnhealthy": on_unhealthy}}));
        arrived(&mut world, 1);
        assert_eq!(gate(&world, "soak").0, CandidateGateState::Waiting);
        waits(&world, "shop-1 must run well in staging until");
        let began = world.now;
        world.tick(30 * 60);
        world.set_nature(1, Nature::Breaks);
        world.settle();
        waits(
            &world,
            "staging is not well, so the time of shop-1 there stands still",
        );
        assert_eq!(until(&world, "soak"), None);
        // A new operator in the middle of it knows as much.
        world.restart();
        world.tick(600);
        world.set_nature(1, Nature::Good);
        world.settle();
        let end = until(&world, "soak").unwrap();
        let took = end.duration_since(began).as_secs();
        assert!((took - starts_at).abs() < 30, "{on_unhealthy}: {took}");
        world.tick(end.duration_since(world.now).as_secs() - 1);
        world.settle_once();
        assert_eq!(world.serves("production-api"), None);
        world.tick(2);
        world.settle();
        runs(&world, 1);
    }
}

#[test]
fn a_release_that_does_not_run_before_does_not_soak() {
    let mut world = protected(&json!({"soak": {"duration": "1h"}}));
    arrived(&mut world, 1);
    arrived(&mut world, 2);
    world.tick(7200);
    world.settle();
    runs(&world, 2);
    say(&mut world, "alice", "Promote", 1, &json!({}));
    waits(&world, "shop-1 does not run in staging");
    say(
        &mut world,
        "bob",
        "Override",
        1,
        &json!({"gates": ["soak"]}),
    );
    runs(&world, 1);
}

#[test]
fn too_little_budget_keeps_releases_away_and_no_data_does() {
    let mut world = World::shop_with_slos();
    let rule =
        json!({"errorBudget": {"minRemaining": "0.10", "maxBurnRate": "2"}, "approvals": null});
    world.edit("production", &json!({"protection": rule}));
    world.has_prometheus = false;
    arrived(&mut world, 1);
    assert_eq!(gate(&world, "error-budget").0, CandidateGateState::Waiting);
    waits(&world, "nothing is known of SLO api");
    world.edit(
        "production",
        &json!({"protection": {"errorBudget": {"onNoData": "Allow"}}}),
    );
    world.settle();
    runs(&world, 1);
}

#[test]
fn others_are_asked_when_nothing_else_stands_against_a_release_and_again() {
    let rules = json!({
        "freezes": [{"name": "now", "kind": "Deny", "start": "2027-01-15T00:00:00", "end": "2027-01-15T09:00:00"}],
        "gates": [{"name": "change", "pass": "value == 'approved'", "interval": "1m",
                   "web": {"url": "https://others.example/changes?release={{release.name}}&commit={{release.commit}}", "path": "$.state"}}],
    });
    let mut world = protected(&rules);
    arrived(&mut world, 1);
    waits(&world, "freeze now");
    assert_eq!(
        gate(&world, "change").1,
        "asked once nothing else stands against the Release"
    );
    at(&mut world, "2027-01-15T09:00:01Z");
    waits(
        &world,
        "waits for change: it is not known: cannot reach others.example",
    );
    world
        .others
        .insert("change".into(), json!({"state": "pending"}));
    world.tick(61);
    world.settle();
    waits(
        &world,
        "waits for change: value 'pending' is not what it takes (value == 'approved')",
    );
    world
        .others
        .insert("change".into(), json!({"state": "approved"}));
    world.tick(61);
    world.settle();
    runs(&world, 1);
}

#[test]
fn an_answer_that_is_old_starts_nothing() {
    let rules = json!({
        "approvals": {"required": 1},
        "gates": [{"name": "change", "pass": "value", "interval": "10m", "web": {"url": "https://others.example/", "path": "$.ok"}}],
    });
    let mut world = protected(&rules);
    world.others.insert("change".into(), json!({"ok": true}));
    arrived(&mut world, 1);
    waits(&world, "waits for approvals");
    world.others.insert("change".into(), json!({"ok": false}));
    world.tick(3600);
    approve(&mut world, "alice", 1);
    assert_eq!(world.serves("production-api"), None);
    waits(&world, "value false is not what it takes");
}

#[test]
fn a_gate_that_names_something_that_there_is_not_says_so() {
    let rules = json!({"gates": [{"name": "change", "pass": "value > 0", "web": {"url": "https://others.example/{{release.branch}}"}}]});
    let mut world = protected(&rules);
    arrived(&mut world, 1);
    waits(&world, "there is no such value; there is release.name");
}

#[test]
fn the_condition_of_an_object_is_a_gate() {
    let rules = json!({"gates": [{"name": "staging-is-well", "object": {"kind": "Environment", "name": "staging", "condition": "Healthy"}}]});
    let mut world = protected(&rules);
    arrived(&mut world, 1);
    runs(&world, 1);
    let missing = json!([{"name": "payments", "object": {"kind": "Rollout", "name": "payments", "condition": "Healthy"}}]);
    world.edit("production", &json!({"protection": {"gates": missing}}));
    arrived(&mut world, 2);
    waits(&world, "there is no Rollout payments");
}

#[test]
fn a_job_is_a_gate_and_runs_once() {
    let rules = json!({"approvals": {"required": 1}, "gates": [{"name": "paperwork", "job": {"image": "check:1"}}]});
    let mut world = protected(&rules);
    world.release(1, Nature::FailsSmoke);
    world.edit("staging", &json!({"smokeTests": null}));
    world.settle();
    waits(&world, "waits for paperwork: its Job failed");
    let jobs = world.names(ObjectKind::Job);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    // Whoever takes it away has it run again.
    world.set_nature(1, Nature::Good);
    world.delete(ObjectKind::Job, &jobs[0]);
    world.settle();
    waits(&world, "waits for approvals");
    approve(&mut world, "alice", 1);
    runs(&world, 1);
}

#[test]
fn a_gate_whose_pod_was_taken_away_is_asked_again() {
    let rules = json!({"gates": [{"name": "paperwork", "job": {"image": "check:1"}}]});
    let mut world = protected(&rules);
    world.edit("staging", &json!({"smokeTests": null}));
    world.release(1, Nature::LosesSmoke);
    // At rest it would be lost and asked again for ever.
    for _ in 0..8 {
        world.settle_once();
    }
    waits(
        &world,
        "waits for paperwork: it is not known: its Job came to no verdict: Evicted",
    );
    let lost = world.names(ObjectKind::Job);
    let uid = |world: &World| world.object(ObjectKind::Job, &lost[0])["metadata"]["uid"].clone();
    let first = uid(&world);
    world.set_nature(1, Nature::Good);
    world.settle_once();
    assert_eq!(uid(&world), first, "not at once");
    world.settle();
    assert_ne!(uid(&world), first);
    runs(&world, 1);
}

#[test]
fn a_pinned_environment_stays_and_still_goes_back() {
    let mut world = protected(&json!({}));
    arrived(&mut world, 1);
    arrived(&mut world, 2);
    runs(&world, 2);
    say(&mut world, "alice", "Pin", 2, &json!({}));
    assert_eq!(
        world.status("production").phase,
        Some(EnvironmentPhase::Held)
    );
    arrived(&mut world, 3);
    runs(&world, 2);
    waits(&world, "stays at shop-2, pinned by alice");
    say(&mut world, "bob", "Promote", 3, &json!({}));
    waits(&world, "cannot be followed: stays at shop-2");
    assert_eq!(world.status("production").pins.len(), 1);
    // What is pinned is still available to those after it: a pin holds no Release.
    assert!(world.status("production").holds.is_empty());
    world.decide("bob", "Rollback", "production", &json!({}));
    world.settle();
    runs(&world, 1);
    world.decide("alice", "Resume", "production", &json!({}));
    world.settle();
    runs(&world, 3);
}

#[test]
fn a_promotion_is_stopped_before_it_starts_or_in_the_middle() {
    let mut world = protected(&json!({"approvals": {"required": 1}}));
    let slow = json!([{"name": "paths", "job": {"image": "smoke:1", "command": ["smoke"]}, "timeout": "1h"}]);
    world.edit("production", &json!({"smokeTests": slow}));
    arrived(&mut world, 1);
    world.decide("bob", "Abort", "production", &json!({}));
    world.settle();
    assert_eq!(world.told("production"), ["Promote shop-1 Failed"]);
    arrived(&mut world, 2);
    approve(&mut world, "alice", 2);
    runs(&world, 2);
    arrived(&mut world, 3);
    world.are_tests_slow = true;
    approve(&mut world, "alice", 3);
    assert_eq!(world.told("production")[2], "Promote shop-3 Verifying");
    let name = world.promotions_of("production")[2]
        .metadata
        .name
        .clone()
        .unwrap();
    world.decide(
        "bob",
        "Abort",
        "production",
        &json!({"target": {"kind": "Promotion", "name": name}}),
    );
    world.are_tests_slow = false;
    world.settle();
    assert_eq!(
        world.told("production")[2..],
        ["Promote shop-3 RolledBack", "Rollback shop-2 Succeeded"]
    );
    runs(&world, 2);
}

/// Something that happens to a shop with every kind of gate.
#[derive(Clone, Debug)]
enum Event {
    Release(Nature),
    Decide(&'static str, &'static str, u32),
    Override(&'static str, u32),
    Agree(Option<&'static str>),
    Frozen(bool),
    Protect(u32),
    Tick(i64),
    Restart,
    Wipe,
    Step,
    Settle,
}

fn events() -> impl Strategy<Value = Event> {
    let users = || prop::sample::select(vec!["a", "alice", "bob"]);
    let actions = vec![
        "Approve", "Approve", "Reject", "Promote", "Hold", "Resume", "Veto", "Pin", "Abort",
        "Rollback", "Retry",
    ];
    let natures = prop_oneof![4 => Just(Nature::Good), 1 => Just(Nature::Breaks)];
    let gates = vec!["freeze", "soak", "change", "hold", "approvals"];
    prop_oneof![
        3 => natures.prop_map(Event::Release),
        8 => (users(), prop::sample::select(actions), 0..3_u32).prop_map(|(user, action, release)| Event::Decide(user, action, release)),
        2 => (prop::sample::select(gates), 0..3_u32).prop_map(|(gate, release)| Event::Override(gate, release)),
        2 => prop::sample::select(vec![None, Some("approved"), Some("pending")]).prop_map(Event::Agree),
        1 => any::<bool>().prop_map(Event::Frozen),
        1 => (1..3_u32).prop_map(Event::Protect),
        6 => prop_oneof![1..90_i64, 1..20_000_i64].prop_map(Event::Tick),
        1 => Just(Event::Restart),
        1 => Just(Event::Wipe),
        3 => Just(Event::Step),
        4 => Just(Event::Settle),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let releases = u32::try_from(world.names(ObjectKind::Release).len()).unwrap();
    let late =
        |back: u32| json!({"release": format!("shop-{}", releases.saturating_sub(back).max(1))});
    match event {
        Event::Release(nature) => world.release(releases + 1, *nature),
        Event::Decide(user, action, back) => {
            let named = ["Approve", "Reject", "Promote", "Veto", "Pin"].contains(action);
            let about = if named || *back == 1 {
                late(*back)
            } else {
                json!({})
            };
            world.decide(user, action, "production", &about);
        }
        Event::Override(gate, back) => {
            let mut about = late(*back);
            json_patch::merge(&mut about, &json!({"gates": [gate]}));
            world.decide("bob", "Override", "production", &about);
        }
        Event::Agree(None) => drop(world.others.remove("change")),
        Event::Agree(Some(state)) => drop(
            world
                .others
                .insert("change".into(), json!({"state": state})),
        ),
        Event::Frozen(is_frozen) => {
            let frozen = Frozen {
                reason: "stop".into(),
                until: None,
            };
            world.frozen = is_frozen.then_some(frozen);
        }
        Event::Protect(required) => {
            world.edit(
                "production",
                &json!({"protection": {"approvals": {"required": required}}}),
            );
        }
        Event::Tick(seconds) => world.tick(*seconds),
        Event::Restart => world.restart(),
        Event::Wipe => world.wipe(ObjectKind::Environment, "production"),
        Event::Step => drop(world.settle_once()),
        Event::Settle => world.settle(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("SLIPWAY_TEST_FULL").is_some() { 2000 } else { 40 },
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// I2, I5, I11: whatever is started has passed every gate, or the record says who let it pass: see `World::check_start`,
    /// which looks after each write. And the operator may die after any of them.
    #[test]
    fn whatever_starts_has_passed_every_gate(
        events in proptest::collection::vec(events(), 1..40),
        fuses in proptest::collection::vec(0..40_usize, 0..3),
    ) {
        let mut world = World::guarded();
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
    }
}
