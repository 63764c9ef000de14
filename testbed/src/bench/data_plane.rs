//! A Gateway that takes in every HTTPRoute of a namespace at once.

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::task::AbortHandle;

/// Dropping it stops it.
#[derive(Debug)]
pub(super) struct DataPlane(AbortHandle);

impl DataPlane {
    pub(super) fn start(routes: Api<DynamicObject>) -> Self {
        let task = tokio::spawn(async move {
            let changes = watcher(routes.clone(), watcher::Config::default()).default_backoff();
            let mut changes = std::pin::pin!(changes.applied_objects());
            while let Some(route) = changes.next().await {
                if let Ok(route) = route {
                    report(&routes, &route).await;
                }
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn report(routes: &Api<DynamicObject>, route: &DynamicObject) {
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
        "parentRef": {"name": "bench"}, "controllerName": "slipway.dev/bench",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")],
    }]}});
    // A route that is gone, or changed again, is news that comes by itself.
    let params = PatchParams::default();
    let _ = routes
        .patch_status(&route.name_any(), &params, &Patch::Merge(status))
        .await;
}
