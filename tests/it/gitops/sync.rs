//! Folders that tools bring into a namespace again and again while Releases come: nothing differs, what left the folder is
//! pruned, and what the operator made is not.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::environment::api::EnvironmentPhase;
use slipway::rollout::api::Phase;

use super::{Folder, Tool};
use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::environment::{Shop, after};

/// An object as people keep it in Git.
fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "slipway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// An Environment and its Rollout.
fn write(folder: &Folder, name: &str, promotion: &Value) {
    let labels = json!({"app": name});
    let rollout = format!("{name}-api");
    let mut environment = json!({
        "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": rollout}],
    });
    json_patch::merge(&mut environment, promotion);
    folder.write(name, &object("Environment", name, &environment));
    let spec = json!({
        "replicas": 2, "selector": {"matchLabels": labels},
        "release": {"environment": {"name": name}, "images": {"web": "api"}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web"}]}},
    });
    folder.write(&rollout, &object("Rollout", &rollout, &spec));
}

/// A sync, after which nothing has changed.
async fn changes_nothing(folder: &Folder) {
    let is_same = |result: &&String| match folder.tool {
        Tool::Flux => result.ends_with(": unchanged"),
        // kubectl's words; of server-side apply it says the same whether anything differed or not.
        Tool::ArgoClient => result.ends_with(" unchanged"),
        Tool::ArgoServer => result.ends_with(" serverside-applied"),
    };
    if !matches!(folder.tool, Tool::Flux) {
        assert_eq!(folder.differences().await, BTreeSet::new());
    }
    let results = folder.sync().await;
    let changed: Vec<&String> = results.iter().filter(|result| !is_same(result)).collect();
    assert!(!results.is_empty() && changed.is_empty(), "{changed:?}");
}

async fn generations(shop: &Shop) -> Vec<Option<i64>> {
    let environments = shop
        .environments
        .list(&ListParams::default())
        .await
        .unwrap();
    let rollouts = shop.rollouts.list(&ListParams::default()).await.unwrap();
    let of_environments = environments.iter().map(|object| object.metadata.generation);
    let of_rollouts = rollouts.iter().map(|object| object.metadata.generation);
    of_environments.chain(of_rollouts).collect()
}

async fn play(space: &Space, tool: Tool) {
    let shop = Shop::new(space);
    let folder = Folder::new(tool, space);
    write(&folder, "staging", &json!({}));
    let guarded = json!({"tier": "Production", "protection": {"approvals": {"required": 1}}, "promotion": after("staging")});
    write(&folder, "production", &guarded);
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"a": "1"}});
    folder.write("kept", &kept);
    let _operator = shop.operator();
    let made = folder.sync().await;
    assert_eq!(made.len(), 5, "{made:?}");

    // At rest, while one waits for people, while pods move, and afterwards.
    changes_nothing(&folder).await;
    shop.release(1).await;
    shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
        .await;
    changes_nothing(&folder).await;
    shop.decide("alice", "Approve", "production", 1).await;
    shop.until_runs("production", 1).await;
    shop.release_plays(2, "ready-after=1h");
    shop.release(2).await;
    shop.until_phase("staging", EnvironmentPhase::Promoting)
        .await;
    changes_nothing(&folder).await;
    assert_eq!(
        generations(&shop).await,
        [Some(1); 4],
        "nobody wrote a spec"
    );

    // What somebody has edited by hand is put back.
    let by_hand = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    shop.rollouts
        .patch("production-api", &params, &by_hand)
        .await
        .unwrap();
    if !matches!(tool, Tool::Flux) {
        let differences = folder.differences().await;
        assert_eq!(
            differences,
            BTreeSet::from(["Rollout production-api".to_owned()])
        );
    }
    folder.sync().await;
    let rollout = shop.rollouts.get("production-api").await.unwrap();
    assert_eq!(rollout.spec.replicas, Some(2));

    // What has left the folder goes; what the operator has made stays.
    folder.remove("kept");
    let results = folder.sync().await;
    let is_gone = |result: &&String| {
        result.contains("kept") && (result.ends_with("deleted") || result.ends_with("pruned"))
    };
    assert_eq!(results.iter().filter(is_gone).count(), 1, "{results:?}");
    let maps: Api<ConfigMap> = Api::namespaced(space.client.clone(), &space.name);
    assert!(maps.get_opt("kept").await.unwrap().is_none());
    let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
    let left = sets.list(&ListParams::default()).await.unwrap();
    assert!(
        left.items.len() >= 3,
        "{:?}",
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
    assert_eq!(shop.records("production").await.len(), 1);
    let serves = (Some(shop.image(1)), Some(Phase::Healthy));
    shop.until_runs("production", 1).await;
    wait_for("as before", SOON, async || {
        (shop.serves("production").await == serves).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn flux_finds_no_drift_while_releases_come_and_prunes_what_left_the_folder() {
    with_namespace(async |space| Box::pin(play(space, Tool::Flux)).await).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn argo_cd_finds_no_difference_while_releases_come_and_prunes_what_left_the_folder() {
    with_namespace(async |space| Box::pin(play(space, Tool::ArgoClient)).await).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn argo_cd_with_server_side_apply_finds_no_difference_either() {
    with_namespace(async |space| Box::pin(play(space, Tool::ArgoServer)).await).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn of_the_revision_in_a_selector_each_tool_makes_what_the_page_says() {
    with_namespace(async |space| {
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        let narrowed = async |tool: Tool, annotations: Value| {
            let folder = Folder::new(tool, space);
            let name = format!("{tool:?}-{}", annotations.as_object().unwrap().len()).to_lowercase();
            folder.write("service", &json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "annotations": annotations},
                "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80}]},
            }));
            folder.sync().await;
            // As the operator does it.
            let params = PatchParams { field_manager: Some("slipway".into()), ..PatchParams::default() };
            let narrow = Patch::Merge(json!({"spec": {"selector": {"slipway.dev/revision": "r1"}}}));
            services.patch(&name, &params, &narrow).await.unwrap();
            folder.sync().await;
            let service = services.get(&name).await.unwrap();
            service.spec.unwrap().selector.unwrap().contains_key("slipway.dev/revision")
        };
        assert!(narrowed(Tool::ArgoClient, json!({})).await, "a client-side sync leaves the key alone");
        assert!(!narrowed(Tool::ArgoServer, json!({})).await);
        assert!(!narrowed(Tool::Flux, json!({})).await);
        let once = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
        assert!(narrowed(Tool::Flux, once).await);
    })
    .await;
}
