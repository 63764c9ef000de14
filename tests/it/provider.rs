//! What a run tells a provider that fails, and an operator that is killed while it tells. A server that plays Gitea's API does what the
//! real one, in `gitea.rs`, does not do on demand: it answers with errors, and counts requests, so that the operator dies between
//! one and its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use slipway::outbox::api::OutboxState;
use slipway::pipeline_run::api::{PipelineRunStatus, RunPhase};
use tokio::net::TcpListener;

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::pipeline::Subject;

const TOKEN: &str = "a-token-of-gitea";

/// A provider with one repository.
#[derive(Clone, Default)]
struct Gitea(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// What was said of which commit, oldest first.
    statuses: Vec<(String, Value)>,
    /// Whether it answers with 503 instead.
    is_broken: bool,
    /// Requests so far.
    requests: usize,
}

impl Gitea {
    async fn listen() -> (Self, String) {
        let gitea = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/api/v1/repos/shop/api/statuses/{sha}", post(hear))
            .with_state(gitea.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (gitea, url)
    }

    fn breaks(&self, is_broken: bool) {
        self.0.lock().unwrap().is_broken = is_broken;
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// What people see of a commit: of each context the newest state.
    fn shown(&self, sha: &str) -> BTreeMap<String, String> {
        let told = self.0.lock().unwrap();
        let of_commit = told.statuses.iter().filter(|(commit, _)| commit == sha);
        let text = |status: &Value, name: &str| status[name].as_str().unwrap().to_owned();
        of_commit
            .map(|(_, status)| (text(status, "context"), text(status, "state")))
            .collect()
    }
}

async fn hear(
    State(gitea): State<Gitea>,
    Path(sha): Path<String>,
    headers: HeaderMap,
    Json(status): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut told = gitea.0.lock().unwrap();
    told.requests += 1;
    let login = headers.get("authorization").and_then(|it| it.to_str().ok());
    if login != Some(&format!("Bearer {TOKEN}")) {
        let message = json!({"message": "token is required"});
        return (StatusCode::UNAUTHORIZED, Json(message));
    }
    if told.is_broken {
        let message = json!({"message": "the database is locked"});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(message));
    }
    told.statuses.push((sha, status.clone()));
    (StatusCode::CREATED, Json(status))
}

/// A repository with a Pipeline that tells its provider.
async fn hosted(space: &Space, api_url: &str) -> Subject {
    space.make_secret("git", json!({"token": TOKEN})).await;
    let subject = Subject::new(space).await;
    subject
        .create(&json!({"spec": {"source": {"git": {"provider": {
            "type": "Gitea", "apiUrl": api_url, "tokenSecretRef": {"name": "git", "key": "token"},
        }}}}}))
        .await;
    subject
}

/// The run, once the provider has all that there is to tell.
pub(crate) async fn told(subject: &Subject, run: &str) -> PipelineRunStatus {
    wait_for("a provider that knows all", SOON, async || {
        let status = subject.runs.get(run).await.ok()?.status?;
        let mut outbox = status.outbox.iter();
        let is_told = outbox.all(|entry| entry.state == OutboxState::Sent);
        is_told.then_some(status)
    })
    .await
}

fn all(state: &str) -> BTreeMap<String, String> {
    let contexts = ["slipway/api", "slipway/api/image", "slipway/api/unit"];
    let each = contexts.map(|context| (context.to_owned(), state.to_owned()));
    BTreeMap::from(each)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_push_gets_statuses_and_a_provider_that_is_down_gets_them_later() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        let subject = hosted(space, &url).await;
        let first = subject.push("Add the shop").await;
        let _operator = subject.operator_with(&kubeconfig_path(), &["--stage-secrets"]);
        let (run, _) = subject.ended(&first).await;
        let status = told(&subject, &run).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.outbox.len(), 3, "{:?}", status.outbox);
        assert_eq!(gitea.shown(&first), all("success"));

        gitea.breaks(true);
        subject.builds('8');
        let second = subject.push("Sell more").await;
        let (run, status) = subject.ended(&second).await;
        assert_eq!(
            status.phase,
            Some(RunPhase::Succeeded),
            "nobody waits for it"
        );
        let refused = wait_for("a message that was refused", SOON, async || {
            let status = subject.runs.get(&run).await.ok()?.status?;
            let mut outbox = status.outbox.into_iter();
            outbox.find_map(|entry| entry.last_error)
        })
        .await;
        assert!(refused.contains("the database is locked"), "{refused}");
        assert!(!refused.contains(TOKEN));
        gitea.breaks(false);
        told(&subject, &run).await;
        assert_eq!(gitea.shown(&second), all("success"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_status_is_right_in_the_end_however_often_the_operator_is_killed() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        let subject = hosted(space, &url).await;
        let sha = subject.push("Add the shop").await;
        let start = || subject.operator_with(&kubeconfig_path(), &["--stage-secrets"]);
        // It dies after the 1st, the 2nd, … request that it sends, before it can note the answer, most of the time.
        for count in 1..=4 {
            let operator = start();
            wait_for("another request", SOON, async || {
                (gitea.requests() >= count).then_some(())
            })
            .await;
            operator.kill().await;
        }
        let _operator = start();
        let (run, _) = subject.ended(&sha).await;
        told(&subject, &run).await;
        assert_eq!(gitea.shown(&sha), all("success"));
    })
    .await;
}
