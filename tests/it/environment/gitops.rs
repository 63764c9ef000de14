//! Environments and Rollouts that GitOps tools apply again and again, and delete.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::promotion::api::Promotion;

use super::shop::Shop;
use crate::cluster::{SOON, Space, wait_for, with_namespace};

/// What tools put on what they apply, and look for when they prune.
const TRACKING: [&str; 3] = [
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
];

/// The object as a file in Git has it, with the marks of a tool.
fn in_git<K: ResourceExt + serde::Serialize>(kind: &str, object: &K) -> Value {
    let whole = serde_json::to_value(object).unwrap();
    let marks: serde_json::Map<String, Value> = TRACKING
        .iter()
        .map(|key| ((*key).to_owned(), "shop".into()))
        .collect();
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
        "metadata": {"name": object.name_any(), "labels": marks, "annotations": marks},
        "spec": whole["spec"],
    })
}

/// What tools compare: the generation, and the spec.
fn seen<K: ResourceExt + serde::Serialize>(object: &K) -> (Option<i64>, Value) {
    let whole = serde_json::to_value(object).unwrap();
    (object.meta().generation, whole["spec"].clone())
}

/// Applies on the server, by force, as Flux does; then from the client's side, as Argo CD does where nothing else is said.
async fn sync<K>(api: &Api<K>, manifest: &Value) -> (Option<i64>, Value)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("kustomize-controller").force();
    let change = Patch::Apply(manifest);
    Box::pin(api.patch(name, &params, &change)).await.unwrap();
    let params = PatchParams {
        field_manager: Some("argocd-controller".to_owned()),
        ..PatchParams::default()
    };
    let change = Patch::Merge(manifest);
    let synced = Box::pin(api.patch(name, &params, &change)).await.unwrap();
    seen(&synced)
}

/// The children of a Rollout or an Environment, in words, that a tool would take for its own.
async fn prunable<K>(space: &Space, selector: &str) -> Vec<String>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(space.client.clone(), &space.name);
    let found = api
        .list(&ListParams::default().labels(selector))
        .await
        .unwrap();
    assert!(!found.items.is_empty(), "{selector}");
    let is_marked = |object: &K| {
        let marks = [object.labels(), object.annotations()];
        TRACKING
            .iter()
            .any(|key| marks.iter().any(|all| all.contains_key(*key)))
    };
    let marked = found.items.iter().filter(|object| is_marked(object));
    marked.map(ResourceExt::name_any).collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn applied_again_as_flux_and_as_argo_do_nothing_differs_and_nothing_is_theirs_to_prune() {
    with_namespace(async |space| Box::pin(play(space)).await).await;
}

async fn play(space: &Space) {
    let shop = Shop::staging_and_production(space).await;
    let (environments, rollouts) = (&shop.environments, &shop.rollouts);
    let live = Box::pin(environments.get("production")).await.unwrap();
    let environment = in_git("Environment", &live);
    let live = Box::pin(rollouts.get("production-api")).await.unwrap();
    let rollout = in_git("Rollout", &live);
    let first = (
        sync(environments, &environment).await,
        sync(rollouts, &rollout).await,
    );
    let _operator = shop.operator();
    shop.release(1).await;
    shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
        .await;

    // Between the Decision and what follows from it, and after it, the tools sync.
    shop.decide("alice", "Approve", "production", 1).await;
    sync(environments, &environment).await;
    sync(rollouts, &rollout).await;
    shop.until_runs("production", 1).await;
    let last = (
        sync(environments, &environment).await,
        sync(rollouts, &rollout).await,
    );
    assert_eq!(first, last);
    shop.until_runs("production", 1).await;

    let of_rollout = "slipway.dev/rollout=production-api";
    let of_environment = "slipway.dev/environment=production";
    assert_eq!(prunable::<ReplicaSet>(space, of_rollout).await, [""; 0]);
    assert_eq!(
        prunable::<ControllerRevision>(space, of_rollout).await,
        [""; 0]
    );
    assert_eq!(prunable::<Promotion>(space, of_environment).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_environment_that_is_deleted_in_the_middle_of_a_promotion_leaves_what_runs() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        // Its pods never get ready, so that the promotion is still under way.
        shop.release_plays(2, "ready-after=1h");
        shop.release(2).await;
        shop.until_told(
            "staging",
            &["Promote shop-1 Succeeded", "Promote shop-2 Promoting"],
        )
        .await;
        shop.environments
            .delete("staging", &DeleteParams::default())
            .await
            .unwrap();
        wait_for("the Environment is gone", SOON, async || {
            shop.environments
                .get_opt("staging")
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
        let kept = wait_for("the Rollout says so", SOON, async || {
            let rollout = shop.rollouts.get("staging-api").await.ok()?;
            let status = rollout.status?;
            let says = status
                .message
                .as_ref()?
                .contains("there is no Environment staging");
            says.then_some(status)
        })
        .await;
        let stable = kept.stable.unwrap();
        assert_eq!(stable.images["web"], shop.image(1));
        assert_eq!(stable.ready, 2);
    })
    .await;
}
