//! Pipeline.

use serde_json::{Value, json};

use super::{Edit, Table, condition, name_of, set, sha, unset};

pub(super) fn table() -> Table {
    Table {
        kind: "Pipeline",
        full: full(),
        least: json!({
            "metadata": { "name": "least" },
            "spec": {
                "source": { "git": { "url": "https://git.example/api" } },
                "stages": [{ "name": "unit", "type": "Test", "image": "python", "run": "pytest" }],
            },
        }),
        accepted: vec![
            (
                "a name of 52 characters",
                vec![set("/metadata/name", name_of(52))],
            ),
            (
                "a stage with an image of its own",
                vec![unset("/spec/defaults/image")],
            ),
            (
                "http, on purpose",
                vec![
                    set("/spec/source/git/url", "http://git.example/api.git"),
                    set("/spec/source/git/insecure", true),
                ],
            ),
            (
                "a registry with a port",
                vec![set(
                    "/spec/stages/1/build/image",
                    "registry.example:5000/api",
                )],
            ),
            (
                "the repository itself as context",
                vec![set("/spec/stages/1/build/contextDir", ".")],
            ),
            (
                "a file with two dots",
                vec![set("/spec/stages/1/build/dockerfile", "Docker..file")],
            ),
            (
                "a pod field of tomorrow",
                vec![set(
                    "/spec/defaults/resources",
                    json!({ "futures": { "a": 1 } }),
                )],
            ),
        ],
        refused: refused(),
        changes: vec![
            (
                "another branch",
                vec![set("/spec/source/git/branch", "next")],
                None,
            ),
            ("suspended", vec![set("/spec/suspend", true)], None),
        ],
        status: json!({
            "observedGeneration": 1, "conditions": [condition("Ready")],
            "lastRun": { "name": "full-ab12", "sha": sha('a'), "phase": "Running" },
            "lastSuccessful": "full-cd34", "latestRelease": "full-3f9c", "lastObservedSha": sha('a'),
            "lastPolledAt": "2026-11-21T10:00:00Z", "message": "run full-ab12 is testing",
        }),
        status_refused: vec![(
            "an unknown phase",
            vec![set("/status/lastRun/phase", "Lost")],
            "Unsupported value",
        )],
    }
}

fn full() -> Value {
    json!({
        "metadata": { "name": "full" },
        "spec": {
            "suspend": false,
            "source": { "git": {
                "url": "https://git.example/shop/api.git", "insecure": false, "branch": "release/1.4",
                "caBundle": { "configMapName": "company-ca", "key": "bundle.pem" },
            } },
            "polling": { "interval": "30s" },
            "defaults": {
                "image": "registry.example/python:3", "env": [{ "name": "CI", "value": "1" }],
                "resources": { "requests": { "cpu": "500m" }, "limits": { "memory": "2Gi" } },
            },
            "stages": [
                {
                    "name": "unit", "type": "Test", "image": "registry.example/python:3.12", "run": "pytest",
                    "env": [{ "name": "A", "value": "b" }], "timeout": "10m",
                    "resources": { "limits": { "memory": "1Gi" } }, "reports": { "junit": ["**/junit*.xml"] },
                },
                {
                    "name": "image", "type": "Build", "needs": ["unit"], "build": {
                        "dockerfile": "deploy/Dockerfile", "contextDir": "services/api", "args": { "VERSION": "3.12" },
                        "image": "registry.example/shop/api", "insecureRegistry": true,
                    },
                },
            ],
            "gates": [
                { "name": "tests", "mode": "Enforce", "tests": { "maxFailures": 0, "minTests": 100 } },
                { "name": "many", "mode": "Warn", "tests": { "minTests": 1000 } },
            ],
            "release": { "enabled": true, "when": { "branch": "main" } },
            "serviceAccountName": "ci",
            "retention": { "succeeded": 5, "failed": 5 },
        },
    })
}

fn refused() -> Vec<(&'static str, Vec<Edit>, &'static str)> {
    let mut cases = refused_stages();
    cases.extend(refused_source());
    cases.extend([
        (
            "a name of 53 characters",
            vec![set("/metadata/name", name_of(53))],
            "at most 52 characters",
        ),
        (
            "a gate without a check",
            vec![unset("/spec/gates/0/tests")],
            "a gate needs a check",
        ),
        (
            "an unknown mode",
            vec![set("/spec/gates/0/mode", "Ask")],
            "Unsupported value",
        ),
        (
            "a gate twice",
            vec![set("/spec/gates/1/name", "tests")],
            "Duplicate value",
        ),
        (
            "nothing kept",
            vec![set("/spec/retention/failed", 0)],
            "greater than or equal to 1",
        ),
        (
            "no stages",
            vec![set("/spec/stages", json!([]))],
            "at least 1 items",
        ),
        (
            "polling without pause",
            vec![set("/spec/polling/interval", "0s")],
            "must be a duration above zero",
        ),
    ]);
    cases
}

fn refused_stages() -> Vec<(&'static str, Vec<Edit>, &'static str)> {
    vec![
        (
            "a test without a script",
            vec![unset("/spec/stages/0/run")],
            "a Test stage needs run",
        ),
        (
            "a test that builds",
            vec![set(
                "/spec/stages/0/build",
                json!({ "image": "registry.example/a" }),
            )],
            "a Test stage needs run and takes no build",
        ),
        (
            "a build of nothing",
            vec![unset("/spec/stages/1/build")],
            "a Build stage needs build",
        ),
        (
            "a build with a script",
            vec![set("/spec/stages/1/run", "make")],
            "a Build stage needs build and takes no run",
        ),
        (
            "a build in an image",
            vec![set("/spec/stages/1/image", "alpine")],
            "a Build stage takes no image",
        ),
        (
            "a build with reports",
            vec![set("/spec/stages/1/reports", json!({ "junit": ["a.xml"] }))],
            "a Build stage makes no reports",
        ),
        (
            "no image anywhere",
            vec![unset("/spec/stages/0/image"), unset("/spec/defaults/image")],
            "a Test stage needs an image",
        ),
        (
            "a need that is no stage",
            vec![set("/spec/stages/1/needs", json!(["lint"]))],
            "must name other stages",
        ),
        (
            "a stage that needs itself",
            vec![set("/spec/stages/1/needs", json!(["image"]))],
            "must name other stages",
        ),
        (
            "a stage twice",
            vec![set("/spec/stages/1/name", "unit")],
            "Duplicate value",
        ),
        (
            "an unknown type",
            vec![set("/spec/stages/0/type", "Scan")],
            "Unsupported value",
        ),
        (
            "a repository with a tag",
            vec![set("/spec/stages/1/build/image", "registry.example/api:1")],
            "without tag or digest",
        ),
        (
            "a path out of the repository",
            vec![set("/spec/stages/1/build/contextDir", "a/../../etc")],
            "must be a path inside the repository",
        ),
        (
            "a path of the machine",
            vec![set("/spec/stages/0/reports/junit/0", "/etc/passwd")],
            "must be a path inside",
        ),
        (
            "a stage for days",
            vec![set("/spec/stages/0/timeout", "2d")],
            "must be a duration above zero",
        ),
        (
            "a variable with a space",
            vec![set("/spec/stages/0/env/0/name", "A B")],
            "should match",
        ),
    ]
}

fn refused_source() -> Vec<(&'static str, Vec<Edit>, &'static str)> {
    vec![
        (
            "http by accident",
            vec![set("/spec/source/git/url", "http://git.example/api.git")],
            "set insecure: true",
        ),
        (
            "a file",
            vec![set("/spec/source/git/url", "file:///etc")],
            "must be an http:// or https:// URL",
        ),
        (
            "a password",
            vec![set(
                "/spec/source/git/url",
                "https://me:secret@git.example/a",
            )],
            "without user or password",
        ),
        (
            "an option as branch",
            vec![set("/spec/source/git/branch", "--upload-pack=x")],
            "must be the short name of a branch",
        ),
        (
            "a full ref as branch",
            vec![set("/spec/source/git/branch", "refs/heads/main")],
            "must be the short name of a branch",
        ),
    ]
}
