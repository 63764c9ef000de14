//! What people see, for each shape of change.

use super::super::read::simulations;
use super::*;
use crate::analysis::template::Templates;
use crate::cli::Output;
use crate::cli::manifest::{Schemas, templates};
use crate::crd;
use crate::kinds::KINDS;
use crate::model::object::ObjectKind;
use crate::rollout::api::RiskLevel;

fn shown(spec: &str) -> String {
    shown_at(spec, RiskLevel::Medium)
}

fn shown_at(spec: &str, level: RiskLevel) -> String {
    let indented = spec.trim_end().replace('\n', "\n  ");
    let text = format!(
        "apiVersion: slipway.dev/v1alpha1
kind: Rollout
metadata: {{name: api, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec: {{containers: [{{name: web, image: 'api:1'}}]}}
  {indented}
"
    );
    told(&text, level)
}

fn schemas() -> Schemas {
    let schema = |kind| {
        let info = KINDS.iter().find(|info| info.object == kind);
        crd::schema_of(info.unwrap()).unwrap()
    };
    Schemas {
        rollout: schema(ObjectKind::Rollout),
        template: schema(ObjectKind::AnalysisTemplate),
    }
}

/// What is said of a file.
fn told(text: &str, level: RiskLevel) -> String {
    let schemas = schemas();
    let (templates, mut problems) = templates(text, &schemas);
    let (found, more) = simulations(text, &schemas, &templates, (level, &[][..]));
    problems.extend(more);
    let palette = Palette::new(false);
    format!("{}{}", table(&found, palette), problems.join("\n"))
}

const ROUTED: &str = "traffic: {drain: 15s, gatewayAPI: {generate: {parentRefs: [{name: web}]}}}";

#[test]
fn a_canary() {
    insta::assert_snapshot!(shown(&format!(
        "replicas: 6
strategy:
  steps:
  - setWeight: {{weight: 10}}
  - analyse: {{metrics: [success-rate], for: 10m}}
  - setWeight: {{weight: 50}}
  - approve: {{required: 2, groups: [release-managers]}}
  - pause: {{for: 15m}}
analysis:
  metrics:
  - name: success-rate
    prometheus: {{address: 'http://prometheus:9090', query: up}}
    pass: value >= 0.99
{ROUTED}"
    )));
}

#[test]
fn blue_green() {
    insta::assert_snapshot!(shown(&format!(
        "replicas: 4
strategy:
  type: BlueGreen
  maxSurge: 100%
  keepOldFor: 10m
  blueGreen:
    previewReplicas: 1
    prePromotion: [{{run: {{name: smoke, job: {{image: 'smoke:1'}}}}}}]
    promote: {{mode: Manual}}
    postPromotion: [{{pause: {{for: 30s}}}}]
{ROUTED}"
    )));
}

#[test]
fn rolling() {
    insta::assert_snapshot!(shown(&format!(
        "replicas: 3
minReadySeconds: 5
strategy: {{type: Rolling, maxSurge: 1}}
{ROUTED}"
    )));
}

#[test]
fn by_risk() {
    let auto = format!("replicas: 2\nstrategy: {{type: Auto}}\n{ROUTED}");
    insta::assert_snapshot!(shown(&auto));
    insta::assert_snapshot!(shown_at(&auto, RiskLevel::Low));
    insta::assert_snapshot!(shown_at(&auto, RiskLevel::High));
}

#[test]
fn ratios_without_a_router() {
    insta::assert_snapshot!(shown(
        "replicas: 10
gracefulShutdown: 'Off'
strategy:
  maxSurge: 2
  steps: [{setWeight: {weight: 10}}, {pause: {for: 15m}}]"
    ));
}

#[test]
fn what_makes_the_weights_is_said_of_each_router() {
    for (traffic, words, waits) in [
        ("{}", "the stable Service is switched", "pods"),
        (
            "{gatewayAPI: {generate: {parentRefs: [{name: web}]}}}",
            "weights by HTTPRoute api",
            "pods and data plane",
        ),
        (
            "{allowForeign: true, gatewayAPI: {httpRoutes: [{name: shop}]}, istio: {virtualServices: [{name: mesh}]}}",
            "weights by HTTPRoute shop and VirtualService mesh",
            "pods and data plane",
        ),
        (
            "{allowForeign: true, traefik: {services: [weighted]}}",
            "weights by TraefikService weighted",
            "pods and data plane",
        ),
    ] {
        let text = format!("replicas: 4\nstrategy: {{type: BlueGreen}}\ntraffic: {traffic}");
        let shown = shown(&text);
        let title = format!("Rollout shop/api: BlueGreen, 4 pods, {words}\n");
        assert!(shown.starts_with(&title), "{shown}");
        let took = format!("as long as {waits} take");
        assert!(shown.contains(&took), "{shown}");
    }
}

#[test]
fn many_rows_are_folded() {
    insta::assert_snapshot!(shown("replicas: 30\nstrategy: {maxSurge: 1}"));
}

#[test]
fn failures_that_are_left_to_people_are_listed() {
    let shown = shown("rollback: {'on': [CrashLoop, OutOfMemory, ImagePull, ContainerConfig]}");
    let told = "held for people instead of taken back: AnalysisFailed, SLOBurn, NoVerdict, HookFailed, ProgressDeadline";
    assert!(shown.contains(told), "{shown}");
}

#[test]
fn what_is_wrong_is_told_with_its_path_and_once() {
    insta::assert_snapshot!(shown(
        "replicas: many
strategy:
  keepOldFor: 10m
  steps: [{}, {analyse: {metrics: [latency]}}, {scale: {canary: 1}}]"
    ));
    insta::assert_snapshot!(shown(
        "strategy:
  steps: [{}, {analyse: {metrics: [latency]}}, {scale: {canary: 1}}]"
    ));
}

#[test]
fn programs_get_numbers() {
    let text = "apiVersion: slipway.dev/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: web, image: 'api:1'}]}
  strategy: {steps: [{pause: {for: 90s}}]}
";
    let given = (RiskLevel::Medium, &[][..]);
    let (found, _) = simulations(text, &schemas(), &Templates::new(), given);
    insta::assert_snapshot!(Output::Json.document(&found).unwrap());
    let yaml = Output::Yaml.document(&found).unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, serde_json::to_value(&found).unwrap());
}

const TEMPLATED: &str = "apiVersion: slipway.dev/v1alpha1
kind: AnalysisTemplate
metadata: {name: house-rules}
spec:
  args: [{name: service}]
  metrics:
  - name: errors
    fail: value > 0.01
    minSamples: 4
    prometheus: {address: 'http://prometheus:9090', query: 'errors{service=\"{{args.service}}\",pod=~\"{{canary.pods}}\"}'}
---
apiVersion: slipway.dev/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: web, image: 'api:1'}]}
  analysis: {templates: [{name: house-rules, args: {service: api}}]}
  traffic: {drain: 15s, gatewayAPI: {generate: {parentRefs: [{name: web}]}}}
";

#[test]
fn a_template_in_the_file_is_used() {
    insta::assert_snapshot!(told(TEMPLATED, RiskLevel::Medium));
    let unknown = TEMPLATED.replace("args: {service: api}", "args: {servce: api}");
    insta::assert_snapshot!(told(&unknown, RiskLevel::Medium));
    let missing = TEMPLATED.replace("[{name: house-rules", "[{name: other");
    insta::assert_snapshot!(told(&missing, RiskLevel::Medium));
    let broken = TEMPLATED.replace("minSamples: 4", "minSamples: 0");
    insta::assert_snapshot!(told(&broken, RiskLevel::Medium));
}
