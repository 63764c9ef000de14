//! Pods that serve: ready, not ready, and every way to fail.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use testbed::proxy::{Fault, Match, What};
use testbed::wait::until;

use super::cluster::{PATIENCE, Space, in_cluster, is_true, pod_spec, state};

#[test]
#[ignore = "needs a cluster: make test"]
fn a_deployment_becomes_ready_and_its_service_has_endpoints() {
    in_cluster(async |space| {
        let ports = json!([{"port": 80}]);
        let _: Service = space
            .create_one(json!({
                "metadata": {"name": "api"},
                "spec": {"selector": {"app": "api"}, "ports": ports},
            }))
            .await?;
        space.deployment("api", 4).await?;
        space.until_ready("api", 4).await?;

        let addresses: BTreeSet<String> = space.addresses("api").await?.into_values().collect();
        assert_eq!(addresses.len(), 4, "{addresses:?}");
        until("ready endpoints", PATIENCE, || async {
            let slices = space
                .api::<EndpointSlice>()
                .list(&ListParams::default())
                .await?;
            let endpoints = slices
                .iter()
                .flat_map(|slice| slice.endpoints.iter().flatten());
            let ready = endpoints.filter(|endpoint| {
                endpoint
                    .conditions
                    .as_ref()
                    .is_some_and(|conditions| conditions.ready == Some(true))
            });
            let found: BTreeSet<String> = ready
                .flat_map(|endpoint| endpoint.addresses.clone())
                .collect();
            Ok((found == addresses).then_some(()))
        })
        .await
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn every_failure_shows_as_on_a_real_node() {
    in_cluster(async |space| {
        for script in [
            "never-ready",
            "crash-loop",
            "image-missing",
            "config-error",
            "oom",
            "evicted",
            "redy",
        ] {
            space.pod(script, script).await?;
        }
        let running = |status: &serde_json::Value| state(status) == "running";
        space
            .until_pod("never-ready", |s| running(s) && is_true(s, "Initialized"))
            .await?;
        let is_looping = |s: &serde_json::Value| {
            let restarts = s["containerStatuses"][0]["restartCount"].as_i64();
            state(s) == "CrashLoopBackOff" && restarts >= Some(2)
        };
        let pod = space.until_pod("crash-loop", is_looping).await?;
        let last = json!(pod.status)["containerStatuses"][0]["lastState"]["terminated"].clone();
        assert_eq!(
            (&last["exitCode"], &last["reason"]),
            (&json!(1), &json!("Error"))
        );
        let pod = space.until_pod("oom", is_looping).await?;
        let last = json!(pod.status)["containerStatuses"][0]["lastState"]["terminated"].clone();
        assert_eq!(
            (&last["exitCode"], &last["reason"]),
            (&json!(137), &json!("OOMKilled"))
        );
        space
            .until_pod("image-missing", |s| state(s) == "ImagePullBackOff")
            .await?;
        space
            .until_pod("config-error", |s| state(s) == "CreateContainerConfigError")
            .await?;
        space
            .until_pod("redy", |s| state(s) == "InvalidScript")
            .await?;
        space
            .until_pod("evicted", |s| {
                s["phase"] == "Failed" && s["reason"] == "Evicted" && is_true(s, "DisruptionTarget")
            })
            .await?;
        let status = json!(space.api::<Pod>().get("never-ready").await?.status);
        assert!(!is_true(&status, "Ready"), "{status}");
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pod_is_ready_for_a_time_only_when_told_so() {
    in_cluster(async |space| {
        space.pod("fails", "ready-then-fail=500ms").await?;
        space.pod("fades", "ready-then-unready=500ms").await?;
        space.pod("leaves", "evicted=500ms").await?;
        for name in ["fails", "fades", "leaves"] {
            space.until_pod(name, |s| is_true(s, "Ready")).await?;
        }
        space
            .until_pod("fails", |s| state(s) == "CrashLoopBackOff")
            .await?;
        space
            .until_pod("fades", |s| state(s) == "running" && !is_true(s, "Ready"))
            .await?;
        space
            .until_pod("leaves", |s| s["reason"] == "Evicted")
            .await?;
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_rule_changes_running_pods_and_can_be_taken_back() {
    in_cluster(async |space| {
        let (app, nodes) = (format!("{}-flip", space.name), &space.cluster.nodes);
        space.deployment(&app, 3).await?;
        space.until_ready(&app, 3).await?;
        nodes.set_rule(&app, "never-ready")?;
        space.until_ready(&app, 0).await?;
        nodes.set_rule(&app, "crash-loop")?;
        let pods = space.addresses(&app).await?;
        let restarted = |s: &serde_json::Value| s["containerStatuses"][0]["restartCount"] != 0;
        for pod in pods.keys() {
            space.until_pod(pod, restarted).await?;
        }
        nodes.remove_rule(&app);
        space.until_ready(&app, 3).await?;
        assert_eq!(space.addresses(&app).await?, pods, "no pod was replaced");
        assert!(nodes.set_rule(&app, "nonsense").is_err());
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_readiness_gate_holds_a_pod_back() {
    in_cluster(async |space| {
        let mut spec = pod_spec("gated");
        spec["readinessGates"] = json!([{"conditionType": "shop/warm"}]);
        let pod = json!({"metadata": {"name": "gated"}, "spec": spec});
        let _: Pod = space.create_one(pod).await?;
        space
            .until_pod("gated", |s| is_true(s, "ContainersReady"))
            .await?;
        let status = json!(space.api::<Pod>().get("gated").await?.status);
        assert!(!is_true(&status, "Ready"), "{status}");

        for (value, expected) in [("True", true), ("False", false), ("True", true)] {
            let warm = json!({"status": {"conditions": [{"type": "shop/warm", "status": value}]}});
            let (pods, patch) = (space.api::<Pod>(), Patch::Strategic(warm));
            pods.patch_status("gated", &PatchParams::default(), &patch)
                .await?;
            space
                .until_pod("gated", |s| is_true(s, "Ready") == expected)
                .await?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn cut_and_expired_watches_lose_nothing() {
    in_cluster(async |space| {
        let app = format!("{}-cut", space.name);
        space.deployment(&app, 10).await?;
        let proxy = &space.cluster.proxy;
        for ready in [20, 5] {
            // A cut watch goes on where it was; an expired one starts again with a list, here a
            // late one, which sees changes that no watch has.
            let watch = Match::any().path_regex(r"^/api/v1/pods\?.*watch=true")?;
            let expired = proxy.inject(Fault::new(watch, What::Expired));
            let list = Match::any().path_regex(r"^/api/v1/pods\?.*limit=")?;
            let late = proxy.inject(Fault::new(list, What::Delay(Duration::from_secs(1))));
            proxy.drop_connections();
            scale(space, &app, ready).await?;
            until("a new list", PATIENCE, || async {
                Ok((late.hits() == 1).then_some(()))
            })
            .await?;
            space.until_ready(&app, ready).await?;
            assert_eq!(expired.hits(), 1);
            proxy.drop_connections();
            // What was deleted while nobody watched must go too.
            let count = usize::try_from(ready)?;
            until("deleted pods to go", PATIENCE, || async {
                Ok((space.addresses(&app).await?.len() == count).then_some(()))
            })
            .await?;
        }
        let addresses = space.addresses(&app).await?;
        let distinct: BTreeSet<&String> = addresses.values().collect();
        assert_eq!(distinct.len(), 5, "{addresses:?}");
        Ok(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn hundreds_of_pods_are_no_effort() {
    in_cluster(async |space| {
        let app = format!("{}-many", space.name);
        let before = Instant::now();
        space.deployment(&app, 300).await?;
        space.until_ready(&app, 300).await?;
        let ready_in = before.elapsed();
        let before = Instant::now();
        space.cluster.nodes.set_rule(&app, "never-ready")?;
        space.until_ready(&app, 0).await?;
        eprintln!(
            "300 pods: ready in {ready_in:.1?}, unready in {:.1?}",
            before.elapsed()
        );
        assert!(ready_in < Duration::from_secs(45), "{ready_in:?}");
        space.cluster.nodes.remove_rule(&app);
        Ok(())
    });
}

async fn scale(space: &Space, app: &str, replicas: i32) -> Result<()> {
    let deployments = space.api::<k8s_openapi::api::apps::v1::Deployment>();
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments
        .patch(app, &PatchParams::default(), &scale)
        .await?;
    Ok(())
}
