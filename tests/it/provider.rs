//! What a run tells a provider that fails, and an operator that is killed while it tells. A server that plays Gitea's API does what the
//! real one, in `gitea.rs`, does not do on demand: it answers with errors, and counts requests, so that the operator dies between
//! one and its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use kube::api::PostParams;
use serde_json::{Value, json};
use slipway::outbox::api::OutboxState;
use slipway::pipeline_run::api::{PipelineRunStatus, RunPhase};
use testbed::proxy::{Fault, Match, What};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::fault::{proxied, stride};
use crate::pipeline::Subject;
use crate::server::serve;

pub(crate) const TOKEN: &str = "a-token-of-gitea";
/// Ref of pull request 7.
const PULL: &str = "refs/pull/7/head";
/// Writes of a run of a pull request from its beginning to its end: a few more than there are.
const WRITES: u64 = 36;
/// Login of the user whose token it is.
const ROBOT: &str = "robot";

/// A provider with one repository.
#[derive(Clone, Default)]
pub(crate) struct Gitea(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// What was said of which commit, oldest first.
    statuses: Vec<(String, Value)>,
    /// Whether it answers with 503 instead.
    is_broken: bool,
    /// Requests so far.
    requests: usize,
    /// Comments on the pull request: author and text.
    comments: Vec<(String, String)>,
    /// Comments that were asked for, whether it was answered or not.
    made: usize,
    /// Whether a comment is made and then nobody is told.
    is_mute: bool,
    /// Releases, by their tags.
    releases: Vec<Value>,
}

impl Gitea {
    pub(crate) async fn listen() -> (Self, String) {
        let gitea = Self::default();
        let app = Router::new()
            .route("/api/v1/repos/shop/api/statuses/{sha}", post(hear))
            .route("/api/v1/user", get(who))
            .route(
                "/api/v1/repos/shop/api/issues/7/comments",
                get(comments).post(comment),
            )
            .route("/api/v1/repos/shop/api/issues/comments/{id}", patch(change))
            .route("/api/v1/repos/shop/api/releases", post(release))
            .with_state(gitea.clone());
        let (url, _) = serve(app).await;
        (gitea, format!("{url}/api/v1"))
    }

    /// Nobody has said anything yet.
    fn forget(&self) {
        *self.0.lock().unwrap() = Told::default();
    }

    fn breaks(&self, is_broken: bool) {
        self.0.lock().unwrap().is_broken = is_broken;
    }

    fn is_mute(&self, is_mute: bool) {
        self.0.lock().unwrap().is_mute = is_mute;
    }

    fn made(&self) -> usize {
        self.0.lock().unwrap().made
    }

    /// Tags of the releases.
    pub(crate) fn releases(&self) -> Vec<String> {
        let told = self.0.lock().unwrap();
        let tags = told.releases.iter();
        tags.map(|release| release["tag_name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The comments of ours.
    fn comments(&self) -> Vec<String> {
        let told = self.0.lock().unwrap();
        let ours = told.comments.iter().filter(|(author, _)| author == ROBOT);
        ours.map(|(_, text)| text.clone()).collect()
    }

    fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// What people see of a commit: of each context the newest state.
    pub(crate) fn shown(&self, sha: &str) -> BTreeMap<String, String> {
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

fn is_robot(headers: &HeaderMap) -> bool {
    let login = headers.get("authorization").and_then(|it| it.to_str().ok());
    login == Some(&format!("Bearer {TOKEN}"))
}

async fn who(headers: HeaderMap) -> (StatusCode, Json<Value>) {
    if !is_robot(&headers) {
        return (
            StatusCode::UNAUTHORIZED,
            Json(json!({"message": "token is required"})),
        );
    }
    (StatusCode::OK, Json(json!({"id": 9, "login": ROBOT})))
}

async fn comments(State(gitea): State<Gitea>) -> Json<Value> {
    let told = gitea.0.lock().unwrap();
    let all = told
        .comments
        .iter()
        .enumerate()
        .map(|(id, (author, text))| json!({"id": id, "body": text, "user": {"login": author}}));
    Json(Value::from(all.collect::<Vec<_>>()))
}

/// Makes a comment. While it is mute, the connection stays open and says nothing.
async fn comment(
    State(gitea): State<Gitea>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let is_mute = {
        let mut told = gitea.0.lock().unwrap();
        assert!(is_robot(&headers));
        let text = body["body"].as_str().unwrap().to_owned();
        told.comments.push((ROBOT.to_owned(), text));
        told.made += 1;
        told.is_mute
    };
    if is_mute {
        std::future::pending::<()>().await;
    }
    (
        StatusCode::CREATED,
        Json(json!({"id": 1, "body": "", "user": {"login": ROBOT}})),
    )
}

async fn change(
    State(gitea): State<Gitea>,
    Path(id): Path<usize>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    assert!(is_robot(&headers));
    let mut told = gitea.0.lock().unwrap();
    let (author, text) = told.comments.get_mut(id).unwrap();
    assert_eq!(author, ROBOT, "nobody else's comment is changed");
    body["body"].as_str().unwrap().clone_into(text);
    Json(json!({"id": id}))
}

async fn release(
    State(gitea): State<Gitea>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    assert!(is_robot(&headers));
    let mut told = gitea.0.lock().unwrap();
    let mut known = told.releases.iter();
    if known.any(|known| known["tag_name"] == body["tag_name"]) {
        return (
            StatusCode::CONFLICT,
            Json(json!({"message": "Release is already there"})),
        );
    }
    told.releases.push(body.clone());
    (StatusCode::CREATED, Json(body))
}

/// A run of a pull request, started by hand: its ref and commit.
pub(crate) async fn pull(subject: &Subject, name: &str, (git_ref, sha): (&str, &str)) {
    let run = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
        "spec": {"pipelineRef": {"name": "api"}, "ref": git_ref, "sha": sha,
                 "trigger": {"kind": "Manual", "actor": "alice"}},
    });
    let run = serde_json::from_value(run).unwrap();
    subject
        .runs
        .create(&PostParams::default(), &run)
        .await
        .unwrap();
}

/// The run of this name, once it is over and all that there is to tell has arrived.
async fn pulled(subject: &Subject, name: &str) -> PipelineRunStatus {
    wait_for("a run that is over", SOON, async || {
        let status = subject.runs.get(name).await.ok()?.status?;
        status.phase?.is_finished().then_some(())
    })
    .await;
    told(subject, name).await
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

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pull_request_has_one_comment_that_each_run_brings_up_to_date() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        let subject = hosted(space, &url).await;
        let marker = format!("<!-- slipway:comment {}/api -->", space.name);
        let quoted = format!("{marker}\nis what it says");
        let mallory = ("mallory".to_owned(), quoted.clone());
        gitea.0.lock().unwrap().comments.push(mallory.clone());
        let sha = subject.push("Add the shop").await;
        let _operator = subject.operator_with(&kubeconfig_path(), &["--stage-secrets"]);
        pull(&subject, "first", (PULL, &sha)).await;
        let status = pulled(&subject, "first").await;
        assert!(status.outbox.iter().any(|entry| entry.key == "comment"));
        let [text] = &gitea.comments()[..] else {
            panic!("{:?}", gitea.comments());
        };
        assert!(text.starts_with(&marker), "{text}");
        assert!(
            text.contains("api: passed") && text.contains("run `first`"),
            "{text}"
        );

        subject.plays("python", "exit=1,after=100ms");
        pull(&subject, "second", (PULL, &sha)).await;
        pulled(&subject, "second").await;
        let [text] = &gitea.comments()[..] else {
            panic!("{:?}", gitea.comments());
        };
        assert!(
            text.contains("api: failed") && text.contains("run `second`"),
            "{text}"
        );
        assert_eq!(gitea.made(), 1);
        assert_eq!(
            gitea.0.lock().unwrap().comments[0],
            mallory,
            "what people quote stays theirs"
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_that_dies_before_it_notes_the_comment_makes_no_second_one() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        let subject = hosted(space, &url).await;
        let sha = subject.push("Add the shop").await;
        let start = || subject.operator_with(&kubeconfig_path(), &["--stage-secrets"]);
        gitea.is_mute(true);
        let operator = start();
        pull(&subject, "first", (PULL, &sha)).await;
        // The provider has it, and the operator does not know: it waits for the answer until it dies.
        wait_for("a comment", SOON, async || {
            (gitea.made() == 1).then_some(())
        })
        .await;
        operator.kill().await;
        gitea.is_mute(false);
        let _operator = start();
        pulled(&subject, "first").await;
        let [text] = &gitea.comments()[..] else {
            panic!("{:?}", gitea.comments());
        };
        assert!(text.contains("api: passed"), "{text}");
        assert_eq!(gitea.made(), 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_leaves_one_comment_and_every_status() {
    with_namespace(async |space| {
        let (gitea, url) = Gitea::listen().await;
        let subject = hosted(space, &url).await;
        let sha = subject.push("Add the shop").await;
        let (proxy, path) = proxied(space).await;
        let start = || subject.operator_with(&path, &["--stage-secrets"]);
        let first = start();
        let (run, _) = subject.ended(&sha).await;
        told(&subject, &run).await;
        first.kill().await;
        let mut killed = 0;
        for after in (1..=WRITES).step_by(stride(7)) {
            gitea.forget();
            let name = format!("killed-after-{after}");
            let mut operator = start();
            let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
            let injected = proxy.inject(kill.nth(after));
            pull(&subject, &name, (PULL, &sha)).await;
            tokio::select! {
                _ = operator.ended() => {}
                _ = pulled(&subject, &name) => {}
            }
            injected.remove();
            if injected.hits() > 0 {
                operator = start();
            }
            killed += injected.hits();
            let status = pulled(&subject, &name).await;
            assert_eq!(
                status.phase,
                Some(RunPhase::Succeeded),
                "{name}: {status:?}"
            );
            let [text] = &gitea.comments()[..] else {
                panic!("{name}: {:?}", gitea.comments());
            };
            let is_right = text.contains("api: passed") && text.contains(&format!("run `{name}`"));
            assert!(is_right, "{text}");
            assert_eq!(gitea.made(), 1, "{name}");
            assert_eq!(gitea.shown(&sha), all("success"), "{name}");
            operator.kill().await;
        }
        assert!(killed > 0, "none of the writes was made");
        std::fs::remove_file(&path).unwrap();
    })
    .await;
}
