//! Deliveries in any order, as often as they come.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn at(second: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(second)
}

fn rule(wanted: &Value) -> Incidents {
    let rule =
        json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}, "match": wanted}});
    serde_json::from_value(rule).unwrap()
}

fn delivered(fingerprint: &str, start: i64, end: Option<i64>) -> Delivered {
    let alert = json!({
        "status": if end.is_some() { "resolved" } else { "firing" },
        "labels": {"alertname": "Slow", "team": "shop", "severity": "page", "pod": "api-1"},
        "annotations": {"summary": "it is slow"},
        "startsAt": at(start).to_string(),
        "endsAt": end.map_or("0001-01-01T00:00:00Z".to_owned(), |end| at(end).to_string()),
        "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint,
    });
    serde_json::from_value(alert).unwrap()
}

/// Starts and ends of what is kept, in seconds.
fn told(alerts: &[AlertStatus]) -> Vec<(String, i64, Option<i64>)> {
    let second = |at: &Time| at.0.duration_since(NOW).as_secs();
    let all = alerts.iter();
    all.map(|alert| {
        let name = fingerprint(&alert.key).to_owned();
        (
            name,
            second(&alert.starts_at),
            alert.ends_at.as_ref().map(second),
        )
    })
    .collect()
}

fn after(deliveries: &[(&str, i64, Option<i64>)]) -> Vec<(String, i64, Option<i64>)> {
    let rule = rule(&json!({}));
    let mut known = Vec::new();
    for (name, start, end) in deliveries {
        known = taken_in(&known, &[delivered(name, *start, *end)], Some(&rule), NOW);
    }
    told(&known)
}

#[test]
fn deliveries_may_be_repeated_late_and_out_of_order() {
    let one = |start, end| vec![("a".to_owned(), start, end)];
    for (what, deliveries, expected) in [
        ("it fires", vec![("a", -60, None)], one(-60, None)),
        (
            "told twice",
            vec![("a", -60, None), ("a", -60, None)],
            one(-60, None),
        ),
        (
            "and ends",
            vec![("a", -60, None), ("a", -60, Some(-30))],
            one(-60, Some(-30)),
        ),
        (
            "only its end arrives",
            vec![("a", -60, Some(-30))],
            one(-60, Some(-30)),
        ),
        (
            "that it fired arrives after its end",
            vec![("a", -60, Some(-30)), ("a", -60, None)],
            one(-60, Some(-30)),
        ),
        (
            "another Prometheus saw it earlier",
            vec![("a", -60, None), ("a", -65, None), ("a", -65, Some(-30))],
            one(-60, Some(-30)),
        ),
        (
            "and later, when it is over",
            vec![("a", -60, None), ("a", -60, Some(-30)), ("a", -50, None)],
            one(-60, Some(-30)),
        ),
        (
            "the end of one before is told late",
            vec![("a", -60, None), ("a", -90, Some(-80))],
            vec![
                ("a".to_owned(), -60, None),
                ("a".to_owned(), -90, Some(-80)),
            ],
        ),
        (
            "it fires again",
            vec![("a", -60, None), ("a", -60, Some(-30)), ("a", -10, None)],
            vec![
                ("a".to_owned(), -10, None),
                ("a".to_owned(), -60, Some(-30)),
            ],
        ),
        (
            "it fires again, and that it ended was never told",
            vec![("a", -60, None), ("a", -10, None)],
            vec![
                ("a".to_owned(), -10, None),
                ("a".to_owned(), -60, Some(-10)),
            ],
        ),
        (
            "it ended a day ago",
            vec![
                ("a", -100_000, None),
                ("a", -100_000, Some(-86_400)),
                ("b", -5, None),
            ],
            vec![("b".to_owned(), -5, None)],
        ),
    ] {
        assert_eq!(after(&deliveries), expected, "{what}");
    }
}

#[test]
fn what_matters_of_an_alert_is_kept() {
    let rule = rule(&json!({"team": "shop"}));
    let known = taken_in(&[], &[delivered("a", -60, None)], Some(&rule), NOW);
    let alert = &known[0];
    assert_eq!(
        (alert.name.as_str(), alert.summary.as_deref()),
        ("Slow", Some("it is slow"))
    );
    let labels: Vec<&str> = alert.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["severity", "team"]);
}

#[test]
fn only_what_has_all_labels_concerns_an_environment() {
    for (wanted, concerns) in [
        (json!({}), true),
        (json!({"team": "shop"}), true),
        (json!({"team": "shop", "severity": "page"}), true),
        (json!({"team": "shop", "severity": "ticket"}), false),
        (json!({"region": ""}), false),
    ] {
        let rule = rule(&wanted);
        let known = taken_in(&[], &[delivered("a", -60, None)], Some(&rule), NOW);
        assert_eq!(known.len() == 1, concerns, "{wanted}");
    }
    assert!(taken_in(&[], &[delivered("a", -60, None)], None, NOW).is_empty());
}

#[test]
fn of_very_many_those_that_fire_stay_and_the_newest() {
    let rule = rule(&json!({}));
    let name = |number: i64| format!("a{number}");
    let mut many: Vec<Delivered> = (0..100)
        .map(|number| delivered(&name(number), -200 + number, None))
        .collect();
    many.extend((100..150).map(|number| delivered(&name(number), -200 + number, Some(-1))));
    let known = taken_in(&[], &many, Some(&rule), NOW);
    assert_eq!(known.len(), CAP);
    assert_eq!(fingerprint(&known[0].key), "a99");
    assert!(known.iter().all(|alert| alert.ends_at.is_none()));
    assert_eq!(
        taken_in(&known, &many, Some(&rule), NOW),
        known,
        "and again changes nothing"
    );
}

#[test]
fn what_is_no_webhook_of_alertmanager_says_so() {
    let alert = json!({"status": "firing", "labels": {}, "startsAt": "2026-01-01T00:00:00+01:00",
                       "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "ab12"});
    let with = |change: Value| {
        let mut body = json!({"version": "4", "groupKey": "g", "status": "firing", "receiver": "slipway", "alerts": [alert]});
        json_patch::merge(&mut body, &change);
        read(body.to_string().as_bytes())
    };
    let read_well = with(json!({"truncatedAlerts": 3})).unwrap();
    assert_eq!((read_well.alerts.len(), read_well.truncated_alerts), (1, 3));
    let wrong = |change: Value| with(change).unwrap_err();
    assert!(wrong(json!({"version": "5"})).contains("version \"5\""));
    assert!(wrong(json!({"alerts": null})).contains("missing field `alerts`"));
    assert!(wrong(json!({"alerts": [{}]})).contains("missing field"));
    let mut odd = alert.clone();
    odd["fingerprint"] = "../x".into();
    assert!(wrong(json!({"alerts": [odd]})).contains("fingerprint"));
    assert!(
        read(b"[")
            .unwrap_err()
            .contains("no webhook of Alertmanager")
    );
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let deep = format!(r#"{{"version":"4","alerts":[],"x":{deep}}}"#);
    let skipped = read(deep.as_bytes()).unwrap();
    assert!(
        skipped.alerts.is_empty(),
        "what is not known is passed over, however deep"
    );
}

proptest! {
    /// Whatever is delivered: to take it in again changes nothing, at most one of the same labels fires, keys are different,
    /// and there are not too many.
    #[test]
    fn taking_in_is_idempotent(
        deliveries in proptest::collection::vec((0..4_u8, -3000..0_i64, proptest::option::of(1..500_i64)), 0..40),
        group in 1..5_usize,
    ) {
        let rule = rule(&json!({}));
        let mut known = Vec::new();
        let all: Vec<Delivered> = deliveries
            .iter()
            .map(|(name, start, took)| delivered(&format!("a{name}"), *start, took.map(|took| (start + took).min(0))))
            .collect();
        for some in all.chunks(group) {
            known = taken_in(&known, some, Some(&rule), NOW);
            prop_assert!(known.len() <= CAP);
            let mut keys: Vec<&str> = known.iter().map(|alert| alert.key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), known.len());
            for name in 0..4 {
                let name = format!("a{name}");
                let firing = known.iter().filter(|alert| alert.ends_at.is_none() && fingerprint(&alert.key) == name);
                prop_assert!(firing.count() <= 1);
            }
            if let [one] = some {
                let one = std::slice::from_ref(one);
                prop_assert_eq!(taken_in(&known, one, Some(&rule), NOW), known.clone());
            }
        }
    }
}

#[test]
fn what_we_have_told_an_alertmanager_is_not_taken_back_from_it() {
    let rule = rule(&json!({}));
    let mut own = delivered("a", -60, None);
    assert!(own.concerns(&rule));
    for name in OWN {
        own.labels.insert(ALERT_NAME.into(), name.into());
        assert!(!own.concerns(&rule), "{name}");
    }
}
