//! The machine's part of the pods' network: a bridge, forwarding, and masquerading towards the world.

use std::fs;

use anyhow::{Context, Result};

use super::ADDRESS;
use crate::control_plane::components::POD_CIDR;
use crate::process::run;
use crate::site::Site;

/// The pods' bridge. Its name tells whose it is.
pub(super) const BRIDGE: &str = "slipway0";

/// The node's part of the pods' addresses.
pub(super) const NODE_CIDR: &str = "10.244.0.0/24";

/// Our packet filter table. kube-proxy has one of its own.
pub(super) const TABLE: &str = "slipway-testbed";

/// Kernel settings that pods need.
const WANTED: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
];

/// Kernel settings that the kubelet changes.
const CHANGED: &[&str] = &[
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

pub(super) async fn up(site: &mut Site) -> Result<()> {
    if fs::metadata("/proc/sys/net/bridge").is_err() {
        let hint = "the kernel's br_netfilter module is needed for Services between pods";
        run("modprobe", &["br_netfilter"]).await.context(hint)?;
    }
    remember_settings(site)?;
    for (name, value) in WANTED {
        set(name, value).with_context(|| format!("cannot set sysctl {name} to {value}"))?;
    }
    if fs::metadata(format!("/sys/class/net/{BRIDGE}")).is_err() {
        bridge().await?;
    }
    masquerade(site).await
}

/// Writes a kernel setting.
pub(super) fn set(name: &str, value: &str) -> std::io::Result<()> {
    fs::write(format!("/proc/sys/{name}"), value)
}

fn remember_settings(site: &mut Site) -> Result<()> {
    for name in WANTED.iter().map(|(name, _)| name).chain(CHANGED) {
        let Ok(value) = fs::read_to_string(format!("/proc/sys/{name}")) else {
            continue;
        };
        let kept = site.state.sysctls.entry((*name).to_owned());
        kept.or_insert_with(|| value.trim().to_owned());
    }
    site.save()
}

/// Made by us before the first pod, so that the servers can listen on its address.
async fn bridge() -> Result<()> {
    // A fixed hardware address: else the bridge takes its lowest port's, and pods lose it when that one leaves.
    let hardware = ["address", "0a:58:0a:f4:00:01"];
    run(
        "ip",
        &[&["link", "add", BRIDGE][..], &hardware, &["type", "bridge"]].concat(),
    )
    .await?;
    run(
        "ip",
        &["addr", "add", &format!("{ADDRESS}/24"), "dev", BRIDGE],
    )
    .await?;
    run(
        "ip",
        &["link", "set", BRIDGE, "mtu", &mtu().to_string(), "up"],
    )
    .await?;
    Ok(())
}

/// What pods send to the world leaves as if from this machine.
async fn masquerade(site: &Site) -> Result<()> {
    let rules = format!(
        "table ip {TABLE}\ndelete table ip {TABLE}\n\
         table ip {TABLE} {{\n chain postrouting {{\n  type nat hook postrouting priority srcnat;\n  \
         ip saddr {POD_CIDR} ip daddr != {POD_CIDR} oifname != \"{BRIDGE}\" masquerade\n }}\n}}\n"
    );
    let file = site.write("masquerade.nft", &rules)?;
    run("nft", &["-f", &file.display().to_string()]).await?;
    Ok(())
}

/// That of the way to the world: a larger one makes big packets vanish.
pub(super) fn mtu() -> u32 {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default = routes
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut fields| {
            let interface = fields.next()?;
            (fields.next()? == "00000000").then(|| interface.to_owned())
        });
    default
        .and_then(|name| fs::read_to_string(format!("/sys/class/net/{name}/mtu")).ok())
        .and_then(|mtu| mtu.trim().parse().ok())
        .unwrap_or(1500)
}
