//! Without a router weights are ratios of pods, behind a Service of somebody's own.

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, REPLICAS, nothing_lost, with_app};
use crate::stage::Version;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn pods_are_replaced_one_by_one_behind_a_service_of_their_own() {
    with_app(async |app| {
        let extra = json!({
            "traffic": null,
            "strategy": {"maxSurge": 1, "steps": [{"setWeight": {"weight": 34}}, {"pause": {"for": "3s"}}]},
        });
        for (kind, manifest) in own_way_in(app) {
            app.apply(kind, &manifest).await;
        }
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Two, &extra).await;
        app.until_paused_at(33).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("pods replaced one by one", load).await;
    })
    .await;
}

/// A Service that selects the pods of every revision, and a route to it.
fn own_way_in(app: &App) -> [(ObjectKind, Value); 2] {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": app.namespace},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": NAME, "namespace": app.namespace},
        "spec": {
            "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
            "hostnames": [app.host()],
            "rules": [{"backendRefs": [{"name": NAME, "port": 80}]}],
        },
    });
    [
        (ObjectKind::Service, service),
        (ObjectKind::HttpRoute, route),
    ]
}
