//! AnalysisTemplate.

use serde_json::json;

use super::{Table, name_of, set, unset};

pub(super) fn table() -> Table {
    Table {
        kind: "AnalysisTemplate",
        full: json!({
            "metadata": { "name": "full" },
            "spec": {
                "args": [{ "name": "service" }, { "name": "code", "value": "5.." }],
                "metrics": [{
                    "name": "success-rate", "interval": "1m30s",
                    "prometheus": { "address": "http://prometheus.monitoring:9090", "query": "vector(1)" },
                    "pass": "value >= 0.99", "fail": "value < 0.95", "failureLimit": 1,
                    "inconclusiveLimit": 3, "errorLimit": 4, "noData": "Wait", "minSamples": 5, "count": 10,
                }],
            },
        }),
        least: json!({
            "metadata": { "name": "least" },
            "spec": { "metrics": [{
                "name": "errors", "prometheus": { "address": "https://p", "query": "1" }, "pass": "true",
            }] },
        }),
        accepted: vec![
            (
                "a name of 52 characters",
                vec![set("/metadata/name", name_of(52))],
            ),
            (
                "no forgiveness",
                vec![set("/spec/metrics/0/failureLimit", 0)],
            ),
            (
                "a server below a path",
                vec![set("/spec/metrics/0/prometheus/address", "https://p/prom")],
            ),
        ],
        refused: vec![
            (
                "a name of 53 characters",
                vec![set("/metadata/name", name_of(53))],
                "at most 52 characters",
            ),
            (
                "no metrics",
                vec![set("/spec/metrics", json!([]))],
                "at least 1 items",
            ),
            (
                "two metrics of one name",
                vec![set(
                    "/spec/metrics/-",
                    json!({
                        "name": "success-rate", "prometheus": { "address": "http://p", "query": "1" }, "pass": "true",
                    }),
                )],
                "Duplicate value",
            ),
            (
                "no pass",
                vec![unset("/spec/metrics/0/pass")],
                "pass: Required value",
            ),
            (
                "a metric without a source",
                vec![unset("/spec/metrics/0/prometheus")],
                "prometheus: Required value",
            ),
            (
                "days",
                vec![set("/spec/metrics/0/interval", "1d")],
                "must be a duration above zero",
            ),
            (
                "no time",
                vec![set("/spec/metrics/0/interval", "0s")],
                "must be a duration above zero",
            ),
            (
                "less than no time",
                vec![set("/spec/metrics/0/interval", "-5s")],
                "must be a duration above zero",
            ),
            (
                "an empty duration",
                vec![set("/spec/metrics/0/interval", "")],
                "must be a duration above zero",
            ),
            (
                "a password in the address",
                vec![set(
                    "/spec/metrics/0/prometheus/address",
                    "http://me:secret@prometheus",
                )],
                "without user or password",
            ),
            (
                "a long rule",
                vec![set("/spec/metrics/0/pass", name_of(1025))],
                "1024",
            ),
            (
                "no samples",
                vec![set("/spec/metrics/0/minSamples", 0)],
                "greater than or equal to 1",
            ),
            (
                "less than nothing",
                vec![set("/spec/metrics/0/failureLimit", -1)],
                "greater than or equal to 0",
            ),
            (
                "an unknown word",
                vec![set("/spec/metrics/0/noData", "Ignore")],
                "\"Wait\", \"Fail\", \"Pass\"",
            ),
        ],
        changes: vec![(
            "another limit",
            vec![set("/spec/metrics/0/failureLimit", 2)],
            None,
        )],
        status: json!(null),
        status_refused: vec![],
    }
}
