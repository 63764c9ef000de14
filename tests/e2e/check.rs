//! What the operator asks itself once a Release runs: names, connections, certificates and pages, from its pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, NAME, SOON, wait_for, with_app};
use crate::cluster::Version;
use crate::slo::{release, runs, until};

/// Longest wait for a Release to run: two pods, and what is asked then.
const ASKED: Duration = Duration::from_mins(1);

/// The certificates that the cluster's own are signed with, as every namespace is told.
async fn root(app: &App) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(app.client.clone(), &app.namespace);
    wait_for("the cluster's root certificate", SOON, async || {
        let found = maps.get_opt("kube-root-ca.crt").await.unwrap();
        let data = found.and_then(|found| found.data).unwrap_or_default();
        data.get("ca.crt").cloned().ok_or("not there".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn the_operator_asks_names_connections_certificates_and_pages() {
    with_app(async |app| {
        let service = format!("{NAME}-stable.{}.svc.cluster.local", app.namespace);
        let page = json!({"name": "ready", "url": format!("http://{service}/readyz"), "latency": "5s"});
        let tls = json!({"host": "kubernetes.default.svc", "caBundle": root(app).await, "validFor": "1h"});
        let often = json!({"count": 5, "interval": "1s"});
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
            "spec": {
                "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": NAME}],
                "smokeTests": [
                    {"name": "name", "dns": {"name": service}, "attempts": often},
                    {"name": "port", "tcp": {"host": service, "port": 80}, "attempts": often},
                    {"name": "certificate", "tls": tls, "attempts": often},
                    {"name": "page", "http": {"requests": [page]}, "attempts": often},
                ],
            },
        });
        app.apply(ObjectKind::Environment, &environment).await;
        app.bind(&json!({"replicas": 1})).await;
        release(app, 1, Version::One).await;
        until(app, "everything answers", ASKED, |status| runs(status, "shop-1")).await;
        let promotions = app.api(ObjectKind::Promotion);
        let promotions = promotions.list(&ListParams::default()).await.unwrap();
        let steps = promotions.items[0].data["status"]["steps"].as_array().unwrap();
        let told = |step: &Value| format!("{} {}", step["name"].as_str().unwrap(), step["state"].as_str().unwrap());
        let asked: Vec<String> = steps.iter().skip(1).map(told).collect();
        let expected = ["name", "port", "certificate", "page"].map(|name| format!("smoke-{name} Succeeded"));
        assert_eq!(asked, expected);
    })
    .await;
}
