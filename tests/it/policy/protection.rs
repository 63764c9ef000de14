//! Environments: what protects them is changed only with the verb `protect`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway::kinds::KINDS;

use super::{ADMIN, assert_refused, bind, create_as, delete_as, environment_spec, grant, patch_as};
use crate::cluster::{OPERATOR, with_guarded_namespace};

/// Fields that everyone who may write an Environment may change.
const FREE: &[&str] = &["notifications", "history"];

/// A change of each field of the spec.
fn changes() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("tier", json!("Development")),
        ("promotion", json!({ "mode": "Manual" })),
        ("rollouts", json!([{ "name": "api" }])),
        ("protection", json!({ "approvals": { "required": 1 } })),
        (
            "smokeTests",
            json!([{ "name": "a", "job": { "image": "a" } }]),
        ),
        (
            "migrations",
            json!({
                "database": "shop", "image": "a", "withoutBackup": true,
                "validate": {"command": ["a"]}, "run": {"command": ["a"]}, "verify": {"command": ["a"]},
            }),
        ),
        ("rollback", json!({ "on": [] })),
        (
            "notifications",
            json!([{ "name": "a", "webhook": { "url": "https://a" }, "on": ["RolledBack"] }]),
        ),
        (
            "incidents",
            json!({"alertmanager": {"secretRef": {"name": "hook", "key": "token"}}}),
        ),
        (
            "previews",
            json!({
                "pipeline": "api", "copy": ["Rollout"], "selector": {"preview": "shop"},
                "url": "https://pr-{{pr.number}}.preview.example.com",
            }),
        ),
        ("imageTag", json!({ "name": "staging" })),
        (
            "cluster",
            json!({"kubeconfigSecretRef": {"name": "far", "key": "kubeconfig"}}),
        ),
        (
            "writeBack",
            json!({
                "repository": {"url": "https://git.example/config.git"},
                "kustomize": {"path": "kustomization.yaml"},
            }),
        ),
        ("deletionPolicy", json!("Retain")),
        ("history", json!({ "promotions": 7 })),
        (
            "metrics",
            json!({ "prometheus": { "address": "http://other:9090" } }),
        ),
        (
            "slos",
            json!([{
                "name": "api", "objective": "99.9", "prometheus": {"address": "http://prometheus:9090"},
                "availability": {"metric": "http_requests_total", "errorMatchers": "code=~\"5..\""},
            }]),
        ),
    ])
}

fn fields_of_the_spec() -> Vec<String> {
    let info = KINDS
        .iter()
        .find(|info| info.kind == "Environment")
        .unwrap();
    let crd = serde_json::to_value(slipway::crd::polish(info).unwrap()).unwrap();
    let properties = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_field_takes_protect_unless_it_is_free() {
    with_guarded_namespace(async |space| {
        grant(
            space,
            "dave",
            &["create", "update", "patch", "delete"],
            &["environments"],
        )
        .await;
        bind(space, "root", ADMIN).await;
        create_as(space, "root", "Environment", "staging", &environment_spec())
            .await
            .unwrap();
        let changes = changes();
        for field in fields_of_the_spec() {
            let change = changes.get(field.as_str());
            let change =
                change.unwrap_or_else(|| panic!("no change of spec.{field}; is it protected?"));
            let patch = json!({ "spec": { (field.as_str()): change } });
            let result = patch_as(space, "dave", "Environment", "staging", &patch).await;
            if FREE.contains(&field.as_str()) {
                result.unwrap_or_else(|error| panic!("{field}: {error}"));
            } else {
                assert_refused(
                    result,
                    "may change only notifications and history of Environment staging",
                );
            }
            let allowed = patch_as(space, "root", "Environment", "staging", &patch).await;
            allowed.unwrap_or_else(|error| panic!("{field}: {error}"));
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn to_create_or_delete_takes_protect() {
    with_guarded_namespace(async |space| {
        grant(
            space,
            "dave",
            &["create", "update", "patch", "delete"],
            &["environments"],
        )
        .await;
        grant(
            space,
            "erin",
            &["create", "update", "patch", "delete", "protect"],
            &["environments"],
        )
        .await;
        let made = create_as(space, "dave", "Environment", "staging", &environment_spec()).await;
        assert_refused(made, "you (dave) may not create Environment staging");
        create_as(space, "erin", "Environment", "staging", &environment_spec())
            .await
            .unwrap();
        let deleted = delete_as(space, "dave", "Environment", "staging").await;
        assert_refused(deleted, "you (dave) may not delete Environment staging");
        delete_as(space, "erin", "Environment", "staging")
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn owners_and_finalizers_are_no_way_around() {
    with_guarded_namespace(async |space| {
        grant(
            space,
            "dave",
            &["create", "update", "patch", "delete"],
            &["environments"],
        )
        .await;
        grant(space, OPERATOR, &["patch"], &["environments"]).await;
        bind(space, "root", ADMIN).await;
        create_as(space, "root", "Environment", "staging", &environment_spec())
            .await
            .unwrap();

        let orphan = json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0-0-0-0" },
        ] } });
        let owned = patch_as(space, "dave", "Environment", "staging", &orphan).await;
        assert_refused(
            owned,
            "may not change owners or finalizers of Environment staging",
        );
        let finalizer = json!({ "metadata": { "finalizers": ["slipway.dev/cleanup"] } });
        patch_as(space, OPERATOR, "Environment", "staging", &finalizer)
            .await
            .unwrap();
        let none = json!({ "metadata": { "finalizers": null } });
        let freed = patch_as(space, "dave", "Environment", "staging", &none).await;
        assert_refused(
            freed,
            "may not change owners or finalizers of Environment staging",
        );
        // What mirrors an Environment of another cluster is not planned for here.
        let mirror = json!({ "metadata": { "labels": { "slipway.dev/mirror-of": "a.b" } } });
        let labelled = patch_as(space, "dave", "Environment", "staging", &mirror).await;
        assert_refused(labelled, "may change only notifications and history");
        let weaker = json!({ "spec": { "tier": "Development" } });
        let operator = patch_as(space, OPERATOR, "Environment", "staging", &weaker).await;
        assert_refused(operator, "may change only notifications and history");
        patch_as(space, OPERATOR, "Environment", "staging", &none)
            .await
            .unwrap();
    })
    .await;
}
