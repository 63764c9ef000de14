use serde_json::json;

use super::*;
use crate::cli::manifest;
use crate::crd;
use crate::kinds::KINDS;

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

/// What was converted, which can be used as it is.
fn converted(text: &str) -> Written {
    let written = convert(&manifest::all(text).unwrap(), &schemas());
    let repairs: Vec<&String> = written
        .report
        .iter()
        .filter(|line| line.starts_with("to be repaired"))
        .collect();
    assert!(repairs.is_empty(), "{repairs:#?}\n{}", written.text());
    written
}

fn told(written: &Written, words: &str) {
    let is_told = written.report.iter().any(|line| line.contains(words));
    assert!(is_told, "{words}: {:#?}", written.report);
}

/// A shop as it may be with Argo Rollouts: Istio, analysis in steps and in the background.
const ARGO: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: checkout, namespace: shop}
spec:
  replicas: 8
  revisionHistoryLimit: 4
  progressDeadlineSeconds: 300
  rollbackWindow: {revisions: 2}
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      containers:
      - {name: web, image: "registry.example/shop/checkout:3.1", ports: [{containerPort: 8080}]}
  strategy:
    canary:
      stableService: checkout
      canaryService: checkout-next
      maxSurge: 25%
      dynamicStableScale: true
      abortScaleDownDelaySeconds: 10
      canaryMetadata: {labels: {role: canary}}
      trafficRouting:
        managedRoutes: [{name: testers}]
        istio:
          virtualService: {name: checkout, routes: [primary]}
          destinationRule: {name: checkout, canarySubsetName: next, stableSubsetName: now}
      analysis:
        startingStep: 3
        templates: [{templateName: errors}]
        args: [{name: service_name, value: checkout}]
      steps:
      - setCanaryScale: {replicas: 1}
      - setHeaderRoute:
          name: testers
          match: [{headerName: x-tester, headerValue: {exact: "yes"}}]
      - setWeight: 5
      - pause: {duration: 300}
      - analysis:
          templates: [{templateName: errors}, {templateName: smoke}]
      - setMirrorRoute: {name: shadow, percentage: 30, match: [{path: {prefix: /}}]}
      - setWeight: 40
      - pause: {}
      - experiment: {duration: 5m}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args:
  - name: service_name
  - {name: token, valueFrom: {secretKeyRef: {name: metrics, key: token}}}
  dryRun: [{metricName: slow}]
  measurementRetention: [{metricName: "*", limit: 50}]
  metrics:
  - name: errors
    interval: 30s
    initialDelay: 1m
    count: 10
    failureLimit: 2
    consecutiveErrorLimit: 5
    successCondition: len(result) == 0 || result[0] <= 0.02
    provider:
      prometheus:
        address: http://prometheus.monitoring:9090
        query: sum(rate(errors_total{service="{{ args.service_name }}"}[2m]))
        headers: [{key: X-Token, value: "{{args.token}}"}]
  - name: slow
    interval: 1m
    failureCondition: isNaN(result) or result > 0.5
    provider: {graphite: {address: "https://graphite.example", query: "stats.checkout.p99"}}
  - name: verdict
    successCondition: result.ok == true
    provider: {web: {url: "https://verdicts.example/checkout", jsonPath: "{$.verdict}"}}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterAnalysisTemplate
metadata: {name: smoke}
spec:
  metrics:
  - name: smoke
    provider:
      job:
        spec:
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              containers: [{name: main, image: "registry.example/shop/smoke:7", command: [smoke], args: [--quick], env: [{name: LEVEL, value: high}]}]
  - name: latency
    interval: 20s
    successCondition: result < 300
    provider: {web: {url: "http://stats.shop/latency", jsonPath: "{$.p99}", timeoutSeconds: 10}}
---
apiVersion: v1
kind: Service
metadata: {name: checkout}
"#;

#[test]
fn a_canary_of_argo_becomes_a_rollout_and_what_was_left_out_is_told() {
    insta::assert_snapshot!(converted(ARGO).text());
}

#[test]
fn steps_of_argo_name_the_metrics_of_their_templates() {
    let written = converted(ARGO);
    let kinds: Vec<&str> = written
        .objects
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["AnalysisTemplate", "AnalysisTemplate", "Rollout"]);
    let spec = &written.objects[2]["spec"];
    let steps = json!([
        {"scale": {"canary": 1}},
        {"route": {"headers": [{"name": "x-tester", "value": "yes"}]}},
        {"setWeight": {"weight": 5}},
        {"pause": {"for": "300s"}},
        {"analyse": {"metrics": ["errors", "slow", "smoke", "latency"]}},
        {"mirror": {"percent": 30}},
        {"setWeight": {"weight": 40}},
        {"pause": {}},
    ]);
    assert_eq!(spec["strategy"]["steps"], steps);
    assert_eq!(spec["strategy"]["stableScale"], "WithWeight");
    assert_eq!(spec["analysis"]["startAt"]["weight"], 5);
    let rule = json!({"name": "checkout", "stableSubset": "now", "canarySubset": "next"});
    assert_eq!(spec["traffic"]["istio"]["destinationRule"], rule);
    assert_eq!(spec["traffic"]["services"]["canary"], "checkout-next");
    for words in [
        "steps[8].experiment",
        "canaryMetadata: has no equivalent",
        "Service checkout: is none of what is converted",
        "`result.ok == true` is about more than one number",
        "there are none of the whole cluster",
        "Secret metrics is read by a metric",
    ] {
        told(&written, words);
    }
}

#[test]
fn metrics_of_argo_are_judged_by_the_same_conditions() {
    let written = converted(ARGO);
    let metrics = &written.objects[0]["spec"]["metrics"];
    assert_eq!(metrics.as_array().unwrap().len(), 2);
    assert_eq!(metrics[0]["pass"], "value <= 0.02");
    assert_eq!(metrics[0]["noData"], "Pass");
    assert_eq!(metrics[0]["errorLimit"], 5);
    let query = metrics[0]["prometheus"]["query"].as_str().unwrap();
    assert!(query.contains("{{args.service-name}}"), "{query}");
    assert_eq!(metrics[1]["fail"], "isNaN(value) || value > 0.5");
    assert_eq!(metrics[1]["dryRun"], true);
    let smoke = &written.objects[1]["spec"]["metrics"];
    assert_eq!(smoke[0]["job"]["command"], json!(["smoke", "--quick"]));
    assert_eq!(smoke[1]["web"]["plainHttp"], true);
    assert_eq!(smoke[1]["timeout"], "10s");
}

#[test]
fn a_blue_green_of_argo_is_switched_by_its_services() {
    let written = converted(
        r"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: Search}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: search, scaleDown: onsuccess}
  strategy:
    blueGreen:
      activeService: search
      previewService: search-preview
      previewReplicaCount: 2
      autoPromotionEnabled: false
      scaleDownDelaySeconds: 600
      prePromotionAnalysis: {templates: [{templateName: ready}]}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: ready}
spec:
  metrics:
  - {name: ready, successCondition: result == 1, provider: {web: {url: 'https://search.example/ready'}}}
",
    );
    let spec = &written.objects[1]["spec"];
    assert_eq!(
        spec["workloadRef"],
        json!({"kind": "Deployment", "name": "search"})
    );
    let strategy = &spec["strategy"];
    assert_eq!(strategy["keepOldFor"], "600s");
    assert_eq!(strategy["blueGreen"]["promote"]["mode"], "Manual");
    let looked = json!([{"analyse": {"metrics": ["ready"]}}]);
    assert_eq!(strategy["blueGreen"]["prePromotion"], looked);
    assert_eq!(
        spec["traffic"]["services"],
        json!({"stable": "search", "canary": "search-preview"})
    );
    told(&written, "spec.paused: true");
}

#[test]
fn a_template_that_is_not_in_the_file_is_to_be_repaired() {
    let text = "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a}, spec: {selector: {matchLabels: {app: a}}, \
        template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}, \
        strategy: {canary: {steps: [{analysis: {templates: [{templateName: elsewhere}]}}]}}}}";
    let written = convert(&manifest::all(text).unwrap(), &schemas());
    told(
        &written,
        "metrics of AnalysisTemplate elsewhere are not known here",
    );
    told(
        &written,
        "to be repaired: Rollout a: spec.analysis.templates[0].name",
    );
}

/// The same shop with Flagger on the Gateway API.
const FLAGGER: &str = r#"
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: cart, namespace: shop}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: cart}
  progressDeadlineSeconds: 120
  revertOnDeletion: true
  service:
    port: 80
    targetPort: 9898
    hosts: [cart.example.com]
    gatewayRefs: [{name: web, namespace: gateways}]
    retries: {attempts: 3}
  analysis:
    interval: 1m
    threshold: 4
    maxWeight: 30
    stepWeight: 10
    mirror: true
    mirrorWeight: 50
    sessionAffinity: {cookieName: cart-affinity, maxAge: 3600}
    alerts: [{name: team, severity: error, providerRef: {name: chat}}]
    metrics:
    - name: request-success-rate
      thresholdRange: {min: 99}
    - name: Not Found
      interval: 2m
      templateRef: {name: not-found, namespace: shop}
      templateVariables: {code: "404"}
      thresholdRange: {max: 5}
    - name: elsewhere
      templateRef: {name: elsewhere}
      thresholdRange: {max: 1}
    webhooks:
    - {name: smoke, type: pre-rollout, url: "http://tester.test/"}
    - {name: gate, type: confirm-promotion, url: "http://tester.test/gate/check"}
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: not-found, namespace: shop}
spec:
  provider: {type: prometheus, address: "http://prometheus.monitoring:9090"}
  query: |
    100 * sum(rate(http_requests_total{namespace="{{ namespace }}",pod=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)",code="{{ variables.code }}"}[{{ interval }}]))
---
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: unused}
spec: {provider: {type: prometheus}, query: up}
"#;

#[test]
fn a_canary_of_flagger_becomes_a_rollout_and_what_was_left_out_is_told() {
    insta::assert_snapshot!(converted(FLAGGER).text());
}

#[test]
fn a_canary_of_flagger_goes_at_the_same_pace() {
    let written = converted(FLAGGER);
    assert_eq!(written.objects.len(), 1);
    let spec = &written.objects[0]["spec"];
    let pause = json!({"pause": {"for": "1m"}});
    let weight = |weight: u8| json!({"setWeight": {"weight": weight}});
    let mirror = |percent: u8| json!({"mirror": {"percent": percent}});
    let steps = json!([
        mirror(50),
        pause,
        mirror(0),
        weight(10),
        pause,
        weight(20),
        pause,
        weight(30),
        pause,
    ]);
    assert_eq!(spec["strategy"]["steps"], steps);
    assert_eq!(spec["workloadRef"]["name"], "cart");
    let generate = &spec["traffic"]["gatewayAPI"]["generate"];
    assert_eq!(generate["hostnames"], json!(["cart.example.com"]));
    assert_eq!(spec["traffic"]["sessionAffinity"]["maxAge"], "3600s");
    let metrics = spec["analysis"]["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 1);
    assert_eq!(metrics[0]["name"], "not-found");
    assert_eq!(metrics[0]["pass"], "value <= 5");
    assert_eq!(metrics[0]["failureLimit"], 3);
    let query = metrics[0]["prometheus"]["query"].as_str().unwrap();
    let expected = r#"namespace="{{metadata.namespace}}",pod=~"{{canary.pods}}",code="404"}[2m]"#;
    assert!(query.contains(expected), "{query}");
    for words in [
        "cart-primary",
        "let the scaleTargetRef of cart name the Rollout",
        "request-success-rate: Flagger knows how to ask for it",
        "MetricTemplate elsewhere is not in the file",
        "MetricTemplate unused",
        "gate (confirm-promotion): an approve step",
        "alerts: an Environment tells people",
        "service.retries: stands in a route of your own",
    ] {
        told(&written, words);
    }
}

#[test]
fn iterations_of_flagger_are_looks_before_the_switch_or_requests_with_a_header() {
    let canary = |provider: &str, matches: &str| {
        format!(
            "{{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {{name: a}}, spec: {{provider: {provider}, \
             targetRef: {{kind: Deployment, name: a}}, service: {{port: 80}}, \
             analysis: {{interval: 30s, iterations: 3, threshold: 2, {matches} \
             metrics: [{{name: request-success-rate, thresholdRange: {{min: 99}}}}, {{name: request-duration, threshold: 500}}]}}}}}}"
        )
    };
    let written = converted(&canary("kubernetes", ""));
    let strategy = &written.objects[0]["spec"]["strategy"];
    let pause = json!({"pause": {"for": "30s"}});
    assert_eq!(
        strategy["blueGreen"]["prePromotion"],
        json!([pause, pause, pause])
    );

    let matches = "match: [{headers: {x-group: {exact: beta}, x-other: {regex: '.*'}}}],";
    let written = converted(&canary("istio", matches));
    let spec = &written.objects[0]["spec"];
    let route = json!({"route": {"headers": [{"name": "x-group", "value": "beta"}]}});
    assert_eq!(
        spec["strategy"]["steps"],
        json!([route, pause, pause, pause])
    );
    assert_eq!(spec["traffic"]["istio"]["virtualServices"][0]["name"], "a");
    let metrics = spec["analysis"]["metrics"].as_array().unwrap();
    assert_eq!(metrics[0]["pass"], "value >= 99");
    assert_eq!(metrics[1]["pass"], "value <= 500");
    told(&written, "header x-other is matched by a pattern");
}

#[test]
fn weights_without_a_router_are_numbers_of_pods() {
    let written = converted(
        "{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: {name: a}, spec: {provider: linkerd, \
         targetRef: {kind: Deployment, name: a}, service: {port: 80}, analysis: {interval: 30s, stepWeights: [5, 50]}}}",
    );
    let spec = &written.objects[0]["spec"];
    assert_eq!(spec.get("traffic"), None);
    assert_eq!(spec["strategy"]["steps"][2]["setWeight"]["weight"], 50);
    told(&written, "nothing divides requests");
}

#[test]
fn what_is_of_neither_is_not_known() {
    let ours = json!({"apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout"});
    assert!(!is_known(&ours));
    assert!(!is_known(&json!({"jobs": {}})));
    assert!(is_known(
        &json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"})
    ));
}

#[test]
fn dry_runs_of_argo_name_metrics_by_regular_expressions_and_what_is_lost_is_told() {
    let written = converted(
        "
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: watch}
spec:
  dryRun: [{metricName: 'slow-.*'}, {metricName: gone}]
  metrics:
  - {name: slow-reads, successCondition: 'result[0] < 1', provider: {prometheus: {address: 'http://p', query: up}}}
  - {name: errors, successCondition: 'result[0] < 1', provider: {prometheus: {address: 'http://p', query: up}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}, spec: {containers: [{name: web, image: web}]}}
  strategy:
    canary:
      analysis: {templates: [{templateName: watch}], dryRun: [{metricName: errors}]}
      steps: [{setWeight: 20}]
",
    );
    let metrics = &written.objects[0]["spec"]["metrics"];
    assert_eq!(metrics[0]["dryRun"], true);
    assert_eq!(metrics[1].get("dryRun"), None);
    told(&written, "`gone` is the name of no metric");
    told(&written, "dryRun: set dryRun of those metrics");
}

#[test]
fn what_goes_down_with_the_weight_is_not_kept() {
    let strategy = |more: &str| {
        let written = converted(&format!(
            r"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: search}}
spec:
  selector: {{matchLabels: {{app: search}}}}
  template:
    metadata: {{labels: {{app: search}}}}
    spec: {{containers: [{{name: web, image: 'search:1'}}]}}
  strategy:
    canary:
      scaleDownDelaySeconds: 60
      stableService: search
      canaryService: search-next
      trafficRouting: {{traefik: {{weightedTraefikServiceName: search}}}}
      {more}
"
        ));
        written.objects[0]["spec"]["strategy"].clone()
    };
    let full = strategy("maxSurge: 1");
    assert_eq!(full["keepOldFor"], "60s");
    let lean = strategy("dynamicStableScale: true");
    assert_eq!(lean["stableScale"], "WithWeight");
    assert_eq!(lean.get("keepOldFor"), None);
}
