//! Node objects and their leases. Talks to the API server.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::log::{self, Voices};

/// As a kubelet: four renewals fit into the lease.
const RENEWAL: Duration = Duration::from_secs(10);
const LEASE_SECONDS: u32 = 40;
const MANAGER: &str = "scripted-node";
const LEASES: &str = "kube-node-lease";
/// Label and taint of nodes that are not for everybody.
pub const RESERVED_LABEL: &str = "testbed.slipway.dev/reserved";

/// Registered nodes, whose leases are renewed.
pub(super) struct Nodes {
    client: Client,
    addresses: BTreeMap<String, Ipv4Addr>,
}

impl Nodes {
    /// `reserved`: what pods have to select and tolerate in order to come here; all of them may where it is nothing.
    pub(super) async fn register(
        client: Client,
        (prefix, count): (&str, u8),
        reserved: Option<&str>,
        voices: &Arc<Voices>,
        stop: &CancellationToken,
    ) -> Result<Self> {
        ensure!(
            (1..=200).contains(&count),
            "{count} nodes; 1 to 200 are possible"
        );
        let address = |index| {
            (
                format!("{prefix}-{index}"),
                Ipv4Addr::new(127, 0, 1, index + 1),
            )
        };
        let nodes = Self {
            client,
            addresses: (0..count).map(address).collect(),
        };
        nodes.expect_alone().await?;
        let mut places = Vec::new();
        for (name, ip) in &nodes.addresses {
            places.push((name, (*ip, log::serve(*ip, voices, stop).await?)));
        }
        let registered = places
            .iter()
            .map(|(name, place)| nodes.register_one(name, *place, reserved));
        try_join_all(registered).await?;
        let names: Vec<String> = nodes.addresses.keys().cloned().collect();
        let renewing = stop
            .clone()
            .run_until_cancelled_owned(renew(nodes.client.clone(), names));
        tokio::spawn(renewing);
        Ok(nodes)
    }

    /// The scheduler spreads pods over all nodes: one that is not scripted would get some, and cannot run their images.
    async fn expect_alone(&self) -> Result<()> {
        let others = ListParams::default().labels("!testbed.slipway.dev/scripted");
        let nodes = Api::<Node>::all(self.client.clone()).list(&others).await?;
        let takes_pods = |node: &&Node| {
            let spec = node.spec.as_ref();
            spec.is_none_or(|spec| spec.unschedulable != Some(true))
        };
        let names: Vec<String> = nodes
            .iter()
            .filter(takes_pods)
            .map(ResourceExt::name_any)
            .collect();
        ensure!(
            names.is_empty(),
            "the cluster has nodes of its own, which would take pods that only scripted nodes can play: \
             run `kubectl cordon {}` first, or give a cluster without nodes",
            names.join(" ")
        );
        Ok(())
    }

    /// Addresses by name.
    pub(super) fn addresses(&self) -> BTreeMap<String, Ipv4Addr> {
        self.addresses.clone()
    }

    /// The lease and the status come first: a node that is not ready is tainted again.
    #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
    async fn register_one(
        &self,
        name: &str,
        place: (Ipv4Addr, u16),
        reserved: Option<&str>,
    ) -> Result<()> {
        let nodes = Api::<Node>::all(self.client.clone());
        let apply = PatchParams::apply(MANAGER).force();
        nodes
            .patch(name, &apply, &Patch::Apply(node(name, reserved)))
            .await
            .context("registering a node")?;
        renew_one(&self.client, name).await?;
        let status = Patch::Merge(status(name, place, Timestamp::now()));
        nodes
            .patch_status(name, &PatchParams::default(), &status)
            .await?;
        let taint = reserved
            .map(|who| json!([{"key": RESERVED_LABEL, "value": who, "effect": "NoSchedule"}]));
        let untainted = Patch::Merge(json!({"spec": {"taints": taint, "unschedulable": null}}));
        nodes
            .patch(name, &PatchParams::default(), &untainted)
            .await?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
    pub(super) async fn remove(&self) -> Result<()> {
        let nodes = Api::<Node>::all(self.client.clone());
        let leases = Api::<Lease>::namespaced(self.client.clone(), LEASES);
        for name in self.addresses.keys() {
            ignore_missing(nodes.delete(name, &DeleteParams::default()).await.map(drop))?;
            ignore_missing(
                leases
                    .delete(name, &DeleteParams::default())
                    .await
                    .map(drop),
            )?;
        }
        Ok(())
    }
}

fn ignore_missing(result: kube::Result<()>) -> Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => Ok(other?),
    }
}

async fn renew(client: Client, names: Vec<String>) {
    let mut tick = interval(RENEWAL);
    loop {
        tick.tick().await;
        let renewals = names.iter().map(|name| renew_one(&client, name));
        if let Err(error) = try_join_all(renewals).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "a node's lease was not renewed"
            );
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
async fn renew_one(client: &Client, name: &str) -> Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), LEASES);
    let now = Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now,
        },
    });
    let apply = PatchParams::apply(MANAGER).force();
    leases
        .patch(name, &apply, &Patch::Apply(lease))
        .await
        .context("renewing a node's lease")?;
    Ok(())
}

fn node(name: &str, reserved: Option<&str>) -> Value {
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "testbed.slipway.dev/scripted": "true",
            },
        },
    });
    if let (Some(who), Some(labels)) = (
        reserved,
        node.pointer_mut("/metadata/labels")
            .and_then(Value::as_object_mut),
    ) {
        labels.insert(RESERVED_LABEL.to_owned(), who.into());
    }
    node
}

fn status(name: &str, (ip, port): (Ipv4Addr, u16), now: Timestamp) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let resources = json!({
        "cpu": "1000", "memory": "4Ti", "ephemeral-storage": "100Ti", "pods": "10000",
    });
    let healthy = |name: &str, status: &str, reason: &str| {
        json!({
            "type": name, "status": status, "reason": reason, "message": "as scripted",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    json!({"status": {
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": ip},
            {"type": "Hostname", "address": name},
        ],
        // Logs are handed out there; all else is refused at once, not after a timeout.
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [
            healthy("Ready", "True", "KubeletReady"),
            healthy("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            healthy("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            healthy("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "scripted",
            "kernelVersion": "scripted", "kubeletVersion": "v1.34.4", "kubeProxyVersion": "",
            "containerRuntimeVersion": "scripted://1", "machineID": name, "systemUUID": name,
            "bootID": name,
        },
    }})
}
