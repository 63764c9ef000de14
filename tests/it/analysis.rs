//! Analyses of each kind, with a server of metrics that answers what a test wants: in the background, in a step, before and
//! after the promotion of a blue-green, and with the metrics of a template.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{EndingResult, Phase, RolloutStatus};
use testbed::scripted::ScriptedGateway;
use tokio::task::AbortHandle;

use crate::cluster::{Space, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed, stable};
use crate::server::serve;

/// What a scripted server of metrics has been told, and asked.
#[derive(Default)]
struct Script {
    /// Values by a word of the query; a query with none of the words has no data.
    values: BTreeMap<&'static str, f64>,
    /// Queries so far.
    asked: Vec<String>,
}

/// A server that answers queries of Prometheus as it is told. Dropping it ends it.
struct Metrics {
    address: String,
    script: Arc<Mutex<Script>>,
    task: AbortHandle,
}

impl Metrics {
    async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let app = Router::new()
            .route("/api/v1/query", post(answer))
            .with_state(Arc::clone(&script));
        let (address, task) = serve(app).await;
        Self {
            address,
            script,
            task,
        }
    }

    /// From now on, queries with this word yield this value.
    fn set(&self, word: &'static str, value: f64) {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.values.insert(word, value);
    }

    fn asked(&self) -> Vec<String> {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.asked.clone()
    }

    /// A metric with a query for this word, good below 0.1.
    fn metric(&self, word: &str) -> Value {
        json!({
            "name": word, "interval": "200ms", "pass": "value < 0.1", "minSamples": 2,
            "prometheus": {"address": self.address, "query": format!("{word}{{pod=~\"{{{{canary.pods}}}}\"}}")},
        })
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, query: String) -> String {
    let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let mut values = script.values.iter();
    let value = values.find(|(word, _)| query.contains(*word));
    let result = value.map(|(_, value)| json!({"value": [0, value.to_string()]}));
    let result: Vec<Value> = result.into_iter().collect();
    script.asked.push(query);
    json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

fn with(mut extra: Value, strategy: &Value, analysis: &Value) -> Value {
    extra["spec"]["strategy"] = strategy.clone();
    extra["spec"]["analysis"] = analysis.clone();
    extra
}

fn weight(status: &RolloutStatus) -> u8 {
    status.weights.as_ref().map_or(0, |weights| weights.canary)
}

/// Version 1 runs, with a gateway; version 2 is wanted.
async fn changed(space: &Space, strategy: &Value, analysis: &Value) -> (Subject, String) {
    let extra = with(routed(), strategy, analysis);
    let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
    let first = stable(&api.until_phase(Phase::Healthy).await);
    api.set_image("greeter:2").await;
    (api, first)
}

/// Goes back to version 1, and says why; the largest weight that version 2 had.
async fn sent_back(api: &Subject, first: &str, words: &str) -> u8 {
    let back = api.until_phase(Phase::RolledBack).await;
    assert_eq!((stable(&back).as_str(), weight(&back)), (first, 0));
    let ending = &back.history[0];
    assert_eq!(ending.result, EndingResult::RolledBack);
    assert!(ending.reason.contains(words), "{}", ending.reason);
    api.until_alone(first).await;
    ending.peak_weight
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_metric_in_the_background_sends_a_canary_back_out_of_a_pause() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        metrics.set("errors", 0.0);
        let strategy = json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "1h"}}]});
        let mut looked_at = metrics.metric("looked-at");
        looked_at["dryRun"] = true.into();
        metrics.set("looked-at", 1.0);
        let analysis = json!({"metrics": [metrics.metric("errors"), looked_at]});
        let (api, first) = changed(space, &strategy, &analysis).await;
        let good = api
            .until("good samples in a pause", |status| {
                let mut tallies = status.analysis.iter();
                tallies.any(|tally| tally.name == "errors" && tally.passed >= 3)
            })
            .await;
        assert_eq!((good.phase, weight(&good)), (Some(Phase::Paused), 25));
        let message = good.message.as_ref().unwrap();
        assert!(message.contains("pausing until"), "{message}");
        assert!(message.contains("; measured: errors "), "{message}");
        metrics.set("errors", 0.5);
        let words = "AnalysisFailed: errors: 1 of ";
        assert_eq!(sent_back(&api, &first, words).await, 25);
        assert!(
            metrics
                .asked()
                .iter()
                .any(|query| query.contains("looked-at"))
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_measured_in_the_background_is_waited_for_before_anything_takes_over() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        let strategy = json!({"steps": [{"setWeight": {"weight": 25}}]});
        let analysis = json!({"metrics": [metrics.metric("errors")]});
        let (api, first) = changed(space, &strategy, &analysis).await;
        let waiting = api
            .until("no data", |status| {
                let mut tallies = status.analysis.iter();
                tallies.any(|tally| tally.no_data >= 3)
            })
            .await;
        assert_eq!(
            (waiting.phase, weight(&waiting)),
            (Some(Phase::Analysing), 25)
        );
        let message = waiting.message.as_ref().unwrap();
        assert!(message.contains("(errors 0/2 passed, "), "{message}");
        assert!(message.contains("without a verdict until "), "{message}");
        metrics.set("errors", 0.0);
        api.until_promoted(&first).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_step_goes_on_when_its_metric_is_good_and_sends_back_when_it_is_bad() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        metrics.set("errors", 0.0);
        let strategy = json!({"steps": [
            {"setWeight": {"weight": 25}}, {"analyse": {"metrics": ["errors"], "for": "500ms"}},
        ]});
        let analysis = json!({"metrics": [metrics.metric("errors")]});
        let (api, first) = changed(space, &strategy, &analysis).await;
        let second = stable(&api.until_promoted(&first).await);
        metrics.set("errors", 0.5);
        api.set_image("greeter:3").await;
        assert_eq!(
            sent_back(&api, &second, "errors: 1 of 1 samples are bad").await,
            25
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_analysis_before_the_promotion_keeps_every_user_away_from_a_bad_version() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        metrics.set("smoke", 0.5);
        let strategy = json!({"type": "BlueGreen", "steps": null, "maxSurge": "100%", "blueGreen": {
            "prePromotion": [{"analyse": {"metrics": ["smoke"]}}],
        }});
        let analysis = json!({"metrics": [metrics.metric("smoke")]});
        let (api, first) = changed(space, &strategy, &analysis).await;
        assert_eq!(
            sent_back(&api, &first, "smoke: 1 of 1 samples are bad").await,
            0
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_analysis_after_the_promotion_goes_back_to_the_revision_that_was_kept() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        metrics.set("errors", 0.0);
        let strategy = json!({"type": "BlueGreen", "steps": null, "maxSurge": "100%", "blueGreen": {
            "postPromotion": [{"analyse": {"metrics": ["errors"], "for": "1h"}}],
        }});
        let analysis = json!({"metrics": [metrics.metric("errors")]});
        let (api, first) = changed(space, &strategy, &analysis).await;
        let switched = api
            .until("all of the traffic, measured", |status| {
                weight(status) == 100 && status.analysis.iter().any(|tally| tally.passed > 0)
            })
            .await;
        let kept = switched.stable.unwrap();
        assert_eq!((kept.revision.as_str(), kept.ready), (first.as_str(), 4));
        metrics.set("errors", 0.5);
        assert_eq!(
            sent_back(&api, &first, "AnalysisFailed: errors: 1 of ").await,
            100
        );
    })
    .await;
}

fn template(metrics: &Metrics, most: &str) -> Value {
    let mut metric = metrics.metric("errors");
    metric["pass"] = "value < {{args.most}}".into();
    metric["prometheus"]["query"] = "errors{app=\"{{args.app}}\",pod=~\"{{canary.pods}}\"}".into();
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "rules"},
        "spec": {"args": [{"name": "app"}, {"name": "most", "value": most}], "metrics": [metric]},
    })
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn metrics_of_a_template_decide_and_follow_its_edits_and_without_it_the_change_is_held() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let metrics = Metrics::start().await;
        metrics.set("errors", 0.05);
        let templates = space.api("AnalysisTemplate");
        let rules = serde_json::from_value(template(&metrics, "0.1")).unwrap();
        let strategy = json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]});
        let args = json!({"app": "{{metadata.name}}"});
        let analysis = json!({"templates": [{"name": "rules", "args": args}]});
        let extra = with(routed(), &strategy, &analysis);
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let lost = api.until_phase(Phase::Degraded).await;
        let message = lost.message.unwrap();
        let words = "spec.analysis.templates[0].name: there is no AnalysisTemplate rules";
        assert!(message.contains(words), "{message}");
        templates
            .create(&PostParams::default(), &rules)
            .await
            .unwrap();
        let first = stable(&api.until_phase(Phase::Healthy).await);

        api.set_image("greeter:2").await;
        let is_measured = |status: &RolloutStatus| {
            let mut tallies = status.analysis.iter();
            tallies.any(|tally| tally.name == "errors" && tally.passed >= 2)
        };
        api.until("samples of the template's metric", is_measured)
            .await;
        let asked = metrics.asked();
        assert!(
            asked.iter().all(|query| query.contains("app%3D%22api%22")),
            "{asked:?}"
        );

        // Without its template nothing goes on, and with it again it does.
        templates
            .delete("rules", &DeleteParams::default())
            .await
            .unwrap();
        let held = api.until("held without it", |status| {
            status.phase == Some(Phase::Degraded)
        });
        let held = held.await;
        assert_eq!(weight(&held), 25);
        assert!(
            held.message.as_ref().unwrap().contains(words),
            "{:?}",
            held.message
        );
        templates
            .create(&PostParams::default(), &rules)
            .await
            .unwrap();
        api.until_phase(Phase::Paused).await;

        // An edit counts from the next sample on.
        let stricter = template(&metrics, "0.01");
        templates
            .patch("rules", &PatchParams::default(), &Patch::Merge(stricter))
            .await
            .unwrap();
        assert_eq!(
            sent_back(&api, &first, "AnalysisFailed: errors: ").await,
            25
        );
    })
    .await;
}
