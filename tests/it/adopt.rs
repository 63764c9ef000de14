//! A Deployment that a Rollout takes over and gives back, on scripted nodes: the real controller of Deployments looks on.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};

use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, stable};

/// A Deployment with a Service and an autoscaler, as people have them.
struct Workload {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    scalers: Api<HorizontalPodAutoscaler>,
}

impl Workload {
    async fn create(space: &Space) -> Self {
        let (client, name) = (&space.client, &space.name);
        let workload = Self {
            deployments: Api::namespaced(client.clone(), name),
            pods: Api::namespaced(client.clone(), name),
            scalers: Api::namespaced(client.clone(), name),
        };
        let deployment = json!({
            "metadata": {"name": "api"},
            "spec": {
                "replicas": 4,
                "selector": {"matchLabels": {"app": "api"}},
                "template": {
                    "metadata": {"labels": {"app": "api"}},
                    "spec": {"containers": [{"name": "web", "image": "greeter:1"}]},
                },
            },
        });
        let scaler = json!({
            "metadata": {"name": "api"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"},
                "minReplicas": 2, "maxReplicas": 8,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
            },
        });
        let service = json!({
            "metadata": {"name": "api"},
            "spec": {"selector": {"app": "api"}, "ports": [{"port": 80}]},
        });
        let params = PostParams::default();
        let deployment = serde_json::from_value(deployment).unwrap();
        workload
            .deployments
            .create(&params, &deployment)
            .await
            .unwrap();
        let scaler = serde_json::from_value(scaler).unwrap();
        workload.scalers.create(&params, &scaler).await.unwrap();
        let services: Api<Service> = Api::namespaced(client.clone(), name);
        let service = serde_json::from_value(service).unwrap();
        services.create(&params, &service).await.unwrap();
        workload
    }

    /// Edits the Deployment, and waits until its controller has seen that.
    async fn edit(&self, spec: Value) {
        let change = Patch::Merge(json!({"spec": spec}));
        let params = PatchParams::default();
        self.deployments
            .patch("api", &params, &change)
            .await
            .unwrap();
        wait_for(
            "the Deployment's controller has seen it",
            SOON,
            async || {
                let deployment = self.deployments.get("api").await.ok()?;
                let seen = deployment.status?.observed_generation;
                (seen == deployment.metadata.generation).then_some(())
            },
        )
        .await;
    }

    async fn set_image(&self, image: &str) {
        let containers = json!([{"name": "web", "image": image}]);
        self.edit(json!({"template": {"spec": {"containers": containers}}}))
            .await;
    }

    /// Waits until all pods are the Deployment's, available, and of its template.
    async fn until_rolled_out(&self) {
        wait_for("the Deployment has rolled out", SOON, async || {
            let deployment = self.deployments.get("api").await.ok()?;
            let status = deployment.status?;
            let counts = [
                status.replicas,
                status.updated_replicas,
                status.available_replicas,
            ];
            (counts == [Some(4); 3] && self.uids().await.len() == 4).then_some(())
        })
        .await;
    }

    /// Which pods there are; those that are going do not count.
    async fn uids(&self) -> BTreeSet<String> {
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        let staying = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        staying.filter_map(ResourceExt::uid).collect()
    }

    async fn scales_the_rollout(&self) {
        let target =
            json!({"apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "name": "api"});
        let change = Patch::Merge(json!({"spec": {"scaleTargetRef": target}}));
        let params = PatchParams::default();
        self.scalers.patch("api", &params, &change).await.unwrap();
    }
}

/// Waits until the Rollout says why it does not begin, or go.
async fn until_reason(api: &Subject, reason: &str) -> RolloutStatus {
    api.until(reason, |status| {
        let mut conditions = status.conditions.iter();
        conditions.any(|it| it.type_ == "Ready" && it.reason == reason)
    })
    .await
}

fn only(kind: &str) -> BTreeSet<String> {
    BTreeSet::from([kind.to_owned()])
}

/// Kinds of those that own the ReplicaSets.
async fn owners(api: &Subject) -> BTreeSet<String> {
    let sets = api.sets().await;
    let owners = sets.iter().flat_map(|set| set.owner_references().to_vec());
    owners.map(|owner| owner.kind).collect()
}

async fn until_gone(api: &Subject) {
    wait_for("the Rollout is gone", SOON, async || {
        let found = api.api.get_opt("api").await.ok()?;
        found.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_deployment_is_taken_over_changed_and_given_back_without_a_pod_that_restarts() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let workload = Workload::create(space).await;
        workload.until_rolled_out().await;
        workload.set_image("greeter:2").await;
        workload.until_rolled_out().await;
        let before = workload.uids().await;

        let rollout = serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "api"},
            "spec": {
                "replicas": 4,
                "workloadRef": {"kind": "Deployment", "name": "api"},
                "strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {"for": "2s"}}]},
            },
        }));
        let api = Subject::create(space, &rollout.unwrap()).await;
        let waits = until_reason(&api, "DeploymentNotPaused").await;
        assert_eq!(waits.phase, Some(Phase::Pending));
        workload.edit(json!({"paused": true})).await;
        let waits = until_reason(&api, "AutoscalerNotMoved").await;
        let message = waits.message.unwrap();
        assert!(message.contains("HorizontalPodAutoscaler api"), "{message}");
        assert_eq!(workload.uids().await, before);
        assert_eq!(owners(&api).await, only("Deployment"));

        workload.scales_the_rollout().await;
        let first = api.until_phase(Phase::Healthy).await;
        assert_eq!(workload.uids().await, before, "the same pods");
        assert_eq!(owners(&api).await, only("Rollout"));
        assert_eq!(first.ready_replicas.as_deref(), Some("4/4"));
        // What the autoscaler goes by is there.
        assert_eq!(first.replicas, 4);
        let selected = ListParams::default().labels(&first.selector.clone().unwrap());
        assert_eq!(workload.pods.list(&selected).await.unwrap().items.len(), 4);
        // Its number of pods is nothing to anybody now.
        workload.edit(json!({"replicas": 9})).await;
        assert_eq!(workload.uids().await, before);
        workload.edit(json!({"replicas": 4})).await;

        workload.set_image("greeter:3").await;
        let half = |status: &RolloutStatus| {
            let weights = status.weights.as_ref();
            weights.is_some_and(|weights| weights.canary == 50)
        };
        api.until("half", half).await;
        let second = api.until_promoted(&stable(&first)).await;
        api.until_alone(&stable(&second)).await;
        let changed = workload.uids().await;
        assert!(changed.is_disjoint(&before));

        api.api
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        until_gone(&api).await;
        assert_eq!(owners(&api).await, only("Deployment"));
        workload.edit(json!({"paused": false})).await;
        workload.until_rolled_out().await;
        assert_eq!(workload.uids().await, changed, "the same pods still");
        workload.set_image("greeter:4").await;
        workload.until_rolled_out().await;
        assert!(
            workload.uids().await.is_disjoint(&changed),
            "it rolls out by itself"
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_the_deployment_asks_for_has_to_be_what_serves_before_it_is_given_back() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let workload = Workload::create(space).await;
        workload.until_rolled_out().await;
        workload.scales_the_rollout().await;
        workload.edit(json!({"paused": true})).await;
        let before = workload.uids().await;
        let rollout = serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "api"},
            "spec": {"replicas": 4, "workloadRef": {"kind": "Deployment", "name": "api"}},
        }));
        let api = Subject::create(space, &rollout.unwrap()).await;
        api.until_phase(Phase::Healthy).await;
        workload.edit(json!({"replicas": 2})).await;
        api.api
            .delete("api", &DeleteParams::default())
            .await
            .unwrap();
        let waits = until_reason(&api, "GiveBackHeld").await;
        let message = waits.message.unwrap();
        assert!(
            message.contains("asks for 2 pods, and 4 serve"),
            "{message}"
        );
        workload.edit(json!({"replicas": 4})).await;
        until_gone(&api).await;
        assert_eq!(owners(&api).await, only("Deployment"));
        workload.edit(json!({"paused": false})).await;
        workload.until_rolled_out().await;
        assert_eq!(workload.uids().await, before, "the same pods");
    })
    .await;
}
