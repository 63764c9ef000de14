//! GitHub and GitLab, by what they publish of their APIs: exchanges that are written down from that, and a server that plays them
//! and takes no request that differs in method, path, header or body. None was captured: neither of the two runs in a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Json, Router};
use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway::model::action::Errand;
use slipway::model::kept::{ID, Kept, Look};
use slipway::outbox::api::OutboxState;
use slipway::pipeline::api::GitSource;
use slipway::pipeline_run::api::{PipelineRunStatus, RunPhase};
use slipway::provider::{
    CommitState, CommitStatus, KeptComment, KeptPull, Provider, ProviderRelease, RefusalKind,
};

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::gitea::send;
use crate::pipeline::{Subject, tested};
use crate::provider::{TOKEN, pull};
use crate::server::serve;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/provider");
/// The commit that the exchanges are about.
const SHA: &str = "3f9c2e1b8d7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e";
/// Stands in an answer for the text that the exchange before it brought.
const BODY: &str = "\"~body~\"";

/// A request that a provider describes, and its answer.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exchange {
    /// Where.
    described: String,
    /// It is played only once this other one was, and then instead of others like it.
    after: Option<String>,
    /// It is played only where the status that is said goes on already.
    #[serde(default)]
    goes_on: bool,
    request: Asked,
    response: Answer,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    /// With the query; a regular expression.
    path: String,
    /// What may and what has to be in the body; nothing where there is none.
    body: Option<Body>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    required: BTreeSet<String>,
    properties: BTreeMap<String, Property>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Property {
    #[serde(rename = "type")]
    type_: String,
    #[serde(rename = "enum")]
    one_of: Option<Vec<String>>,
    max_length: Option<usize>,
    pattern: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    body: Value,
}

impl Body {
    /// Why a body is not one of these.
    fn differs(&self, body: &Value) -> Option<String> {
        let Some(fields) = body.as_object() else {
            return Some("no object".to_owned());
        };
        let mut missing = self.required.iter();
        if let Some(name) = missing.find(|name| !fields.contains_key(*name)) {
            return Some(format!("without {name}"));
        }
        let mut wrong = fields.iter().filter(|(name, value)| {
            let property = self.properties.get(*name);
            !property.is_some_and(|property| property.takes(value))
        });
        wrong
            .next()
            .map(|(name, value)| format!("{name} is {value}"))
    }
}

impl Property {
    fn takes(&self, value: &Value) -> bool {
        match self.type_.as_str() {
            "string" => value.as_str().is_some_and(|text| self.takes_text(text)),
            "boolean" => value.is_boolean(),
            "integer" | "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other} is no type"),
        }
    }

    fn takes_text(&self, text: &str) -> bool {
        let is_one = |all: &Vec<String>| all.iter().any(|one| one == text);
        let is_short = |most: usize| text.chars().count() <= most;
        self.one_of.as_ref().is_none_or(is_one)
            && self.max_length.is_none_or(is_short)
            && self.pattern.as_ref().is_none_or(|rule| is_all(rule, text))
    }
}

/// Whether a text is what a regular expression says, from its beginning to its end.
fn is_all(pattern: &str, text: &str) -> bool {
    let whole = Regex::new(&format!("^(?s:{pattern})$")).unwrap();
    whole.is_match(text)
}

/// A provider that plays what is written down.
#[derive(Clone)]
struct Player(Arc<Mutex<Script>>);

/// What it can play, what it has played, and what it was asked that nobody describes.
struct Script {
    headers: BTreeMap<String, String>,
    exchanges: BTreeMap<String, Exchange>,
    /// By the name of the exchange: where it was played, and the bodies that it brought.
    played: BTreeMap<String, Vec<(String, Value)>>,
    refused: Vec<String>,
}

impl Script {
    fn of(provider: &str) -> Self {
        let mut exchanges = BTreeMap::new();
        for entry in std::fs::read_dir(Path::new(DATA).join(provider)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            // What it delivers by itself is read elsewhere.
            if name == "headers" || name.starts_with("webhook-") {
                continue;
            }
            let exchange: Exchange = read(provider, &name);
            assert!(exchange.described.starts_with("https://docs."), "{name}");
            exchanges.insert(name, exchange);
        }
        Self {
            headers: read(provider, "headers"),
            exchanges,
            played: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    /// Plays the exchange that a request belongs to.
    fn play(
        &mut self,
        (method, path): (&str, &str),
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(u16, Value), String> {
        let header = |name: &str| {
            let told = headers.get(name).and_then(|value| value.to_str().ok());
            told.unwrap_or_default()
        };
        let mut expected = self.headers.iter();
        if let Some((name, _)) = expected.find(|(name, rule)| !is_all(rule, header(name))) {
            return Err(format!("header {name} is {:?}", header(name)));
        }
        let body = (!body.is_empty()).then(|| serde_json::from_slice::<Value>(body).unwrap());
        if body.is_some() != (header("content-type") == "application/json") {
            return Err(format!("content-type is {:?}", header("content-type")));
        }
        let is_due = |exchange: &Exchange| {
            let after = exchange.after.as_ref();
            let before = after.and_then(|other| self.played.get(other));
            let said = body.as_ref().unwrap_or(&Value::Null);
            (after.is_none() || before.is_some())
                && (!exchange.goes_on || goes_on(before, (path, said)))
        };
        let is_meant = |exchange: &Exchange| {
            exchange.request.method == method && is_all(&exchange.request.path, path)
        };
        let fitting = self.exchanges.iter();
        let fitting = fitting.filter(|(_, exchange)| is_meant(exchange) && is_due(exchange));
        let found = fitting.max_by_key(|(_, exchange)| exchange.after.is_some());
        let (name, exchange) = found.ok_or("nobody describes it")?;
        let differs = match (&exchange.request.body, &body) {
            (Some(described), Some(body)) => described.differs(body),
            (None, None) => None,
            (Some(_), None) => Some("without a body".to_owned()),
            (None, Some(body)) => Some(format!("with {body}")),
        };
        if let Some(differs) = differs {
            return Err(format!("{name}: {differs}"));
        }
        let before = exchange.after.as_ref();
        let before = before.and_then(|other| self.text(other));
        let before = Value::from(before.unwrap_or_default()).to_string();
        let answer = exchange.response.body.to_string().replace(BODY, &before);
        let answer = (exchange.response.status, answer.parse().unwrap());
        let played = self.played.entry(name.clone()).or_default();
        played.push((path.to_owned(), body.unwrap_or_default()));
        Ok(answer)
    }

    /// The last text that an exchange brought, if it was played.
    fn text(&self, name: &str) -> Option<String> {
        let (_, body) = self.played.get(name)?.last()?;
        Some(body["body"].as_str().unwrap_or_default().to_owned())
    }
}

/// The context of a status.
fn context(body: &Value) -> &str {
    let context = body["context"].as_str();
    context.or(body["name"].as_str()).unwrap_or_default()
}

/// Whether a status is in progress at a commit, and is said to be once more. Of one that is over GitLab makes another.
fn goes_on(taken: Option<&Vec<(String, Value)>>, (path, body): (&str, &Value)) -> bool {
    let mut taken = taken.into_iter().flatten().rev();
    let last = taken.find(|(at, said)| at == path && context(said) == context(body));
    let state = body["state"].as_str().unwrap_or_default();
    matches!(state, "pending" | "running") && last.is_some_and(|(_, said)| said["state"] == state)
}

fn read<T: DeserializeOwned>(provider: &str, name: &str) -> T {
    let path = Path::new(DATA).join(provider).join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Player {
    /// Plays `github` or `gitlab`. The address of its API.
    async fn listen(provider: &str) -> (Self, String) {
        let player = Self(Arc::new(Mutex::new(Script::of(provider))));
        let app = Router::new().fallback(answer).with_state(player.clone());
        let (url, _) = serve(app).await;
        let path = if provider == "gitlab" { "/api/v4" } else { "" };
        (player, format!("{url}{path}"))
    }

    fn refused(&self) -> Vec<String> {
        self.0.lock().unwrap().refused.clone()
    }

    /// The last text that an exchange brought, if it was played.
    fn text(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().text(name)
    }

    /// The last state of each context, of what was taken beyond the first `known`; those are then known.
    fn states(&self, known: &mut usize) -> BTreeMap<String, String> {
        let script = self.0.lock().unwrap();
        let taken = script.played.get("status").map_or(&[][..], Vec::as_slice);
        let news = taken[*known..].iter();
        *known = taken.len();
        news.map(|(_, body)| {
            let state = body["state"].as_str().unwrap().to_owned();
            (context(body).to_owned(), state)
        })
        .collect()
    }

    /// What is written down and was not played.
    fn left(&self) -> Vec<String> {
        let script = self.0.lock().unwrap();
        let all = script.exchanges.keys();
        let left = all.filter(|name| !script.played.contains_key(*name));
        left.cloned().collect()
    }
}

async fn answer(State(player): State<Player>, request: Request) -> (StatusCode, Json<Value>) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let method = parts.method.as_str();
    let mut script = player.0.lock().unwrap();
    match script.play((method, path), &parts.headers, &body) {
        Ok((status, body)) => (StatusCode::from_u16(status).unwrap(), Json(body)),
        Err(problem) => {
            script.refused.push(format!("{method} {path}: {problem}"));
            (StatusCode::BAD_REQUEST, Json(json!({"message": problem})))
        }
    }
}

/// The providers: what they are called in a source, where their exchanges are, and the ref of a pull request.
const PROVIDERS: [(&str, &str, &str); 2] = [
    ("GitHub", "github", "refs/pull/7/head"),
    ("GitLab", "gitlab", "refs/merge-requests/7/head"),
];

fn source(type_: &str, api_url: &str) -> Value {
    json!({
        "url": "http://127.0.0.1/shop/api.git", "insecure": true,
        "provider": {"type": type_, "apiUrl": api_url, "tokenSecretRef": {"name": "git", "key": "token"}},
    })
}

fn provider(type_: &str, api_url: &str) -> Provider {
    let source: GitSource = serde_json::from_value(source(type_, api_url)).unwrap();
    Provider::of(&source, "shop", None).unwrap()
}

#[tokio::test]
#[ignore = "plays servers; run make test"]
async fn what_is_asked_is_what_is_described_and_the_answers_are_understood() {
    for (type_, name, _) in PROVIDERS {
        let (player, url) = Player::listen(name).await;
        let provider = provider(type_, &url);
        statuses(&provider).await;
        pull_requests(&provider).await;
        comments(&provider, &player).await;
        releases(&provider).await;
        pulls_of_ours(&provider).await;
        if let Some(findings) = provider.upload_sarif(SHA, "refs/pull/7/head", b"{}") {
            provider.read_done(&send(findings, TOKEN).await).unwrap();
        }
        assert_eq!(player.refused(), [""; 0], "{type_}");
        assert_eq!(player.left(), [""; 0], "{type_} describes more");
    }
}

async fn statuses(provider: &Provider) {
    // One that is said to go on once more, GitLab refuses; that is no problem.
    for state in [
        CommitState::Pending,
        CommitState::Pending,
        CommitState::Success,
        CommitState::Failure,
        CommitState::Error,
    ] {
        let status = CommitStatus {
            context: "slipway/api/unit".into(),
            state,
            description: "ü".repeat(200),
            url: Some("https://runs.example/1".into()),
        };
        let reply = send(provider.set_status(SHA, &status), TOKEN).await;
        provider.read_set_status(&reply).unwrap();
    }
    let read = provider.read_statuses(&send(provider.statuses(SHA, 1), TOKEN).await);
    let read = read.unwrap().into_iter();
    let read: Vec<_> = read
        .map(|said| (said.context, said.state, said.url))
        .collect();
    let expected = [
        (
            "slipway/api/unit".to_owned(),
            CommitState::Success,
            Some("https://runs.example/1".to_owned()),
        ),
        ("security/scan".to_owned(), CommitState::Error, None),
    ];
    assert_eq!(read, expected);
}

async fn pull_requests(provider: &Provider) {
    let pull = async |number: u64| {
        let reply = send(provider.pull_request(number), TOKEN).await;
        provider.read_pull_request(&reply).unwrap()
    };
    let own = pull(7).await.unwrap();
    assert_eq!(
        (own.head_sha.as_str(), own.head_branch.as_str()),
        (SHA, "greet")
    );
    assert_eq!(
        (own.base_branch.as_str(), own.labels),
        ("main", vec!["preview".to_owned()])
    );
    assert!(own.is_open && !own.is_fork && !own.is_draft);
    let fork = pull(8).await.unwrap();
    assert!(fork.is_open && fork.is_fork && fork.is_draft);
    assert_eq!(pull(99).await, None);
}

async fn comments(provider: &Provider, player: &Player) {
    let comment = KeptComment {
        marker: "All",
        body: "All *good*",
        is_made: true,
    };
    let kept: Kept = match *provider.keep_comment(7, &comment).errand.unwrap() {
        Errand::Kept(kept) => kept,
        other => panic!("{other:?}"),
    };
    let owner = kept.owner(&send(kept.who.clone(), TOKEN).await.unwrap());
    let look = async || kept.look(&send(kept.page(1), TOKEN).await.unwrap(), &owner);
    assert_eq!(look().await, Ok(Look::Absent), "somebody else's");
    let made = send(kept.make.clone().unwrap(), TOKEN).await;
    provider.read_done(&made).unwrap();
    assert_eq!(player.text("comment").as_deref(), Some("All *good*"));
    assert_eq!(look().await, Ok(Look::Found(42)));
    let changed = send(kept.change_of(42), TOKEN).await;
    provider.read_done(&changed).unwrap();
}

async fn releases(provider: &Provider) {
    let release = ProviderRelease {
        tag: "v1.2.0".into(),
        name: "1.2.0".into(),
        notes: "### Features\n".into(),
        is_prerelease: false,
    };
    let make = async || {
        let reply = send(provider.create_release(&release, SHA), TOKEN).await;
        provider.read_done(&reply)
    };
    make().await.unwrap();
    assert_eq!(make().await.unwrap_err().kind, RefusalKind::Conflict);
}

/// Pull requests that bring what runs into a file.
async fn pulls_of_ours(provider: &Provider) {
    let pull = provider.keep_pull(&KeptPull {
        branch: "slipway/shop/production",
        base: "main",
        title: "production runs shop-2",
        body: "",
    });
    let mut page = pull.list.clone();
    page.url.push('1');
    let reply = send(page, TOKEN).await;
    let found: Value = serde_json::from_slice(slipway::provider::body(&reply).unwrap()).unwrap();
    let places = pull.places;
    let at = |place: &str| found[0].pointer(place).cloned().unwrap_or_default();
    assert_eq!(at(places.number), 9);
    assert_eq!(at(places.head), pull.branch.as_str());
    assert_eq!(at(places.base), "main");
    assert_eq!(at(places.from), at(places.into));
    assert_eq!(at(places.title), "production runs shop-1");
    assert_eq!(at(places.body), "");
    assert!(at(places.url).is_string());
    let mut all = vec![pull.make.clone().unwrap()];
    for mut change in [pull.change.clone(), pull.close.clone()] {
        change.url = change.url.replace(ID, "9");
        all.push(change);
    }
    for request in all {
        provider.read_done(&send(request, TOKEN).await).unwrap();
    }
}

#[tokio::test]
#[ignore = "plays servers; run make test"]
async fn a_request_that_differs_from_what_is_described_is_refused() {
    for (type_, name, _) in PROVIDERS {
        let (player, url) = Player::listen(name).await;
        let provider = provider(type_, &url);
        let status = CommitStatus {
            context: "slipway/api".into(),
            state: CommitState::Success,
            description: "good".into(),
            url: None,
        };
        let good = provider.set_status(SHA, &status);
        let with = |from: &str, to: &str| {
            let mut other = good.clone();
            other.body = other.body.map(|body| body.replace(from, to));
            other
        };
        let mut elsewhere = good.clone();
        elsewhere.url.push_str("/more");
        let mut method = good.clone();
        method.method = "PUT";
        let mut header = good.clone();
        header.headers.insert("accept".into(), "text/html".into());
        let mut empty = good.clone();
        empty.body = None;
        empty.headers.remove("content-type");
        let wrong = [
            with("\"success\"", "\"splendid\""),
            with("\"state\"", "\"mood\""),
            with("\"good\"", "7"),
            with("\"good\"", &format!("\"{}\"", "x".repeat(300))),
            elsewhere,
            method,
            header,
            empty,
        ];
        let count = wrong.len();
        for request in wrong {
            let reply = send(request, TOKEN).await;
            assert!(provider.read_set_status(&reply).is_err());
        }
        let nobody = send(good.clone(), "another token").await;
        assert!(provider.read_set_status(&nobody).is_err());
        assert_eq!(player.refused().len(), count + 1, "{:?}", player.refused());
        let taken = send(good, TOKEN).await;
        provider.read_set_status(&taken).unwrap();
    }
}

/// A run, once it is over and the provider has all that there is to tell.
async fn told(subject: &Subject, player: &Player, run: &str) -> PipelineRunStatus {
    wait_for("a run of which all is told", SOON, async || {
        assert_eq!(player.refused(), [""; 0]);
        let status = subject.runs.get(run).await.ok()?.status?;
        let mut outbox = status.outbox.iter();
        let is_told = outbox.all(|entry| entry.state == OutboxState::Sent);
        (status.phase?.is_finished() && is_told).then_some(status)
    })
    .await
}

/// The states of a run, of its stages `image` and `unit`.
fn states(states: [&str; 3]) -> BTreeMap<String, String> {
    let contexts = ["slipway/api", "slipway/api/image", "slipway/api/unit"];
    let each = contexts.into_iter().zip(states);
    each.map(|(context, state)| (context.to_owned(), state.to_owned()))
        .collect()
}

/// A push, and two runs of a pull request, of which the second fails.
async fn is_told(space: &Space, (type_, name, git_ref): (&str, &str, &str)) {
    let (player, url) = Player::listen(name).await;
    space.make_secret("git", json!({"token": TOKEN})).await;
    let subject = Subject::new(space).await;
    let provider = source(type_, &url)["provider"].clone();
    subject
        .create(&json!({"spec": {"source": {"git": {"provider": provider}}}}))
        .await;
    let sha = subject.push("Add the shop").await;
    let _operator = subject.operator_with(&kubeconfig_path(), &["--stage-secrets"]);
    let (run, _) = subject.ended(&sha).await;
    let status = told(&subject, &player, &run).await;
    assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
    assert_eq!(status.outbox.len(), 3, "{:?}", status.outbox);
    let mut known = 0;
    assert_eq!(player.states(&mut known), states(["success"; 3]));
    assert_eq!(player.text("comment"), None, "it is no pull request");

    pull(&subject, "first", (git_ref, &sha)).await;
    told(&subject, &player, "first").await;
    assert_eq!(player.states(&mut known), states(["success"; 3]));
    let made = player.text("comment").unwrap();
    let marker = format!("<!-- slipway:comment {}/api -->", space.name);
    assert!(made.starts_with(&marker), "{made}");
    subject.tests(&tested(12, 2));
    pull(&subject, "second", (git_ref, &sha)).await;
    told(&subject, &player, "second").await;
    // What was never begun, because what it needs has failed, has no verdict.
    let expected = if type_ == "GitLab" {
        ["failed", "canceled", "failed"]
    } else {
        ["failure", "error", "failure"]
    };
    assert_eq!(player.states(&mut known), states(expected));
    let changed = player.text("comment-change").unwrap();
    assert!(
        changed.starts_with(&marker) && changed.contains("api: failed"),
        "{changed}"
    );
    assert_eq!(player.text("comment"), Some(made), "there is one");
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn github_is_told_how_runs_go_as_it_describes_it() {
    with_namespace(async |space| is_told(space, PROVIDERS[0]).await).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn gitlab_is_told_how_runs_go_as_it_describes_it() {
    with_namespace(async |space| is_told(space, PROVIDERS[1]).await).await;
}
