//! A Deployment with an autoscaler, under load: taken over, changed and given back.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, REPLICAS, SOON, nothing_lost, wait_for, with_app};
use crate::cluster::Version;

/// The Deployment of the sample, with pods that go on serving for a while when they are told to end.
fn deployment(app: &App, version: Version, extra: &Value) -> Value {
    let rollout = app.rollout(version, &json!({}));
    let mut template = rollout["spec"]["template"].clone();
    template["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 3}}});
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": app.namespace},
        "spec": {
            "replicas": REPLICAS,
            "selector": rollout["spec"]["selector"],
            "template": template,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        },
    });
    json_patch::merge(&mut deployment, &json!({"spec": extra}));
    deployment
}

/// The same as a Rollout: by numbers of pods, behind the Service that people have.
fn rollout(app: &App) -> Value {
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
        "metadata": {"name": NAME, "namespace": app.namespace},
        "spec": {
            "replicas": REPLICAS,
            "workloadRef": {"kind": "Deployment", "name": NAME},
            "strategy": {"maxSurge": 1, "steps": [{"setWeight": {"weight": 34}}, {"pause": {"for": "3s"}}]},
        },
    })
}

/// Pods by uid, each with how often its containers were started again; those that are ending do not count.
async fn pods(app: &App) -> BTreeMap<String, i32> {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &app.namespace);
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let staying = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let counted = staying.map(|pod| {
        let uid = pod.uid().unwrap();
        let status = pod.status.unwrap_or_default();
        let containers = status.container_statuses.into_iter().flatten();
        (
            uid,
            containers.map(|container| container.restart_count).sum(),
        )
    });
    counted.collect()
}

/// Asks for a version of the Deployment, as people do.
async fn ask_for(app: &App, version: Version, extra: &Value) {
    app.apply(ObjectKind::Deployment, &deployment(app, version, extra))
        .await;
}

/// Waits until the Deployment has these pods, all of them its own and available.
async fn until_rolled_out(app: &App, count: usize) {
    let deployments: Api<Deployment> = Api::namespaced(app.client.clone(), &app.namespace);
    wait_for("the Deployment has rolled out", SOON, async || {
        let deployment = deployments
            .get(NAME)
            .await
            .map_err(|error| error.to_string())?;
        let status = deployment.status.unwrap_or_default();
        let wanted = i32::try_from(count).ok();
        let counts = [
            status.replicas,
            status.updated_replicas,
            status.available_replicas,
        ];
        let is_seen = status.observed_generation == deployment.metadata.generation;
        if is_seen && counts == [wanted; 3] && pods(app).await.len() == count {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_deployment_with_its_autoscaler_is_taken_over_and_given_back_under_load() {
    with_app(async |app| {
        let (its, ours) = (
            ObjectKind::Deployment.api_resource(),
            ObjectKind::Rollout.api_resource(),
        );
        let scalers: Api<HorizontalPodAutoscaler> =
            Api::namespaced(app.client.clone(), &app.namespace);
        let scale = async |kind: &ApiResource, least: usize| {
            let wanted = app.autoscaler(kind, (least, REPLICAS + 1));
            let params = PatchParams::apply("people").force();
            scalers
                .patch(NAME, &params, &Patch::Apply(&wanted))
                .await
                .unwrap();
        };
        for (kind, manifest) in app.own_way_in() {
            app.apply(kind, &manifest).await;
        }
        ask_for(app, Version::One, &json!({})).await;
        scale(&its, REPLICAS).await;
        until_rolled_out(app, REPLICAS).await;
        let before = pods(app).await;
        let load = app.load().await;

        let paused = json!({"paused": true});
        ask_for(app, Version::One, &paused).await;
        scale(&ours, REPLICAS).await;
        app.apply(ObjectKind::Rollout, &rollout(app)).await;
        app.until_healthy().await;
        assert_eq!(pods(app).await, before, "the same pods, and none restarted");

        ask_for(app, Version::Two, &paused).await;
        app.until_paused_at(33).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;

        // The autoscaler goes by the Rollout now.
        scale(&ours, REPLICAS + 1).await;
        app.until("one pod more", |rollout| {
            rollout["status"]["stable"]["ready"] == json!(REPLICAS + 1)
        })
        .await;
        let changed = pods(app).await;
        let as_many = json!({"paused": true, "replicas": REPLICAS + 1});
        ask_for(app, Version::Two, &as_many).await;
        app.delete(ObjectKind::Rollout, NAME).await;
        scale(&its, REPLICAS + 1).await;
        let going = json!({"paused": false, "replicas": REPLICAS + 1});
        ask_for(app, Version::Two, &going).await;
        until_rolled_out(app, REPLICAS + 1).await;
        assert_eq!(
            pods(app).await,
            changed,
            "the same pods, and none restarted"
        );
        nothing_lost("a Deployment that is taken over and given back", load).await;
    })
    .await;
}
