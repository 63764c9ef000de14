//! Alerts that are delivered to a real operator: taken once, attributed by whoever leads, and closed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};
use slipway::promotion::api::Incident;
use testbed::proxy::{Fault, Match, What};

use super::shop::{Shop, status_of};
use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::fault::proxied;
use crate::operator::Operator;
use crate::server::serve;

pub(crate) const TOKEN: &str = "a-token-of-alertmanager";
const ALONE: &[&str] = &["--no-leader-election", "--alert-listen", "127.0.0.1:0"];
const ELECTED: &[&str] = &["--alert-listen", "127.0.0.1:0"];

/// Someone who is told of incidents: event and key of each message.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, String)>>>);

impl Told {
    async fn listen() -> (Self, String) {
        let told = Self::default();
        let app = Router::new()
            .route("/", post(hear))
            .with_state(told.clone());
        let (url, _) = serve(app).await;
        (told, format!("{url}/"))
    }

    /// The events, without those that were said again under the same key.
    fn events(&self) -> Vec<String> {
        let mut all = self.0.lock().unwrap().clone();
        all.dedup();
        all.into_iter().map(|(event, _)| event).collect()
    }
}

async fn hear(State(told): State<Told>, Json(message): Json<Value>) {
    let text = |name: &str| message[name].as_str().unwrap().to_owned();
    told.0.lock().unwrap().push((text("event"), text("key")));
}

/// A shop whose staging takes alerts, and goes back for them.
async fn shop(space: &Space, hears: &str) -> Shop {
    let shop = Shop::new(space);
    space.make_secret("hook", json!({"token": TOKEN})).await;
    let takes = json!({
        "incidents": {"alertmanager": {"secretRef": {"name": "hook", "key": "token"}, "match": {"team": "shop"}}},
        "rollback": {"on": ["AlertFiring"]},
        "notifications": [{"name": "team", "webhook": {"url": hears}, "on": ["IncidentOpened", "IncidentResolved"]}],
    });
    shop.environment("staging", &takes).await;
    shop
}

/// What Alertmanager sends about one alert: it fires since `start`, or has ended now.
pub(crate) fn delivery(start: Timestamp, has_ended: bool) -> Value {
    let end = if has_ended {
        Timestamp::now().to_string()
    } else {
        "0001-01-01T00:00:00Z".to_owned()
    };
    let state = if has_ended { "resolved" } else { "firing" };
    json!({
        "version": "4", "groupKey": "{}:{team=\"shop\"}", "truncatedAlerts": 0, "status": state, "receiver": "slipway",
        "groupLabels": {"team": "shop"}, "commonLabels": {"team": "shop"}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": [{
            "status": state, "labels": {"alertname": "Slow", "team": "shop", "severity": "page"},
            "annotations": {"summary": "it is slow"}, "startsAt": start.to_string(), "endsAt": end,
            "generatorURL": "http://prometheus:9090/graph", "fingerprint": "0a1b2c3d4e5f6071",
        }],
    })
}

/// One delivery; its status, or nothing where the connection broke.
pub(crate) async fn deliver(space: &Space, operator: &Operator, body: &Value) -> Option<u16> {
    let address = operator.alert_address().await;
    let url = format!("http://{address}/hooks/alertmanager/{}/staging", space.name);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(url).bearer_auth(TOKEN).json(body);
    let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
    Some(answer.status().as_u16())
}

/// Delivers until it is taken, as Alertmanager does: one that has just started does not lead yet.
async fn until_delivered(space: &Space, operator: &Operator, body: &Value) {
    wait_for("the delivery is taken", SOON, async || {
        (deliver(space, operator, body).await == Some(200)).then_some(())
    })
    .await;
}

async fn incidents(shop: &Shop, number: u32) -> Vec<Incident> {
    let name = format!("shop-{number}");
    let records = shop.records("staging").await;
    let record = records.iter().find(|record| record.spec.release == name);
    record
        .map(|record| status_of(record).incidents)
        .unwrap_or_default()
}

async fn until_closed(shop: &Shop, number: u32) -> Incident {
    wait_for("the incident is closed", SOON, async || {
        let all = incidents(shop, number).await;
        let [one] = all.as_slice() else {
            return None;
        };
        one.resolved_at.is_some().then(|| one.clone())
    })
    .await
}

async fn until_told(told: &Told, expected: &[&str]) {
    let heard = async || (told.events() == expected).then_some(());
    wait_for(&format!("told {expected:?}"), SOON, heard).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_alert_takes_a_release_back_and_is_one_incident_however_often_it_is_delivered() {
    with_namespace(async |space| {
        let (told, hears) = Told::listen().await;
        let shop = shop(space, &hears).await;
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), ALONE);
        for number in [1, 2] {
            shop.release(number).await;
            shop.until_runs("staging", number).await;
        }
        let start = Timestamp::now();
        for _ in 0..3 {
            assert_eq!(
                deliver(space, &operator, &delivery(start, false)).await,
                Some(200)
            );
        }
        let status = shop
            .environments
            .get("staging")
            .await
            .unwrap()
            .status
            .unwrap();
        assert_eq!(status.alerts.len(), 1, "it is on record when 200 is said");
        shop.until_left("staging", 2).await;
        let told_of = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 Succeeded",
            "Rollback shop-1 Succeeded",
        ];
        shop.until_told("staging", &told_of).await;
        assert_eq!(
            deliver(space, &operator, &delivery(start, true)).await,
            Some(200)
        );
        let incident = until_closed(&shop, 2).await;
        assert_eq!(incident.response.as_deref(), Some("going back to shop-1"));
        // A late repetition opens nothing.
        assert_eq!(
            deliver(space, &operator, &delivery(start, false)).await,
            Some(200)
        );
        until_told(&told, &["IncidentOpened", "IncidentResolved"]).await;
        shop.until_looked_again("staging").await;
        assert_eq!(incidents(&shop, 2).await.len(), 1);
        shop.until_told("staging", &told_of).await;
        let metrics = format!("http://{}/metrics", operator.address().await);
        let text = reqwest::get(metrics).await.unwrap().text().await.unwrap();
        let open = format!(
            "slipway_environment_open_incidents{{environment=\"staging\",namespace=\"{}\"}} 0",
            space.name
        );
        assert!(text.contains(&open), "{text}");
        assert!(
            text.contains("slipway_alert_deliveries_total{outcome=\"recorded\"} 5"),
            "{text}"
        );
    })
    .await;
}

/// What is on record when the operator dies is all that another one needs; what is not was never said to be.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_between_delivery_and_attribution_loses_no_alert() {
    with_namespace(async |space| {
        let (told, hears) = Told::listen().await;
        let shop = shop(space, &hears).await;
        let (proxy, kubeconfig) = proxied(space).await;
        let mut operator = Operator::start_with(&space.name, &kubeconfig, ALONE);
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        // Of its writes one has the alert, one the incident, one the way back; a status that waited may be among them.
        for (number, after) in (2..).zip(1..=4) {
            shop.release(number).await;
            shop.until_runs("staging", number).await;
            let start = Timestamp::now();
            let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
            let injected = proxy.inject(kill.nth(after));
            let answered = deliver(space, &operator, &delivery(start, false)).await;
            assert!(
                after > 1 || answered.is_none(),
                "it died before it could answer"
            );
            operator.ended().await;
            injected.remove();
            operator = Operator::start_with(&space.name, &kubeconfig, ALONE);
            // What was answered is not delivered again.
            if answered.is_none() {
                until_delivered(space, &operator, &delivery(start, false)).await;
            }
            shop.until_left("staging", number).await;
            assert_eq!(
                deliver(space, &operator, &delivery(start, true)).await,
                Some(200)
            );
            until_closed(&shop, number).await;
            // The alerts of the next round are others.
            let later = start + SignedDuration::from_secs(2);
            wait_for("another second", SOON, async || {
                (Timestamp::now() > later).then_some(())
            })
            .await;
        }
        let both = ["IncidentOpened", "IncidentResolved"];
        until_told(&told, &both.repeat(4)).await;
        let backs = shop.records("staging").await;
        let backs = backs
            .iter()
            .filter(|record| record.spec.kind.as_str() == "Rollback");
        assert_eq!(backs.count(), 4);
        let _ = std::fs::remove_file(&kubeconfig);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_standby_asks_for_another_try_and_takes_alerts_once_it_leads() {
    with_namespace(async |space| {
        let (_, hears) = Told::listen().await;
        let shop = shop(space, &hears).await;
        let leader = Operator::start_with(&space.name, &kubeconfig_path(), ELECTED);
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        let standby = Operator::start_with(&space.name, &kubeconfig_path(), ELECTED);
        let start = Timestamp::now();
        let body = delivery(start, false);
        assert_eq!(deliver(space, &standby, &body).await, Some(503));
        assert_eq!(deliver(space, &leader, &body).await, Some(200));
        leader.kill().await;
        wait_for("the standby leads", SOON, async || {
            let answer = deliver(space, &standby, &delivery(start, true)).await;
            (answer == Some(200)).then_some(())
        })
        .await;
        until_closed(&shop, 1).await;
        assert!(
            shop.records("staging").await[0]
                .name_any()
                .starts_with("staging-")
        );
    })
    .await;
}
