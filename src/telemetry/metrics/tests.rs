//! Tests of the series: what is served is what is listed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::promotion::api::{PromotionKind, PromotionStatus};
use crate::telemetry::series::PREFIX;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn key() -> Key {
    Key::new("shop", "api")
}

/// Metrics in which everything has happened once.
fn filled() -> Metrics {
    let metrics = Metrics::new().unwrap();
    let kind = ObjectKind::Rollout;
    metrics.leading(true);
    metrics.reconciled(kind, "ok", Duration::from_millis(3));
    metrics.reconcile_error(kind, "ApiError");
    metrics.reconcile_panic(kind);
    metrics.action(kind, "apply");
    metrics.action_failed(kind, &key(), true);
    metrics.queue(kind, 2, Duration::from_secs(1));
    metrics.planned(Duration::from_micros(80));
    metrics.kube_request("list", 200, Duration::from_millis(8));
    metrics.watch_error(kind);
    metrics.watch_event(kind);
    metrics.told("github", "started");
    metrics.delivered("recorded");
    metrics.incidents(&key(), Some(1));
    metrics.rollout(&key(), "Progressing", 20);
    metrics.rollout_written(&key(), &Value::Null, &rolled(&[("a", "Promoted")]));
    let candidate = json!({"release": "shop-2", "gates": [
        {"name": "approvals", "state": "Waiting"}, {"name": "soak", "state": "Passed"},
    ]});
    let status = json!({"phase": "Pending", "candidate": candidate});
    metrics.environment(&key(), Some(&status));
    metrics.promotion_written(&key(), &succeeded(&waiting(), &ended("Succeeded")));
    metrics.run_written(&key(), &Value::Null, &ended("Succeeded"));
    let slo = json!({
        "name": "availability", "state": "Met", "remainingBudget": "0.8",
        "burnRates": [{"window": "1h", "rate": "0.5"}],
    });
    metrics.slos(&key(), &[serde_json::from_value(slo).unwrap()]);
    let share = json!({"ratio": "0.25", "count": 1, "of": 4});
    let span = json!({"medianSeconds": 60, "meanSeconds": 70, "count": 3, "band": "High"});
    let window = json!({
        "window": "7d", "frequency": {"deployments": 4, "perDay": "0.57", "band": "High"},
        "leadTime": span, "changeFailures": share, "recoveryTime": span, "rework": share,
    });
    metrics.dora(&key(), Some(&dora(&window)));
    metrics
}

fn dora(window: &Value) -> DoraStatus {
    serde_json::from_value(json!({"windows": [window]})).unwrap()
}

fn rolled(endings: &[(&str, &str)]) -> Value {
    let endings = endings.iter().map(|(revision, result)| {
        json!({
            "revision": revision, "result": result, "reason": "Done", "peakWeight": 100,
            "startedAt": at(0).to_string(), "finishedAt": at(90).to_string(),
        })
    });
    json!({"history": endings.collect::<Vec<_>>()})
}

fn waiting() -> PromotionStatus {
    serde_json::from_value(json!({"phase": "Pending"})).unwrap()
}

fn ended(phase: &str) -> Value {
    json!({"phase": phase, "startedAt": at(60).to_string(), "finishedAt": at(360).to_string()})
}

fn succeeded<'a>(before: &'a PromotionStatus, after: &'a Value) -> Promoted<'a> {
    Promoted {
        kind: PromotionKind::Promote,
        created_at: at(0),
        before,
        after,
    }
}

fn text(metrics: &Metrics) -> String {
    let text = String::from_utf8(metrics.text().unwrap()).unwrap();
    let ours = text
        .lines()
        .filter(|line| line.contains(&format!("{PREFIX}_")));
    ours.collect::<Vec<_>>().join("\n")
}

/// Labels of a line such as `slipway_a{b="c"} 1`, without `le`.
fn labels(line: &str) -> BTreeMap<&str, &str> {
    let inner = line
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let pairs = inner.map_or("", |(inner, _)| inner).split(',');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name, value.trim_matches('"')));
    pairs.filter(|(name, _)| *name != "le").collect()
}

#[test]
fn what_is_served_is_what_is_listed() {
    let text = text(&filled());
    for series in series::all() {
        let (name, type_) = (series.full_name(), series.type_.as_str());
        assert!(text.contains(&format!("# TYPE {name} {type_}\n")), "{name}");
        let help = format!("# HELP {name} {}\n", series.help);
        assert!(text.contains(&help), "{name}");
        let ends = [
            "{", " ", "_bucket{", "_count{", "_sum{", "_bucket ", "_count ", "_sum ",
        ];
        let is_of = |line: &&str| {
            let mut ends = ends.iter();
            ends.any(|end| line.starts_with(&format!("{name}{end}")))
        };
        let samples: Vec<&str> = text.lines().filter(is_of).collect();
        assert!(!samples.is_empty(), "{name} has no sample");
        let expected: BTreeSet<&str> = series.label_names().into_iter().collect();
        for sample in samples {
            let found = labels(sample);
            let names: BTreeSet<&str> = found.keys().copied().collect();
            assert_eq!(names, expected, "{sample}");
            for label in series.labels {
                let words = label.words();
                let is_known = words.is_none_or(|words| words.contains(&found[label.name]));
                assert!(is_known, "{sample}: {}", label.name);
            }
        }
    }
    let listed: BTreeSet<String> = series::all().map(Series::full_name).collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> = types
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    assert_eq!(served, listed);
}

#[test]
fn names_say_what_is_counted_and_in_which_unit() {
    for series in series::all() {
        let name = series.name;
        let is_counter = series.type_ == series::SeriesType::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        let is_histogram = series.type_ == series::SeriesType::Histogram;
        assert!(!is_histogram || name.ends_with("_seconds"), "{name}");
        assert!(series.help.ends_with('.'), "{name}");
    }
}

#[test]
fn what_ended_is_counted_once() {
    let metrics = Metrics::new().unwrap();
    let (none, one) = (Value::Null, rolled(&[("a", "Promoted")]));
    let two = rolled(&[("b", "RolledBack"), ("a", "Promoted")]);
    metrics.rollout_written(&key(), &none, &one);
    metrics.rollout_written(&key(), &one, &one);
    metrics.rollout_written(&key(), &one, &two);
    let (before, started) = (
        waiting(),
        json!({"phase": "Promoting", "startedAt": at(60).to_string()}),
    );
    metrics.promotion_written(&key(), &succeeded(&before, &started));
    let moving = serde_json::from_value(started).unwrap();
    let failed = ended("RolledBack");
    metrics.promotion_written(&key(), &succeeded(&moving, &failed));
    let over = serde_json::from_value(failed.clone()).unwrap();
    metrics.promotion_written(&key(), &succeeded(&over, &failed));
    metrics.run_written(&key(), &json!({"phase": "Running"}), &ended("Failed"));
    metrics.run_written(&key(), &ended("Failed"), &ended("Failed"));
    let text = text(&metrics);
    for line in [
        r#"slipway_rollout_changes_total{name="api",namespace="shop",result="Promoted"} 1"#,
        r#"slipway_rollout_changes_total{name="api",namespace="shop",result="RolledBack"} 1"#,
        r#"slipway_rollout_change_duration_seconds_sum{result="Promoted"} 90"#,
        r#"slipway_promotions_total{environment="api",kind="Promote",namespace="shop",result="RolledBack"} 1"#,
        r#"slipway_promotion_wait_seconds_sum{kind="Promote"} 60"#,
        r#"slipway_promotion_wait_seconds_count{kind="Promote"} 1"#,
        r#"slipway_promotion_duration_seconds_sum{kind="Promote",result="RolledBack"} 300"#,
        r#"slipway_runs_total{namespace="shop",pipeline="api",result="Failed"} 1"#,
        r#"slipway_run_duration_seconds_sum{result="Failed"} 300"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_counted_begins_with_zero() {
    let metrics = Metrics::new().unwrap();
    metrics.environment(&key(), Some(&json!({"phase": "Steady"})));
    metrics.rollout(&key(), "Healthy", 0);
    let text = text(&metrics);
    for end in [r#"result="Failed"} 0"#, r#"result="Superseded"} 0"#] {
        assert!(text.contains(end), "{text}");
    }
}

#[test]
fn a_rollout_is_in_one_phase_and_its_endings_stay() {
    let metrics = Metrics::new().unwrap();
    metrics.rollout(&key(), "Progressing", 20);
    metrics.rollout_written(&key(), &Value::Null, &rolled(&[("a", "Promoted")]));
    metrics.rollout(&key(), "Healthy", 0);
    let text = text(&metrics);
    let lines = |series: &str| -> Vec<&str> {
        let lines = text.lines();
        lines.filter(|line| line.starts_with(series)).collect()
    };
    assert_eq!(
        lines("slipway_rollout_phase{"),
        [r#"slipway_rollout_phase{name="api",namespace="shop",phase="Healthy"} 1"#]
    );
    assert_eq!(
        lines("slipway_rollout_traffic_weight{"),
        [r#"slipway_rollout_traffic_weight{name="api",namespace="shop"} 0"#]
    );
    assert_eq!(
        lines("slipway_rollout_changes_total{"),
        [
            r#"slipway_rollout_changes_total{name="api",namespace="shop",result="Promoted"} 1"#,
            r#"slipway_rollout_changes_total{name="api",namespace="shop",result="RolledBack"} 0"#,
            r#"slipway_rollout_changes_total{name="api",namespace="shop",result="Superseded"} 0"#,
        ]
    );
}

#[test]
fn series_of_an_object_go_with_it() {
    let metrics = filled();
    metrics.environment(&key(), None);
    metrics.incidents(&key(), None);
    metrics.slos(&key(), &[]);
    metrics.dora(&key(), None);
    metrics.forget_rollout(&key());
    metrics.forget_pipeline(&key());
    metrics.action_failed(ObjectKind::Rollout, &key(), false);
    let text = text(&metrics);
    assert!(!text.contains("namespace="), "{text}");
}

#[test]
fn a_gate_that_is_passed_is_waited_for_no_more() {
    let metrics = Metrics::new().unwrap();
    let waits = |gates: &[&str]| {
        let gates = gates
            .iter()
            .map(|name| json!({"name": name, "state": "Waiting"}));
        let gates: Vec<Value> = gates.collect();
        json!({"phase": "Pending", "candidate": {"release": "shop-2", "gates": gates}})
    };
    metrics.environment(&key(), Some(&waits(&["approvals", "soak"])));
    metrics.environment(&key(), Some(&waits(&["soak"])));
    let text = text(&metrics);
    assert!(
        !text.contains("approvals") && text.contains(r#"gate="soak""#),
        "{text}"
    );
}

#[test]
fn where_nobody_works_nothing_waits() {
    let metrics = Metrics::new().unwrap();
    metrics.queue(ObjectKind::Rollout, 9, Duration::from_mins(15));
    let waits = |metrics: &Metrics, seconds: &str| {
        let line = format!("slipway_queue_oldest_seconds{{kind=\"Rollout\"}} {seconds}");
        text(metrics).lines().any(|found| found == line)
    };
    assert!(waits(&metrics, "0"));
    metrics.leading(true);
    metrics.queue(ObjectKind::Rollout, 9, Duration::from_mins(15));
    assert!(waits(&metrics, "900"));
}
