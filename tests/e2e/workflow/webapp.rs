//! pipeline-webapp: an application that is looked at and tested on its versions, built, and asked beside a database.

use serde_json::{Value, json};
use testbed::image;

use super::{Workflow, digest, gates_are, repeated, stage};
use crate::app::with_app;
use crate::library::gate;
use crate::pod::Storage;

/// Debian's releases by the Pythons of the sample. Debian has no 3.10: its cell runs on what comes next.
const PYTHONS: [(&str, &str); 3] = [
    ("3.9", "bullseye"),
    ("3.10", "bookworm"),
    ("3.11", "bookworm"),
];
/// Tests of the application, and those that ask it.
const TESTS: (usize, usize) = (18, 6);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its images; run make e2e-full"]
async fn the_application_of_the_sample_is_checked_built_asked_beside_a_database_and_released() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let debian = image::base::debian(registry).await.unwrap();
        let postgres = image::postgres(registry).await.unwrap();
        let storage = Storage::make(app, "ci-caches", "webapp").await;
        let workflow = Workflow::new(app, "webapp").await;
        let workflow = workflow
            .with_pythons(&PYTHONS)
            .await
            .with_image("postgres:17", postgres)
            .with_args(json!({"BASE": debian, "RUNTIME": debian}));
        let good = workflow.commit("main", "Sell things", &[]).await;
        workflow.apply("webapp").await;
        let run = workflow.ended("Push", &good).await;
        is_released(&workflow, &run).await;

        let hasty = hasty();
        let hasty: Vec<(&str, &str)> = hasty
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let hasty = workflow.commit("hasty", "Be quick", &hasty).await;
        let checks = ["quality", "complexity", "tests", "code", "dependencies"];
        let more = json!({"ref": "refs/heads/hasty", "sha": hasty, "stages": checks});
        app.run_by_hand("hasty", "webapp", &more).await;
        is_refused(&workflow.ended("Manual", &hasty).await);
        storage.remove(app).await;
    })
    .await;
}

async fn is_released(workflow: &Workflow<'_>, run: &Value) {
    assert_eq!(run["phase"], "Succeeded", "{run:#}");
    let total = 3 * TESTS.0 + TESTS.1;
    assert_eq!(run["tests"]["total"], total, "{run:#}");
    assert_eq!(run["tests"]["failed"], 0, "{run:#}");
    let all = [
        "style",
        "complexity",
        "tests",
        "coverage",
        "code",
        "dependencies",
        "integration",
    ];
    gates_are(run, &all.map(|name| (name, "Passed")));
    let asked = gate(run, "integration");
    assert!(asked.to_string().contains("6 tests"), "{asked}");
    for skipped in ["shown", "integration-preview"] {
        assert_eq!(stage(run, skipped)["phase"], "Skipped", "{run:#}");
    }
    let release = workflow.release(run).await;
    let image = &release["images"][0];
    assert_eq!(image["digest"], digest(run, "webapp"), "{release:#}");
}

/// Every script ends well, and every gate but that of the tests stands against it.
fn is_refused(run: &Value) {
    assert_eq!(run["phase"], "Failed", "{run:#}");
    gates_are(
        run,
        &[
            ("style", "Failed"),
            ("complexity", "Failed"),
            ("tests", "Passed"),
            ("coverage", "Failed"),
            ("code", "Failed"),
            ("dependencies", "Failed"),
            ("integration", "NoData"),
        ],
    );
    for (name, found) in [
        ("style", "F401"),
        ("complexity", "choose"),
        ("code", "B602"),
        ("dependencies", "requests"),
    ] {
        let said = gate(run, name).to_string();
        assert!(said.contains(found), "{name}: {said}");
    }
    for name in ["quality", "code", "dependencies", "tests"] {
        assert_eq!(stage(run, name)["phase"], "Succeeded", "{run:#}");
    }
    assert_eq!(stage(run, "webapp")["phase"], "Skipped", "{run:#}");
}

/// A commit in which every tool finds something.
fn hasty() -> Vec<(&'static str, String)> {
    let untested = repeated(40, |n| format!("\n\ndef f{n}(a):\n    return a + {n}\n"));
    let branches = repeated(16, |n| format!("    if a == {n}:\n        return {n}\n"));
    let extra = format!(
        "import os\nimport subprocess\n{untested}\n\ndef choose(a):\n    subprocess.call(a, shell=True)\n{branches}"
    );
    vec![
        ("src/webapp/extra.py", extra),
        (
            "requirements.txt",
            "pg8000==1.31.2\nrequests==2.19.1\n".to_owned(),
        ),
    ]
}
