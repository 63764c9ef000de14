//! The end of pods, and the nodes themselves.

use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use testbed::ControlPlane;
use testbed::scripted::{Rules, ScriptedNodes};
use testbed::wait::until;

use super::cluster::{PATIENCE, in_cluster, is_true};

#[test]
#[ignore = "needs a cluster: make test"]
fn the_nodes_are_ready_and_take_pods() {
    in_cluster(async |space| {
        assert_eq!(
            space.cluster.nodes.names(),
            ["scripted-0", "scripted-1", "scripted-2"]
        );
        let client = space.cluster.control_plane.client()?;
        for name in space.cluster.nodes.names() {
            let node = json!(Api::<Node>::all(client.clone()).get(&name).await?);
            assert!(is_true(&node["status"], "Ready"), "{node}");
            assert_eq!(node["spec"]["taints"], json!(null));
            let lease = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
            let lease = lease.get(&name).await?.spec.unwrap_or_default();
            assert_eq!(lease.holder_identity, Some(name));
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_deleted_pod_stays_ready_until_its_time_is_over() {
    in_cluster(async |space| {
        let pods = space.api::<Pod>();
        // The last one is cut off by its grace period of 5 s.
        let cases = [
            ("slow", "terminate-after=1s", 1_000),
            ("stubborn", "terminate-after=1m", 5_000),
        ];
        for (name, script, millis) in cases {
            space.pod(name, script).await?;
            space.until_pod(name, |s| is_true(s, "Ready")).await?;
            let before = Instant::now();
            pods.delete(name, &DeleteParams::default()).await?;
            let status = json!(pods.get(name).await?.status);
            assert!(is_true(&status, "Ready"), "{status}");
            until("the end of the pod", PATIENCE, || async {
                Ok(pods.get_opt(name).await?.is_none().then_some(()))
            })
            .await?;
            let took = before.elapsed();
            assert!(took >= Duration::from_millis(millis), "{name}: {took:?}");
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pod_with_a_finalizer_ends_and_waits_for_it() {
    in_cluster(async |space| {
        let pods = space.api::<Pod>();
        let metadata = json!({"name": "held", "finalizers": ["shop/hold"]});
        let spec = super::cluster::pod_spec("held");
        let _: Pod = space
            .create_one(json!({"metadata": metadata, "spec": spec}))
            .await?;
        space.until_pod("held", |s| is_true(s, "Ready")).await?;
        pods.delete("held", &DeleteParams::default()).await?;
        space
            .until_pod("held", |s| s["phase"] == "Succeeded")
            .await?;
        let free = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
        pods.patch("held", &kube::api::PatchParams::default(), &free)
            .await?;
        until("the end of the pod", PATIENCE, || async {
            Ok(pods.get_opt("held").await?.is_none().then_some(()))
        })
        .await
    });
}

/// On a control plane of its own: the names of scripted nodes are fixed.
#[tokio::test]
#[ignore = "needs a cluster: make test"]
async fn nodes_that_start_again_take_their_pods_over() -> Result<()> {
    let control_plane = ControlPlane::start("again").await?;
    let client = control_plane.client()?;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    let is_ready = |pod: &Pod| is_true(&json!(pod.status), "Ready");
    let pod = |name: &str| {
        let spec = super::cluster::pod_spec(name);
        serde_json::from_value::<Pod>(json!({"metadata": {"name": name}, "spec": spec}))
    };
    let until_ready = async |name: &str| {
        until(name, PATIENCE, || async {
            Ok(Some(pods.get(name).await?).filter(is_ready))
        })
        .await
    };
    let new = kube::api::PostParams::default();

    let nodes = ScriptedNodes::start(client.clone(), 1, Rules::default()).await?;
    pods.create(&new, &pod("first")?).await?;
    let first = until_ready("first").await?;
    drop(nodes);
    pods.create(&new, &pod("second")?).await?;

    let nodes = ScriptedNodes::start(client.clone(), 1, Rules::default()).await?;
    let second = until_ready("second").await?;
    let status = |pod: &Pod| json!(pod.status);
    assert_eq!(
        status(&pods.get("first").await?),
        status(&first),
        "nothing was written to it"
    );
    assert_ne!(status(&second)["podIP"], status(&first)["podIP"]);

    nodes.stop().await?;
    let left = Api::<Node>::all(client)
        .list(&ListParams::default())
        .await?;
    assert_eq!(
        left.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
        [""; 0]
    );
    Ok(())
}
