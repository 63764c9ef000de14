//! Calls of gRPC through a generated GRPCRoute, at a constant rate: the weight moves, goes back and moves again, and every
//! call is answered with status 0.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt;
use reqwest::header::{CONTENT_TYPE, HeaderValue, TE};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{App, NAME, REPLICAS, SOON, rate, wait_for, weight_of, with_app};
use crate::cluster::Version;
use crate::film::Film;

/// What the pods run.
const SERVER: &str = include_str!("grpc.py");

/// One call in so many comes on a connection of its own.
const FRESH_EVERY: u64 = 4;

/// A call with an empty message.
const CALL: [u8; 5] = [0; 5];

/// How calls have ended so far.
#[derive(Clone, Debug, Default)]
struct Ends {
    sent: u64,
    answered: BTreeMap<String, u64>,
    lost: Vec<String>,
}

impl Ends {
    fn all(&self) -> u64 {
        self.answered.values().sum()
    }

    fn of(&self, version: Version) -> u64 {
        self.answered.get(version.name()).copied().unwrap_or(0)
    }
}

/// Who calls, and where.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    /// With prior knowledge, as clients of gRPC without TLS do it. The name of the host is the authority of each call.
    fn new(app: &App, keeps_connections: bool) -> Self {
        let gateway: SocketAddr = app.cluster.node.gateway().parse().unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .timeout(Duration::from_secs(10))
            .pool_max_idle_per_host(usize::from(keeps_connections))
            .resolve(&app.host(), gateway)
            .build()
            .unwrap();
        let url = format!(
            "http://{}:{}/greeter.Greeter/Hello",
            app.host(),
            gateway.port()
        );
        Self { http, url }
    }

    /// The revision that answers; the error says what came in its place.
    async fn call(&self) -> Result<String, String> {
        let request = self.http.post(&self.url).header(TE, "trailers");
        let request = request.header(CONTENT_TYPE, "application/grpc");
        let answer = request.body(CALL.to_vec()).send().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let (head, body) = http::Response::from(answer).into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = trailers.get("grpc-status");
        let message = body.to_bytes();
        match (status.map(HeaderValue::as_bytes), message.get(5..)) {
            (Some(b"0"), Some(revision)) => Ok(String::from_utf8_lossy(revision).into_owned()),
            _ => Err(format!("{head:?} {trailers:?} {message:?}")),
        }
    }
}

/// Calls at a constant rate, until they are stopped.
struct Calls {
    ends: watch::Receiver<Ends>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Calls {
    /// Begins; the first call has to be answered.
    async fn start(app: &App) -> Self {
        let (kept, fresh) = (Caller::new(app, true), Caller::new(app, false));
        wait_for("the gateway has the route", SOON, async || {
            kept.call().await
        })
        .await;
        let (told, ends) = watch::channel(Ends::default());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut calls = JoinSet::new();
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate());
            let mut ends = Ends::default();
            while !*stopped.borrow() {
                tokio::select! {
                    _ = tick.tick() => {
                        ends.sent += 1;
                        let caller = if ends.sent % FRESH_EVERY == 0 { &fresh } else { &kept };
                        let caller = caller.clone();
                        calls.spawn(async move { caller.call().await });
                    }
                    Some(end) = calls.join_next() => note(&mut ends, end.unwrap()),
                }
                told.send_replace(ends.clone());
            }
            while let Some(end) = calls.join_next().await {
                note(&mut ends, end.unwrap());
            }
            told.send_replace(ends);
        });
        Self { ends, stop, task }
    }

    /// The share of a version over the next seconds, in percent.
    async fn share_of(&mut self, version: Version, seconds: u64) -> f64 {
        let before = self.ends.borrow().clone();
        let wanted = before.all() + seconds * u64::from(rate());
        let later = self.ends.wait_for(|ends| ends.all() >= wanted);
        let later = tokio::time::timeout(SOON, later).await.unwrap().unwrap();
        let part = |of: u64| f64::from(u32::try_from(of).unwrap());
        part(later.of(version) - before.of(version)) * 100.0 / part(later.all() - before.all())
    }

    /// Ends; every call has to have been answered.
    async fn none_lost(self) -> Ends {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        let ends = self.ends.borrow().clone();
        eprintln!("gRPC: {} calls, by revision {:?}", ends.sent, ends.answered);
        assert!(
            ends.lost.is_empty(),
            "{} lost: {:#?}",
            ends.lost.len(),
            ends.lost
        );
        assert_eq!(ends.all(), ends.sent, "every call ends exactly once");
        ends
    }
}

fn note(ends: &mut Ends, end: Result<String, String>) {
    match end {
        Ok(revision) => *ends.answered.entry(revision).or_default() += 1,
        Err(why) => ends.lost.push(why),
    }
}

/// The Rollout with a server of gRPC in place of the sample's own.
fn server(app: &App, version: Version) -> Value {
    let mut rollout = app.rollout(
        version,
        &json!({
            "traffic": {"gatewayAPI": {"generate": {"kind": "GRPCRoute"}}},
            "strategy": {"steps": [
                {"setWeight": {"weight": 20}}, {"pause": {"for": "2s"}}, {"setWeight": {"weight": 50}}, {"pause": {}},
            ]},
        }),
    );
    let container = &mut rollout["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["python3", "-c", SERVER]);
    container["env"] = json!([{"name": "REVISION", "value": version.name()}]);
    container["readinessProbe"] =
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5});
    rollout
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn calls_go_with_the_weight_there_and_back_and_none_is_lost() {
    with_app(async |app| {
        let kind = ObjectKind::Rollout;
        app.apply(kind, &server(app, Version::One)).await;
        app.until_healthy().await;
        let mut calls = Calls::start(app).await;
        let route = Film::of(&app.api(ObjectKind::GrpcRoute), NAME).await;
        app.apply(kind, &server(app, Version::Two)).await;
        app.until_paused_at(50).await;
        let share = calls.share_of(Version::Two, 3).await;
        eprintln!("weight 50: {share:.1} % of the calls");
        assert!((share - 50.0).abs() < 10.0, "{share} %");
        app.decide("Abort").await;
        app.until_rolled_back().await;
        app.decide("Retry").await;
        app.until_paused_at(50).await;
        app.decide("Resume").await;
        app.until_healthy().await;
        app.until_pods(REPLICAS).await;
        let share = calls.share_of(Version::Two, 1).await;
        assert!(share > 99.9, "{share} %");
        let weights: Vec<u64> = route
            .frames()
            .iter()
            .filter_map(|frame| weight_of(&frame.object))
            .collect();
        assert!(
            [20, 50, 100].iter().all(|weight| weights.contains(weight)),
            "{weights:?}"
        );
        let ends = calls.none_lost().await;
        assert_eq!(ends.answered.len(), 2, "of two versions");
    })
    .await;
}
