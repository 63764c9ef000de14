//! A stable version that is unwell under load: with a pod less it serves on, and what cures one that is down gets its
//! traffic before anybody has made it stable.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, REPLICAS, SOON, nothing_lost, rate, wait_for, with_app};
use crate::cluster::Version;

/// A pod is ready as long as nobody has put this file there.
const SICK: &str = "/tmp/sick";

/// The sample, whose pods can be made sick, with these steps.
fn curable(app: &App, version: Version, steps: &Value) -> Value {
    let mut rollout = app.rollout(version, &json!({"strategy": {"steps": steps}}));
    let container = &mut rollout["spec"]["template"]["spec"]["containers"][0];
    // Without this one a pod would be ready before its server listens.
    container["startupProbe"] = json!({
        "httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 5,
    });
    container["readinessProbe"] = json!({
        "exec": {"command": ["test", "!", "-e", SICK]}, "periodSeconds": 1, "failureThreshold": 1,
        // On a busy machine it takes longer than a second to start a program.
        "timeoutSeconds": 5,
    });
    rollout
}

/// Makes pods sick, and waits until as many as are left are ready.
async fn sicken(app: &App, count: usize) {
    let pods: Vec<String> = app
        .pods()
        .await
        .into_values()
        .flatten()
        .take(count)
        .collect();
    for pod in &pods {
        let exec = [
            "exec",
            "--namespace",
            &app.namespace,
            pod,
            "--",
            "touch",
            SICK,
        ];
        app.cluster.run("kubectl", &exec).await.unwrap();
    }
    app.until("some are not ready", |rollout| {
        rollout["status"]["stable"]["ready"] == json!(REPLICAS - count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_fix_gets_the_traffic_while_stable_is_down() {
    with_app(async |app| {
        let quick = json!([{"setWeight": {"weight": 50}}, {"pause": {"for": "1s"}}]);
        let endless = json!([{"setWeight": {"weight": 20}}, {"pause": {}}]);
        let kind = ObjectKind::Rollout;
        app.apply(kind, &curable(app, Version::One, &quick)).await;
        app.until_healthy().await;
        let load = app.load().await;
        sicken(app, 1).await;
        app.apply(kind, &curable(app, Version::Two, &quick)).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        nothing_lost("a stable version with a pod less", load).await;

        let load = app.load().await;
        sicken(app, REPLICAS).await;
        load.until(SOON, |stats| stats.lost > 0).await.unwrap();
        let start = Instant::now();
        app.apply(kind, &curable(app, Version::One, &endless)).await;
        wait_for("answers of the fix", SOON * 2, async || {
            match app.answer(&[]).await {
                Ok(version) if version == Version::One.name() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let took = start.elapsed();
        eprintln!("from a fix to its first answer: {took:?}");
        // Stable has to be down for half a minute, and then every pod of the fix has to be there.
        assert!(took < Duration::from_secs(90), "{took:?}");
        let rollout = app
            .until("the fix waits for people at its pause", |rollout| {
                rollout["status"]["phase"] == "Paused"
                    && rollout["status"]["weights"]["canary"] == json!(100)
            })
            .await;
        let status = &rollout["status"];
        assert_ne!(
            status["stable"]["revision"], status["canary"]["revision"],
            "nobody has made it stable"
        );
        app.decide("Promote").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let served = load.stats();
        let more = load.until(SOON, |stats| {
            stats.answered >= served.answered + u64::from(2 * rate())
        });
        let lost = more.await.unwrap().lost - served.lost;
        assert_eq!(lost, 0, "once it serves, it loses nothing");
        let whole = load.stop().await;
        eprintln!(
            "while nothing served {} requests were lost",
            whole.stats.lost
        );
        assert_eq!(whole.stats.duplicated, 0);
    })
    .await;
}
