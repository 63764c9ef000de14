//! A scripted data plane: reports on every HTTPRoute of a namespace that it has taken it in, after a delay.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use slipway::model::object::ObjectKind;
use tokio::task::JoinHandle;

/// The data plane of one namespace. Dropping it stops it.
pub(crate) struct Gateway(JoinHandle<()>);

impl Gateway {
    /// Starts one that reports after `delay`.
    pub(crate) fn start(client: &Client, namespace: &str, delay: Duration) -> Self {
        let api = routes(client, namespace);
        Self(tokio::spawn(async move {
            let routes = watcher(api.clone(), watcher::Config::default()).default_backoff();
            let mut routes = std::pin::pin!(routes.touched_objects());
            while let Some(route) = routes.next().await {
                if let Ok(route) = route {
                    tokio::time::sleep(delay).await;
                    report(&api, &route).await;
                }
            }
        }))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn routes(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(
        client.clone(),
        namespace,
        &ObjectKind::HttpRoute.api_resource(),
    )
}

async fn report(api: &Api<DynamicObject>, route: &DynamicObject) {
    let generation = route.metadata.generation.unwrap_or_default();
    let known = route
        .data
        .pointer("/status/parents/0/conditions/0/observedGeneration");
    if known.and_then(serde_json::Value::as_i64) == Some(generation) {
        return;
    }
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": type_, "message": "",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({"status": {"parents": [{
        "parentRef": {"name": "web"}, "controllerName": "slipway.dev/scripted",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")],
    }]}});
    // A route that is gone, or changed again, is somebody else's news.
    let _ = api
        .patch_status(
            &route.name_any(),
            &PatchParams::default(),
            &Patch::Merge(status),
        )
        .await;
}
