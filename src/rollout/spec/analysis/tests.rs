//! What a Rollout measures, with the metrics of its templates, and what is wrong with it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::super::api::Rollout;
use super::super::super::testing;
use super::super::{Images, Spec};
use super::*;
use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;

fn metric(name: &str, query: &str) -> Value {
    json!({"name": name, "pass": "value < 0.01", "prometheus": {"address": "http://prom", "query": query}})
}

fn template(name: &str, args: &Value, metrics: &[Value]) -> (String, Arc<AnalysisTemplate>) {
    let template = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": name}, "spec": {"args": args, "metrics": metrics},
    });
    let template: AnalysisTemplate = serde_json::from_value(template).unwrap();
    (name.to_owned(), Arc::new(template))
}

fn read(analysis: &Value, templates: Templates) -> (Spec, Vec<String>) {
    let raw = testing::raw("1", &json!({"analysis": analysis}));
    let mut rollout = Rollout::new("api", raw);
    rollout.metadata.namespace = Some("shop".into());
    rollout.metadata.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    let around = Around {
        templates,
        ..Around::of(&rollout)
    };
    let (spec, problems) = Spec::read_with(&rollout.spec, &Images::new(), &around);
    let told = |of: Invalid| format!("{}: {}", of.path, of.problem);
    (spec, problems.into_iter().map(told).collect())
}

/// Names, queries and intervals in seconds of what is measured.
fn measured(spec: &Spec) -> Vec<(&str, &str, u64)> {
    let metrics = spec.analysis.iter().flat_map(|of| &of.metrics);
    metrics
        .map(|(metric, interval)| {
            let query = metric.provider.prometheus.as_ref().unwrap().query.as_str();
            (metric.name.as_str(), query, interval.as_secs())
        })
        .collect()
}

#[test]
fn metrics_of_templates_are_measured_like_its_own() {
    let mut slow = metric("latency", "l{s=\"{{args.service}}\"}");
    slow["interval"] = "5m".into();
    let rules = template(
        "rules",
        &json!([{"name": "service", "value": "{{metadata.labels['team']}}-{{metadata.name}}"}]),
        &[
            slow,
            metric(
                "errors",
                "e{ns=\"{{metadata.namespace}}\",p=~\"{{canary.pods}}\"}",
            ),
        ],
    );
    let analysis = json!({
        "interval": "10s", "metrics": [metric("own", "up")], "templates": [{"name": "rules"}],
    });
    let (spec, problems) = read(&analysis, [rules].into());
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        measured(&spec),
        [
            ("own", "up", 10),
            ("latency", "l{s=\"blue-api\"}", 300),
            ("errors", "e{ns=\"shop\",p=~\"{{canary.pods}}\"}", 10),
        ]
    );
    // Nothing takes over without the verdict of any of them.
    assert_eq!(
        spec.steps.last().map(ToString::to_string).as_deref(),
        Some("verdict on own, latency, errors")
    );
}

#[test]
fn steps_name_metrics_of_templates_too() {
    let rules = template("rules", &json!([]), &[metric("errors", "e")]);
    let mut raw = json!({"analysis": {"templates": [{"name": "rules"}]}});
    raw["strategy"] = json!({"steps": [{"analyse": {"metrics": ["errors"]}}]});
    let raw = testing::raw("1", &raw);
    let around = Around {
        templates: [rules].into(),
        ..Around::default()
    };
    let spec = Spec::parse_with(&raw, &Images::new(), &around).unwrap();
    assert_eq!(spec.steps.len(), 1);
    let problems = Spec::parse(&raw, &Images::new()).unwrap_err();
    assert!(problems[1].problem.contains("or in one of its templates"));
}

#[test]
fn two_metrics_of_one_name_are_a_problem_that_says_which() {
    let one = template("one", &json!([]), &[metric("errors", "e")]);
    let two = template(
        "two",
        &json!([]),
        &[metric("other", "o"), metric("errors", "e")],
    );
    let analysis = json!({
        "metrics": [metric("errors", "mine")],
        "templates": [{"name": "one"}, {"name": "two"}],
    });
    let (spec, problems) = read(&analysis, [one, two].into());
    assert_eq!(
        problems,
        [
            "spec.analysis.templates[0]: AnalysisTemplate one, spec.metrics[0].name: there is a metric errors in \
             spec.analysis.metrics[0] already; names tell metrics apart, so rename one of them",
            "spec.analysis.templates[1]: AnalysisTemplate two, spec.metrics[1].name: there is a metric errors in \
             spec.analysis.metrics[0] already; names tell metrics apart, so rename one of them",
        ]
    );
    assert_eq!(measured(&spec).len(), 2, "the first of them is measured");
}

#[test]
fn what_is_wrong_with_a_metric_is_told_with_its_place() {
    let mut broken = metric("broken", "q");
    broken["pass"] = "valu < 1".into();
    let analysis = json!({"metrics": [
        broken, metric("a", "{{canary.pod}}"), metric("b", "{{metadata.labels['app']}}"),
        metric("c", "{{stable.images['db']}}"), metric("d", "{{args.x}}"), metric("fine", "q"),
    ], "templates": [{"name": "rules", "args": {"word": "{{nothing}}"}}]});
    let rules = template(
        "rules",
        &json!([{"name": "word"}]),
        &[metric("e", "{{args.word}}")],
    );
    let (spec, problems) = read(&analysis, [rules].into());
    let expected = [
        "spec.analysis.metrics[0].pass: not a usable CEL expression: there is no valu; there is value",
        "spec.analysis.metrics[1].prometheus.query: {{canary.pod}}: there is no such placeholder; there are canary.pods",
        "spec.analysis.metrics[2].prometheus.query: {{metadata.labels['app']}}: the Rollout has no label app",
        "spec.analysis.metrics[3].prometheus.query: {{stable.images['db']}}: there is no container db; there is web",
        "spec.analysis.metrics[4].prometheus.query: {{args.x}}: there are arguments in an AnalysisTemplate only",
        "spec.analysis.templates[0]: AnalysisTemplate rules, spec.metrics[0].prometheus.query: {{nothing}}: there is no \
         such placeholder",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert_eq!(measured(&spec), [("fine", "q", 30)]);
    assert!(!spec.is_sound);
}

#[test]
fn no_more_is_measured_than_the_status_has_room_for() {
    let many = |prefix: &str| -> Vec<Value> {
        let names = (0..11).map(|index| format!("{prefix}-{index}"));
        names.map(|name| metric(&name, "q")).collect()
    };
    let rules = template("rules", &json!([]), &many("rule"));
    let analysis = json!({"metrics": many("own"), "templates": [{"name": "rules"}]});
    let (spec, problems) = read(&analysis, [rules].into());
    assert_eq!(
        problems,
        ["spec.analysis: 22 metrics with those of the templates; at most 20 are measured"]
    );
    assert_eq!(measured(&spec).len(), 20);
}
