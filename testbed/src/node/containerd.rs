//! The container runtime, with the pods' network.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::network::{BRIDGE, mtu};
use super::requirements::CNI;
use super::{PATIENCE, network};
use crate::process::run;
use crate::settings::program;
use crate::site::Site;

/// The network's name: what the plugins' files outside of the site begin with.
pub(super) const NETWORK: &str = "slipway-testbed";

/// Where a client finds the runtime.
pub(super) fn socket(dir: &Path) -> String {
    dir.join("containerd.sock").display().to_string()
}

pub(super) async fn up(site: &mut Site) -> Result<()> {
    let registry = site
        .state
        .addresses
        .get("registry")
        .context("the registry has no address")?;
    let sandbox = crate::image::base::sandbox(registry).await?;
    site.write(&hosts_file(registry), &hosts(registry))?;
    site.write("cni/10-bridge.conflist", &network_config(site))?;
    let config = site.write("containerd.toml", &config(site, &sandbox))?;
    let args = ["--config".to_owned(), config.display().to_string()];
    site.start("containerd", &program("containerd")?, &args)?;
    let (ctr, socket) = (
        program("ctr")?.display().to_string(),
        socket(&site.path("")),
    );
    site.ready("containerd", PATIENCE, || async {
        run(&ctr, &["--address", &socket, "version"])
            .await
            .map(drop)
    })
    .await
}

/// Has a node that runs pull from a server over plain http: the runtime reads the file with every pull.
pub(super) fn pull_over_http(site: &Path, address: &str) -> Result<()> {
    let file = site.join(hosts_file(address));
    std::fs::create_dir_all(file.parent().unwrap_or(site))?;
    std::fs::write(file, hosts(address))?;
    Ok(())
}

/// The file that says how a registry is reached.
fn hosts_file(registry: &str) -> String {
    format!("registries/{registry}/hosts.toml")
}

/// Both as the server and as its mirror: without the first, an image that is missing is looked for by https too and
/// the error is about that; without the second, containerd 1.6 does not take the file.
fn hosts(registry: &str) -> String {
    format!(
        "server = \"http://{registry}\"\n\
         [host.\"http://{registry}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    )
}

fn config(site: &Site, sandbox: &str) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{socket}"
[debug]
  level = "warn"
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  # Without CAP_SYS_RESOURCE no pod starts otherwise: "can't get final child's PID from pipe: EOF".
  restrict_oom_score_adj = true
  # So that unmounting what is below the site's folder is all that is left to do for network namespaces.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{registries}"
"#,
        root = site.arg("containerd"),
        state = site.arg("run"),
        socket = socket(&site.path("")),
        cni = site.arg("cni"),
        registries = site.arg("registries"),
    )
}

/// No masquerading and no host ports here: both would leave iptables chains, and the site's own table does the first.
fn network_config(site: &Site) -> String {
    let addresses = json!({
        "type": "host-local",
        "ranges": [[{ "subnet": network::NODE_CIDR, "gateway": super::ADDRESS.to_string() }]],
        "routes": [{ "dst": "0.0.0.0/0" }],
        "dataDir": site.path("ipam"),
    });
    let bridge = json!({
        "type": "bridge", "bridge": BRIDGE, "isGateway": true, "hairpinMode": true, "mtu": mtu(),
        "ipam": addresses,
    });
    json!({ "cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge] }).to_string()
}
