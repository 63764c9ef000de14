//! What a real Prometheus says of real pods, and how that ends: slow answers, no answers, no requests, a value that flaps,
//! and all of it in the middle of a change.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{App, REPLICAS, nothing_lost, with_app};
use crate::canary::success_rate;
use crate::cluster::Version;

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
    let address = format!("http://{}", app.cluster.node.prometheus());
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
async fn given_up(app: &App, what: &str, since: Instant) -> String {
    let rollout = app.until_rolled_back().await;
    let reason = rollout["status"]["history"][0]["reason"].as_str();
    let reason = reason.unwrap_or_default().to_owned();
    eprintln!("{what}: given up after {:?}: {reason}", since.elapsed());
    reason
}

/// Waits until this many samples were counted.
async fn until_counted(app: &App, what: &str, least: u64) -> Instant {
    let enough = |rollout: &Value| {
        let tally = &rollout["status"]["analysis"][0];
        tally[what].as_u64() >= Some(least)
    };
    app.until(&format!("{least} {what}"), enough).await;
    Instant::now()
}

/// A way to Prometheus that can be cut.
struct Way {
    address: SocketAddr,
    prometheus: String,
    open: JoinHandle<()>,
}

impl Way {
    async fn to_prometheus(app: &App) -> Self {
        let prometheus = app.cluster.node.prometheus().to_owned();
        let (host, _) = prometheus.rsplit_once(':').unwrap();
        let listener = TcpListener::bind(format!("{host}:0")).await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            open: Self::open(listener, prometheus.clone()),
            prometheus,
        }
    }

    fn open(listener: TcpListener, prometheus: String) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let prometheus = prometheus.clone();
                connections.spawn(async move {
                    let mut to = TcpStream::connect(prometheus).await.unwrap();
                    // Whoever goes first, goes.
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                });
            }
        })
    }

    /// From now on nobody answers there, also on connections that were open.
    async fn cut(&mut self) -> Instant {
        self.open.abort();
        let _ = (&mut self.open).await;
        Instant::now()
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.open = Self::open(listener, self.prometheus.clone());
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.open.abort();
    }
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
        let reason = given_up(app, "a slow version", Instant::now()).await;
        assert!(reason.contains("latency"), "{reason}");
        app.until_pods(REPLICAS).await;
        nothing_lost("a slow version", load).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn no_requests_and_no_answer_end_as_the_metric_says() {
    with_app(async |app| {
        let without_requests = |no_data: &str| {
            let mut metric = success_rate(app);
            metric["noData"] = no_data.into();
            metric
        };
        app.start(Version::One, &watched(&without_requests("Fail")))
            .await;
        ask_for(app, "without requests", &without_requests("Fail")).await;
        let reason = given_up(app, "no requests, which is bad", Instant::now()).await;
        assert!(reason.contains("samples are bad"), "{reason}");
        let asked = Instant::now();
        ask_for(
            app,
            "without requests, which is fine",
            &without_requests("Pass"),
        )
        .await;
        app.until_healthy().await;
        let took = asked.elapsed();
        eprintln!("no requests, which is good: takes over after {took:?}");

        let gone = json!({"errorLimit": 2, "prometheus": {"address": nobody(app)}});
        ask_for(app, "nobody answers", &metric(app, "1", &gone)).await;
        let reason = given_up(app, "nobody answers", Instant::now()).await;
        assert!(reason.contains("errors in a row"), "{reason}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_value_that_flaps_ends_as_its_limits_say() {
    with_app(async |app| {
        app.start(Version::One, &json!({})).await;
        // Good for three seconds, bad for three.
        let flapping = |rules: &Value| metric(app, "floor(vector(time() / 3)) % 2", rules);
        let cases = [
            // No row of bad samples is as long as all that are forgiven.
            (
                json!({"failureLimit": 5, "minSamples": 100}),
                "samples are bad",
            ),
            // No row of good samples is as long as it has to be, however many bad ones are forgiven.
            (
                json!({"failureLimit": 100, "successLimit": 6, "count": 12}),
                "cannot make it good any more",
            ),
        ];
        for (rules, words) in cases {
            ask_for(app, words, &flapping(&rules)).await;
            let started = until_counted(app, "taken", 1).await;
            let reason = given_up(app, "a value that flaps", started).await;
            assert!(reason.contains(words), "{reason}");
            let tally = app.now().await["status"]["analysis"][0].clone();
            assert!(tally["passed"].as_u64() >= Some(1), "{tally:#}");
            assert!(tally["failed"].as_u64() >= Some(1), "{tally:#}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn prometheus_that_goes_down_in_the_middle_is_waited_for_as_long_as_errors_are_forgiven() {
    with_app(async |app| {
        app.start(Version::One, &json!({})).await;
        let mut way = Way::to_prometheus(app).await;
        let address = format!("http://{}", way.address);
        let asked = |rules: &Value| {
            let mut metric = metric(app, "vector(1)", rules);
            metric["prometheus"]["address"] = address.as_str().into();
            metric
        };
        ask_for(
            app,
            "it comes back",
            &asked(&json!({"errorLimit": 60, "minSamples": 4})),
        )
        .await;
        until_counted(app, "passed", 1).await;
        let cut = way.cut().await;
        until_counted(app, "errors", 2).await;
        way.mend().await;
        app.until_healthy().await;
        eprintln!(
            "Prometheus comes back: takes over {:?} after it went down",
            cut.elapsed()
        );

        ask_for(
            app,
            "it stays away",
            &asked(&json!({"errorLimit": 2, "minSamples": 100})),
        )
        .await;
        until_counted(app, "passed", 1).await;
        let cut = way.cut().await;
        let reason = given_up(app, "Prometheus stays away", cut).await;
        assert!(reason.contains("3 errors in a row, 2 forgiven"), "{reason}");
        app.until_pods(REPLICAS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn requests_that_stop_in_the_middle_are_no_success() {
    with_app(async |app| {
        app.start(Version::One, &json!({})).await;
        let load = app.load().await;
        let mut steady = success_rate(app);
        json_patch::merge(&mut steady, &json!({"noData": "Wait", "minSamples": 100}));
        let mut extra = watched(&steady);
        extra["progressDeadlineSeconds"] = 20.into();
        let mut rollout = app.rollout(Version::Two, &extra);
        rollout["spec"]["template"]["metadata"]["annotations"]["attempt"] = "requests stop".into();
        app.apply(ObjectKind::Rollout, &rollout).await;
        until_counted(app, "passed", 1).await;
        nothing_lost("requests that stop", load).await;
        let stopped = Instant::now();
        until_counted(app, "noData", 1).await;
        let reason = given_up(app, "requests that stop, and are waited for", stopped).await;
        assert!(reason.starts_with("NoVerdict"), "{reason}");
        assert!(stopped.elapsed() < Duration::from_secs(45), "{reason}");
        app.until_pods(REPLICAS).await;
    })
    .await;
}

/// An address of this cluster at which nobody listens.
fn nobody(app: &App) -> String {
    let prometheus = app.cluster.node.prometheus();
    let (host, _) = prometheus.rsplit_once(':').unwrap();
    format!("http://{host}:1")
}
