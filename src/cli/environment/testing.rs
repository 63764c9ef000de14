//! Builders for tests of what is shown of Environments.

use serde_json::{Value, json};

use crate::promotion::api::Promotion;

/// Three promotions, of which the last has failed.
pub(super) fn promotions() -> Vec<Promotion> {
    let one = |number: u32, status: Value| {
        let image = format!("r/api@sha256:{}", number.to_string().repeat(64));
        let promotion = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": format!("production-{number}"), "creationTimestamp": "2026-11-26T10:00:00Z"},
            "spec": {
                "environment": "production", "release": format!("shop-{number}"), "pipeline": "shop",
                "images": [{"name": "api", "ref": image}], "kind": "Promote", "attempt": 1,
                "requestedBy": "slipway", "number": number,
            },
            "status": status,
        });
        serde_json::from_value(promotion).unwrap()
    };
    let approvals = json!([{"user": "alice", "at": "2026-11-26T10:01:00Z", "decision": "d1"}]);
    let ended = |phase: &str, message: &str| {
        json!({
            "phase": phase, "message": message, "approvals": approvals,
            "startedAt": "2026-11-26T10:01:00Z", "finishedAt": "2026-11-26T10:03:30Z",
        })
    };
    let mut failed = ended("Failed", "smoke test paths failed: exit code 1");
    failed["steps"] = json!([
        {"name": "rollout-api", "state": "Succeeded", "message": "healthy",
         "startedAt": "2026-11-26T10:01:00Z", "finishedAt": "2026-11-26T10:02:00Z"},
        {"name": "smoke-paths", "state": "Failed", "message": "exit code 1",
         "startedAt": "2026-11-26T10:02:00Z", "finishedAt": "2026-11-26T10:03:30Z"},
    ]);
    vec![
        one(1, ended("Succeeded", "shop-1 runs, and everything passed")),
        one(2, ended("Succeeded", "shop-2 runs, and everything passed")),
        one(3, failed),
    ]
}
