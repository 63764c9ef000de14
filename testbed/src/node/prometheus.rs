//! Prometheus on this machine, scraping the pods that ask for it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{ADDRESS, PATIENCE, http_ok};
use crate::control_plane::components::component_kubeconfig;
use crate::programs;
use crate::site::Site;

pub(super) async fn up(site: &mut Site) -> Result<()> {
    component_kubeconfig(
        site,
        "prometheus",
        "testbed:prometheus",
        &["testbed:servants"],
    )
    .await?;
    let address = site.address("prometheus", ADDRESS, Some(9090))?;
    // Nobody listens there until a test starts one.
    let alertmanager = site.address("alertmanager", ADDRESS, Some(9093))?;
    let traefik = site
        .state
        .addresses
        .get("traefik-admin")
        .context("Traefik has no address")?;
    let rules = rules_folder(&site.path(""));
    std::fs::create_dir_all(&rules).context("cannot make the folder of rules")?;
    let config = SCRAPES
        .replace("RULES", &rules.display().to_string())
        .replace("KUBECONFIG", &site.arg("prometheus.kubeconfig"))
        .replace("TRAEFIK", traefik)
        .replace("ALERTMANAGER", &alertmanager);
    let config = site.write("prometheus.yaml", &config)?;
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", site.arg("prometheus")),
        format!("--web.listen-address={address}"),
        // New pods count within a second, not five.
        "--scrape.discovery-reload-interval=1s".to_owned(),
        "--log.level=warn".to_owned(),
        // Rules that a test brings are read at once.
        "--web.enable-lifecycle".to_owned(),
    ];
    site.start("prometheus", &programs::path_of("prometheus")?, &args)?;
    let url = format!("http://{address}/-/ready");
    site.ready("prometheus", PATIENCE, || http_ok(&url)).await
}

/// Where a cluster's Prometheus reads rules from.
pub(super) fn rules_folder(site: &Path) -> PathBuf {
    site.join("rules")
}

/// Pods say with annotations whether, where and on which port they are scraped.
const SCRAPES: &str = r"
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: ['RULES/*.yaml']
alerting: {alertmanagers: [{static_configs: [{targets: ['ALERTMANAGER']}]}]}
scrape_configs:
- job_name: traefik
  static_configs: [{targets: ['TRAEFIK']}]
- job_name: pods
  # For pods that do not say what they send, as older exporters do.
  fallback_scrape_protocol: PrometheusText0.0.4
  kubernetes_sd_configs: [{role: pod, kubeconfig_file: 'KUBECONFIG'}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: 'true', action: keep}
  - {source_labels: [__meta_kubernetes_pod_phase], regex: 'Pending|Succeeded|Failed', action: drop}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], regex: (.+), target_label: __metrics_path__}
  - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
    separator: ':'
    regex: (.+:\d+)
    target_label: __address__
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
";
