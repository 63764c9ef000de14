//! A node as a test uses it. Needs root, Debian packages and the cluster's programs; run with `--ignored`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testbed::{Node, image, wait};

#[tokio::test]
#[ignore = "needs root and the cluster's programs"]
async fn a_pod_runs_is_scraped_and_reaches_every_server() -> Result<()> {
    let node = Node::start("node-test").await?;
    let image = image::base::busybox(node.registry()).await?;
    let pods = Api::<Pod>::namespaced(node.control_plane().client()?, "default");
    let (gateway, registry) = (node.gateway(), node.registry());
    let script = format!(
        "set -e; mkdir /www; cd /www; echo 'probe_up 1' > metrics; \
         nslookup kube-dns.kube-system.svc.cluster.local; wget -qO- http://{registry}/v2/; \
         wget -qSO- http://{gateway}/ 2>&1 | grep 404; exec httpd -f -p 8080"
    );
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "probe", "annotations": {
            "prometheus.io/scrape": "true", "prometheus.io/port": "8080",
        }},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "probe", "image": image, "command": ["sh", "-c", script]},
        ]},
    }))?;

    #[expect(clippy::disallowed_methods, reason = "a test sets the scene")]
    pods.create(&PostParams::default(), &pod).await?;

    let query = format!("http://{}/api/v1/query?query=probe_up", node.prometheus());
    wait::until(
        "Prometheus has scraped the pod",
        Duration::from_mins(1),
        || async {
            let answer = reqwest::get(&query).await?.text().await?;
            ensure!(answer.contains(r#""pod":"probe""#), "{answer}");
            Ok(Some(()))
        },
    )
    .await?;
    let status = pods
        .get("probe")
        .await?
        .status
        .context("a pod without a status")?;
    assert_eq!(
        status.container_statuses.unwrap_or_default()[0].restart_count,
        0
    );
    Ok(())
}
