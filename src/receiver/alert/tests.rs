//! Deliveries over real HTTP, to an Environment whose plans are played by the test.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request as HttpRequest, Response as HttpResponse};
use kube::Client;
use kube::client::Body as KubeBody;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::cluster::fetch::Http;
use crate::telemetry::metrics::Metrics;

const TOKEN: &str = "a-token-of-alertmanager";
const ENVIRONMENT: &str = "shop/production";

/// An API server that has one Secret.
fn api_server(label: &'static str) -> Client {
    let service = tower::service_fn(move |request: HttpRequest<KubeBody>| async move {
        let (status, body) = if request.uri().path() == "/api/v1/namespaces/shop/secrets/hook" {
            let labels = json!({ (label): "alerts" });
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook", "labels": labels},
                                "data": {"token": STANDARD.encode(TOKEN)}});
            (200, secret)
        } else {
            (
                404,
                json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no"}),
            )
        };
        let body = KubeBody::from(body.to_string().into_bytes());
        Ok::<_, std::io::Error>(HttpResponse::builder().status(status).body(body).unwrap())
    });
    Client::new(service, "default")
}

struct Served {
    cluster: Cluster,
    leads: Arc<AtomicBool>,
    address: SocketAddr,
    stop: CancellationToken,
    http: reqwest::Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Served {
    async fn start(label: &'static str) -> Self {
        let metrics = Metrics::new().unwrap();
        let cluster = Cluster::new(
            api_server(label),
            Http::default(),
            metrics,
            Clock::default(),
        );
        let leads = Arc::new(AtomicBool::new(true));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let receiver = Receiver::new(cluster.clone(), Arc::clone(&leads));
        tokio::spawn(receiver.serve(listener, stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let served = Self {
            cluster,
            leads,
            address,
            stop,
            http,
        };
        served.write(&json!([]), 1);
        served
    }

    /// The Environment, as the API server has it from now on.
    fn write(&self, alerts: &Value, version: u32) {
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment",
            "metadata": {"namespace": "shop", "name": "production", "uid": "u", "generation": 1,
                         "resourceVersion": version.to_string()},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}, "incidents": {"alertmanager": {
                "secretRef": {"name": "hook", "key": "token"}, "match": {"team": "shop"}}}},
            "status": {"alerts": alerts},
        });
        self.cluster
            .caches
            .remember(ObjectKind::Environment, &environment);
    }

    fn key() -> Key {
        let (namespace, name) = ENVIRONMENT.split_once('/').unwrap();
        Key::new(namespace, name)
    }

    fn request(&self, environment: &str, token: &str, body: String) -> reqwest::RequestBuilder {
        let url = format!("http://{}/hooks/alertmanager/{environment}", self.address);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json");
        request.bearer_auth(token).body(body)
    }

    async fn deliver(&self, token: &str, body: String) -> (u16, String) {
        let answer = self.request(ENVIRONMENT, token, body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What is waiting to be put on record, once something is.
    async fn handed_over(&self) -> Vec<Delivered> {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let all = self.cluster.deliveries.of(&Self::key());
            if !all.is_empty() {
                return all;
            }
        }
    }

    /// What the next plan of the Environment does.
    async fn put_on_record(&self, version: u32) {
        let delivered = self.handed_over().await;
        let environment = self.cluster.caches.environments.get(&Self::key()).unwrap();
        let known = environment.status.clone().unwrap_or_default().alerts;
        let now = self.cluster.clock().now();
        let alerts = alert::taken_in(&known, &delivered, environment.spec.incidents.as_ref(), now);
        self.write(&json!(alerts), version);
    }
}

fn delivery(team: &str, fingerprints: &[&str]) -> String {
    let alerts = fingerprints.iter().map(|fingerprint| {
        json!({"status": "firing", "labels": {"alertname": "Slow", "team": team}, "annotations": {},
               "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": fingerprint})
    });
    let alerts: Vec<Value> = alerts.collect();
    json!({"version": "4", "status": "firing", "receiver": "slipway", "alerts": alerts}).to_string()
}

#[tokio::test]
async fn it_says_yes_only_once_all_of_it_is_on_record() {
    let served = Served::start("slipway.dev/use").await;
    let body = delivery("shop", &["a1", "b2"]);
    let sent = tokio::spawn(served.request(ENVIRONMENT, TOKEN, body.clone()).send());
    assert_eq!(served.handed_over().await.len(), 2);
    assert!(!sent.is_finished(), "nothing is on record yet");
    served.put_on_record(2).await;
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.text().await.unwrap(),
        "2 of 2 alerts concern production\n"
    );
    assert!(served.cluster.deliveries.of(&Served::key()).is_empty());
    // What is on record already needs no plan.
    assert_eq!(served.deliver(TOKEN, body).await.0, 200);
}

#[tokio::test]
async fn what_does_not_concern_the_environment_is_taken_and_forgotten() {
    let served = Served::start("slipway.dev/use").await;
    let answer = served.deliver(TOKEN, delivery("other", &["a1"])).await;
    assert_eq!(
        answer,
        (200, "0 of 1 alerts concern production\n".to_owned())
    );
}

#[tokio::test]
async fn nobody_gets_in_without_the_token_or_learns_what_there_is() {
    let served = Served::start("slipway.dev/use").await;
    let body = || delivery("shop", &["a1"]);
    let wrong = served.deliver("another-token", body()).await;
    assert_eq!(wrong.0, 401);
    let elsewhere = served
        .request("shop/staging", TOKEN, body())
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 401);
    assert_eq!(elsewhere.headers()["www-authenticate"], "Bearer");
    assert_eq!(elsewhere.text().await.unwrap(), wrong.1, "the same words");
    let url = format!("http://{}/hooks/alertmanager/{ENVIRONMENT}", served.address);
    let basic = served
        .http
        .post(&url)
        .basic_auth("u", Some(TOKEN))
        .body(body());
    assert_eq!(basic.send().await.unwrap().status(), 401);
    assert_eq!(served.http.get(&url).send().await.unwrap().status(), 405);
    assert!(served.cluster.deliveries.of(&Served::key()).is_empty());
}

#[tokio::test]
async fn a_secret_that_is_not_labelled_opens_nothing() {
    let served = Served::start("example.com/other").await;
    let (status, said) = served.deliver(TOKEN, delivery("shop", &["a1"])).await;
    assert_eq!(status, 503, "{said}");
    assert!(!said.contains("hook"), "{said}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let served = Served::start("slipway.dev/use").await;
    let (status, said) = served.deliver(TOKEN, "{}".to_owned()).await;
    assert_eq!(status, 400);
    assert!(said.contains("missing field `version`"), "{said}");
    let (status, said) = served.deliver(TOKEN, " ".repeat(MAX_BODY + 1)).await;
    assert_eq!(status, 413);
    assert!(said.contains("max_alerts"), "{said}");
    let form = served.request(ENVIRONMENT, TOKEN, delivery("shop", &["a1"]));
    let mut form = form.build().unwrap();
    form.headers_mut()
        .insert("content-type", HeaderValue::from_static("text/plain"));
    assert_eq!(served.http.execute(form).await.unwrap().status(), 415);
}

#[tokio::test]
async fn who_does_not_lead_asks_for_another_try_on_another_connection() {
    let served = Served::start("slipway.dev/use").await;
    served.leads.store(false, Ordering::Relaxed);
    let answer = served
        .request(ENVIRONMENT, TOKEN, delivery("shop", &["a1"]))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(answer.headers()["retry-after"], "1");
    // One that loses the lead while it waits says so too.
    served.leads.store(true, Ordering::Relaxed);
    let sent = tokio::spawn(
        served
            .request(ENVIRONMENT, TOKEN, delivery("shop", &["a1"]))
            .send(),
    );
    served.handed_over().await;
    served.leads.store(false, Ordering::Relaxed);
    assert_eq!(sent.await.unwrap().unwrap().status(), 503);
}

#[tokio::test]
async fn a_flood_is_slowed_down() {
    let served = Served::start("slipway.dev/use").await;
    let mut answers = Vec::new();
    for _ in 0..80 {
        answers.push(served.deliver(TOKEN, delivery("other", &["a1"])).await.0);
    }
    assert!(
        answers[..50].iter().all(|status| *status == 200),
        "{answers:?}"
    );
    assert!(answers.contains(&503), "{answers:?}");
}
