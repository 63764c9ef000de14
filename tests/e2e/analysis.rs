//! What a real Prometheus says of real pods, and how that ends: slow answers, no answers, no requests, a value that flaps.

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;

use crate::app::{App, REPLICAS, nothing_lost, with_app};
use crate::canary::success_rate;
use crate::stage::Version;

/// One weight, and one metric that has to be good there.
fn watched(metric: &Value) -> Value {
    json!({
        "progressDeadlineSeconds": 60,
        "strategy": {"steps": [
            {"setWeight": {"weight": 20}},
            {"analyse": {"metrics": [metric["name"]]}},
        ]},
        "analysis": {"interval": "1s", "metrics": [metric]},
    })
}

/// A metric of the real Prometheus, looked at every second.
fn metric(app: &App, query: &str, rules: &Value) -> Value {
    let address = format!("http://{}", app.stage.node.prometheus());
    let mut metric = json!({
        "name": "watched", "interval": "1s", "prometheus": {"address": address, "query": query}, "pass": "value >= 1.0",
    });
    json_patch::merge(&mut metric, rules);
    metric
}

/// Asks for version two once more, as another revision: one that was given up is not tried again.
async fn ask_for(app: &App, attempt: &str, metric: &Value) {
    let mut rollout = app.rollout(Version::Two, &watched(metric));
    rollout["spec"]["template"]["metadata"]["annotations"]["attempt"] = attempt.into();
    app.apply(ObjectKind::Rollout, &rollout).await;
}

/// Waits until the change has been given up, and yields the reason.
async fn given_up(app: &App) -> String {
    let rollout = app.until_rolled_back().await;
    let reason = rollout["status"]["history"][0]["reason"].as_str();
    reason.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_slow_version_is_sent_back() {
    with_app(async |app| {
        let query = format!(
            "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{namespace=\"{}\",\
             pod=~\"{{{{canary.pods}}}}\"}}[5s])))",
            app.namespace
        );
        let rules = json!({"name": "latency", "pass": "value <= 0.25", "minSamples": 10, "failureLimit": 1});
        let extra = watched(&metric(app, &query, &rules));
        app.start(Version::One, &extra).await;
        let load = app.load().await;
        let mut slow = app.rollout(Version::Two, &extra);
        // The same program, told to take its time.
        slow["spec"]["template"]["spec"]["containers"][0]["command"] = json!([
            "sh", "-c", "cp -r \"$(pwd)\" /tmp/slow && echo 400 > /tmp/slow/DELAY_MS && exec python3 /tmp/slow/app.py"
        ]);
        app.apply(ObjectKind::Rollout, &slow).await;
        let reason = given_up(app).await;
        assert!(reason.contains("latency"), "{reason}");
        app.until_pods(REPLICAS).await;
        nothing_lost("a slow version", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn no_requests_no_answer_and_a_value_that_flaps_end_as_the_metric_says() {
    with_app(async |app| {
        let without_requests = |no_data: &str| {
            let mut metric = success_rate(app);
            metric["noData"] = no_data.into();
            metric
        };
        app.start(Version::One, &watched(&without_requests("Fail")))
            .await;
        ask_for(app, "without requests", &without_requests("Fail")).await;
        let reason = given_up(app).await;
        assert!(reason.contains("samples are bad"), "{reason}");
        ask_for(
            app,
            "without requests, which is fine",
            &without_requests("Pass"),
        )
        .await;
        app.until_healthy().await;

        let gone = json!({"errorLimit": 2, "prometheus": {"address": nobody(app)}});
        ask_for(app, "nobody answers", &metric(app, "1", &gone)).await;
        let reason = given_up(app).await;
        assert!(reason.contains("errors in a row"), "{reason}");

        // Good for three seconds, bad for three: no row of bad samples is as long as all that are forgiven.
        let flaps = json!({"failureLimit": 5, "minSamples": 100});
        let flapping = metric(app, "floor(vector(time() / 3)) % 2", &flaps);
        ask_for(app, "it flaps", &flapping).await;
        let reason = given_up(app).await;
        assert!(reason.contains("samples are bad"), "{reason}");
        let tally = app.now().await["status"]["analysis"][0].clone();
        assert!(tally["passed"].as_u64() >= Some(1), "{tally:#}");
    })
    .await;
}

/// An address of this cluster at which nobody listens.
fn nobody(app: &App) -> String {
    let prometheus = app.stage.node.prometheus();
    let (host, _) = prometheus.rsplit_once(':').unwrap();
    format!("http://{host}:1")
}
