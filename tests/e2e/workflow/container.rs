//! pipeline-container: an image for two platforms in two repositories, searched before and after it is built.

use serde_json::{Value, json};
use testbed::image;

use super::{Workflow, digest, gates_are, stage};
use crate::app::with_app;
use crate::library::gate;

/// Debian's releases by the Pythons of the sample. Debian has no 3.10: its cell runs on what comes next.
const PYTHONS: [(&str, &str); 2] = [("3.9", "bullseye"), ("3.10", "bookworm")];
/// Tests of the application in the container.
const TESTS: usize = 18;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its images; run make e2e-full"]
async fn the_container_of_the_sample_is_built_for_two_platforms_listed_searched_and_released() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let debian = image::base::debian(registry).await.unwrap();
        let scanner = image::base::scanner(registry).await.unwrap();
        let workflow = Workflow::new(app, "webapp").await;
        // No base image here is for two platforms, and what is fetched is the same on each.
        let workflow = workflow
            .with_pythons(&PYTHONS)
            .await
            .with_image("ci/scanner:1", scanner)
            .with_args(json!({"BASE": debian, "RUNTIME": "scratch"}));
        let known = [(
            "requirements.txt",
            "pg8000==1.31.2\nrequests==2.19.1\nDjango==3.2.12\n",
        )];
        let bad = workflow.commit("old", "Take what is there", &known).await;
        let good = workflow.commit("main", "Take what is repaired", &[]).await;
        workflow.apply("container").await;
        let first = workflow.ended("Push", &good).await;
        is_built(&workflow, &first, &["main"]).await;

        workflow.repository.tag("v2.0.1", &good).await.unwrap();
        let more = json!({"ref": "refs/tags/v2.0.1", "sha": good});
        app.run_by_hand("version", "container", &more).await;
        let run = workflow.ended("Manual", &good).await;
        is_built(&workflow, &run, &["2.0.1", "2.0"]).await;
        assert_eq!(
            first["release"], run["release"],
            "what is the same is one Release"
        );
        let release = workflow.release(&run).await;
        assert_eq!(release["images"][0]["digest"], digest(&run, "image"));

        let tests = json!([{"name": "PARTS", "value": "tests"}]);
        let more = json!({"ref": "refs/heads/old", "sha": bad, "params": tests});
        app.run_by_hand("old", "container", &more).await;
        is_refused(&workflow.ended("Manual", &bad).await);
    })
    .await;
}

async fn is_built(workflow: &Workflow<'_>, run: &Value, tags: &[&str]) {
    assert_eq!(run["phase"], "Succeeded", "{run:#}");
    assert_eq!(run["tests"]["total"], 2 * TESTS, "{run:#}");
    let all = ["tests", "style", "known", "image", "size"];
    gates_are(run, &all.map(|name| (name, "Passed")));
    let (digest, platforms) = (digest(run, "image"), 2);
    for tag in tags {
        for place in ["shop/container", "backup/shop/container"] {
            let (found, index) = crate::build::tagged(&workflow.image(place), tag).await;
            assert_eq!(found, digest, "{place}:{tag}");
            let listed = index["manifests"].as_array().map(Vec::len);
            assert_eq!(listed, Some(platforms), "{index:#}");
        }
    }
    assert_eq!(stage(run, "contents")["phase"], "Succeeded", "{run:#}");
}

/// The scripts end well, the gate stands against it, and nothing is built.
fn is_refused(run: &Value) {
    assert_eq!(run["phase"], "Failed", "{run:#}");
    gates_are(
        run,
        &[
            ("tests", "Passed"),
            ("style", "Passed"),
            ("known", "Failed"),
            ("image", "Warned"),
            ("size", "Warned"),
        ],
    );
    let said = gate(run, "known").to_string();
    assert!(said.contains("CVE-2022-28346"), "{said}");
    assert!(said.contains("1 critical"), "{said}");
    assert_eq!(stage(run, "image")["phase"], "Skipped", "{run:#}");
}
