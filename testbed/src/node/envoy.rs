//! A second data plane, on request: Envoy Gateway and its Envoy. It mirrors requests and keeps sessions, as Traefik does not.
//!
//! Both are pods, as on any cluster, and no processes of this machine: an Envoy Gateway that reads its routes from an API
//! server wants its certificates in `/certs`, and listens on fixed ports of all addresses.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{ADDRESS, PATIENCE, apply, kubectl};
use crate::image::base;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::site::Site;
use crate::{programs, wait};

/// The file in a cluster's folder that says that Envoy is wanted, and where it listens.
const RECORD: &str = "envoy";

/// Where Envoy Gateway lives.
const NAMESPACE: &str = "envoy-gateway-system";

/// Where the Gateway listens, in a cluster that was once asked for it.
pub(crate) fn address(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(RECORD)).ok()
}

/// Starts it, or what of it is not there, and gives the Gateway's address.
pub(crate) async fn up(site: &Site, settings: &Settings, progress: Progress) -> Result<String> {
    let address = match address(&site.path("")) {
        Some(address) => address,
        None => site.free_address(ADDRESS, Some(8002))?,
    };
    site.write(RECORD, &address)?;
    progress
        .step("Envoy Gateway, Envoy", start(site, settings, &address))
        .await?;
    Ok(address)
}

async fn start(site: &Site, settings: &Settings, address: &str) -> Result<()> {
    let binary = programs::envoy(settings).await?;
    programs::ensure(&["envoy-gateway"]).await?;
    let registry = site.state.addresses.get("registry");
    let registry = registry.context("the registry has no address")?;
    let images = [
        base::envoy(registry, &binary).await?,
        base::envoy_gateway(registry).await?,
    ];
    apply(site, &kinds(settings).await?).await?;
    // All kinds would be a list of megabytes, and this one is needed next.
    let established = ["wait", "--for=condition=Established", "--timeout=60s"];
    let kind = ["crd/envoyproxies.gateway.envoyproxy.io"];
    kubectl(site, &[&established[..], &kind].concat(), "").await?;
    certificates(site).await?;
    apply(site, &manifests(address, &images)?).await?;
    let programmed = ["wait", "--for=condition=Programmed", "--timeout=120s"];
    let gateway = ["-n", "gateway-system", "gateway/envoy"];
    kubectl(site, &[&programmed[..], &gateway].concat(), "").await?;
    answers(address).await
}

/// Envoy Gateway's namespace and kinds, and HTTPRoutes that may ask for sessions.
async fn kinds(settings: &Settings) -> Result<String> {
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    let route = programs::experimental_route(settings).await?;
    Ok(namespace + &route + &programs::envoy_gateway_kinds(settings).await?)
}

/// Those with which Envoy Gateway and its Envoys know each other. They stay as they are when they are there.
async fn certificates(site: &Site) -> Result<()> {
    let output = Command::new(programs::path_of("envoy-gateway")?)
        .args(["certgen", "--disable-topology-injector"])
        .env("KUBECONFIG", site.path("kubeconfig"))
        .env("ENVOY_GATEWAY_NAMESPACE", NAMESPACE)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "no certificates for Envoy Gateway: {}",
        said.trim()
    );
    Ok(())
}

fn manifests(address: &str, [envoy, gateway]: &[String; 2]) -> Result<String> {
    let (ip, port) = address
        .rsplit_once(':')
        .context("an address without a port")?;
    Ok(include_str!("envoy.yaml")
        .replace("GATEWAY_IMAGE", gateway)
        .replace("ENVOY_IMAGE", envoy)
        .replace("ADDRESS", ip)
        .replace("PORT", port))
}

/// Without a route it has nothing, and says so.
async fn answers(address: &str) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/");
    wait::until("Envoy answers", PATIENCE, || async {
        http.get(&url).send().await?;
        Ok(Some(()))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_of_the_manifests_is_filled() {
        let images = ["envoy:1", "gateway:1"].map(str::to_owned);

        let text = manifests("10.0.0.1:80", &images).unwrap();

        for name in ["_IMAGE", "'ADDRESS'", "PORT"] {
            assert!(!text.contains(name), "{name}");
        }
        assert!(text.contains("value: '10.0.0.1'") && text.contains("port: 80,"));
    }
}
