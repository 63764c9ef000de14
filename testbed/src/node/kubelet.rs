//! The kubelet and kube-proxy.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::json;

use super::{ADDRESS, NAME, PATIENCE, containerd, dns, http_ok, kubectl};
use crate::control_plane::components::{POD_CIDR, component_kubeconfig};
use crate::programs;
use crate::site::Site;

pub(super) async fn up(site: &mut Site) -> Result<()> {
    component_kubeconfig(
        site,
        "kubelet",
        &format!("system:node:{NAME}"),
        &["system:nodes"],
    )
    .await?;
    component_kubeconfig(site, "kube-proxy", "system:kube-proxy", &[]).await?;
    let config = site.write("kubelet.json", &config(site))?;
    let args = [
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", site.arg("kubelet.kubeconfig")),
        format!("--hostname-override={NAME}"),
        format!("--node-ip={ADDRESS}"),
        format!("--root-dir={}", site.arg("kubelet")),
        format!("--cert-dir={}", site.arg("kubelet/pki")),
    ];
    site.start("kubelet", &programs::path_of("kubelet")?, &args)?;
    proxy(site).await
}

/// Waits until pods can be scheduled here.
pub(super) async fn ready(site: &Site) -> Result<()> {
    let node = format!("node/{NAME}");
    site.ready("kubelet", PATIENCE, || async {
        let args = ["wait", "--for=condition=Ready", "--timeout=5s", &node];
        kubectl(site, &args, "").await
    })
    .await
}

fn config(site: &Site) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS.to_string(),
        "healthzPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": site.path("pki/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDNS": [dns::SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(&site.path(""))),
        // A full disk is the machine's business, and images come from next door.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": false,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "oomScoreAdj": 0,
        // kube-proxy works with nftables: nothing here needs iptables, and nothing would remove these.
        "makeIPTablesUtilChains": false,
        "podLogsDir": site.path("pod-logs"),
        "staticPodPath": "",
        "volumePluginDir": site.path("volume-plugins"),
        "logging": { "flushFrequency": "1s" },
    })
    .to_string()
}

async fn proxy(site: &mut Site) -> Result<()> {
    let health = site.address("kube-proxy", Ipv4Addr::LOCALHOST, None)?;
    let metrics = site.address("kube-proxy-metrics", Ipv4Addr::LOCALHOST, None)?;
    let args = [
        format!("--kubeconfig={}", site.arg("kube-proxy.kubeconfig")),
        format!("--hostname-override={NAME}"),
        format!("--cluster-cidr={POD_CIDR}"),
        format!("--healthz-bind-address={health}"),
        format!("--metrics-bind-address={metrics}"),
    ];
    // The machine's connection tracking and memory settings stay as they are.
    let fixed = [
        "--proxy-mode=nftables",
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
        "--oom-score-adj=0",
    ];
    let args = [&args[..], &fixed.map(str::to_owned)].concat();
    site.start("kube-proxy", &programs::path_of("kube-proxy")?, &args)?;
    let url = format!("http://{health}/livez");
    site.ready("kube-proxy", PATIENCE, || http_ok(&url)).await
}
