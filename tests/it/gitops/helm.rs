//! Helm 4 that waits for a Rollout: until it is healthy or pauses, and no longer; and no success when it went back.

use std::path::Path;

use serde_json::json;
use slipway::rollout::api::Phase;
use tempfile::TempDir;
use tokio::process::Command;

use crate::cluster::{Space, kubeconfig_path, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest};

/// A chart of one Rollout.
fn write(chart: &Path, image: &str, script: &str) {
    let extra = json!({"spec": {
        "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]},
        "template": {"metadata": {"annotations": {"testbed.slipway.dev/script": script}}},
    }});
    let mut rollout = serde_json::to_value(manifest(image, &extra)).unwrap();
    // As people keep it: without what the server adds.
    rollout.as_object_mut().unwrap().remove("status");
    let about = json!({"apiVersion": "v2", "name": "shop", "version": "0.1.0"});
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), about.to_string()).unwrap();
    std::fs::write(chart.join("templates/rollout.yaml"), rollout.to_string()).unwrap();
}

/// Installs the chart, or the next version of it, and waits; the error is what Helm says.
async fn release(space: &Space, folder: &TempDir, timeout: &str) -> Result<(), String> {
    testbed::programs::ensure(&["helm"]).await.unwrap();
    let chart = folder.path().join("chart");
    let output = Command::new(testbed::programs::path_of("helm").unwrap())
        .args(["upgrade", "--install", "shop"])
        .arg(&chart)
        .args(["--namespace", &space.name, "--wait", "--timeout", timeout])
        .env("KUBECONFIG", kubeconfig_path())
        .env("HELM_CACHE_HOME", folder.path())
        .env("HELM_CONFIG_HOME", folder.path())
        .env("HELM_DATA_HOME", folder.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or(said)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn helm_waits_until_a_rollout_is_healthy_or_pauses_and_fails_when_it_went_back() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let folder = TempDir::new().unwrap();
        let chart = folder.path().join("chart");
        let rollout = Subject::of(space);
        write(&chart, "greeter:1", "ready-after=500ms");
        release(space, &folder, "40s").await.unwrap();
        assert_eq!(rollout.status().await.phase, Some(Phase::Healthy));

        write(&chart, "greeter:2", "ready-after=500ms");
        release(space, &folder, "40s").await.unwrap();
        assert_eq!(rollout.status().await.phase, Some(Phase::Paused));

        write(&chart, "greeter:3", "crash-loop");
        let said = release(space, &folder, "12s").await.unwrap_err();
        assert!(said.contains("api"), "{said}");
        rollout.until_phase(Phase::RolledBack).await;
        let message = rollout.status().await.message.unwrap();
        assert!(message.contains("CrashLoop"), "{message}");
    })
    .await;
}
