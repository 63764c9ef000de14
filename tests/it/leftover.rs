//! What runs leave in registries, and what of it goes with them: real registries, one that deletes and one that does not.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};
use slipway::oci::manifest::{Artifact, Descriptor, referrers_tag};
use slipway::pipeline::api::LeftoverReason;
use slipway::pipeline_run::api::RunPhase;
use slipway::runner::report::StageReport;

use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::pipeline::{Subject, tested};
use crate::supply::Server;

/// Stages that build into a registry, and give what passes a tag that stays.
fn stages(subject: &Subject, server: &Server) -> Value {
    json!([
        {"name": "unit", "type": "Test", "image": subject.image("python"), "run": "pytest", "reports": {"junit": ["junit.xml"]}},
        {"name": "image", "type": "Build", "needs": ["unit"], "build": {"image": server.name(), "insecureRegistry": true}},
        {"name": "tags", "type": "Tag", "tag": {"names": ["{{branch}}", "{{shortSha}}"]}},
    ])
}

/// Pushes a commit whose image is in the registry, and has too few tests. The name of its run.
async fn fails(subject: &Subject, image: &Descriptor) -> String {
    let report = StageReport {
        digest: Some(image.digest.clone()),
        ..StageReport::default()
    };
    let report = report.encode();
    subject.plays("buildkit", &format!("exit=0,after=100ms,message={report}"));
    let sha = subject.push(&format!("Build {}", image.digest)).await;
    let (name, status) = subject.ended(&sha).await;
    assert_eq!(status.phase, Some(RunPhase::Failed));
    assert_eq!(status.artifacts[0].digest, image.digest);
    name
}

/// Waits until only this run is left.
async fn only(subject: &Subject, name: &str) {
    wait_for("older runs are gone", SOON, async || {
        let runs = subject.list(&subject.runs).await;
        let mut names = runs.iter().map(ResourceExt::name_any);
        names.all(|own| own == name).then_some(())
    })
    .await;
}

async fn has(server: &Server, reference: &str) -> bool {
    let found = server.registry().manifest(reference).await;
    found.unwrap().is_some()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver and docker-registry; run make test"]
async fn what_a_failed_run_has_left_goes_with_it_unless_a_tag_names_it_or_the_registry_refuses() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let server = Server::debian_that_deletes().await;
        let hosts = ["--metric-hosts", "127.0.0.0/8"];
        let _operator = subject.operator_with(&kubeconfig_path(), &hosts);
        subject.tests(&tested(3, 0));
        let nobody_needs = server.push_untagged("first").await;
        let note = Artifact {
            artifact_type: "text/plain".into(),
            media_type: "text/plain".into(),
            content: b"what is in it".to_vec(),
            annotations: BTreeMap::new(),
            subject: Some(nobody_needs.clone()),
        };
        let note = server.registry().put_artifact(&note).await.unwrap();
        let references = referrers_tag(&nobody_needs.digest);
        assert!(has(&server, &references).await, "it has no referrers API");
        // As a run in another cluster does that has passed.
        let passed_elsewhere = server.push_as("other-3f9c2e1", "second").await;
        let newest = server.push_untagged("third").await;

        let spec = json!({"stages": stages(&subject, &server), "retention": {"failed": 1}});
        subject.create(&json!({"spec": spec})).await;
        fails(&subject, &nobody_needs).await;
        fails(&subject, &passed_elsewhere).await;
        let last = fails(&subject, &newest).await;
        only(&subject, &last).await;
        for gone in [&nobody_needs.digest, &note.digest, &references] {
            assert!(!has(&server, gone).await, "{gone} is still there");
        }
        for kept in [&passed_elsewhere.digest, &newest.digest] {
            assert!(has(&server, kept).await, "{kept} is gone");
        }

        let stubborn = Server::debian().await;
        let (fourth, fifth) = (
            stubborn.push_untagged("fourth").await,
            stubborn.push_untagged("fifth").await,
        );
        let next = stages(&subject, &stubborn);
        subject.patch(json!({"stages": next})).await;
        fails(&subject, &fourth).await;
        let last = fails(&subject, &fifth).await;
        only(&subject, &last).await;
        let refuses = |kept: &slipway::pipeline::api::KeptLeftovers| {
            kept.reason == LeftoverReason::DeletionRefused && kept.message.contains("405")
        };
        let status = subject
            .until("it is told that the registry refuses", |status| {
                status.leftovers.iter().any(refuses)
            })
            .await;
        assert_eq!(status.leftovers.len(), 1, "{:?}", status.leftovers);
        assert!(has(&stubborn, &fourth.digest).await);
        assert!(!has(&server, &newest.digest).await, "its run is gone, too");
    })
    .await;
}
