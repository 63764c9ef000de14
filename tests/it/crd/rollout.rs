//! Rollout.

use serde_json::{Value, json};

use super::{Edit, Table, condition, name_of, set, unset};

pub(super) fn table() -> Table {
    Table {
        kind: "Rollout",
        full: full(),
        least: json!({
            "metadata": { "name": "least" },
            "spec": { "selector": { "matchLabels": { "app": "api" } }, "template": { "spec": {} } },
        }),
        accepted: vec![
            (
                "a name of 52 characters",
                vec![set("/metadata/name", name_of(52))],
            ),
            ("no pods", vec![set("/spec/replicas", 0)]),
            (
                "a pod field of tomorrow",
                vec![set("/spec/template/spec/futures", json!([{ "a": 1 }]))],
            ),
            ("surge in pods", vec![set("/spec/strategy/maxSurge", 2)]),
            (
                "no surge, but fewer pods",
                vec![set("/spec/strategy/maxSurge", 0)],
            ),
            (
                "a port by number",
                vec![set("/spec/traffic/targetPort", 8080)],
            ),
        ],
        refused: refused(),
        changes: vec![
            (
                "another template",
                vec![set("/spec/template/spec/hostNetwork", true)],
                None,
            ),
            (
                "another selector",
                vec![set("/spec/selector/matchLabels", json!({ "app": "web" }))],
                Some("spec.selector cannot be changed"),
            ),
        ],
        status: json!({
            "observedGeneration": 1, "conditions": [condition("Ready")], "phase": "Progressing",
            "message": "step 2/3", "replicas": 6, "readyReplicas": "6/6", "selector": "app=api",
            "weights": { "stable": 90, "canary": 10, "observed": true },
        }),
        status_refused: vec![(
            "an unknown phase",
            vec![set("/status/phase", "Lost")],
            "Unsupported value",
        )],
    }
}

fn full() -> Value {
    json!({
        "metadata": { "name": "full" },
        "spec": {
            "replicas": 6,
            "selector": { "matchLabels": { "app": "api" } },
            "template": {
                "metadata": { "labels": { "app": "api" } },
                "spec": { "containers": [{ "name": "api" }] },
            },
            "release": { "environment": { "name": "staging" }, "images": { "api": "api" } },
            "gracefulShutdown": "Off", "minReadySeconds": 5, "progressDeadlineSeconds": 60,
            "revisionHistoryLimit": 3, "deletionPolicy": "Orphan", "paused": false,
            "strategy": {
                "type": "Canary", "maxSurge": "25%", "maxUnavailable": 1,
                "steps": [
                    { "setWeight": { "weight": 10 } },
                    { "pause": { "for": "15m" } },
                    { "analyse": { "metrics": ["success-rate"], "for": "10m" } },
                ],
            },
            "traffic": {
                "port": 80, "targetPort": "http", "drain": "30s",
                "gatewayAPI": { "generate": {
                    "parentRefs": [{ "name": "web" }], "hostnames": ["shop.example.com"],
                    "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                } },
            },
            "analysis": {
                "startAt": { "weight": 10 }, "interval": "30s", "initialDelay": "1m",
                "metrics": [{
                    "name": "success-rate", "prometheus": { "address": "http://prometheus:9090", "query": "vector(1)" },
                    "pass": "value >= 0.99", "fail": "value < 0.95",
                }],
            },
        },
    })
}

fn refused() -> Vec<(&'static str, Vec<Edit>, &'static str)> {
    vec![
        (
            "a name of 53 characters",
            vec![set("/metadata/name", name_of(53))],
            "at most 52 characters",
        ),
        (
            "no template",
            vec![unset("/spec/template")],
            "template: Required value",
        ),
        (
            "no selector",
            vec![unset("/spec/selector")],
            "selector: Required value",
        ),
        (
            "a step of nothing",
            vec![set("/spec/strategy/steps/0", json!({}))],
            "a step has exactly one of",
        ),
        (
            "a step of two things",
            vec![set("/spec/strategy/steps/0/pause", json!({ "for": "1m" }))],
            "a step has exactly one of",
        ),
        (
            "more than everything",
            vec![set("/spec/strategy/steps/0/setWeight/weight", 101)],
            "less than or equal to 100",
        ),
        (
            "no pod too many and none too few",
            vec![
                set("/spec/strategy/maxSurge", "0%"),
                set("/spec/strategy/maxUnavailable", 0),
            ],
            "maxSurge and maxUnavailable cannot both be 0",
        ),
        (
            "no surge, and nobody spoke of fewer",
            vec![
                set("/spec/strategy/maxSurge", 0),
                unset("/spec/strategy/maxUnavailable"),
            ],
            "maxSurge and maxUnavailable cannot both be 0",
        ),
        (
            "many percent",
            vec![set("/spec/strategy/maxSurge", "120%")],
            "must be a number of pods or a percentage",
        ),
        (
            "a port too far",
            vec![set("/spec/traffic/targetPort", 70_000)],
            "must be a port number",
        ),
        (
            "a pause of a day",
            vec![set("/spec/strategy/steps/1/pause/for", "1d")],
            "must be a duration above zero",
        ),
        (
            "a password in the address",
            vec![set(
                "/spec/analysis/metrics/0/prometheus/address",
                "http://a:b@c",
            )],
            "without user or password",
        ),
    ]
}
