//! What Traefik does not offer, under load on Envoy: copies of requests that nobody sees the answers to, and sessions that
//! stay where they began while the weight moves.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use reqwest::header::{COOKIE, HOST, SET_COOKIE};
use serde_json::{Value, json};
use testbed::load::Load;

use crate::app::{App, REPLICAS, SOON, nothing_lost, rate, share, with_app};
use crate::cluster::Version;

/// Sessions that people have open: enough that some begin at either version.
const SESSIONS: usize = 16;

/// Copies first, then two weights, with a pause after each that only people end.
fn on_envoy() -> Value {
    json!({
        "traffic": {
            "sessionAffinity": {"cookie": "slipway-rev"},
            "gatewayAPI": {"generate": {"parentRefs": [{"name": "envoy", "namespace": "gateway-system"}]}},
        },
        "strategy": {"maxSurge": "100%", "steps": [
            {"mirror": {"percent": 50}}, {"pause": {}},
            {"mirror": {"percent": 0}}, {"setWeight": {"weight": 50}}, {"pause": {}},
            {"setWeight": {"weight": 80}}, {"pause": {}},
        ]},
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node with Envoy; run make e2e-full"]
async fn copies_reach_the_canary_alone_and_sessions_stay_while_the_weight_moves() {
    with_app(async |app| {
        let gateway = app.cluster.node.envoy().await.unwrap();
        app.start(Version::One, &on_envoy()).await;
        let load = app.load_on(gateway).await;
        app.ask_for(Version::Two, &on_envoy()).await;
        let mirroring = app.until_paused_at(0).await;
        let canary = mirroring["status"]["canary"]["revision"].as_str().unwrap();
        let (before, had) = (load.stats(), requests(app, canary).await);
        let three = u64::from(3 * rate());
        let more = load.until(SOON, |stats| stats.answered >= before.answered + three);
        let after = more.await.unwrap();
        let (copies, sent) = (requests(app, canary).await - had, after.sent - before.sent);
        eprintln!("{copies} copies of {sent} requests reach the canary");
        assert!(
            copies * 100 > sent * 35 && copies * 100 < sent * 65,
            "{copies} of {sent}"
        );
        let seen = after.revisions.get(Version::Two.name());
        assert_eq!(seen, None, "nobody sees an answer to a copy");
        given_up_among_copies(app, &load, canary).await;

        app.decide("Resume").await;
        app.until_paused_at(50).await;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(Session::begin(app, gateway).await);
        }
        let begun: BTreeSet<&str> = sessions
            .iter()
            .map(|session| session.revision.as_str())
            .collect();
        assert_eq!(begun.len(), 2, "some begin at either version");
        app.decide("Resume").await;
        let moved = app.until_paused_at(80);
        tokio::pin!(moved);
        loop {
            tokio::select! {
                _ = &mut moved => break,
                () = all_stay(&sessions) => {}
            }
        }
        all_stay(&sessions).await;
        // Envoy Gateway says that it has a weight a moment before Envoy has it.
        let settled = load.stats().answered + u64::from(rate());
        let before = load.until(SOON, |stats| stats.answered >= settled);
        let before = before.await.unwrap();
        let more = load.until(SOON, |stats| stats.answered >= before.answered + three);
        let share = share(&before, &more.await.unwrap(), Version::Two);
        eprintln!("weight 80: {share:.1} % of the answers to those without a session");
        assert!((share - 80.0).abs() < 8.0, "{share} %");

        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        for session in &sessions {
            assert_eq!(session.answer().await, Version::Two.name());
        }
        nothing_lost("copies and sessions on Envoy", load).await;
    })
    .await;
}

/// An abort ends the copies; then it is tried again.
async fn given_up_among_copies(app: &App, load: &Load, canary: &str) {
    app.decide("Abort").await;
    app.until_rolled_back().await;
    // Envoy hears of it a moment after Envoy Gateway says so.
    let second = u64::from(rate());
    let settled = load.stats().answered + second;
    load.until(SOON, |stats| stats.answered >= settled)
        .await
        .unwrap();
    let had = requests(app, canary).await;
    load.until(SOON, |stats| stats.answered >= settled + second)
        .await
        .unwrap();
    let now = requests(app, canary).await;
    assert!(now <= had, "{now} after {had}: copies go on");
    app.until_pods(REPLICAS).await;
    app.decide("Retry").await;
    app.until_paused_at(0).await;
}

/// Requests that the pods of a revision have answered, as they count them themselves.
async fn requests(app: &App, revision: &str) -> u64 {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &app.namespace);
    let of = ListParams::default().labels(&format!("slipway.dev/revision={revision}"));
    let mut count = 0;
    for pod in pods.list(&of).await.unwrap() {
        // One that is ending may not listen any more.
        if pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let address = pod.status.and_then(|status| status.pod_ip).unwrap();
        let url = format!("http://{address}:8080/metrics");
        let text = http().get(url).send().await.unwrap().text().await.unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("http_requests_total{"));
        count += lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>();
    }
    count
}

fn http() -> reqwest::Client {
    let timeout = Duration::from_secs(5);
    reqwest::Client::builder()
        .no_proxy()
        .timeout(timeout)
        .build()
        .unwrap()
}

/// One of people's sessions, and the version at which it began.
struct Session {
    http: reqwest::Client,
    url: String,
    host: String,
    cookie: String,
    revision: String,
}

impl Session {
    async fn begin(app: &App, gateway: &str) -> Self {
        let (http, url, host) = (http(), format!("http://{gateway}/"), app.host());
        let answer = http.get(&url).header(HOST, &host).send().await.unwrap();
        let set = answer.headers()[SET_COOKIE].to_str().unwrap();
        let cookie = set.split(';').next().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        let revision = body["revision"].as_str().unwrap().to_owned();
        Self {
            http,
            url,
            host,
            cookie,
            revision,
        }
    }

    /// The version that answers.
    async fn answer(&self) -> String {
        let request = self.http.get(&self.url).header(HOST, &self.host);
        let answer = request.header(COOKIE, &self.cookie).send().await.unwrap();
        let body: Value = answer.error_for_status().unwrap().json().await.unwrap();
        body["revision"].as_str().unwrap().to_owned()
    }
}

async fn all_stay(sessions: &[Session]) {
    for session in sessions {
        assert_eq!(
            session.answer().await,
            session.revision,
            "a session stays where it began"
        );
    }
}
