//! Error budgets with a real Prometheus: what a status says is what Prometheus computes from the rules, and a promotion that
//! burns a budget goes back.

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::prometheus_rule_crd;

use crate::app::{App, NAME, SOON, nothing_lost, wait_for, with_app};
use crate::cluster::Version;

/// Time between two looks at rest, and some.
const A_LOOK: Duration = Duration::from_secs(90);

/// The image of a version by its digest.
async fn pinned(app: &App, version: Version) -> (String, String) {
    let image = app.cluster.image(version);
    let (registry, rest) = image.split_once('/').unwrap();
    let (repository, tag) = rest.rsplit_once(':').unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let url = format!("http://{registry}/v2/{repository}/manifests/{tag}");
    let answer = http
        .head(url)
        .header("accept", accepted)
        .send()
        .await
        .unwrap();
    let digest = answer.headers()["docker-content-digest"].to_str().unwrap();
    (format!("{registry}/{repository}"), digest.to_owned())
}

/// A Release of a version, written as the operator writes it.
pub(crate) async fn release(app: &App, number: u32, version: Version) {
    let (repository, digest) = pinned(app, version).await;
    let commit = json!({
        "sha": format!("{number:040x}"), "author": "olga", "email": "o@example.com", "subject": "a change",
        "committedAt": format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60),
    });
    let previous = (number > 1).then(|| format!("shop-{}", number - 1));
    let release = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": format!("shop-{number}"), "labels": {"slipway.dev/pipeline": "shop"}},
        "spec": {
            "pipeline": "shop", "commit": commit, "previous": previous, "ref": "refs/heads/main",
            "images": [{"name": "api", "repository": repository, "digest": digest}],
            "evidence": {"run": "by-hand"},
        },
    });
    let client = Client::try_from(app.as_operator().await).unwrap();
    let kind = ObjectKind::Release.api_resource();
    let releases: Api<DynamicObject> = Api::namespaced_with(client, &app.namespace, &kind);
    let release = serde_json::from_value(release).unwrap();
    releases
        .create(&PostParams::default(), &release)
        .await
        .unwrap();
}

fn slo(app: &App, name: &str, objective: &str) -> Value {
    json!({"name": name, "objective": objective, "availability": {
        "metric": "http_requests_total", "matchers": format!("namespace=\"{}\"", app.namespace),
        "errorMatchers": "code=~\"5..\"",
    }})
}

/// An Environment that takes Releases by itself, and the Rollout that follows it.
async fn environment(app: &App, slos: Value) {
    environment_with(app, slos, &json!({}), &json!({})).await;
}

/// The same, with more in the specs of both.
async fn environment_with(app: &App, slos: Value, more: &Value, of_rollout: &Value) {
    let mut environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
        "spec": {
            "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": NAME}],
            "metrics": {"prometheus": {"address": format!("http://{}", app.cluster.node.prometheus())}},
            "slos": slos, "rollback": {"within": "5m"},
        },
    });
    json_patch::merge(&mut environment["spec"], more);
    app.apply(ObjectKind::Environment, &environment).await;
    app.bind(of_rollout).await;
}

pub(crate) async fn status(app: &App) -> Value {
    let environment = app.api(ObjectKind::Environment).get("live").await.unwrap();
    environment.data["status"].clone()
}

/// Waits until the Environment is as `check` says.
pub(crate) async fn until(
    app: &App,
    what: &str,
    within: Duration,
    check: impl Fn(&Value) -> bool,
) -> Value {
    wait_for(what, within, async || {
        let status = status(app).await;
        if check(&status) {
            Ok(status)
        } else {
            Err(format!("{}: {}", status["message"], status["slos"]))
        }
    })
    .await
}

pub(crate) fn runs(status: &Value, release: &str) -> bool {
    status["current"][0]["release"] == release && status["phase"] == "Steady"
}

/// The number that Prometheus has of an expression, if any.
async fn ask(app: &App, query: &str) -> Option<f64> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/api/v1/query", app.cluster.node.prometheus());
    let answer = http
        .get(url)
        .query(&[("query", query)])
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    let value = answer.pointer("/data/result/0/value/1")?;
    value.as_str()?.parse().ok()
}

/// Installs the definition of PrometheusRules, for as long as the cluster lives.
async fn install_rules(app: &App) {
    let text = prometheus_rule_crd().await.unwrap();
    let crd: Value = serde_saphyr::from_str(text.trim_start_matches("---\n")).unwrap();
    let resource = kube::api::ApiResource::erase::<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    >(&());
    let crds: Api<DynamicObject> = Api::all_with(app.client.clone(), &resource);
    let name = "prometheusrules.monitoring.coreos.com";
    let params = PatchParams::apply("people").force();
    crds.patch(name, &params, &Patch::Apply(&crd))
        .await
        .unwrap();
}

async fn until_gone(app: &App, kind: ObjectKind) {
    wait_for("the rules are gone", SOON, async || {
        let there = app.api(kind).get_opt("live-slos").await.unwrap();
        there.map_or(Ok(()), |_| Err(format!("{} is still there", kind.kind())))
    })
    .await;
}

/// The rules, once they are there. What is edited is put back.
async fn rules_are_kept(app: &App) -> Value {
    let is_there = |status: &Value| status["rules"]["kind"] == "PrometheusRule";
    // An operator that has asked for the kind before it was there asks again only after a while.
    until(app, "the rules are a PrometheusRule", A_LOOK, is_there).await;
    let rules = app.api(ObjectKind::PrometheusRule);
    let object = wait_for("the rules are there", SOON, async || {
        let found = rules.get_opt("live-slos").await.unwrap();
        found.ok_or("not yet".to_owned())
    })
    .await;
    assert_eq!(object.owner_references()[0].name, "live");
    let edit = Patch::Merge(json!({"spec": {"groups": []}}));
    let params = PatchParams::default();
    rules.patch("live-slos", &params, &edit).await.unwrap();
    wait_for("the rules are back", SOON, async || {
        let now = rules.get("live-slos").await.unwrap();
        if now.data["spec"] == object.data["spec"] {
            Ok(())
        } else {
            Err(now.data["spec"].to_string())
        }
    })
    .await;
    object.data["spec"].clone()
}

/// A Release of which 5 % of the requests fail comes, and goes.
async fn goes_back_once(app: &App) {
    let started = Instant::now();
    release(app, 2, Version::Bad).await;
    let moved = |status: &Value| status["desired"][0]["release"] == "shop-2";
    until(app, "the bad one is promoted", SOON, moved).await;
    let is_back =
        |status: &Value| runs(status, "shop-1") && status["holds"][0]["release"] == "shop-2";
    let back = until(app, "it is back", Duration::from_mins(4), is_back).await;
    let took = started.elapsed().as_secs_f64();
    eprintln!("slow burn: back {took:.0} s after the bad Release");
    let hold = back["holds"][0]["reason"].as_str().unwrap();
    assert!(hold.contains("SLOBurn"), "{hold}");
    let promotions = app.api(ObjectKind::Promotion);
    let promotions = promotions.list(&ListParams::default()).await;
    let promotions = promotions.unwrap().items;
    let backs = promotions
        .iter()
        .filter(|one| one.data["spec"]["kind"] == "Rollback");
    assert_eq!(backs.count(), 1, "{promotions:#?}");
}

/// What is shown of burns and of the budget, each beside what Prometheus has recorded.
async fn shown_and_recorded(app: &App) -> Vec<(&'static str, Option<f64>, Option<f64>)> {
    let own = format!(
        r#"{{namespace="{}",environment="live",slo="api"}}"#,
        app.namespace
    );
    let slo = &status(app).await["slos"][0];
    let number = |text: &Value| text.as_str().and_then(|text| text.parse::<f64>().ok());
    let rates = slo["burnRates"].as_array().cloned().unwrap_or_default();
    let mut compared = Vec::new();
    for window in ["1h", "6h"] {
        let recorded = format!("slipway:sli_error:ratio_rate{window}{own} / 0.005");
        let shown = rates.iter().find(|rate| rate["window"] == window);
        let shown = shown.and_then(|rate| number(&rate["rate"]));
        compared.push((window, shown, ask(app, &recorded).await));
    }
    let recorded = format!("slipway:error_budget:remaining_ratio{own}");
    let shown = number(&slo["remainingBudget"]);
    compared.push(("budget", shown, ask(app, &recorded).await));
    compared
}

/// Both move on with the time, so they are the same in the moment after a look.
async fn says_what_prometheus_says(app: &App) {
    let is_close = |(_, shown, real): &(&str, Option<f64>, Option<f64>)| {
        let both = shown.zip(*real);
        both.is_some_and(|(shown, real)| (shown - real).abs() <= 0.005 * real.abs() + 0.0001)
    };
    wait_for(
        "the status says what Prometheus says",
        A_LOOK * 2,
        async || {
            let compared = shown_and_recorded(app).await;
            if compared.iter().all(is_close) {
                eprintln!("status and Prometheus: {compared:?}");
                return Ok(());
            }
            Err(format!("{compared:?}"))
        },
    )
    .await;
}

/// With the last SLO the rules go.
async fn rules_go_with_the_last(app: &App) {
    let none = Patch::Merge(json!({"spec": {"slos": null, "metrics": null}}));
    let environments = app.api(ObjectKind::Environment);
    let params = PatchParams::default();
    environments.patch("live", &params, &none).await.unwrap();
    until_gone(app, ObjectKind::PrometheusRule).await;
}

#[tokio::test]
#[ignore = "needs a node; run make test"]
async fn rules_of_slos_are_made_kept_and_taken_away() {
    with_app(async |app| {
        install_rules(app).await;
        environment(app, json!([slo(app, "api", "99.5")])).await;
        release(app, 1, Version::One).await;
        let rules = rules_are_kept(app).await;
        // Once Prometheus has them, the alerts would be heard.
        let reason = |wanted: &'static str| {
            move |status: &Value| {
                let conditions = status["conditions"].as_array().cloned();
                let mut all = conditions.unwrap_or_default().into_iter();
                all.any(|one| one["type"] == "AlertsReady" && one["reason"] == wanted)
            }
        };
        until(app, "the rules are not loaded", A_LOOK, reason("NotLoaded")).await;
        let node = &app.cluster.node;
        node.load_rules(&app.namespace, &rules.to_string())
            .await
            .unwrap();
        until(app, "the alerts are rehearsed", A_LOOK, reason("Rehearsed")).await;
        rules_go_with_the_last(app).await;
        node.load_rules(&app.namespace, "groups: []").await.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a node; run make test"]
async fn a_promotion_that_slowly_burns_a_budget_goes_back_and_prometheus_says_the_same() {
    with_app(async |app| {
        install_rules(app).await;
        // 5 % of the requests are ten times the budget: too little for the row of an hour, enough for that of six.
        let mut dark = slo(app, "dark", "99.9");
        dark["prometheus"] = json!({"address": "http://127.0.0.1:9"});
        environment(app, json!([slo(app, "api", "99.5"), dark])).await;
        release(app, 1, Version::One).await;
        until(app, "the first one runs", SOON, |status| {
            runs(status, "shop-1")
        })
        .await;
        let rules = rules_are_kept(app).await;
        // The real Prometheus evaluates the same rules; for the period, too, without waiting for five minutes.
        let rules = rules
            .to_string()
            .replace(r#""interval":"5m""#, r#""interval":"1s""#);
        app.cluster
            .node
            .load_rules(&app.namespace, &rules)
            .await
            .unwrap();

        let load = app.load().await;
        let met = |status: &Value| {
            let slo = &status["slos"][0];
            slo["state"] == "Met" && slo["remainingBudget"] == "1"
        };
        let before = until(app, "met, with all of the budget", A_LOOK, met).await;
        let dark = &before["slos"][1];
        assert_eq!(dark["state"], "NoData", "{dark}");
        goes_back_once(app).await;
        nothing_lost("slow burn", load).await;
        // Only now do the numbers stand still: the status asks once a minute, Prometheus computes every second.
        says_what_prometheus_says(app).await;

        rules_go_with_the_last(app).await;
        app.cluster
            .node
            .load_rules(&app.namespace, "groups: []")
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a node; run make test"]
async fn a_change_that_burns_an_slo_that_its_rollout_names_goes_back() {
    with_app(async |app| {
        // The Environment leaves burns to the Rollout.
        let left = json!({"rollback": {"on": ["RolloutFailed"]}});
        let halves = json!({
            "strategy": {"steps": [{"setWeight": {"weight": 50}}, {"pause": {"for": "10m"}}]},
            "analysis": {"slos": ["api"]},
        });
        environment_with(app, json!([slo(app, "api", "99.9")]), &left, &halves).await;
        release(app, 1, Version::One).await;
        until(app, "the first one runs", SOON, |status| {
            runs(status, "shop-1")
        })
        .await;
        let load = app.load().await;
        release(app, 2, Version::Bad).await;
        app.until("half of the traffic", |rollout| {
            rollout["status"]["weights"]["canary"] == 50
        })
        .await;
        let started = Instant::now();
        let back = wait_for("it goes back", A_LOOK, async || {
            let rollout = app.now().await;
            let phase = &rollout["status"]["phase"];
            if phase == "RolledBack" {
                Ok(rollout)
            } else {
                Err(format!("{phase}: {}", rollout["status"]["message"]))
            }
        })
        .await;
        let reason = back["status"]["history"][0]["reason"].as_str().unwrap();
        let took = started.elapsed();
        eprintln!(
            "an SLO that the Rollout names: back {took:?} after half of the traffic: {reason}"
        );
        assert!(reason.starts_with("SLOBurn: SLO api burns"), "{reason}");
        until(
            app,
            "the Environment runs the first one again",
            SOON,
            |status| runs(status, "shop-1"),
        )
        .await;
        let summary = nothing_lost("an SLO that the Rollout names", load).await;
        assert!(summary.stats.injected > 0, "nobody met the bad version");
    })
    .await;
}
