//! A Rollout whose pods somebody wants new: evictions, and a budget of disruption that stands against them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use slipway::rollout::api::{Phase, RolloutStatus};

use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed, stable};
use testbed::scripted::ScriptedGateway;

/// Uids of the pods that are not going, and when the last of them was made.
async fn pods(client: &Client, namespace: &str) -> (BTreeSet<String>, Timestamp) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api.list(&ListParams::default()).await.unwrap().items;
    let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
    let created = |pod: &Pod| pod.creation_timestamp().unwrap().0;
    let newest = pods.iter().map(created).max().unwrap();
    let uids = pods.iter().filter(stays).map(|pod| pod.uid().unwrap());
    (uids.collect(), newest)
}

/// Asks for new pods, in a later second than the one in which the last pod was made.
async fn restart(space: &Space, newest: Timestamp) {
    let next = newest + SignedDuration::from_secs(1);
    wait_for("the next second", SOON, async || {
        (Timestamp::now() >= next).then_some(())
    })
    .await;
    space.decide(("Rollout", "api"), "Restart").await;
}

fn is_over(status: &RolloutStatus) -> bool {
    let last = status.last_decision.as_ref();
    status.phase == Some(Phase::Healthy) && last.is_some_and(|last| last.result.starts_with("done"))
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_restart_replaces_every_pod_and_makes_no_revision() {
    for replicas in [4, 1] {
        with_namespace(async |space| {
            let _operator = Operator::start(&space.name);
            let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
            let mut extra = routed();
            extra["spec"]["replicas"] = replicas.into();
            let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
            let first = api.until_phase(Phase::Healthy).await;
            let (before, newest) = pods(&space.client, &space.name).await;
            restart(space, newest).await;
            let done = api.until("restarted", is_over).await;
            assert_eq!(stable(&done), stable(&first));
            assert_eq!(api.sets().await.len(), 1);
            let count = usize::try_from(replicas).unwrap();
            let after = wait_for("as many pods as before", SOON, async || {
                let (after, _) = pods(&space.client, &space.name).await;
                (after.len() == count).then_some(after)
            })
            .await;
            assert!(before.is_disjoint(&after), "{before:?} {after:?}");
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_restart_waits_for_a_budget_of_disruption_and_says_so() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        api.until_phase(Phase::Healthy).await;
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(space.client.clone(), &space.name);
        let budget = json!({
            "metadata": {"name": "strict"},
            "spec": {"minAvailable": 4, "selector": {"matchLabels": {"app": "api"}}},
        });
        let budget = serde_json::from_value(budget).unwrap();
        budgets
            .create(&PostParams::default(), &budget)
            .await
            .unwrap();
        wait_for("a budget that counts", SOON, async || {
            let status = budgets.get("strict").await.ok()?.status?;
            (status.current_healthy == Some(4)).then_some(())
        })
        .await;
        let (before, newest) = pods(&space.client, &space.name).await;
        restart(space, newest).await;
        let says = |status: &RolloutStatus| {
            let message = status.message.clone().unwrap_or_default();
            message.starts_with("restarting: 0 of 4 pods, as alice asked; the next one may not go")
                && message.contains("The disruption budget strict needs 4 healthy pods")
                && message.contains("tried again at")
        };
        let refused = api.until("refused", says).await;
        assert_eq!(refused.phase, Some(Phase::Progressing));
        let failed = refused.conditions.iter().any(|c| c.type_ == "ActionFailed");
        assert!(!failed, "a refusal is no failure");
        assert_eq!(pods(&space.client, &space.name).await.0, before);

        let looser = json!({"spec": {"minAvailable": 1}});
        budgets
            .patch("strict", &PatchParams::default(), &Patch::Merge(looser))
            .await
            .unwrap();
        api.until("restarted", is_over).await;
        let (after, _) = pods(&space.client, &space.name).await;
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    })
    .await;
}
