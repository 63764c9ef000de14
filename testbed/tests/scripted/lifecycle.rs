//! The end of pods, and the nodes themselves.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;
use testbed::scripted::{Rules, ScriptedNodes};
use testbed::wait::until;

use super::cluster::{PATIENCE, in_cluster, is_true, pod_spec};

#[test]
#[ignore = "needs a cluster: make test"]
fn the_nodes_are_ready_and_take_pods() {
    in_cluster(async |space| {
        assert_eq!(
            space.cluster.nodes.names(),
            ["scripted-0", "scripted-1", "scripted-2"]
        );
        let client = space.cluster.control_plane.client()?;
        let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
        let mut renewed = Vec::new();
        for name in space.cluster.nodes.names() {
            let node = json!(Api::<Node>::all(client.clone()).get(&name).await?);
            assert!(is_true(&node["status"], "Ready"), "{node}");
            assert_eq!(node["spec"]["taints"], json!(null));
            let lease = leases.get(&name).await?.spec.unwrap_or_default();
            assert_eq!(lease.holder_identity.as_ref(), Some(&name));
            renewed.push((name, lease.renew_time));
        }
        for (name, before) in &renewed {
            until("the lease to be renewed", PATIENCE, || async {
                let lease = leases.get(name).await?.spec.unwrap_or_default();
                Ok((&lease.renew_time > before).then_some(()))
            })
            .await?;
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
        let spec = pod_spec("held");
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

#[test]
#[ignore = "needs a cluster: make test"]
fn nodes_that_start_again_take_their_pods_over() {
    in_cluster(async |space| {
        let client = space.cluster.control_plane.client()?;
        let start = || ScriptedNodes::start_as(&space.name, client.clone(), 1, Rules::default());
        let create = async |name: &str| {
            let mut spec = pod_spec(name);
            spec["nodeName"] = json!(format!("{}-0", space.name));
            let pod = json!({"metadata": {"name": name}, "spec": spec});
            space.create_one::<Pod>(pod).await
        };
        let until_ready = |name| space.until_pod(name, |s| is_true(s, "Ready"));
        let status = |pod: Pod| json!(pod.status);

        let nodes = start().await?;
        create("first").await?;
        let first = status(until_ready("first").await?);
        drop(nodes);
        create("second").await?;

        let nodes = start().await?;
        let second = status(until_ready("second").await?);
        assert_eq!(
            status(space.api::<Pod>().get("first").await?),
            first,
            "it was left alone"
        );
        assert_ne!(second["podIP"], first["podIP"]);

        let name = nodes.names().remove(0);
        nodes.stop().await?;
        let left = Api::<Node>::all(client.clone()).get_opt(&name).await?;
        assert!(left.is_none(), "{left:?}");
        Ok(())
    });
}
