//! Incidents with a real Prometheus and a real Alertmanager: an alert that a bad Release causes takes it back, is one
//! incident, and closes it when it ends.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use tokio::net::TcpListener;

use crate::app::{App, NAME, SOON, nothing_lost, wait_for, with_app};
use crate::cluster::{NAMESPACE, Version};
use crate::slo::{release, runs, until};

const TOKEN: &str = "a-token-of-alertmanager";

type Messages = Arc<Mutex<Vec<Value>>>;

/// Someone who is told of incidents, where pods reach them.
async fn listener(app: &App) -> (Messages, String) {
    let address = app.cluster.node.prometheus();
    let (ip, _) = address.rsplit_once(':').unwrap();
    let listener = TcpListener::bind(format!("{ip}:0")).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let messages = Messages::default();
    let hear = async |State(heard): State<Messages>, Json(message): Json<Value>| {
        heard.lock().unwrap().push(message);
    };
    let app = Router::new()
        .route("/", post(hear))
        .with_state(Arc::clone(&messages));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (messages, url)
}

/// An Environment that takes alerts and goes back for them, the Secret with its token, and the Rollout that follows.
async fn environment(app: &App, hears: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook", "labels": {"slipway.dev/use": "alerts"}},
        "stringData": {"token": TOKEN},
    });
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let secrets: Api<Secret> = Api::namespaced(app.client.clone(), &app.namespace);
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
        "spec": {
            "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": NAME}],
            "incidents": {"alertmanager": {
                "secretRef": {"name": "hook", "key": "token"}, "match": {"team": app.namespace}}},
            "rollback": {"on": ["AlertFiring"], "within": "5m"},
            "notifications": [{"name": "team", "webhook": {"url": hears}, "on": ["IncidentOpened", "IncidentResolved"]}],
        },
    });
    app.apply(ObjectKind::Environment, &environment).await;
    app.bind(&json!({})).await;
}

/// People's own rule: more than 1 % of the requests of the last ten seconds fail.
fn rule(app: &App) -> String {
    let team = &app.namespace;
    let sum =
        |more: &str| format!(r#"sum(rate(http_requests_total{{namespace="{team}"{more}}}[10s]))"#);
    let rule = json!({
        "alert": "TooManyErrors", "expr": format!("{} / {} > 0.01", sum(r#",code=~"5..""#), sum("")),
        "labels": {"team": team, "severity": "page"}, "annotations": {"summary": "more than 1 % of the requests fail"},
    });
    json!({"groups": [{"name": team, "rules": [rule]}]}).to_string()
}

/// What sends alerts of this test to its Environment, through the Service of the chart.
async fn routes(app: &App) -> String {
    let services: Api<Service> = Api::namespaced(app.client.clone(), NAMESPACE);
    let service = services.get("slipway-alerts").await.unwrap().spec.unwrap();
    let (ip, port) = (service.cluster_ip.unwrap(), service.ports.unwrap()[0].port);
    let team = &app.namespace;
    let url = format!("http://{ip}:{port}/hooks/alertmanager/{team}/live");
    let hook = json!({"url": url, "http_config": {"authorization": {"credentials": TOKEN}}});
    json!({
        "route": {"receiver": "nobody", "routes": [{
            "receiver": "slipway", "matchers": [format!("team=\"{team}\"")],
            "group_by": ["alertname"], "group_wait": "1s", "group_interval": "2s"}]},
        "receivers": [{"name": "nobody"}, {"name": "slipway", "webhook_configs": [hook]}],
    })
    .to_string()
}

async fn promotions(app: &App) -> Vec<DynamicObject> {
    let all = app
        .api(ObjectKind::Promotion)
        .list(&ListParams::default())
        .await;
    all.unwrap().items
}

/// The incidents of all Promotions.
async fn incidents(app: &App) -> Vec<Value> {
    let all = promotions(app).await;
    let lists = all
        .iter()
        .map(|one| one.data["status"]["incidents"].clone());
    lists
        .filter_map(|list| list.as_array().cloned())
        .flatten()
        .collect()
}

/// What Alertmanager has to say where the story does not go on.
async fn until_closed(app: &App) -> Value {
    wait_for("the incident is closed", SOON, async || {
        let all = incidents(app).await;
        match all.as_slice() {
            [one] if one["resolvedAt"].is_string() => Ok(one.clone()),
            _ => Err(json!(all).to_string()),
        }
    })
    .await
}

#[tokio::test]
#[ignore = "needs a node; run make test"]
async fn an_alert_of_a_real_alertmanager_takes_a_bad_release_back_and_is_one_incident() {
    with_app(async |app| {
        let (messages, hears) = listener(app).await;
        environment(app, &hears).await;
        release(app, 1, Version::One).await;
        until(app, "the first one runs", SOON, |status| runs(status, "shop-1")).await;
        app.cluster.node.load_rules(&app.namespace, &rule(app)).await.unwrap();
        let _alertmanager = app.cluster.node.alertmanager(&routes(app).await).await.unwrap();
        let load = app.load().await;

        let started = Instant::now();
        release(app, 2, Version::Bad).await;
        let fires = |status: &Value| status["alerts"][0]["promotion"].is_string();
        until(app, "an alert of the promotion", SOON, fires).await;
        let alerted = started.elapsed().as_secs_f64();
        let is_back = |status: &Value| status["current"][0]["release"] == "shop-1" && status["holds"][0]["release"] == "shop-2";
        let back = until(app, "it is back", SOON * 2, is_back).await;
        let gone_back = started.elapsed().as_secs_f64();
        let reason = back["holds"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("AlertFiring"), "{reason}");
        let incident = until_closed(app).await;
        let closed = started.elapsed().as_secs_f64();
        eprintln!("alert: on record {alerted:.0} s after the bad Release, back after {gone_back:.0} s, closed after {closed:.0} s");
        assert_eq!(incident["source"], "Alert");
        assert_eq!(incident["alerts"][0]["name"], "TooManyErrors");
        assert_eq!(incident["response"], "going back to shop-1");

        let events = || {
            let all = messages.lock().unwrap().clone();
            all.into_iter().map(|message| message["event"].clone()).collect::<Vec<_>>()
        };
        wait_for("both messages", Duration::from_secs(10), async || {
            let events = events();
            let all = ["IncidentOpened", "IncidentResolved"];
            if events == all { Ok(()) } else { Err(json!(events).to_string()) }
        })
        .await;
        let all = promotions(app).await;
        let backs = all.iter().filter(|one| one.data["spec"]["kind"] == "Rollback");
        assert!(backs.count() <= 1, "{all:#?}");
        nothing_lost("an alert", load).await;
        app.cluster.node.load_rules(&app.namespace, "groups: []").await.unwrap();
    })
    .await;
}
