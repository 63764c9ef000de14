//! Incidents: whose they are, what opens and closes them, who hears of it, and what goes back for an alert.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::environment::testing::{Nature, World};
use crate::promotion::api::{Incident, IncidentSource};

/// Staging, which takes alerts, and has a Release that is good. What `on` lists makes it go back.
fn staging(on: &[&str]) -> World {
    let mut world = World::shop();
    let sink = json!([{"name": "team", "webhook": {"url": "http://hooks.example/x"},
                       "on": ["IncidentOpened", "IncidentResolved"]}]);
    world.edit(
        "staging",
        &json!({"incidents": {"alertmanager": {"secretRef": {"name": "s", "key": "token"}}},
                "notifications": sink, "rollback": {"on": on}}),
    );
    world.release(1, Nature::Good);
    world.settle();
    world.tick(7200);
    world
}

const USUAL: [&str; 3] = ["RolloutFailed", "SmokeFailed", "SLOBurn"];

/// The incidents of the Promotion of a Release, the first of its name.
fn incidents(world: &World, release: &str) -> Vec<Incident> {
    let mut all = world.promotions_of("staging").into_iter();
    let record = all
        .find(|promotion| promotion.spec.release == release)
        .unwrap();
    record.status.unwrap_or_default().incidents
}

/// What receivers were told: event, and source of the incident.
fn sent(world: &World) -> Vec<(String, String)> {
    let all = world.sent.iter();
    all.map(|request| {
        let body: Value = serde_json::from_str(request.body.as_ref().unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&body["event"]), text(&body["incident"]["source"]))
    })
    .collect()
}

fn told(events: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = events.iter();
    all.map(|(event, source)| ((*event).to_owned(), (*source).to_owned()))
        .collect()
}

#[test]
fn an_alert_is_of_the_last_promotion_that_started_before_it_within_the_window() {
    for (what, later, ago, culprit) in [
        ("a minute after", 100, 60, Some("shop-2")),
        ("it began before the promotion", 100, 200, None),
        ("at the end of the window", 3700, 110, Some("shop-2")),
        ("after the window", 3800, 110, None),
        ("told much later", 9000, 8000, Some("shop-2")),
    ] {
        let mut world = staging(&USUAL);
        world.release(2, Nature::Good);
        world.settle();
        world.tick(later);
        world.deliver("staging", "a1", ago, false);
        world.settle();
        let alerts = world.status("staging").alerts;
        assert_eq!(alerts.len(), 1, "{what}: it is kept");
        let of = alerts[0].promotion.is_some().then_some("shop-2");
        assert_eq!(of, culprit, "{what}");
        assert_eq!(
            incidents(&world, "shop-2").len(),
            usize::from(culprit.is_some()),
            "{what}"
        );
        assert!(incidents(&world, "shop-1").is_empty(), "{what}");
        assert_eq!(world.told("staging").len(), 2, "{what}: nothing goes back");
    }
}

#[test]
fn an_incident_is_shown_told_once_and_closed_when_its_alert_ends() {
    let mut world = staging(&USUAL);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(60);
    world.deliver("staging", "a1", 30, false);
    world.settle();
    assert_eq!(world.status("staging").open_incidents, Some(1));
    assert_eq!(world.condition("staging", "IncidentOpen"), Some(true));
    assert_eq!(
        world.condition("staging", "Ready"),
        Some(true),
        "the spec is followed all the same"
    );
    let message = world.message("staging");
    assert!(
        message.contains("shop-2 runs, but an incident of shop-2"),
        "{message}"
    );
    assert!(
        message.contains("alert Slow (page) fires: it is slow"),
        "{message}"
    );
    // Repeated, also to another process; and another alert of the same cause.
    world.deliver("staging", "a1", 30, false);
    world.settle();
    world.restart();
    world.tick(60);
    world.deliver("staging", "a1", 90, false);
    world.deliver("staging", "b2", 10, false);
    world.settle();
    let open = incidents(&world, "shop-2").remove(0);
    assert_eq!((open.source, open.alerts.len()), (IncidentSource::Alert, 2));
    assert_eq!(open.resolved_at, None);
    world.deliver("staging", "a1", 90, true);
    world.settle();
    assert_eq!(
        world.status("staging").open_incidents,
        Some(1),
        "b2 still fires"
    );
    world.deliver("staging", "b2", 10, true);
    world.settle();
    let closed = incidents(&world, "shop-2").remove(0);
    assert_eq!(closed.resolved_at.unwrap().0, world.now);
    assert_eq!(world.status("staging").open_incidents, None);
    assert_eq!(world.condition("staging", "IncidentOpen"), None);
    world.tick(60);
    world.restart();
    world.settle();
    assert_eq!(
        sent(&world),
        told(&[("IncidentOpened", "Alert"), ("IncidentResolved", "Alert")])
    );
    assert_eq!(incidents(&world, "shop-2").len(), 1);
}

#[test]
fn an_alert_takes_a_finished_promotion_back_once_where_that_is_wanted() {
    let mut world = staging(&["AlertFiring"]);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(600);
    world.deliver("staging", "a1", 10, false);
    world.settle();
    let expected = [
        "Promote shop-1 Succeeded",
        "Promote shop-2 Succeeded",
        "Rollback shop-1 Succeeded",
    ];
    assert_eq!(world.told("staging"), expected);
    assert_eq!(world.serves("staging-api"), Some(1));
    let reason = world
        .promotions_of("staging")
        .remove(2)
        .spec
        .reason
        .unwrap();
    assert!(
        reason.starts_with(
            "AlertFiring: alert Slow (page) fires: it is slow, since Promotion staging-02"
        ),
        "{reason}"
    );
    let incident = incidents(&world, "shop-2").remove(0);
    assert_eq!(incident.response.as_deref(), Some("going back to shop-1"));
    assert_eq!(incident.resolved_at, None, "it still fires");
    // It still fires, and fires again: nothing goes back twice.
    world.tick(60);
    world.deliver("staging", "a1", 70, true);
    world.settle();
    world.tick(60);
    world.deliver("staging", "a1", 30, false);
    world.settle();
    assert_eq!(world.told("staging"), expected);
    world.deliver("staging", "a1", 30, true);
    world.settle();
    let all = incidents(&world, "shop-2");
    assert!(
        all.iter().all(|incident| incident.resolved_at.is_some()),
        "{all:?}"
    );
    let twice = told(&[("IncidentOpened", "Alert"), ("IncidentResolved", "Alert")].repeat(2));
    assert_eq!(sent(&world), twice);
}

#[test]
fn an_alert_ends_a_promotion_that_is_under_way_where_that_is_wanted() {
    for (on, phase) in [("AlertFiring", "RolledBack"), ("SmokeFailed", "Verifying")] {
        let mut world = staging(&[on]);
        world.are_tests_slow = true;
        world.release(2, Nature::Good);
        for _ in 0..8 {
            world.settle_once();
        }
        world.tick(20);
        world.deliver("staging", "a1", 5, false);
        for _ in 0..4 {
            world.settle_once();
        }
        assert_eq!(world.told("staging")[1], format!("Promote shop-2 {phase}"));
        let all = incidents(&world, "shop-2");
        assert_eq!((all.len(), all[0].source), (1, IncidentSource::Alert));
        let response = (on == "AlertFiring").then_some("going back to shop-1");
        assert_eq!(all[0].response.as_deref(), response);
    }
}

#[test]
fn an_alert_goes_back_only_within_and_only_from_the_last() {
    // Too late.
    let mut world = staging(&["AlertFiring"]);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(2000);
    world.deliver("staging", "a1", 10, false);
    world.settle();
    assert_eq!(world.told("staging").len(), 2);
    // Nothing to go back to.
    let mut world = World::shop();
    let takes = json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}}});
    world.edit(
        "staging",
        &json!({"incidents": takes, "rollback": {"on": ["AlertFiring"]}}),
    );
    world.release(1, Nature::Good);
    world.settle();
    world.tick(60);
    world.deliver("staging", "a1", 10, false);
    world.settle();
    assert_eq!(world.told("staging"), ["Promote shop-1 Succeeded"]);
    let message = world.message("staging");
    assert!(
        message.contains("no earlier good Release to go back to"),
        "{message}"
    );
    // It began under the one before the last.
    let mut world = staging(&["AlertFiring"]);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(100);
    world.release(3, Nature::Good);
    world.settle();
    world.tick(10);
    world.deliver("staging", "a1", 60, false);
    world.settle();
    assert_eq!(world.told("staging").len(), 3);
    assert_eq!(incidents(&world, "shop-2").len(), 1);
}

#[test]
fn a_failure_is_one_incident_until_something_good_serves_again() {
    for (nature, cause) in [
        (Nature::Breaks, "RolloutFailed"),
        (Nature::FailsSmoke, "SmokeFailed"),
    ] {
        let mut world = staging(&USUAL);
        world.release(2, nature);
        world.settle();
        assert_eq!(world.serves("staging-api"), Some(1));
        let incident = incidents(&world, "shop-2").remove(0);
        assert_eq!(
            (incident.key.as_str(), incident.source),
            (cause, IncidentSource::Failure)
        );
        assert_eq!(incident.response.as_deref(), Some("going back to shop-1"));
        let back = world.promotions_of("staging").remove(2).status.unwrap();
        assert_eq!(incident.resolved_at, back.finished_at);
        assert_eq!(
            sent(&world),
            told(&[
                ("IncidentOpened", "Failure"),
                ("IncidentResolved", "Failure")
            ])
        );
    }
}

#[test]
fn a_failure_and_its_alerts_are_one_incident() {
    let mut world = staging(&["RolloutFailed"]);
    world.release(2, Nature::Breaks);
    while !world
        .told("staging")
        .iter()
        .any(|told| told.ends_with("shop-2 RolledBack"))
    {
        world.settle_once();
    }
    world.tick(2);
    world.deliver("staging", "a1", 1, false);
    world.settle();
    assert_eq!(world.serves("staging-api"), Some(1));
    let incident = incidents(&world, "shop-2").remove(0);
    assert_eq!(
        (incident.source, incident.alerts.len()),
        (IncidentSource::Failure, 1)
    );
    assert_eq!(incident.resolved_at, None);
    world.tick(30);
    world.deliver("staging", "a1", 31, true);
    world.settle();
    let all = incidents(&world, "shop-2");
    assert_eq!(all.len(), 1);
    assert!(all[0].resolved_at.is_some());
    assert_eq!(
        sent(&world),
        told(&[
            ("IncidentOpened", "Failure"),
            ("IncidentResolved", "Failure")
        ])
    );
}

#[test]
fn a_burn_is_an_incident_of_the_promotion_that_is_left() {
    let mut world = World::shop_with_slos();
    world.release(1, Nature::Good);
    world.settle();
    world.release(2, Nature::Burns);
    world.settle();
    assert_eq!(world.told("staging")[2], "Rollback shop-1 Succeeded");
    let incident = incidents(&world, "shop-2").remove(0);
    assert_eq!(
        (incident.key.as_str(), incident.source),
        ("SLOBurn", IncidentSource::SLOBurn)
    );
    assert_eq!(incident.response.as_deref(), Some("going back to shop-1"));
    assert!(incident.resolved_at.is_some());
}

#[test]
fn people_say_that_a_promotion_caused_an_incident() {
    let mut world = staging(&USUAL);
    world.release(2, Nature::Good);
    world.settle();
    let name = world
        .promotions_of("staging")
        .remove(1)
        .metadata
        .name
        .unwrap();
    for (user, about) in [
        (
            "alice",
            json!({"target": {"kind": "Promotion", "name": name}}),
        ),
        ("bob", json!({})),
    ] {
        world.decide(user, "LinkIncident", "staging", &about);
        world.settle();
    }
    let all = incidents(&world, "shop-2");
    assert_eq!(all.len(), 1, "the second joins it");
    assert_eq!(
        (all[0].source, all[0].linked_by.as_deref()),
        (IncidentSource::Decision, Some("alice"))
    );
    assert_eq!(
        (all[0].message.as_str(), &all[0].resolved_at),
        ("because", &None)
    );
    world.tick(60);
    world.release(3, Nature::Good);
    world.settle();
    let all = incidents(&world, "shop-2");
    assert_eq!(all.len(), 1, "it is not opened again");
    assert!(all[0].resolved_at.is_some(), "something else serves");
    assert!(incidents(&world, "shop-3").is_empty());
    assert_eq!(
        sent(&world),
        told(&[
            ("IncidentOpened", "Decision"),
            ("IncidentResolved", "Decision")
        ])
    );
}

#[test]
fn where_nobody_listens_any_more_alerts_are_over() {
    let mut world = staging(&USUAL);
    world.release(2, Nature::Good);
    world.settle();
    world.tick(60);
    world.deliver("staging", "a1", 30, false);
    world.settle();
    world.edit("staging", &json!({"incidents": null}));
    world.settle();
    assert!(world.status("staging").alerts.is_empty());
    assert!(incidents(&world, "shop-2")[0].resolved_at.is_some());
}

/// An operator that dies at any write: the story ends as it would have without, and each is told of once.
#[test]
fn a_crash_at_any_write_changes_nothing() {
    let play = |fuse: Option<usize>| {
        let mut world = staging(&["AlertFiring"]);
        world.release(2, Nature::Good);
        world.settle();
        world.tick(600);
        world.fuse = fuse;
        let began = world.now - SignedDuration::from_secs(10);
        // Who does not hear that it is on record says it again.
        for has_ended in [false, false, false, true, true] {
            let ago = world.now.duration_since(began).as_secs();
            world.deliver("staging", "a1", ago, has_ended);
            world.settle();
        }
        let has_died = fuse.is_some() && world.fuse.is_none();
        let states: Vec<(String, bool)> = incidents(&world, "shop-2")
            .iter()
            .map(|incident| (incident.key.clone(), incident.resolved_at.is_some()))
            .collect();
        let mut keys: Vec<String> = world
            .sent
            .iter()
            .map(|sent| sent.headers["idempotency-key"].clone())
            .collect();
        keys.dedup();
        (has_died, (world.told("staging"), states, keys))
    };
    let (_, expected) = play(None);
    assert_eq!(expected.1.len(), 1, "{expected:?}");
    assert_eq!(expected.2.len(), 2, "{expected:?}");
    for fuse in 0.. {
        let (has_died, ended) = play(Some(fuse));
        if !has_died {
            break;
        }
        assert_eq!(ended, expected, "died at write {fuse}");
    }
}
