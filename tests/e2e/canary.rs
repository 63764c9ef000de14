//! A change under load: a good version takes over step by step, a bad one is sent back.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::load::Load;

use crate::app::{App, DRAIN, REPLICAS, is_true, nothing_lost, rate, share, weight_of, with_app};
use crate::cluster::Version;

/// The share of good answers over the last seconds, as a Prometheus sees it that scrapes every second.
pub(crate) fn success_rate(app: &App) -> Value {
    let of = |more: &str| {
        let pods = format!(
            "namespace=\"{}\",pod=~\"{{{{canary.pods}}}}\"{more}",
            app.namespace
        );
        format!("sum(rate(http_requests_total{{{pods}}}[5s]))")
    };
    json!({
        "name": "success-rate", "interval": "1s",
        "prometheus": {
            "address": format!("http://{}", app.cluster.node.prometheus()),
            "query": format!("{} / {}", of(",code!~\"5..\""), of("")),
        },
        "pass": "value >= 0.99",
    })
}

/// A fifth, half, all; watched in the background and by a step.
fn steps(app: &App) -> Value {
    let metric = {
        let mut metric = success_rate(app);
        metric["minSamples"] = 3.into();
        metric
    };
    json!({
        "strategy": {"steps": [
            {"setWeight": {"weight": 20}},
            {"pause": {"for": "5s"}},
            {"analyse": {"metrics": ["success-rate"]}},
            {"setWeight": {"weight": 50}},
            {"pause": {"for": "4s"}},
        ]},
        "analysis": {"interval": "1s", "metrics": [metric]},
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_good_version_takes_over_step_by_step() {
    with_app(async |app| {
        let mut extra = steps(app);
        // A header that this Prometheus has no use for, to see that the operator may read what it takes.
        let tenant = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "tenant", "labels": {"slipway.dev/use": "metrics"}},
            "stringData": {"id": "the-shop"},
        });
        app.apply(ObjectKind::Secret, &tenant).await;
        let secret = json!({"name": "tenant", "key": "id"});
        extra["analysis"]["metrics"][0]["prometheus"]["headers"] =
            json!([{"name": "X-Scope-OrgID", "secretRef": secret}]);
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        calibrated(&load).await;
        app.ask_for(Version::Two, &extra).await;
        for percent in [20, 50] {
            app.until_paused_at(percent).await;
            let share = share_over(&load, 3).await;
            eprintln!("weight {percent}: {share:.1} % of the answers");
            assert!(
                (share - f64::from(u32::try_from(percent).unwrap())).abs() < 6.0,
                "{share} % instead of {percent} %"
            );
        }
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let after = load.stats();
        let all = load.until(DRAIN, |stats| {
            stats.answered >= after.answered + u64::from(rate())
        });
        let share = share(&after, &all.await.unwrap(), Version::Two);
        assert!(
            share > 99.9,
            "{share} % of the answers are of the new version"
        );
        nothing_lost("a good version", load).await;
    })
    .await;
}

/// Before anything changes, the gateway, the machine and the load itself lose nothing.
async fn calibrated(load: &Load) {
    let wanted = u64::from(3 * rate());
    let stats = load
        .until(Duration::from_secs(10), |stats| stats.answered >= wanted)
        .await
        .unwrap();
    assert_eq!(
        stats.lost, 0,
        "the cluster itself loses requests: {stats:?}"
    );
}

/// The share of version two over the next seconds.
async fn share_over(load: &Load, seconds: u32) -> f64 {
    let before = load.stats();
    let wanted = before.answered + u64::from(seconds * rate());
    let after = load.until(Duration::from_secs(30), |stats| stats.answered >= wanted);
    share(&before, &after.await.unwrap(), Version::Two)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_bad_version_is_sent_back_within_a_second_of_its_first_bad_sample() {
    with_app(async |app| {
        let extra = steps(app);
        app.start(Version::One, &extra).await;
        let (rollout, route) = (app.film().await, app.film_route().await);
        let load = app.load().await;
        app.ask_for(Version::Bad, &extra).await;
        let given_up = app.until_rolled_back().await;
        app.until_pods(REPLICAS).await;

        let (bad, _) = rollout
            .first(|rollout| failed_samples(rollout).filter(|n| *n > 0))
            .unwrap();
        // Two watches tell of it, in whatever order.
        let about_then = bad.checked_sub(Duration::from_secs(1)).unwrap();
        let back = route
            .first_since(about_then, |route| weight_of(route) == Some(0))
            .unwrap();
        let took = back.saturating_duration_since(bad);
        eprintln!("from the first bad sample to 100 % stable: {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let peak = route
            .frames()
            .iter()
            .filter_map(|frame| weight_of(&frame.object))
            .max();
        assert_eq!(
            peak,
            Some(20),
            "the bad version never had more than its first weight"
        );
        let ending = &given_up["status"]["history"][0];
        assert_eq!(
            (&ending["result"], &ending["peakWeight"]),
            (&json!("RolledBack"), &json!(20))
        );
        assert!(is_true(&given_up, "Stalled"), "{:#}", given_up["status"]);
        let summary = nothing_lost("a bad version", load).await;
        assert!(summary.stats.injected > 0, "nobody met the bad version");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn without_an_analysis_the_bad_version_takes_over() {
    with_app(async |app| {
        let mut extra = json!({"strategy": steps(app)["strategy"]});
        extra["strategy"]["steps"].as_array_mut().unwrap().remove(2);
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        app.ask_for(Version::Bad, &extra).await;
        app.until_healthy().await;
        let summary = nothing_lost("a bad version that nobody watches", load).await;
        assert!(
            summary.stats.injected > 0,
            "the bad version answers without an error"
        );
    })
    .await;
}

fn failed_samples(rollout: &Value) -> Option<u64> {
    rollout.pointer("/status/analysis/0/failed")?.as_u64()
}
