//! Alerts and dashboards name only series that there are, with labels that these have, and every alert has a runbook and a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::root;
use crate::telemetry::series::{self, PREFIX, Series, SeriesType};

/// Labels that Prometheus adds to what it scrapes, and that queries make.
const TARGET: [&str; 5] = ["namespace", "job", "instance", "pod", "service"];

fn files(folder: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let folder = std::fs::read_dir(root().join(folder)).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let mut files: Vec<_> = paths
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// An alert of the chart: its name, expression and annotations.
struct Alert {
    name: String,
    expression: String,
    texts: Vec<String>,
    runbook: String,
    severity: String,
}

fn alerts() -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (_, text) in files("charts/slipway/alerts", "yaml") {
        let file: Value = serde_saphyr::from_str(&text).unwrap();
        let groups = file["groups"].as_array().unwrap().iter();
        for rule in groups.flat_map(|group| group["rules"].as_array().unwrap()) {
            let word = |path: &str| rule.pointer(path).unwrap().as_str().unwrap().to_owned();
            alerts.push(Alert {
                name: word("/alert"),
                expression: word("/expr"),
                texts: vec![
                    word("/annotations/summary"),
                    word("/annotations/description"),
                ],
                runbook: word("/annotations/runbook_url"),
                severity: word("/labels/severity"),
            });
        }
    }
    alerts
}

/// Every query of a dashboard, with the labels that its legend shows.
fn queries(dashboard: &Value) -> Vec<(String, Vec<String>)> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| {
        let legend = target["legendFormat"].as_str().unwrap();
        (
            target["expr"].as_str().unwrap().to_owned(),
            between(legend, "{{", "}}"),
        )
    });
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let asked = variables.filter_map(|variable| variable["definition"].as_str());
    let asked = asked.map(|asked| {
        let inner = asked.strip_prefix("label_values(").unwrap();
        let (query, label) = inner.rsplit_once(", ").unwrap();
        (
            query.to_owned(),
            vec![label.trim_end_matches(')').to_owned()],
        )
    });
    shown.chain(asked).collect()
}

/// What stands between two marks, each time.
fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    let parts = text.split(start).skip(1);
    let inner = parts.filter_map(|part| part.split_once(end));
    inner.map(|(inner, _)| inner.trim().to_owned()).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The series of a name in a query, and whether that is part of a histogram.
fn find(name: &str) -> Option<&'static Series> {
    let is_of = |series: &&Series| {
        let full = series.full_name();
        match series.type_ {
            SeriesType::Counter | SeriesType::Gauge => name == full,
            SeriesType::Histogram => ["_bucket", "_count", "_sum"]
                .iter()
                .any(|end| name == format!("{full}{end}")),
        }
    };
    series::all().find(is_of)
}

/// The series that a query names, each with what its selector says of labels.
fn selected(query: &str) -> Vec<(&str, BTreeMap<&str, &str>)> {
    let prefix = format!("{PREFIX}_");
    let starts = query.match_indices(&prefix);
    let mut found = Vec::new();
    for (start, _) in starts {
        let rest = &query[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let selector = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        let pairs = selector.map_or("", |(inner, _)| inner).split(',');
        let pairs = pairs.filter_map(|pair| pair.split_once(['=', '~']));
        let pairs = pairs.map(|(label, value)| {
            let value = value.trim_start_matches('~').trim_matches('"');
            (label.trim().trim_end_matches('!'), value)
        });
        found.push((name, pairs.collect()));
    }
    found
}

/// What is wrong with a query.
fn mistakes(query: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = TARGET.into_iter().collect();
    for (name, selector) in selected(query) {
        let Some(series) = find(name) else {
            wrong.push(format!("there is no {name}"));
            continue;
        };
        known.extend(series.label_names());
        if series.type_ == SeriesType::Histogram {
            known.insert("le");
        }
        for (label, value) in selector {
            let Some(label) = series.labels.iter().find(|known| known.name == label) else {
                wrong.push(format!("{name} has no label {label}"));
                continue;
            };
            for word in value.split('|').filter(|word| !word.starts_with('$')) {
                if label.words().is_some_and(|words| !words.contains(&word)) {
                    wrong.push(format!("{} of {name} is never {word}", label.name));
                }
            }
        }
    }
    let grouped = ["by (", "on ("].map(|start| between(query, start, ")"));
    for label in grouped.concat().iter().flat_map(|labels| labels.split(',')) {
        if !known.contains(label.trim()) {
            wrong.push(format!("nothing here has the label {label}"));
        }
    }
    wrong
}

/// Labels that are left by a query that groups.
fn left(query: &str) -> BTreeSet<String> {
    let grouped = between(query, "by (", ")");
    let labels = grouped.iter().flat_map(|labels| labels.split(','));
    labels.map(|label| label.trim().to_owned()).collect()
}

#[test]
fn alerts_name_only_what_there_is() {
    for alert in alerts() {
        let wrong = mistakes(&alert.expression);
        assert!(wrong.is_empty(), "{}: {wrong:?}", alert.name);
        assert!(!selected(&alert.expression).is_empty(), "{}", alert.name);
        let left = left(&alert.expression);
        for text in &alert.texts {
            for shown in between(text, "{{ $labels.", " }}") {
                assert!(left.contains(&shown), "{} has no {shown}", alert.name);
            }
        }
        let severities = ["warning", "critical"];
        assert!(
            severities.contains(&alert.severity.as_str()),
            "{}",
            alert.name
        );
    }
}

#[test]
fn every_alert_has_a_runbook_and_a_test() {
    let tests = files("tests/data/alerts", "yaml");
    let tests: Vec<String> = tests.into_iter().map(|(_, text)| text).collect();
    let tests = tests.concat();
    let values = std::fs::read_to_string(root().join("charts/slipway/values.yaml")).unwrap();
    let mut pages = BTreeSet::from(["README".to_owned()]);
    let index = std::fs::read_to_string(root().join("docs/runbooks/README.md")).unwrap();
    for Alert {
        name,
        runbook,
        severity,
        ..
    } in alerts()
    {
        let (base, page) = runbook.rsplit_once('/').unwrap();
        assert_eq!(page, format!("{name}.md"));
        assert!(values.contains(&format!("runbooks: {base}\n")), "{base}");
        let row = format!("| [{name}]({name}.md) | {severity} |");
        assert!(index.contains(&row), "{row}");
        let fires = format!("alertname=\"{name}\", alertstate=\"firing\"");
        assert!(tests.contains(&fires), "no test of {name}");
        assert!(pages.insert(name), "two alerts of a name");
    }
    for (path, text) in files("docs/runbooks", "md") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(pages.remove(name), "{name} is of no alert");
        let parts = [
            "**Who is affected.**",
            "**Where to look.**",
            "**What to do.**",
        ];
        let is_whole = name == "README" || parts.iter().all(|part| text.contains(part));
        assert!(is_whole, "{name}");
    }
    assert!(pages.is_empty(), "no page: {pages:?}");
}

#[test]
fn dashboards_name_only_what_there_is() {
    let mut ids = BTreeSet::new();
    for (path, text) in files("charts/slipway/dashboards", "json") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(dashboard["uid"], format!("slipway-{name}"));
        for (query, legend) in queries(&dashboard) {
            let wrong = mistakes(&query);
            assert!(wrong.is_empty(), "{name}: {wrong:?} in {query}");
            let left = left(&query);
            for label in legend.iter().filter(|_| query.contains("by (")) {
                assert!(
                    left.contains(label),
                    "{name}: no {label} is left by {query}"
                );
            }
        }
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert((name.clone(), panel["id"].to_string())));
            let source = &panel["datasource"]["uid"];
            assert_eq!(source, "${datasource}", "{name}: {}", panel["title"]);
            let said = panel["description"].as_str().unwrap();
            assert!(said.ends_with('.'), "{name}: {}", panel["title"]);
        }
    }
}

#[test]
fn every_series_of_deliveries_is_on_a_dashboard() {
    let shown: BTreeSet<&str> = files("charts/slipway/dashboards", "json")
        .into_iter()
        .flat_map(|(_, text)| {
            let dashboard: Value = serde_json::from_str(&text).unwrap();
            let queries = queries(&dashboard).into_iter();
            let named = queries.flat_map(|(query, _)| {
                let named = selected(&query).into_iter();
                let found = named.filter_map(|(name, _)| find(name));
                found.map(|series| series.name).collect::<Vec<_>>()
            });
            named.collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<&str> = series::DELIVERIES
        .iter()
        .map(|series| series.name)
        .filter(|name| !shown.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn mistakes_are_found() {
    let wrong = |query: &str| mistakes(query).len();
    assert_eq!(wrong("sum by (kind) (rate(slipway_actions_total[5m]))"), 0);
    assert_eq!(wrong("slipway_action_total"), 1);
    assert_eq!(wrong("slipway_plan_duration_seconds"), 1);
    assert_eq!(wrong("sum(slipway_plan_duration_seconds_sum)"), 0);
    assert_eq!(wrong(r#"slipway_actions_total{verb="apply",kind="x"}"#), 0);
    assert_eq!(wrong(r#"slipway_actions_total{verb=~"apply|paint"}"#), 1);
    assert_eq!(wrong(r#"slipway_actions_total{verb!="paint"}"#), 1);
    assert_eq!(wrong(r#"slipway_actions_total{name="x"}"#), 1);
    assert_eq!(wrong("sum by (phase) (slipway_actions_total)"), 1);
}
