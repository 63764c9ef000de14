//! Logs and claims over real HTTP, with an API server that knows a few tokens.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use http::{Request as HttpRequest, Response as HttpResponse};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body as KubeBody;
use serde_json::Value;

use super::super::NO_LEADER;
use super::*;
use crate::archive::Entry;
use crate::clock::Clock;
use crate::cluster::fetch::Http;
use crate::telemetry::metrics::Metrics;

/// ConfigMaps by name, and how often a token was asked about.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<(HashMap<String, Value>, u32)>>);

impl Api {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: HttpRequest<KubeBody>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = api.answer(parts.uri.path(), &body);
                let answer = KubeBody::from(answer.to_string().into_bytes());
                let answer = HttpResponse::builder().status(status).body(answer);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut known = self.0.lock().unwrap();
        if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
            known.1 += 1;
            return (201, review(body));
        }
        let refusal = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                                "reason": reason, "message": reason});
            (code, status)
        };
        let name = path.rsplit_once("/configmaps");
        let Some(("/api/v1/namespaces/shop", name)) = name else {
            return refusal(404, "NotFound");
        };
        if let Some(name) = name.strip_prefix('/') {
            return (200, known.0[name].clone());
        }
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        if known.0.contains_key(&name) {
            return refusal(409, "AlreadyExists");
        }
        known.0.insert(name, body.clone());
        (201, body.clone())
    }
}

/// `<what>@<pod>` is a token of that pod, `alice@` one of no pod; each counts for one audience.
fn review(body: &Value) -> Value {
    let token = body["spec"]["token"].as_str().unwrap();
    let audience = &body["spec"]["audiences"][0];
    let (what, pod) = token.split_once('@').unwrap_or_default();
    let is_known = match what {
        "stage" => audience == AUDIENCE,
        "alice" => audience == READER_AUDIENCE,
        _ => false,
    };
    let extra = json!({"authentication.kubernetes.io/pod-name": [pod],
                       "authentication.kubernetes.io/pod-uid": [format!("uid-of-{pod}")]});
    let user = json!({"username": "system:serviceaccount:shop:default", "extra": extra});
    let status = json!({"authenticated": is_known, "audiences": [audience], "user": user});
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status})
}

struct Served {
    cluster: Cluster,
    receiver: Receiver,
    leads: Arc<AtomicBool>,
    api: Api,
    address: SocketAddr,
    folder: PathBuf,
    stop: CancellationToken,
    http: reqwest::Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Served {
    async fn start(name: &str) -> Self {
        let api = Api::default();
        let metrics = Metrics::new().unwrap();
        let cluster = Cluster::new(api.client(), Http::default(), metrics, Clock::default());
        let leads = Arc::new(AtomicBool::new(true));
        let folder = format!("slipway-receiver-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let archive = Archive::open(folder.clone(), 1 << 20, 1 << 24).unwrap();
        let receiver = Receiver::new(cluster.clone(), Arc::clone(&leads), archive);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(receiver.clone().serve(listener, stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let served = Self {
            cluster,
            receiver,
            leads,
            api,
            address,
            folder,
            stop,
            http,
        };
        let run = json!({"pipelineRef": {"name": "api"}, "ref": "refs/heads/main",
                         "trigger": {"kind": "Push", "actor": "slipway"}, "sha": "a".repeat(40)});
        served.has(
            ObjectKind::PipelineRun,
            "run",
            &Value::Null,
            &json!({"spec": run}),
        );
        let owner = served.owner(ObjectKind::PipelineRun, "run");
        served.has(ObjectKind::Job, "run-unit-1", &owner, &json!({}));
        for pod in ["pod-a", "pod-b"] {
            let owner = served.owner(ObjectKind::Job, "run-unit-1");
            served.has(ObjectKind::Pod, pod, &owner, &json!({}));
        }
        served
    }

    fn owner(&self, kind: ObjectKind, name: &str) -> Value {
        let _ = self;
        json!({"apiVersion": kind.api_version(), "kind": kind.kind(), "name": name,
               "uid": format!("uid-of-{name}"), "controller": true})
    }

    /// An object that the watches have told of.
    fn has(&self, kind: ObjectKind, name: &str, owner: &Value, rest: &Value) {
        let owners: Vec<&Value> = Some(owner)
            .filter(|owner| !owner.is_null())
            .into_iter()
            .collect();
        let mut object = json!({
            "apiVersion": kind.api_version(), "kind": kind.kind(),
            "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "1",
                         "creationTimestamp": "2026-11-26T10:00:00Z", "ownerReferences": owners,
                         "labels": {"slipway.dev/component": "stage", "slipway.dev/pipeline-run": "run",
                                    "slipway.dev/stage": "unit"}},
        });
        json_patch::merge(&mut object, rest);
        self.cluster.caches.remember(kind, &object);
    }

    async fn post(&self, token: &str, path: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.post(url).bearer_auth(token);
        let answer = request.body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn get(&self, token: &str, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.get(url).header(super::super::TOKEN_HEADER, token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

const RUN: &str = "/v1/runs/shop/run/uid-of-run";

#[tokio::test]
async fn what_a_pod_says_is_kept_and_handed_out() {
    let served = Served::start("kept").await;
    let said = served.post("stage@pod-a", "/v1/log?offset=0&last=false", "one\n");
    assert_eq!(said.await, (200, String::new()));
    let again = served.post("stage@pod-a", "/v1/log?offset=0&last=false", "one\n");
    assert_eq!(again.await, (409, "4\n".to_owned()), "it is there already");
    let last = served.post("stage@pod-a", "/v1/log?offset=4&last=true", "two\n");
    assert_eq!(last.await.0, 200);
    let (status, said) = served.get("alice@", RUN).await;
    assert_eq!(status, 200, "{said}");
    let all: Vec<Entry> = serde_json::from_str(&said).unwrap();
    assert_eq!(all.len(), 1);
    let entry = &all[0];
    assert_eq!((entry.about.stage.as_str(), entry.bytes), ("unit", 8));
    assert!(entry.about.is_complete);
    let read = served.get("alice@", &format!("{RUN}/pod-a?offset=4")).await;
    assert_eq!(read, (200, "two\n".to_owned()));
    assert_eq!(served.get("alice@", &format!("{RUN}/pod-b")).await.0, 404);
    assert_eq!(
        served.api.0.lock().unwrap().1,
        2,
        "each token is asked about once"
    );
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_for_it() {
    let served = Served::start("tokens").await;
    let path = "/v1/log?offset=0&last=false";
    for token in ["nobody", "alice@pod-a", "mallory@pod-a"] {
        assert_eq!(served.post(token, path, "x").await.0, 401, "{token}");
    }
    for token in ["nobody", "stage@pod-a"] {
        assert_eq!(served.get(token, RUN).await.0, 401, "{token}");
    }
    let elsewhere = served.get("alice@", "/v1/runs/bank/run/uid-of-run").await;
    assert_eq!(elsewhere.0, 401, "a token of another namespace");
    let escape = served.get("alice@", "/v1/runs/shop/run/..%2f..").await;
    assert_eq!(escape.0, 400, "{}", escape.1);
}

#[tokio::test]
async fn a_pod_is_one_of_a_stage_only_if_its_owners_are() {
    let served = Served::start("owners").await;
    let path = "/v1/log?offset=0&last=false";
    let (status, said) = served.post("stage@pod-c", path, "x").await;
    assert_eq!(status, 503, "the watch may be late: {said}");
    served.has(ObjectKind::Pod, "pod-c", &Value::Null, &json!({}));
    assert_eq!(served.post("stage@pod-c", path, "x").await.0, 401);
    let mut owner = served.owner(ObjectKind::Job, "run-unit-1");
    owner["uid"] = "of-another".into();
    served.has(ObjectKind::Pod, "pod-d", &owner, &json!({}));
    assert_eq!(served.post("stage@pod-d", path, "x").await.0, 503);
    let again = json!({"metadata": {"uid": "made-anew"}});
    served.has(ObjectKind::Pod, "pod-e", &owner, &again);
    assert_eq!(served.post("stage@pod-e", path, "x").await.0, 503);
}

#[tokio::test]
async fn a_pod_whose_job_is_gone_has_its_last_words() {
    let served = Served::start("last-words").await;
    let said = |pod: &'static str, path: &'static str| served.post(pod, path, "x\n");
    let first = said("stage@pod-a", "/v1/log?offset=0&last=false").await;
    assert_eq!(first.0, 200);
    let job = Key::new("shop", "run-unit-1");
    let caches = &served.cluster.caches;
    caches.forget(ObjectKind::Job, &job, "uid-of-run-unit-1");
    let last = said("stage@pod-a", "/v1/log?offset=2&last=true").await;
    assert_eq!(last.0, 200, "{}", last.1);
    let unknown = said("stage@pod-b", "/v1/log?offset=0&last=true").await;
    assert_eq!(unknown.0, 503, "{}", unknown.1);
}

#[tokio::test]
async fn one_process_of_an_attempt_may_go_on() {
    let served = Served::start("claims").await;
    let claims = (0..8).map(|number| {
        let pod = if number % 2 == 0 {
            "stage@pod-a"
        } else {
            "stage@pod-b"
        };
        let nonce = format!("process-{number}");
        let served = &served;
        async move { (number, served.post(pod, "/v1/claim", &nonce).await) }
    });
    let answers = futures::future::join_all(claims).await;
    let won: Vec<usize> = answers
        .iter()
        .filter(|(_, (status, _))| *status == 200)
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let (_, (status, said)) = &answers[(won[0] + 1) % 8];
    assert_eq!(*status, 409);
    assert!(said.contains("at most once"), "{said}");
    // Whoever has it has it still, where the first answer was lost.
    let pod = if won[0].is_multiple_of(2) {
        "stage@pod-a"
    } else {
        "stage@pod-b"
    };
    let nonce = format!("process-{}", won[0]);
    assert_eq!(served.post(pod, "/v1/claim", &nonce).await.0, 200);
    let records = served.api.0.lock().unwrap().0.clone();
    let record = &records["run-unit-1-claim"];
    assert_eq!(record["immutable"], true);
    assert_eq!(record["metadata"]["ownerReferences"][0]["name"], "run");
    assert_eq!(served.post(pod, "/v1/claim", "").await.0, 400);
}

#[tokio::test]
async fn who_does_not_lead_takes_nothing() {
    let served = Served::start("standby").await;
    served.leads.store(false, Ordering::Relaxed);
    for answer in [
        served
            .post("stage@pod-a", "/v1/log?offset=0&last=false", "x")
            .await,
        served.post("stage@pod-a", "/v1/claim", "x").await,
        served.get("alice@", RUN).await,
    ] {
        assert_eq!(answer, (503, format!("{NO_LEADER}\n")));
    }
    assert_eq!(served.api.0.lock().unwrap().1, 0, "and asks nobody");
}

#[tokio::test]
async fn a_flood_is_slowed_down_and_a_large_part_refused() {
    let served = Served::start("flood").await;
    let large = "x".repeat(MAX_PART + 1);
    let path = "/v1/log?offset=0&last=false";
    assert_eq!(served.post("stage@pod-a", path, &large).await.0, 413);
    let mut answers = Vec::new();
    for _ in 0..160 {
        answers.push(served.post("stage@pod-a", path, "").await.0);
    }
    assert!(
        answers[..100].iter().all(|status| *status == 200),
        "{answers:?}"
    );
    assert!(answers.contains(&503), "{answers:?}");
    assert_eq!(
        served.post("stage@pod-b", path, "").await.0,
        200,
        "each pod has its own share"
    );
}

#[tokio::test]
async fn logs_go_with_their_run() {
    let served = Served::start("gone").await;
    let path = "/v1/log?offset=0&last=true";
    assert_eq!(served.post("stage@pod-a", path, "one\n").await.0, 200);
    served.receiver.sweep_now().await;
    assert_eq!(served.get("alice@", &format!("{RUN}/pod-a")).await.0, 200);
    let key = Key::new("shop", "run");
    served
        .cluster
        .caches
        .forget(ObjectKind::PipelineRun, &key, "uid-of-run");
    served.receiver.sweep_now().await;
    assert_eq!(served.get("alice@", &format!("{RUN}/pod-a")).await.0, 404);
}
