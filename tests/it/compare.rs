//! Comparisons of the canary with stable, on scripted nodes and with a scripted Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};
use testbed::scripted::ScriptedGateway;
use tokio::task::AbortHandle;

use crate::cluster::with_namespace;
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed};
use crate::server::serve;

/// Errors per second of both sides, of a hundred requests, and what a second of the canary takes.
#[derive(Debug, Default)]
struct Script {
    canary: AtomicU32,
    stable: AtomicU32,
    canary_requests: AtomicU32,
}

/// Answers range queries of comparisons with counters that grow as the script says.
struct Metrics {
    script: Arc<Script>,
    url: String,
    task: AbortHandle,
}

impl Metrics {
    async fn start(canary: u32, stable: u32) -> Self {
        let script = Arc::new(Script {
            canary: canary.into(),
            stable: stable.into(),
            canary_requests: 100.into(),
        });
        let service = Router::new()
            .route("/api/v1/query_range", post(answer))
            .with_state(Arc::clone(&script));
        let (url, task) = serve(service).await;
        Self { script, url, task }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Arc<Script>>, form: String) -> Json<Value> {
    let of = |key: &str| {
        let fields = form.split('&').filter_map(|field| field.split_once('='));
        let mut fields = fields.filter(|(name, _)| *name == key);
        fields.next().unwrap().1.parse::<u32>().unwrap()
    };
    let (start, end, step) = (of("start"), of("end"), of("step"));
    let series = |part: &str, by: u32| {
        let times = (start..=end).step_by(step as usize);
        let points = times.map(|at| json!([at, (by * (at - start)).to_string()]));
        json!({"metric": {"slipway_part": part}, "values": points.collect::<Vec<_>>()})
    };
    let now = |count: &AtomicU32| count.load(Ordering::SeqCst);
    Json(
        json!({"status": "success", "data": {"resultType": "matrix", "result": [
            series("grid", 1),
            series("canary", now(&script.canary)),
            series("canary-total", now(&script.canary_requests)),
            series("stable", now(&script.stable)),
            series("stable-total", 100),
        ]}}),
    )
}

fn compared(metrics: &Metrics, extra: &Value) -> Value {
    let mut metric = json!({
        "name": "errors-vs-stable", "count": 6,
        "compare": {
            "test": "Ratio",
            "prometheus": {
                "address": metrics.url, "canary": "c", "stable": "s", "canaryTotal": "ct", "stableTotal": "st",
            },
        },
    });
    json_patch::merge(&mut metric, extra);
    let mut whole = routed();
    whole["spec"]["strategy"] = json!({"steps": [
        {"setWeight": {"weight": 50}}, {"analyse": {"metrics": ["errors-vs-stable"]}},
    ]});
    whole["spec"]["analysis"] = json!({"interval": "1s", "metrics": [metric]});
    whole
}

/// Plays a change to another image, with a comparison by these metrics.
async fn play(metrics: &Metrics, extra: &Value, test: impl AsyncFnOnce(&Subject)) {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let _operator = Operator::start(&space.name);
        let subject = Subject::create(space, &manifest("a:1", &compared(metrics, extra))).await;
        subject.until_phase(Phase::Healthy).await;
        subject.set_image("a:2").await;
        test(&subject).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_as_bad_as_stable_takes_over_after_all_looks() {
    let metrics = Metrics::start(30, 30).await;
    play(&metrics, &json!({}), async |subject| {
        let before = subject.status().await.stable.unwrap().revision;
        // A look takes in everything so far, so an operator that comes late skips numbers: any but the first and the last.
        let number = |status: &RolloutStatus| {
            let value = status.analysis.first()?.value.as_deref()?;
            let (_, look) = value.split_once(", look ")?;
            let number = look.strip_suffix(" of 6")?.parse().ok()?;
            (2..6).contains(&number).then_some(number)
        };
        let seen = subject
            .until("a look before the last", |status| number(status).is_some())
            .await;
        let tally = &seen.analysis[0];
        assert_eq!((Some(tally.passed), tally.failed), (number(&seen), 0));
        let value = tally.value.as_deref().unwrap_or_default();
        assert!(value.starts_with("as stable, p = "), "{tally:?}");
        assert!(tally.since.is_some());
        subject.until_promoted(&before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_worse_than_stable_goes_back() {
    let metrics = Metrics::start(40, 10).await;
    play(&metrics, &json!({}), async |subject| {
        let status = subject.until_phase(Phase::RolledBack).await;
        let message = status.message.clone().unwrap();
        assert!(message.contains("errors-vs-stable"), "{message}");
        assert!(message.contains("4.0 times stable, worse, p"), "{message}");
        assert!(
            status.history[0].reason.starts_with("AnalysisFailed"),
            "{status:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_canary_without_traffic_is_not_compared() {
    let metrics = Metrics::start(0, 1).await;
    metrics.script.canary_requests.store(0, Ordering::SeqCst);
    play(&metrics, &json!({"noData": "Wait"}), async |subject| {
        let status = subject
            .until("looks without data", |status| {
                status
                    .analysis
                    .first()
                    .is_some_and(|tally| tally.no_data > 2)
            })
            .await;
        assert_eq!(status.analysis[0].passed, 0);
        metrics.script.canary_requests.store(100, Ordering::SeqCst);
        subject.until_phase(Phase::Healthy).await;
    })
    .await;
}
