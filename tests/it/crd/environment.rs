//! Environment.

use serde_json::{Value, json};

use super::{Table, condition, digest, name_of, set, unset};

pub(super) fn table() -> Table {
    Table {
        kind: "Environment",
        full: json!({
            "metadata": { "name": "full" },
            "spec": {
                "tier": "Production",
                "promotion": { "from": { "environments": ["staging"] }, "mode": "Manual" },
                "rollouts": [{ "name": "api" }, { "name": "web" }],
                "protection": { "approvals": { "required": 2, "preventSelfApproval": true, "validFor": "24h" } },
                "smokeTests": [{
                    "name": "paths", "timeout": "10m",
                    "job": {
                        "image": "registry.example/smoke:1", "command": ["smoke", "--all"],
                        "env": [{ "name": "URL", "value": "http://api" }, { "name": "EMPTY" }],
                    },
                }],
                "rollback": { "on": ["SmokeFailed"], "holdAfter": false, "within": "1h" },
                "notifications": [{
                    "name": "team", "webhook": { "url": "https://hooks.example/x" },
                    "on": ["PromotionSucceeded", "PromotionFailed", "RolledBack", "ApprovalNeeded"],
                }],
                "deletionPolicy": "Retain",
                "history": { "promotions": 200 },
            },
        }),
        least: json!({
            "metadata": { "name": "least" },
            "spec": { "tier": "Development", "promotion": { "from": { "pipelines": ["api"] } } },
        }),
        accepted: vec![
            (
                "a name of 52 characters",
                vec![set("/metadata/name", name_of(52))],
            ),
            (
                "nobody has to approve",
                vec![set("/spec/protection/approvals/required", 0)],
            ),
            (
                "never goes back by itself",
                vec![set("/spec/rollback/on", json!([]))],
            ),
            (
                "from pipelines",
                vec![set(
                    "/spec/promotion/from",
                    json!({ "pipelines": ["api", "web"] }),
                )],
            ),
        ],
        refused: refused(),
        changes: vec![(
            "one more approval",
            vec![set("/spec/protection/approvals/required", 3)],
            None,
        )],
        status: status(),
        status_refused: vec![
            (
                "an image by tag",
                vec![set(
                    "/status/desired/0/images/0/ref",
                    "registry.example/api:1",
                )],
                "must be an image pinned by digest",
            ),
            (
                "one pipeline twice",
                vec![set("/status/desired/-", deployed("a"))],
                "Duplicate value",
            ),
            (
                "one condition twice",
                vec![set("/status/conditions/-", condition("Ready"))],
                "Duplicate value",
            ),
        ],
    }
}

fn refused() -> Vec<(&'static str, Vec<super::Edit>, &'static str)> {
    vec![
        (
            "a name of 53 characters",
            vec![set("/metadata/name", name_of(53))],
            "at most 52 characters",
        ),
        (
            "itself",
            vec![set(
                "/spec/promotion/from/environments",
                json!(["staging", "full"]),
            )],
            "cannot take Releases from itself",
        ),
        (
            "no source",
            vec![set("/spec/promotion/from", json!({}))],
            "exactly one of pipelines",
        ),
        (
            "both sources",
            vec![set(
                "/spec/promotion/from",
                json!({ "pipelines": ["a"], "environments": ["b"] }),
            )],
            "exactly one of pipelines",
        ),
        (
            "an empty source",
            vec![set("/spec/promotion/from", json!({ "pipelines": [] }))],
            "at least 1 items",
        ),
        (
            "one source twice",
            vec![set(
                "/spec/promotion/from",
                json!({ "pipelines": ["a", "a"] }),
            )],
            "Duplicate value",
        ),
        (
            "eleven approvals",
            vec![set("/spec/protection/approvals/required", 11)],
            "less than or equal to 10",
        ),
        ("no tier", vec![unset("/spec/tier")], "tier: Required value"),
        (
            "an unknown tier",
            vec![set("/spec/tier", "Preview")],
            "Unsupported value",
        ),
        (
            "an unknown cause",
            vec![set("/spec/rollback/on", json!(["Weather"]))],
            "Unsupported value",
        ),
        (
            "one Rollout twice",
            vec![set("/spec/rollouts/-", json!({ "name": "api" }))],
            "Duplicate value",
        ),
        (
            "no time",
            vec![set("/spec/rollback/within", "0m")],
            "must be a duration above zero",
        ),
        (
            "a smoke test in days",
            vec![set("/spec/smokeTests/0/timeout", "1d")],
            "must be a duration above zero",
        ),
        (
            "a smoke test of nothing",
            vec![unset("/spec/smokeTests/0/job")],
            "job: Required value",
        ),
        (
            "a receiver without an address",
            vec![unset("/spec/notifications/0/webhook")],
            "a notification needs a receiver",
        ),
        (
            "told nothing",
            vec![set("/spec/notifications/0/on", json!([]))],
            "at least 1 items",
        ),
        (
            "mail",
            vec![set(
                "/spec/notifications/0/webhook/url",
                "mailto:team@example.com",
            )],
            "must be an http:// or https:// URL",
        ),
        (
            "a variable with a dash",
            vec![set("/spec/smokeTests/0/job/env/0/name", "A-B")],
            "should match",
        ),
        (
            "no history",
            vec![set("/spec/history/promotions", 0)],
            "greater than or equal to 1",
        ),
    ]
}

fn deployed(pipeline: &str) -> Value {
    json!({
        "pipeline": pipeline, "release": "api-3f9c", "promotion": "full-3f9c-1", "since": "2026-11-21T10:00:00Z",
        "images": [{ "name": "api", "ref": format!("registry.example/api@{}", digest('a')) }],
    })
}

fn status() -> Value {
    json!({
        "observedGeneration": 1, "conditions": [condition("Ready")], "phase": "Pending", "message": "waits",
        "desired": [deployed("a")], "current": [deployed("a")], "lastGood": [deployed("a")],
        "candidate": { "release": "api-8a01", "gates": [{
            "name": "approvals", "state": "Waiting", "message": "1 of 2", "until": "2026-11-22T10:00:00Z",
        }] },
        "holds": [{ "release": "api-77", "reason": "smoke failed", "by": "slipway", "at": "2026-11-21T10:00:00Z" }],
        "outbox": [{
            "key": "a/ApprovalNeeded", "sink": "team", "state": "Pending", "attempts": 1,
            "nextAt": "2026-11-21T10:00:00Z", "lastError": "timeout",
        }],
    })
}
