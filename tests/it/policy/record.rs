//! Records: Releases, Promotions, every status, and what started a run.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use slipway::kinds::KINDS;

use super::{
    ADMIN, DEVELOPER, assert_refused, bind, create_as, delete_as, environment_spec, grant,
    patch_as, promotion_spec, release_spec, run_spec,
};
use crate::cluster::{OPERATOR, SOON, Space, wait_for, with_guarded_namespace};

const RECORDS: &[(&str, &str)] = &[("Release", "releases"), ("Promotion", "promotions")];

async fn may_write_everything(space: &Space, user: &str) {
    let resources: Vec<String> = KINDS
        .iter()
        .flat_map(|info| [info.plural.to_owned(), format!("{}/status", info.plural)])
        .collect();
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    grant(
        space,
        user,
        &["get", "create", "update", "patch", "delete"],
        &resources,
    )
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn only_the_operator_makes_and_changes_records() {
    with_guarded_namespace(async |space| {
        may_write_everything(space, "mallory").await;
        may_write_everything(space, OPERATOR).await;
        let label = json!({ "metadata": { "labels": { "a": "b" } } });
        for ((kind, _), spec) in RECORDS.iter().zip([release_spec(), promotion_spec()]) {
            let made = create_as(space, "mallory", kind, "by-hand", &spec).await;
            assert_refused(made, &format!("a {kind} is made by the operator only"));
            create_as(space, OPERATOR, kind, "real", &spec)
                .await
                .unwrap();
            let labelled = patch_as(space, "mallory", kind, "real", &label).await;
            assert_refused(labelled, "nobody but the operator changes them");
            let deleted = delete_as(space, "mallory", kind, "real").await;
            assert_refused(deleted, "are pruned by the operator");
            patch_as(space, OPERATOR, kind, "real", &label)
                .await
                .unwrap();
            delete_as(space, OPERATOR, kind, "real").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_admin_deletes_a_record_and_makes_none() {
    with_guarded_namespace(async |space| {
        bind(space, "root", ADMIN).await;
        may_write_everything(space, OPERATOR).await;
        for ((kind, _), spec) in RECORDS.iter().zip([release_spec(), promotion_spec()]) {
            create_as(space, OPERATOR, kind, "real", &spec)
                .await
                .unwrap();
            delete_as(space, "root", kind, "real").await.unwrap();
            let made = create_as(space, "root", kind, "by-hand", &spec).await;
            assert!(made.unwrap_err().to_string().contains("forbidden"));
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn only_the_operator_writes_a_status() {
    with_guarded_namespace(async |space| {
        may_write_everything(space, "mallory").await;
        grant(space, "mallory", &["protect"], &["environments"]).await;
        may_write_everything(space, OPERATOR).await;
        let status = json!({ "status": { "observedGeneration": 1 } });
        for info in KINDS.iter().filter(|info| info.has_reconciler) {
            let (maker, spec) = example(info.kind);
            create_as(space, maker, info.kind, "a", &spec)
                .await
                .unwrap();
            let params = PatchParams::default();
            let forged = space.api_as("mallory", &[], info.kind).await;
            let forged = forged
                .patch_status("a", &params, &Patch::Merge(&status))
                .await;
            let expected = format!(
                "the status of {}.slipway.dev is written by the operator only",
                info.plural
            );
            assert_refused(forged, &expected);
            let real = space.api_as(OPERATOR, &[], info.kind).await;
            let real = real
                .patch_status("a", &params, &Patch::Merge(&status))
                .await
                .unwrap();
            assert_eq!(
                real.data["status"]["observedGeneration"], 1,
                "{}",
                info.kind
            );
        }
    })
    .await;
}

/// Who may make an object of the kind, and a spec for it.
fn example(kind: &str) -> (&'static str, serde_json::Value) {
    match kind {
        "Pipeline" => (
            "mallory",
            json!({
                "source": { "git": { "url": "https://git.example/api" } },
                "stages": [{ "name": "unit", "type": "Test", "image": "python", "run": "pytest" }],
            }),
        ),
        "Rollout" => (
            "mallory",
            json!({ "selector": { "matchLabels": { "app": "api" } }, "template": {} }),
        ),
        "PipelineRun" => (OPERATOR, run_spec("Push", "alice")),
        "Environment" => ("mallory", environment_spec()),
        "Promotion" => (OPERATOR, promotion_spec()),
        other => panic!("no example of {other}"),
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn people_start_runs_by_hand_and_in_their_own_name() {
    with_guarded_namespace(async |space| {
        bind(space, "dave", DEVELOPER).await;
        grant(space, OPERATOR, &["create"], &["pipelineruns"]).await;
        create_as(
            space,
            "dave",
            "PipelineRun",
            "mine",
            &run_spec("Manual", "dave"),
        )
        .await
        .unwrap();
        let forged = create_as(
            space,
            "dave",
            "PipelineRun",
            "b",
            &run_spec("Manual", "alice"),
        )
        .await;
        assert_refused(forged, "spec.trigger.actor is alice, but you are dave");
        let push = create_as(space, "dave", "PipelineRun", "c", &run_spec("Push", "dave")).await;
        assert_refused(
            push,
            "spec.trigger.kind Push is for runs that the operator starts",
        );
        create_as(
            space,
            OPERATOR,
            "PipelineRun",
            "d",
            &run_spec("Push", "alice"),
        )
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn clean_up_by_kubernetes_is_not_in_the_way() {
    with_guarded_namespace(async |space| {
        may_write_everything(space, OPERATOR).await;
        bind(space, "root", ADMIN).await;
        let environment = create_as(space, "root", "Environment", "staging", &environment_spec())
            .await
            .unwrap();
        let mut owned = super::object("Promotion", "owned", &promotion_spec());
        owned.metadata.owner_references = Some(vec![
            serde_json::from_value(json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "name": "staging",
                "uid": environment.metadata.uid, "controller": true,
            }))
            .unwrap(),
        ]);
        let promotions = space.api_as(OPERATOR, &[], "Promotion").await;
        promotions
            .create(&kube::api::PostParams::default(), &owned)
            .await
            .unwrap();
        create_as(space, OPERATOR, "Promotion", "stays", &promotion_spec())
            .await
            .unwrap();

        delete_as(space, "root", "Environment", "staging")
            .await
            .unwrap();
        wait_for("the Promotion goes with its owner", SOON, async || {
            promotions
                .get_opt("owned")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
        promotions.get("stays").await.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_namespace_with_records_can_be_deleted() {
    with_guarded_namespace(async |space| {
        may_write_everything(space, OPERATOR).await;
        bind(space, "root", ADMIN).await;
        create_as(space, "root", "Environment", "staging", &environment_spec()).await.unwrap();
        create_as(space, OPERATOR, "Release", "api-1", &release_spec()).await.unwrap();
        create_as(space, OPERATOR, "Promotion", "staging-1", &promotion_spec()).await.unwrap();
        let hold = json!({ "target": { "kind": "Environment", "name": "staging" }, "action": "Hold", "user": "root" });
        create_as(space, "root", "Decision", "hold", &hold).await.unwrap();

        let namespaces: Api<Namespace> = Api::all(space.client.clone());
        namespaces.delete(&space.name, &DeleteParams::default()).await.unwrap();
        // Kubernetes has those of other tests to delete too.
        wait_for("the namespace goes", Duration::from_mins(5), async || {
            namespaces.get_opt(&space.name).await.unwrap().is_none().then_some(())
        })
        .await;
    })
    .await;
}
