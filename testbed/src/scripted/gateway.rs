//! A scripted Gateway: reports on every HTTPRoute and GRPCRoute of a namespace that it has taken it in, after a delay. Talks to the
//! API server; nothing is sent through it.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// The Gateways of one namespace. Dropping it stops them.
#[derive(Debug)]
pub struct ScriptedGateway(Vec<AbortHandle>);

impl ScriptedGateway {
    /// Starts one that reports after `delay`, for whichever Gateways a route names.
    pub fn start(client: &Client, namespace: &str, delay: Duration) -> Self {
        let kinds = ["HTTPRoute", "GRPCRoute"].into_iter();
        let tasks = kinds.map(|kind| Self::report_on(routes_of(kind, client, namespace), delay));
        Self(tasks.collect())
    }

    fn report_on(routes: Api<DynamicObject>, delay: Duration) -> AbortHandle {
        let task = tokio::spawn(async move {
            let changes = watcher(routes.clone(), watcher::Config::default()).default_backoff();
            let reports = changes
                .applied_objects()
                .for_each_concurrent(None, |route| {
                    let routes = routes.clone();
                    async move {
                        // The watch starts again by itself, with a list that repairs what was missed.
                        let Ok(route) = route else { return };
                        sleep_until(Instant::now() + delay).await;
                        report(&routes, &route).await;
                    }
                });
            reports.await;
        });
        task.abort_handle()
    }
}

impl Drop for ScriptedGateway {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// The HTTPRoutes of a namespace.
pub fn routes(client: &Client, namespace: &str) -> Api<DynamicObject> {
    routes_of("HTTPRoute", client, namespace)
}

fn routes_of(kind: &str, client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

#[expect(clippy::disallowed_methods, reason = "plays a Gateway's controller")]
async fn report(routes: &Api<DynamicObject>, route: &DynamicObject) {
    let generation = route.metadata.generation.unwrap_or_default();
    let known = route
        .data
        .pointer("/status/parents/0/conditions/0/observedGeneration");
    if known.and_then(Value::as_i64) == Some(generation) {
        return;
    }
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": type_, "message": "",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let named = route.data.pointer("/spec/parentRefs");
    let named = named.and_then(Value::as_array).into_iter().flatten();
    let parents: Vec<Value> = named
        .map(|parent| {
            json!({
                "parentRef": parent, "controllerName": "slipway.dev/scripted",
                "conditions": [condition("Accepted"), condition("ResolvedRefs")],
            })
        })
        .collect();
    let status = json!({"status": {"parents": parents}});
    // A route that is gone, or changed again, is news that comes by itself.
    let params = PatchParams::default();
    let _ = routes
        .patch_status(&route.name_any(), &params, &Patch::Merge(status))
        .await;
}
