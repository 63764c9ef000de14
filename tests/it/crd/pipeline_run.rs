//! PipelineRun.

use serde_json::{Value, json};

use super::{Table, commit, condition, digest, name_of, set, sha, unset};

pub(super) fn table() -> Table {
    Table {
        kind: "PipelineRun",
        full: json!({
            "metadata": { "name": "full" },
            "spec": {
                "pipelineRef": { "name": "api" }, "trigger": { "kind": "Push", "actor": "alice" },
                "ref": "refs/heads/main", "sha": sha('a'),
            },
        }),
        least: json!({
            "metadata": { "name": "least" },
            "spec": {
                "pipelineRef": { "name": "api" }, "trigger": { "kind": "Manual", "actor": "alice" },
                "ref": "refs/heads/release/1.4",
            },
        }),
        accepted: vec![
            (
                "a name of 63 characters",
                vec![set("/metadata/name", name_of(63))],
            ),
            (
                "by hand, at one commit",
                vec![set("/spec/trigger/kind", "Manual")],
            ),
        ],
        refused: vec![
            (
                "a name of 64 characters",
                vec![set("/metadata/name", name_of(64))],
                "at most 63 characters",
            ),
            (
                "a push of nothing",
                vec![unset("/spec/sha")],
                "sha is needed",
            ),
            (
                "a short commit",
                vec![set("/spec/sha", "3f9c2e1")],
                "must be the full commit",
            ),
            (
                "a short branch",
                vec![set("/spec/ref", "main")],
                "must be the full ref of a branch",
            ),
            (
                "an unknown trigger",
                vec![set("/spec/trigger/kind", "Tag")],
                "Unsupported value",
            ),
            (
                "nobody",
                vec![set("/spec/trigger/actor", "")],
                "at least 1 chars",
            ),
        ],
        changes: vec![
            (
                "another commit",
                vec![set("/spec/sha", sha('b'))],
                Some("the spec of a PipelineRun cannot change"),
            ),
            (
                "no commit",
                vec![set("/spec/trigger/kind", "Manual"), unset("/spec/sha")],
                Some("cannot change"),
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
                "a stage twice",
                vec![set("/status/stages/1/name", "unit")],
                "Duplicate value",
            ),
            (
                "a short digest",
                vec![set("/status/artifacts/0/digest", "sha256:a")],
                "must be a digest",
            ),
            (
                "less than no tests",
                vec![set("/status/tests/failed", -1)],
                "greater than or equal to 0",
            ),
        ],
    }
}

fn status() -> Value {
    json!({
        "observedGeneration": 1, "conditions": [condition("Ready")], "phase": "Failed", "message": "gate tests",
        "sha": sha('a'), "revision": "api-6c9f", "startedAt": "2026-11-21T10:00:00Z",
        "finishedAt": "2026-11-21T10:05:00Z",
        "stages": [
            {
                "name": "unit", "type": "Test", "phase": "Succeeded", "job": "full-unit-1", "attempt": 1,
                "startedAt": "2026-11-21T10:00:00Z", "finishedAt": "2026-11-21T10:01:00Z", "message": "ok",
                "exitCode": 0,
            },
            { "name": "image", "type": "Build", "phase": "Skipped" },
        ],
        "tests": { "total": 10, "passed": 7, "failed": 2, "skipped": 1 },
        "gates": [{
            "name": "tests", "result": "Failed", "measured": "2 failed", "threshold": "at most 0",
            "message": "repair the tests",
        }],
        "artifacts": [{ "name": "image", "kind": "Image", "ref": "registry.example/api", "digest": digest('a') }],
        "release": "api-3f9c",
        "failure": { "stage": "unit", "kind": "Gate", "hint": "see the log", "logTail": "boom" },
        "commit": commit('a'), "changes": [commit('a'), commit('b')],
    })
}
