//! Promotion.

use serde_json::{Value, json};

use super::{Table, condition, digest, set, unset};

pub(super) fn table() -> Table {
    let image = format!("registry.example/api@{}", digest('a'));
    let spec = json!({
        "environment": "production", "release": "api-3f9c2e1b4d5a", "pipeline": "api",
        "images": [{ "name": "api", "ref": image }], "kind": "Promote", "attempt": 1,
        "requestedBy": "alice", "previous": "api-0a0a",
    });
    let mut least = spec.clone();
    least.as_object_mut().unwrap().remove("previous");
    Table {
        kind: "Promotion",
        full: json!({ "metadata": { "name": "full" }, "spec": spec }),
        least: json!({ "metadata": { "name": "least" }, "spec": least }),
        accepted: vec![("back", vec![set("/spec/kind", "Rollback")])],
        refused: vec![
            (
                "an image by tag",
                vec![set("/spec/images/0/ref", "registry.example/api:1")],
                "must be an image pinned by digest",
            ),
            (
                "no images",
                vec![set("/spec/images", json!([]))],
                "at least 1 items",
            ),
            (
                "attempt 0",
                vec![set("/spec/attempt", 0)],
                "greater than or equal to 1",
            ),
            (
                "an unknown kind",
                vec![set("/spec/kind", "Sideways")],
                "Unsupported value",
            ),
            (
                "nobody asked",
                vec![unset("/spec/requestedBy")],
                "requestedBy: Required value",
            ),
        ],
        changes: vec![
            (
                "another Release",
                vec![set("/spec/release", "api-1")],
                Some("the spec of a Promotion cannot change"),
            ),
            (
                "no previous",
                vec![unset("/spec/previous")],
                Some("the spec of a Promotion cannot change"),
            ),
            (
                "a label",
                vec![set("/metadata/labels", json!({ "a": "b" }))],
                None,
            ),
        ],
        status: status(),
        status_refused: vec![
            (
                "an unknown phase",
                vec![set("/status/phase", "Lost")],
                "Unsupported value",
            ),
            (
                "entry 0",
                vec![set("/status/audit/0/seq", 0)],
                "greater than or equal to 1",
            ),
        ],
    }
}

fn status() -> Value {
    json!({
        "observedGeneration": 1, "conditions": [condition("Ready")], "phase": "Failed", "reason": "SmokeFailed",
        "message": "smoke test paths failed", "startedAt": "2026-11-21T10:00:00Z",
        "finishedAt": "2026-11-21T10:05:00Z",
        "steps": [{
            "name": "smoke-paths", "state": "Failed", "startedAt": "2026-11-21T10:00:00Z",
            "finishedAt": "2026-11-21T10:05:00Z", "message": "exit code 1", "job": "smoke-1",
        }],
        "approvals": [{
            "user": "bob", "groups": ["leads"], "at": "2026-11-21T10:00:00Z", "decision": "approve-1",
        }],
        "audit": [{
            "seq": 1, "at": "2026-11-21T10:00:00Z", "actor": "slipway", "event": "started", "prevHash": "",
            "hash": "ab",
        }],
    })
}
