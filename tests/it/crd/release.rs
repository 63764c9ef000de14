//! Release.

use serde_json::json;

use super::{Table, commit, digest, set, unset};

pub(super) fn table() -> Table {
    let image = json!({ "name": "image", "repository": "registry.example/shop/api", "digest": digest('a') });
    Table {
        kind: "Release",
        full: json!({
            "metadata": { "name": "full" },
            "spec": {
                "pipeline": "api", "images": [image], "commit": commit('a'), "changes": [commit('a'), commit('b')],
                "previous": "api-0a0a", "ref": "refs/heads/main", "kind": "Hotfix",
                "evidence": {
                    "run": "api-ab12", "tests": { "total": 3, "passed": 3, "failed": 0, "skipped": 0 },
                    "gates": [{ "name": "tests", "result": "Passed", "measured": "0 failed", "threshold": "at most 0" }],
                },
            },
        }),
        least: json!({
            "metadata": { "name": "least" },
            "spec": {
                "pipeline": "api", "images": [image], "commit": commit('a'), "ref": "refs/heads/main",
                "evidence": { "run": "api-ab12" },
            },
        }),
        accepted: vec![("like any other", vec![set("/spec/kind", "Normal")])],
        refused: vec![
            (
                "no images",
                vec![set("/spec/images", json!([]))],
                "at least 1 items",
            ),
            (
                "an image twice",
                vec![set("/spec/images/-", image.clone())],
                "Duplicate value",
            ),
            (
                "a tag for a digest",
                vec![set("/spec/images/0/digest", "v1")],
                "must be a digest",
            ),
            (
                "a tagged repository",
                vec![set("/spec/images/0/repository", "r.example/a:1")],
                "without tag or digest",
            ),
            (
                "a short commit",
                vec![set("/spec/commit/sha", "abc")],
                "must be the full commit",
            ),
            (
                "a tag",
                vec![set("/spec/ref", "refs/tags/v1")],
                "must be the full ref of a branch",
            ),
            (
                "no evidence",
                vec![unset("/spec/evidence")],
                "evidence: Required value",
            ),
        ],
        changes: vec![
            (
                "another digest",
                vec![set("/spec/images/0/digest", digest('b'))],
                Some("a Release cannot change"),
            ),
            (
                "other evidence",
                vec![set("/spec/evidence/run", "x")],
                Some("a Release cannot change"),
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
