//! Comparisons of the canary with stable under load: by counters of real pods, which a real Prometheus scrapes.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, REPLICAS, nothing_lost, with_app};
use crate::cluster::Version;

/// Errors of the canary beside those of stable, looked at every second.
fn errors_vs_stable(app: &App, count: u32) -> Value {
    let of = |side: &str, more: &str| {
        let namespace = &app.namespace;
        format!(
            "http_requests_total{{namespace=\"{namespace}\",pod=~\"{{{{{side}.pods}}}}\"{more}}}"
        )
    };
    let bad = ",code=~\"5..\"";
    json!({
        "name": "errors-vs-stable", "interval": "1s", "count": count,
        "compare": {
            "test": "Ratio",
            "prometheus": {
                "address": format!("http://{}", app.cluster.node.prometheus()),
                "canary": of("canary", bad), "canaryTotal": of("canary", ""),
                "stable": of("stable", bad), "stableTotal": of("stable", ""),
            },
        },
    })
}

fn steps(app: &App, count: u32) -> Value {
    json!({
        "strategy": {"steps": [
            {"setWeight": {"weight": 50}},
            {"analyse": {"metrics": ["errors-vs-stable"]}},
        ]},
        "analysis": {"interval": "1s", "metrics": [errors_vs_stable(app, count)]},
    })
}

/// What the last look has found.
fn found(rollout: &Value) -> Option<&str> {
    rollout.pointer("/status/analysis/0/value")?.as_str()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_canary_as_ill_as_stable_takes_over() {
    with_app(async |app| {
        let extra = steps(app, 15);
        app.start(Version::Bad, &extra).await;
        let rollout = app.film().await;
        let load = app.load().await;
        // The same image, which answers every twentieth request with an error, as another revision.
        let mut again = app.rollout(Version::Bad, &extra);
        again["spec"]["template"]["metadata"]["annotations"]["again"] = "true".into();
        app.apply(ObjectKind::Rollout, &again).await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let looks: Vec<String> = rollout
            .frames()
            .iter()
            .filter_map(|frame| found(&frame.object).map(str::to_owned))
            .collect();
        let last = looks.last().unwrap();
        eprintln!("as ill as stable: {last}");
        assert!(last.contains(" of 15"), "{last}");
        assert!(
            looks.iter().all(|look| !look.contains(", worse")),
            "{looks:?}"
        );
        let summary = nothing_lost("a canary as ill as stable", load).await;
        assert!(summary.stats.injected > 0, "nobody met an error");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_canary_worse_than_stable_is_sent_back() {
    with_app(async |app| {
        let extra = steps(app, 60);
        app.start(Version::One, &extra).await;
        let rollout = app.film().await;
        let load = app.load().await;
        app.ask_for(Version::Bad, &extra).await;
        let given_up = app.until_rolled_back().await;
        app.until_pods(REPLICAS).await;
        let message = given_up["status"]["message"].as_str().unwrap();
        assert!(message.contains("errors-vs-stable"), "{message}");
        assert!(message.contains(", worse, p"), "{message}");
        let weighed = |rollout: &Value| {
            let weight = rollout.pointer("/status/weights/canary")?.as_u64()?;
            (weight == 50).then_some(())
        };
        let (started, ()) = rollout.first(weighed).unwrap();
        let (judged, ()) = rollout
            .first(|rollout| found(rollout)?.contains(", worse").then_some(()))
            .unwrap();
        let took = judged.saturating_duration_since(started);
        eprintln!("from half of the traffic to the finding that it is worse: {took:?}: {message}");
        assert!(took < Duration::from_secs(30), "{took:?}");
        nothing_lost("a canary worse than stable", load).await;
    })
    .await;
}
