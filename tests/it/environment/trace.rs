//! The way of a change as a collector of traces sees it: from its commit to its Rollout, through two operators.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use slipway::environment::api::EnvironmentPhase;
use slipway::pipeline_run::api::RunPhase;

use super::shop::Shop;
use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::operator::Operator;
use crate::pipeline::Subject;
use crate::server::serve;

/// Takes traces over OTLP, and keeps the spans of changes.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    async fn listen() -> (Self, String) {
        let collector = Self::default();
        let app = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let (url, _) = serve(app).await;
        (collector, url)
    }

    /// The spans, by name.
    fn spans(&self) -> BTreeMap<String, Span> {
        let all = self.0.lock().unwrap();
        let spans: BTreeMap<String, Span> = all
            .iter()
            .map(|span| (span.name.clone(), span.clone()))
            .collect();
        assert_eq!(spans.len(), all.len(), "told twice: {all:?}");
        spans
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> impl IntoResponse {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resources = request.resource_spans.into_iter();
    for scope in resources.flat_map(|resource| resource.scope_spans) {
        if scope.scope.unwrap_or_default().name == "slipway/change" {
            collector.0.lock().unwrap().extend(scope.spans);
        }
    }
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    ([(header::CONTENT_TYPE, "application/x-protobuf")], answer)
}

/// What an attribute says that is a text.
fn says<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|known| known.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Waits until the operator serves this line, in which something is counted.
async fn until_counted(operator: &Operator, line: &str) {
    wait_for(line, SOON, async || {
        let served = operator.metrics().await;
        served.lines().any(|one| one == line).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_change_is_one_trace_from_its_commit_to_its_rollout() {
    with_namespace(async |space| {
        let (collector, url) = Collector::listen().await;
        let subject = Subject::new(space).await;
        let commit = subject.push("Add the shop").await;
        let traced = ["--otlp-endpoint", url.as_str()];
        let operator = subject.operator_with(&kubeconfig_path(), &traced);
        let stages = json!([
            {"name": "unit", "type": "Test", "image": subject.image("python"), "run": "pytest",
             "reports": {"junit": ["junit.xml"]}},
            {"name": "api", "type": "Build", "needs": ["unit"],
             "build": {"image": "registry.example/shop/api"}},
        ]);
        subject.create(&json!({"spec": {"stages": stages}})).await;
        let (run, status) = subject.ended(&commit).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        let release = status.release.unwrap();
        let namespace = &space.name;
        let ran = format!("slipway_runs_total{{namespace=\"{namespace}\",pipeline=\"api\",result=\"Succeeded\"}} 1");
        until_counted(&operator, &ran).await;
        assert_eq!(operator.end().await, Some(0));

        // Another process, which has nothing of the first one but the records.
        let operator = subject.operator_with(&kubeconfig_path(), &traced);
        let shop = Shop::new(space);
        let from = json!({"promotion": {"from": {"pipelines": ["api"]}}, "smokeTests": null});
        shop.environment("staging", &from).await;
        shop.until("staging", "it runs", |status| {
            status.phase == Some(EnvironmentPhase::Steady)
                && status.last_good.iter().any(|good| good.release == release)
        })
        .await;
        let promoted = format!(
            "slipway_promotions_total{{environment=\"staging\",kind=\"Promote\",namespace=\"{}\",result=\"Succeeded\"}} 1",
            space.name
        );
        until_counted(&operator, &promoted).await;
        assert_eq!(operator.end().await, Some(0));

        let spans = collector.spans();
        let parent = |name: &str| {
            let span = &spans[name];
            let mut all = spans.values();
            let parent = all.find(|one| one.span_id == span.parent_span_id);
            parent.map(|parent| parent.name.as_str())
        };
        let expected = [
            ("commit", None),
            ("run", Some("commit")),
            ("stage unit", Some("run")),
            ("stage api", Some("run")),
            ("release", Some("run")),
            ("promotion staging", Some("release")),
            ("gates", Some("promotion staging")),
            ("rollout-staging-api", Some("promotion staging")),
        ];
        let found: Vec<&String> = spans.keys().collect();
        assert_eq!(spans.len(), expected.len(), "{found:?}");
        for (name, of) in expected {
            assert!(spans.contains_key(name), "{name} is not in {found:?}");
            assert_eq!(parent(name), of, "{name}");
            let span = &spans[name];
            assert_eq!(span.trace_id, spans["commit"].trace_id, "{name}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        }
        let commit_of_run = says(&spans["run"], "vcs.ref.head.revision");
        assert_eq!(commit_of_run, Some(commit.as_str()));
        assert_eq!(
            says(&spans["run"], "cicd.pipeline.run.id"),
            Some(run.as_str())
        );
        assert_eq!(says(&spans["run"], "cicd.pipeline.result"), Some("success"));
        let promotion = &spans["promotion staging"];
        assert_eq!(says(promotion, "slipway.release"), Some(release.as_str()));
        assert_eq!(says(promotion, "slipway.result"), Some("Succeeded"));
    })
    .await;
}
