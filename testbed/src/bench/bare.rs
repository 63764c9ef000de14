//! The same update without an operator: bare Deployments of as many pods, with the same surge, on the same cluster.
//!
//! Its time is what the cluster itself takes to replace those pods, on this machine and on this day; seconds are
//! compared with it, since they cannot be compared between machines.

use std::time::{Duration, Instant};

use anyhow::Result;
use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::crowd::{self, PATIENCE, api, for_each, name};
use super::rollout::template;
use super::watching::Watching;

/// How long it takes until all of `count` Deployments have been updated, from the first request on.
pub(super) async fn update(client: &Client, count: u32) -> Result<Duration> {
    let namespace = crowd::namespace(client, "bare-").await?;
    let deployments = api(client, &namespace, ("apps", "v1", "Deployment"));
    let mut seen = Watching::start(deployments.clone(), |deployment| {
        json!(is_updated(deployment))
    });
    for_each(count, async |index| {
        let body = serde_json::from_value(deployment(&name(index)))?;
        deployments.create(&PostParams::default(), &body).await?;
        Ok(())
    })
    .await?;
    seen.until(("all available", PATIENCE), count, is_updated)
        .await?;
    let start = Instant::now();
    let image = json!([{"name": "web", "image": "greeter:2"}]);
    let change = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": image}}}}));
    for_each(count, async |index| {
        let params = PatchParams::default();
        deployments.patch(&name(index), &params, &change).await?;
        Ok(())
    })
    .await?;
    let is_at_2 = |deployment: &DynamicObject| {
        let image = "/spec/template/spec/containers/0/image";
        deployment.data.pointer(image) == Some(&json!("greeter:2")) && is_updated(deployment)
    };
    let end = seen
        .until(("all updated", PATIENCE), count, is_at_2)
        .await?;
    crowd::delete(client, &namespace, &deployments, count).await?;
    Ok(end - start)
}

/// All pods are of the present template and available, and no others are left.
fn is_updated(deployment: &DynamicObject) -> bool {
    let status = &deployment.data["status"];
    let generation = deployment.metadata.generation;
    let is_all = |field: &str| status[field] == 4;
    status["observedGeneration"].as_i64() == generation
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|field| is_all(field))
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "bench", "of": name}},
            "template": named(template("1"), name),
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        },
    })
}

/// Deployments of one namespace need labels that tell their pods apart.
fn named(mut template: Value, name: &str) -> Value {
    template["metadata"]["labels"]["of"] = json!(name);
    template
}
