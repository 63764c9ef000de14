//! The rules of SLOs, evaluated by Prometheus itself (`promtool test rules`): what it computes from them is what Slipway
//! computes from the same requests, in every window. And what keeps them in a cluster.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::environment::api::Slo as Raw;
use slipway::model::object::ObjectKind;
use slipway::slo::formula::{self, Counts};
use slipway::slo::query::Labels;
use slipway::slo::{Slo, Window, rule};
use testbed::programs;

use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::operator::Operator;

/// Time between two looks of an Environment at rest.
const A_MINUTE: Duration = Duration::from_secs(65);

const LABELS: Labels<'static> = Labels {
    namespace: "shop",
    environment: "production",
};

/// An SLO over three days, so that a test need not be longer.
fn slo(extra: &Value) -> Slo {
    let mut raw = json!({
        "name": "api", "objective": "99.9", "period": "72h", "prometheus": {"address": "http://p"},
        "availability": {"metric": "requests_total", "matchers": "job=\"api\"", "errorMatchers": "code=~\"5..\""},
    });
    json_patch::merge(&mut raw, extra);
    let raw: Raw = serde_json::from_value(raw).unwrap();
    Slo::read(&raw, None).unwrap()
}

/// A minute of every request is a sample.
const DAYS: u64 = 3 * 24 * 60;

/// What is expected of an expression at a time: the number of each series, or no series at all.
struct Expected {
    minute: u64,
    expression: String,
    value: Option<f64>,
}

impl Expected {
    fn at(minute: u64, expression: impl Into<String>, value: Option<f64>) -> Self {
        Self {
            minute,
            expression: expression.into(),
            value,
        }
    }
}

fn ratio(window: Window) -> String {
    format!("slipway:sli_error:ratio_rate{}", window.as_str())
}

fn alert(name: &str, severity: &str) -> String {
    format!(
        r#"count(ALERTS{{alertname="{name}",severity="{severity}",alertstate="firing",namespace="shop",environment="production",slo="api"}})"#
    )
}

/// Has promtool evaluate the rules on series of counters, one sample a minute.
async fn test(name: &str, slo: &Slo, series: &[(&str, String)], expected: &[Expected]) {
    programs::ensure(&["promtool"]).await.unwrap();
    let folder =
        std::env::temp_dir().join(format!("slipway-promtool-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let rules = json!({"groups": rule::groups(std::slice::from_ref(slo), &LABELS)});
    std::fs::write(folder.join("rules.yaml"), rules.to_string()).unwrap();
    let tests: Vec<Value> = expected
        .iter()
        .map(|expected| {
            // Labels are what rules are for elsewhere; here it is the number.
            let expression = format!("sum({})", expected.expression);
            let samples: Vec<Value> = expected
                .value
                .into_iter()
                .map(|value| json!({"labels": "{}", "value": value}))
                .collect();
            json!({"expr": expression, "eval_time": format!("{}m", expected.minute), "exp_samples": samples})
        })
        .collect();
    let series: Vec<Value> = series
        .iter()
        .map(|(name, values)| json!({"series": name, "values": values}))
        .collect();
    let file = json!({
        "rule_files": ["rules.yaml"], "evaluation_interval": "1m", "fuzzy_compare": true,
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    });
    let path: PathBuf = folder.join("test.yaml");
    std::fs::write(&path, file.to_string()).unwrap();
    let promtool = programs::path_of("promtool").unwrap();
    let output = Command::new(promtool)
        .args(["test", "rules"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Requests a minute, of which `bad` of a hundred fail in each of the last `minutes`. Counters begin high: Prometheus
/// guesses less about what was before.
fn burst(bad: u64, minutes: u64) -> [(&'static str, String); 2] {
    let before = DAYS - minutes;
    [
        (
            r#"requests_total{job="api",code="200"}"#,
            format!("1000000+{}x{}", 100, DAYS),
        ),
        (
            r#"requests_total{job="api",code="503"}"#,
            format!("500000+0x{} 500000+{bad}x{}", before - 1, minutes),
        ),
    ]
}

/// The counts that a window of samples a minute has: the first one is only where counting begins.
fn counts(window: Window, bad: u64, minutes: u64) -> Counts {
    let steps = window.seconds() / 60 - 1;
    let of = |count: u64| f64::from(u32::try_from(count).unwrap());
    let errors = of(bad * minutes.min(steps));
    Counts {
        errors,
        total: of(steps * 100) + errors,
    }
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn prometheus_computes_what_slipway_computes_in_every_window() {
    let slo = slo(&json!({}));
    for (bad, minutes) in [(0, 1), (5, 60), (50, 3)] {
        let mut expected = Vec::new();
        for window in Window::ALL {
            let counts = counts(window, bad, minutes);
            expected.push(Expected::at(DAYS, ratio(window), counts.error_ratio()));
        }
        for (severity, word) in [("Page", "page"), ("Ticket", "ticket")] {
            let mut rows = slo
                .rows
                .iter()
                .filter(|row| row.severity.as_str() == severity);
            let fires = rows.any(|row| {
                let of = |window| counts(window, bad, minutes);
                let threshold = row.threshold(slo.budget);
                formula::burns(of(row.long), of(row.short), threshold, row.least) == Some(true)
            });
            let value = fires.then_some(1.0);
            expected.push(Expected::at(DAYS, alert("ErrorBudgetBurn", word), value));
        }
        test(
            &format!("burst-{bad}-{minutes}"),
            &slo,
            &burst(bad, minutes),
            &expected,
        )
        .await;
    }
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn what_is_left_of_the_budget_is_counted_in_requests_and_not_in_time() {
    let slo = slo(&json!({}));
    // By night one request a minute fails of one; by day 1 of 2000.
    let half = DAYS / 2;
    let series = [
        (
            r#"requests_total{job="api",code="200"}"#,
            format!("1000000+0x{} 1000000+2000x{half}", half - 1),
        ),
        (
            r#"requests_total{job="api",code="500"}"#,
            format!("500000+1x{DAYS}"),
        ),
    ];
    let recorded = |what: &str| format!("slipway:slo_{what}:increase5m");
    let period = |what: &str| format!("sum_over_time({}[3d])", recorded(what));
    let left = format!(
        "slipway:error_budget:remaining_ratio - (1 - {} / {} / {})",
        period("errors"),
        period("total"),
        slo.budget
    );
    // 1 ÷ 2001 by day is half of the budget; all that failed by night is as much again.
    let about = "abs(slipway:error_budget:remaining_ratio) < bool 0.01";
    let expected = [
        Expected::at(DAYS, left, Some(0.0)),
        Expected::at(DAYS, about, Some(1.0)),
    ];
    test("budget", &slo, &series, &expected).await;
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn a_burn_that_is_over_is_no_alert_and_neither_is_one_request() {
    let slo = slo(&json!({}));
    let page = || alert("ErrorBudgetBurn", "page");
    // Ten minutes of five in a hundred, and then none.
    let series = [
        (
            r#"requests_total{job="api",code="200"}"#,
            "1000000+100x600".to_owned(),
        ),
        (
            r#"requests_total{job="api",code="500"}"#,
            "500000+0x99 500000+5x10 500050+0x490".to_owned(),
        ),
    ];
    let expected = [
        Expected::at(99, page(), None),
        Expected::at(110, page(), Some(1.0)),
        Expected::at(150, page(), None),
    ];
    test("over", &slo, &series, &expected).await;
    // Ten requests a minute, one of which has failed.
    let series = [
        (
            r#"requests_total{job="api",code="200"}"#,
            "1000000+10x200".to_owned(),
        ),
        (
            r#"requests_total{job="api",code="500"}"#,
            "500000+0x99 500001+0x100".to_owned(),
        ),
    ];
    let five = ratio(Window::M5);
    let expected = [
        Expected::at(101, format!("{five} > bool 0.0144"), Some(1.0)),
        Expected::at(101, page(), None),
        Expected::at(101, alert("ErrorBudgetBurn", "ticket"), None),
    ];
    test("one", &slo, &series, &expected).await;
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn no_requests_are_no_ratio_and_no_metric_is_an_alert() {
    let slo = slo(&json!({}));
    let series = [(
        r#"requests_total{job="api",code="200"}"#,
        "1000x30 _x30".to_owned(),
    )];
    let five = ratio(Window::M5);
    let absent = || alert("SLOMetricAbsent", "ticket");
    let expected = [
        Expected::at(20, five, None),
        Expected::at(20, absent(), None),
        Expected::at(60, absent(), Some(1.0)),
    ];
    test("absent", &slo, &series, &expected).await;
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn a_bucket_of_a_whole_second_is_found_however_its_bound_is_written() {
    let slo = slo(&json!({
        "availability": null, "latency": {"histogram": "h", "matchers": "job=\"api\"", "threshold": "1"},
    }));
    for bound in ["1", "1.0"] {
        let bucket = format!(r#"h_bucket{{job="api",le="{bound}"}}"#);
        let series = [
            (r#"h_count{job="api"}"#, "1000+100x60".to_owned()),
            (bucket.as_str(), "1000+90x60".to_owned()),
        ];
        let expected = [Expected::at(60, ratio(Window::M5), Some(0.1))];
        test(&format!("bucket-{bound}"), &slo, &series, &expected).await;
    }
    // Without the bucket nothing is known, least of all that nothing was slow.
    let series = [(r#"h_count{job="api"}"#, "1000+100x60".to_owned())];
    let expected = [Expected::at(60, ratio(Window::M5), None)];
    test("no-bucket", &slo, &series, &expected).await;
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn in_a_rehearsal_the_alerts_fire_in_the_breach_and_not_on_the_calm_day() {
    let slo = slo(&json!({}));
    let series = [(r#"requests_total{job="api",code="200"}"#, "1x5".to_owned())];
    for (of, value) in [
        ("breach/page", Some(1.0)),
        ("breach/ticket", Some(1.0)),
        ("calm/page", None),
        ("calm/ticket", None),
    ] {
        let rehearsed = rule::rehearsal(&slo);
        let mut parts = rehearsed
            .split(" or label_replace")
            .map(|part| part.trim_start_matches("label_replace"));
        let part = parts.find(|part| part.contains(of)).unwrap();
        let expected = [Expected::at(1, format!("label_replace{part}"), value)];
        test(
            &format!("rehearsal-{}", of.replace('/', "-")),
            &slo,
            &series,
            &expected,
        )
        .await;
    }
}

/// The Environment that keeps rules, in words: what its status says of them, and its SLO.
async fn until_rules(space: &Space, kind: &str) -> Value {
    let environments = space.api("Environment");
    wait_for(kind, A_MINUTE * 3, async || {
        let environment = environments.get("live").await.unwrap();
        let status = environment.data["status"].clone();
        (status["rules"]["kind"] == kind).then_some(status)
    })
    .await
}

async fn until_there(api: &Api<DynamicObject>, check: impl Fn(&Value) -> bool) -> DynamicObject {
    wait_for("the rules as they should be", A_MINUTE, async || {
        let found = api.get_opt("live-slos").await.unwrap()?;
        check(&found.data).then_some(found)
    })
    .await
}

async fn until_gone(api: &Api<DynamicObject>) {
    let gone = async || {
        api.get_opt("live-slos")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    };
    wait_for("the rules are gone", A_MINUTE, gone).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn rules_are_kept_in_a_config_map_until_the_cluster_knows_a_better_kind() {
    with_namespace(async |space| {
        let of = |kind: ObjectKind| {
            let resource = kind.api_resource();
            Api::<DynamicObject>::namespaced_with(space.client.clone(), &space.name, &resource)
        };
        let (maps, rules) = (of(ObjectKind::ConfigMap), of(ObjectKind::PrometheusRule));
        let _operator = Operator::start(&space.name);
        let slo = json!({
            "name": "api", "objective": "99.9",
            "availability": {"metric": "requests_total", "errorMatchers": "code=~\"5..\""},
        });
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
            "spec": {
                "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "slos": [slo],
                "metrics": {"prometheus": {"address": "http://127.0.0.1:9"}},
            },
        });
        let environment = serde_json::from_value(environment).unwrap();
        let environments = space.api("Environment");
        environments.create(&PostParams::default(), &environment).await.unwrap();

        // Nobody answers, and that is what it says.
        let status = until_rules(space, "ConfigMap").await;
        assert_eq!(status["slos"][0]["state"], "NoData", "{status}");
        wait_for("nobody knows whether the alerts would be heard", SOON, async || {
            let environment = environments.get("live").await.unwrap();
            let conditions = environment.data["status"]["conditions"].as_array()?.clone();
            let mut ready = conditions.into_iter().filter(|one| one["type"] == "AlertsReady");
            ready.next().filter(|ready| ready["reason"] == "CannotAsk").map(drop)
        })
        .await;
        let has_rules = |data: &Value| {
            let text = data["data"]["slos.rules.yaml"].as_str().unwrap_or_default();
            text.contains("slipway:error_budget:remaining_ratio")
        };
        until_there(&maps, has_rules).await;
        let params = PatchParams::default();
        let edit = Patch::Merge(json!({"data": {"slos.rules.yaml": "groups: []"}}));
        maps.patch("live-slos", &params, &edit).await.unwrap();
        until_there(&maps, has_rules).await;

        // Where the definition comes later, they move.
        let crd = testbed::prometheus_rule_crd().await.unwrap();
        let crd: Value = serde_saphyr::from_str(crd.trim_start_matches("---\n")).unwrap();
        let crds: Api<CustomResourceDefinition> = Api::all(space.client.clone());
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let apply = PatchParams::apply("people").force();
        crds.patch(&name, &apply, &Patch::Apply(&crd)).await.unwrap();
        until_rules(space, "PrometheusRule").await;
        until_gone(&maps).await;
        until_there(&rules, |data| data["spec"]["groups"].as_array().is_some_and(|all| all.len() == 2)).await;

        let none = Patch::Merge(json!({"spec": {"slos": null, "metrics": null}}));
        environments.patch("live", &params, &none).await.unwrap();
        until_gone(&rules).await;
    })
    .await;
}
