//! Who is told what, by every type of receiver.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::environment::testing::{Nature, World};
use crate::outbox::api::OutboxState;

fn key(key: &str) -> Value {
    json!({"secretRef": {"name": "told", "key": key}})
}

/// One receiver of each type, and the events that they hear of.
fn receivers() -> Value {
    let all = [
        "PromotionSucceeded",
        "RolledBack",
        "IncidentOpened",
        "IncidentResolved",
    ];
    let both = ["IncidentOpened", "IncidentResolved"];
    json!([
        {"name": "hook", "webhook": {"url": "https://hooks.example/x"}, "on": all},
        {"name": "secret-hook", "webhook": key("hook"), "on": all},
        {"name": "slack", "slack": key("slack"), "on": all},
        {"name": "teams", "teams": key("teams"), "on": all},
        {"name": "mail", "on": all, "email": {
            "host": "smtp.example.com", "from": "slipway@example.com", "to": ["team@example.com"],
        }},
        {"name": "oncall", "pagerDuty": key("routing"), "on": both},
        {"name": "alerts", "alertmanager": {"address": "http://alertmanager:9093"}, "on": both},
        {"name": "bus", "cloudEvents": {"url": "https://bus.example/x"}, "on": all},
        {"name": "severe", "webhook": {"url": "https://severe.example/x"}, "minSeverity": "Critical"},
    ])
}

/// The keys of the messages, by where they went, each as often as it was sent.
fn sent(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in &world.sent {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap_or("null")).unwrap();
        let place = request.url.split('/').take(3).collect::<Vec<_>>().join("/");
        let what = match (request.mail(), body["event_action"].as_str()) {
            (Some(mail), _) => mail.subject.clone(),
            (None, Some(action)) => action.to_owned(),
            (None, None) if body.is_array() => "alert".to_owned(),
            (None, None) => {
                let event = body["event"].as_str().or(body["text"].as_str());
                event.unwrap_or("a card").to_owned()
            }
        };
        all.entry(place).or_default().push(what);
    }
    all
}

#[test]
fn every_receiver_hears_once_of_what_it_is_to_hear_of() {
    let mut world = World::shop();
    world.edit("staging", &json!({"notifications": receivers()}));
    world.release(1, Nature::Good);
    world.settle();
    world.release(2, Nature::FailsSmoke);
    world.settle();
    let all = sent(&world);
    let events = [
        "PromotionSucceeded",
        "IncidentOpened",
        "RolledBack",
        "IncidentResolved",
    ];
    let sorted = |place: &str| {
        let mut events = all[place].clone();
        events.sort_unstable();
        events
    };
    let mut expected = events.map(str::to_owned);
    expected.sort_unstable();
    for place in ["https://hooks.example", "webhook", "https://bus.example"] {
        assert_eq!(sorted(place), expected, "{place}");
    }
    for (place, count) in [
        ("slack", 4),
        ("teams", 4),
        ("smtp://smtp.example.com:587", 4),
    ] {
        assert_eq!(all[place].len(), count, "{place}: {:?}", all[place]);
    }
    assert_eq!(all["https://events.pagerduty.com"], ["trigger", "resolve"]);
    assert_eq!(all["http://alertmanager:9093"].len(), 2);
    let severe = ["IncidentOpened", "IncidentResolved"];
    assert_eq!(sorted("https://severe.example"), severe);
}

#[test]
fn a_receiver_that_is_gone_gets_nothing_and_that_is_told() {
    let mut world = World::shop();
    world.edit("staging", &json!({"notifications": receivers()}));
    world.receiver = 503;
    world.release(1, Nature::Good);
    for _ in 0..40 {
        world.settle_once();
    }
    let before = world.sent.len();
    assert!(before > 0);
    world.edit("staging", &json!({"notifications": []}));
    world.settle();
    assert_eq!(world.sent.len(), before);
    let outbox = world.status("staging").outbox;
    assert!(
        outbox
            .iter()
            .all(|entry| entry.state == OutboxState::Failed)
    );
    let why = "the receiver is no longer in spec.notifications";
    assert!(
        outbox
            .iter()
            .all(|entry| entry.last_error.as_deref() == Some(why))
    );
}

#[test]
fn a_release_that_succeeds_is_told_with_what_is_new_in_it() {
    let mut world = World::shop();
    let team = json!([{"name": "slack", "slack": key("slack"), "on": ["PromotionSucceeded"]}]);
    world.edit("staging", &json!({"notifications": team}));
    world.release(1, Nature::Good);
    world.settle();
    let body = world.sent[0].body.clone().unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["text"], "staging runs shop-1");
    let whole = body.to_string();
    assert!(whole.contains("*Release*\\nshop-1"), "{whole}");
}
