//! Gateway API: its kinds, and Traefik on this machine as the data plane.

use anyhow::{Context, Result};

use super::{ADDRESS, PATIENCE, apply, envoy, http_ok, kubectl};
use crate::control_plane::components::component_kubeconfig;
use crate::programs;
use crate::settings::Settings;
use crate::site::Site;

pub(super) async fn up(site: &mut Site, settings: &Settings) -> Result<()> {
    apply(site, &kinds(site, settings).await?).await?;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ];
    kubectl(site, &established, "").await?;
    component_kubeconfig(site, "traefik", "testbed:traefik", &["testbed:servants"]).await?;
    let address = site.address("traefik", ADDRESS, Some(8000))?;
    let admin = site.address("traefik-admin", ADDRESS, Some(8001))?;
    let port = address
        .rsplit_once(':')
        .context("an address without a port")?
        .1;
    apply(site, &gateway(port)).await?;
    traefik(site, &address, &admin)?;
    let url = format!("http://{admin}/ping");
    site.ready("traefik", PATIENCE, || http_ok(&url)).await?;
    let programmed = [
        "--for=condition=Programmed",
        "--timeout=60s",
        "gateway/slipway",
    ];
    kubectl(
        site,
        &[&["wait", "-n", "gateway-system"][..], &programmed].concat(),
        "",
    )
    .await
}

/// The Gateway API's standard kinds; where Envoy is, its HTTPRoutes keep the experimental fields that they have there.
async fn kinds(site: &Site, settings: &Settings) -> Result<String> {
    let standard = programs::gateway_api(settings).await?;
    if envoy::address(&site.path("")).is_none() {
        return Ok(standard);
    }
    let others = standard
        .split("---\n")
        .filter(|kind| !kind.contains("\n  name: httproutes.gateway.networking.k8s.io\n"));
    let others: Vec<&str> = others.collect();
    Ok(others.join("---\n") + &programs::experimental_route(settings).await?)
}

fn traefik(site: &mut Site, address: &str, admin: &str) -> Result<()> {
    let kubeconfig = format!("KUBECONFIG={}", site.arg("traefik.kubeconfig"));
    let program = programs::path_of("traefik")?.display().to_string();
    let listen = [
        format!("--entrypoints.web.address={address}"),
        format!("--entrypoints.traefik.address={admin}"),
        format!("--providers.kubernetesgateway.statusaddress.ip={ADDRESS}"),
    ];
    let fixed = [
        "--providers.kubernetesgateway=true",
        // Two seconds by default: an eternity for a test that shifts weights.
        "--providers.providersthrottleduration=50ms",
        "--ping=true",
        "--metrics.prometheus=true",
        "--metrics.prometheus.addrouterslabels=true",
        "--metrics.prometheus.buckets=0.005,0.01,0.025,0.05,0.1,0.25,0.5,1,2.5,5",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=WARN",
        // What was lost, and which pod it was meant for.
        "--accesslog=true",
        "--accesslog.format=json",
        "--accesslog.filters.statuscodes=500-599",
    ];
    // It reads its cluster from the environment only.
    let args = [
        &[kubeconfig, program][..],
        &listen,
        &fixed.map(str::to_owned),
    ]
    .concat();
    site.start("traefik", &crate::settings::program("env")?, &args)
}

fn gateway(port: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: gateway-system}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: traefik}}
spec: {{controllerName: traefik.io/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: slipway, namespace: gateway-system}}
spec:
  gatewayClassName: traefik
  listeners:
  - {{name: http, protocol: HTTP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}}}
"
    )
}
