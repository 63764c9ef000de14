//! Templates of Rollouts that people edit: in production a Promotion brings them, and the way back restores them whole.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use super::shop::Shop;
use crate::cluster::{SOON, Space, wait_for, with_namespace};

/// Grace of the pods of a Rollout's revisions that have any, in seconds.
async fn graces(space: &Space, rollout: &str) -> BTreeMap<String, i64> {
    let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
    let of = ListParams::default().labels(&format!("slipway.dev/rollout={rollout}"));
    let sets = sets.list(&of).await.unwrap();
    let grace = |set: ReplicaSet| {
        let spec = &set.spec;
        let pod = spec.template.as_ref()?.spec.as_ref()?;
        let has_pods = spec.replicas.unwrap_or(1) > 0;
        has_pods.then(|| {
            (
                set.name_any(),
                pod.termination_grace_period_seconds.unwrap_or(0),
            )
        })
    };
    sets.into_iter().filter_map(grace).collect()
}

async fn until_grace(space: &Space, rollout: &str, seconds: i64) {
    wait_for(
        &format!("{rollout} has {seconds} s of grace"),
        SOON,
        async || {
            let graces = graces(space, rollout).await;
            graces.values().all(|grace| *grace == seconds).then_some(())
        },
    )
    .await;
}

/// What the Rollout says, and the templates that it offers and wears.
async fn looks(shop: &Shop) -> (String, Option<String>, Option<String>) {
    let rollout = Box::pin(shop.rollouts.get("production-api")).await.unwrap();
    let status = rollout.status.unwrap();
    let worn = status.stable.and_then(|stable| stable.template);
    (status.message.unwrap_or_default(), status.template, worn)
}

async fn grace_in_spec(shop: &Shop) -> u64 {
    let rollout = Box::pin(shop.rollouts.get("production-api")).await.unwrap();
    let path = "/spec/terminationGracePeriodSeconds";
    let template = rollout.spec.template.value();
    template.pointer(path).unwrap().as_u64().unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_edited_template_takes_a_promotion_of_its_own_in_production_and_goes_back_whole() {
    with_namespace(async |space| Box::pin(play(space)).await).await;
}

async fn play(space: &Space) {
    let shop = Shop::staging_and_production(space).await;
    let operator = shop.operator();
    shop.release(1).await;
    shop.until_runs("staging", 1).await;
    shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
        .await;
    shop.decide("alice", "Approve", "production", 1).await;
    let first = shop.until_runs("production", 1).await.templates;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].name, "production-api");
    // What Slipway adds for draining is part of it.
    until_grace(space, "production-api", 60).await;

    // In staging it is worn at once, in production it waits.
    let patient = json!({"template": {"spec": {"terminationGracePeriodSeconds": 7}}});
    for name in ["staging-api", "production-api"] {
        shop.edit_rollout(name, &patient).await;
    }
    until_grace(space, "staging-api", 37).await;
    assert_eq!(shop.records("staging").await.len(), 1);
    let waits = ["Promote shop-1 Succeeded", "Config shop-1 AwaitingApproval"];
    let records = shop.until_told("production", &waits).await;
    assert_ne!(records[1].spec.templates, first);
    assert_eq!(records[1].spec.images, records[0].spec.images);
    until_grace(space, "production-api", 60).await;
    let (message, offered, worn) = looks(&shop).await;
    assert!(message.contains("is not worn yet"), "{message}");
    assert_eq!(offered.as_ref(), Some(&records[1].spec.templates[0].id));
    assert_eq!(worn.as_ref(), Some(&first[0].id));

    // Whoever comes after a crash knows which template that is.
    operator.kill().await;
    let _operator = shop.operator();
    shop.until_looked_again("production").await;
    until_grace(space, "production-api", 60).await;
    shop.decide("bob", "Approve", "production", 1).await;
    let brought = ["Promote shop-1 Succeeded", "Config shop-1 Succeeded"];
    let records = shop.until_told("production", &brought).await;
    until_grace(space, "production-api", 37).await;
    assert_eq!(records[1].status.as_ref().unwrap().approvals[0].user, "bob");

    // A person goes back. Its ReplicaSet may be gone: what is kept is the template.
    let sets: Api<ReplicaSet> = Api::namespaced(space.client.clone(), &space.name);
    let idle = sets.list(&ListParams::default()).await.unwrap();
    let idle = idle.into_iter().filter(|set| set.spec.replicas == Some(0));
    for set in idle {
        sets.delete(&set.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }
    let target = json!({"target": {"kind": "Environment", "name": "production"}});
    shop.decide_about("olga", "Rollback", &target).await;
    let back = [brought[0], brought[1], "Rollback shop-1 Succeeded"];
    shop.until_told("production", &back).await;
    until_grace(space, "production-api", 60).await;
    let left = shop
        .until_says("production", "in the spec is not worn: Promotion")
        .await;
    assert_eq!(left.templates, first);
    assert_eq!(left.holds, []);
    assert_eq!(grace_in_spec(&shop).await, 7, "the spec is people's");

    // The next Release brings what is in the spec by then.
    shop.release(2).await;
    shop.until_runs("staging", 2).await;
    let next = [back[0], back[1], back[2], "Promote shop-2 AwaitingApproval"];
    shop.until_told("production", &next).await;
    shop.decide("alice", "Approve", "production", 2).await;
    shop.until_runs("production", 2).await;
    until_grace(space, "production-api", 37).await;
}
