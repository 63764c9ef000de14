//! Decision.

use serde_json::json;

use super::{Edit, Table, digest, set, unset};

fn on(kind: &'static str, action: &'static str) -> Vec<Edit> {
    vec![set("/spec/target/kind", kind), set("/spec/action", action)]
}

pub(super) fn table() -> Table {
    Table {
        kind: "Decision",
        full: json!({
            "metadata": { "name": "full" },
            "spec": {
                "target": { "kind": "Environment", "name": "production" },
                "action": "Approve", "user": "alice@example.com", "groups": ["leads", "system:authenticated"],
                "reason": "looks good", "release": "shop-api-3f9c2e1b4d5a", "digest": digest('a'),
                "expiresAt": "2026-12-24T00:00:00Z",
            },
        }),
        least: json!({
            "metadata": { "name": "least" },
            "spec": { "target": { "kind": "Rollout", "name": "api" }, "action": "Pause", "user": "alice" },
        }),
        accepted: vec![
            ("rollback of an Environment", on("Environment", "Rollback")),
            ("skip in a Rollout", on("Rollout", "Skip")),
            ("pause of a Pipeline", on("Pipeline", "Pause")),
            ("cancel of a run", on("PipelineRun", "Cancel")),
            ("rejection of a Promotion", on("Promotion", "Reject")),
            (
                "a hold without a Release",
                vec![
                    set("/spec/action", "Hold"),
                    unset("/spec/release"),
                    unset("/spec/reason"),
                ],
            ),
            ("an approval of a run names no Release", {
                let mut edits = on("PipelineRun", "Approve");
                edits.push(unset("/spec/release"));
                edits
            }),
            ("a veto with a reason", vec![set("/spec/action", "Veto")]),
        ],
        refused: vec![
            (
                "skip in an Environment",
                on("Environment", "Skip"),
                "an Environment takes Approve",
            ),
            (
                "rollback of a Rollout",
                on("Rollout", "Rollback"),
                "a Rollout takes Approve",
            ),
            (
                "restart of a Pipeline",
                on("Pipeline", "Restart"),
                "a Pipeline takes Pause or Resume",
            ),
            (
                "promotion of a run",
                on("PipelineRun", "Promote"),
                "a PipelineRun takes Approve",
            ),
            (
                "pause of a Promotion",
                on("Promotion", "Pause"),
                "a Promotion takes Approve",
            ),
            (
                "approval of nothing",
                vec![unset("/spec/release")],
                "release is needed",
            ),
            (
                "a veto without a reason",
                vec![set("/spec/action", "Veto"), unset("/spec/reason")],
                "reason is needed",
            ),
            (
                "an unknown action",
                vec![set("/spec/action", "Explode")],
                "Unsupported value",
            ),
            (
                "an unknown target",
                vec![set("/spec/target/kind", "Release")],
                "Unsupported value",
            ),
            ("no user", vec![unset("/spec/user")], "user: Required value"),
            (
                "a short digest",
                vec![set("/spec/digest", "sha256:abc")],
                "must be a digest",
            ),
            (
                "no date",
                vec![set("/spec/expiresAt", "tomorrow")],
                "date-time",
            ),
        ],
        changes: vec![
            (
                "another user",
                vec![set("/spec/user", "bob")],
                Some("a Decision cannot be changed"),
            ),
            (
                "another reason",
                vec![set("/spec/reason", "no")],
                Some("a Decision cannot be changed"),
            ),
            (
                "a label",
                vec![set("/metadata/labels", json!({ "a": "b" }))],
                None,
            ),
        ],
        status: json!(null),
        status_refused: vec![],
    }
}
