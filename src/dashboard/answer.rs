//! What pages ask for, but for what streams tell. Talks to the API server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use super::asked::{self, Asked};
use super::guard::REPORT_POLICY;
use super::problem::Problem;
use super::topic::{Topic, is_name};
use super::{Caller, Dashboard, Door, SLOW, cut, pod, stream, text};
use crate::cli::cluster::{Place, Server};
use crate::cli::dora::{self, Which};
use crate::cli::run::{logs, page};
use crate::cli::text::Palette;
use crate::cli::{decide, release, right, slo};
use crate::decision::api::{DecisionAction, TargetKind};
use crate::dora::Window;
use crate::environment::api::{Environment, Tier};
use crate::kinds::GROUP;
use crate::model::label;
use crate::pipeline_run::api::PipelineRun;

/// Longest body, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Pieces of a log that wait for whoever reads them, and their longest, in bytes.
const PIECES: usize = 16;
const LONGEST: usize = 32 << 10;
/// Longest wait for a body.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was asked for in a query.
type Fields = Query<HashMap<String, String>>;

/// All of them.
pub(super) fn routes() -> Router<Dashboard> {
    Router::new()
        .route("/about", get(about))
        .route("/stream", get(stream::stream))
        .route("/objects/{plural}/{namespace}/{name}", get(object))
        .route("/pods/{namespace}/{rollout}", get(pods))
        .route("/logs/{namespace}/{run}/{stage}", get(log))
        .route("/report/{namespace}/{release}", get(report))
        .route("/dora", get(figures))
        .route("/slo/{namespace}/{environment}", get(budgets))
        .route("/badge/{namespace}/{run}", get(badge))
        .route("/page/{namespace}/{run}", get(run_page))
        .route("/may/{plural}/{namespace}/{name}", get(may))
        .route("/decisions", post(decisions))
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
}

async fn unknown() -> Problem {
    Problem::new(404, "there is nothing like that to ask for")
}

async fn other_method() -> Problem {
    Problem::new(405, "only Decisions are made here, by POST")
}

/// Who asks, and whom.
#[derive(Serialize)]
struct About {
    version: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    user: Option<String>,
    now: String,
}

async fn about(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
) -> Result<Json<About>, Problem> {
    let user = match server.whoami().await {
        Ok(info) => info.username,
        // A cluster that does not say it may be asked all the same.
        Err(_) if matches!(server.failed_with(), Some(403 | 404)) => None,
        Err(message) => return Err(dashboard.problem(&server, message, 502)),
    };
    let (mode, context, namespace) = match &dashboard.0.door {
        Door::Local {
            context, namespace, ..
        } => ("Local", context.clone(), namespace.clone()),
        Door::Cluster => ("Cluster", None, None),
    };
    Ok(Json(About {
        version: env!("CARGO_PKG_VERSION"),
        mode,
        context,
        namespace,
        user,
        now: server.now().to_string(),
    }))
}

/// The cluster, asked about a namespace, if these are names.
fn at(server: &Server, namespace: &str, name: &str) -> Result<Server, Problem> {
    if is_name(namespace) && is_name(name) {
        return Ok(server.in_namespace(namespace));
    }
    let words = "a name has lower-case letters, digits, - and . only";
    Err(Problem::new(400, words))
}

async fn object(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((plural, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let server = at(&server, &namespace, &name)?;
    let topic = Topic::parse(&plural);
    let topic = topic.ok_or_else(|| Problem::new(404, format!("there are no {plural} here")))?;
    let found = server.object(&topic.resource(), &name).await;
    let found = found.map_err(|message| dashboard.problem(&server, message, 502))?;
    let value = serde_json::to_value(found).unwrap_or_default();
    Ok(Json(cut::whole(value)))
}

async fn pods(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, rollout)): Path<(String, String)>,
) -> Result<Json<Vec<pod::Row>>, Problem> {
    let server = at(&server, &namespace, &rollout)?;
    let of_rollout = format!("{}={rollout}", label::ROLLOUT);
    let pods: Result<Vec<Pod>, String> = server.list(&of_rollout).await;
    let pods = pods.map_err(|message| dashboard.problem(&server, message, 502))?;
    Ok(Json(pod::rows(&pods)))
}

async fn report(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, release)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let server = at(&server, &namespace, &release)?;
    let report = release::report::of(&server, &release).await;
    let report = report.map_err(|message| dashboard.problem(&server, message, 404))?;
    Ok(Json(report).into_response())
}

async fn figures(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Query(fields): Fields,
) -> Result<Response, Problem> {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_empty());
    let days = field("days").map_or("30", String::as_str);
    let mut windows = Window::ALL.iter().copied();
    let window = windows.find(|window| window.days().to_string() == days);
    let window = window.ok_or_else(|| Problem::new(400, "days is 7, 30 or 90"))?;
    let tier = field("tier").map_or(Tier::Production.as_str(), String::as_str);
    let mut tiers = Tier::ALL.iter().copied();
    let tier = tiers.find(|known| known.as_str() == tier).ok_or_else(|| {
        let words = "tier is Production, Staging or Development";
        Problem::new(400, words)
    })?;
    let (server, which) = match field("namespace") {
        Some(namespace) => (at(&server, namespace, namespace)?, Which::Here(tier)),
        None => (server, Which::Everywhere(tier)),
    };
    // It lists a lot. The turn ends with the answer.
    let _turn = dashboard.0.lists.acquire().await;
    let summary = dora::summary(&server, which, window).await;
    let summary = summary.map_err(|message| dashboard.problem(&server, message, 502))?;
    Ok(Json(summary).into_response())
}

async fn budgets(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, environment)): Path<(String, String)>,
) -> Result<Json<Vec<slo::table::Row>>, Problem> {
    let server = at(&server, &namespace, &environment)?;
    let found: Result<Environment, String> = server.get(&environment).await;
    let found = found.map_err(|message| dashboard.problem(&server, message, 502))?;
    Ok(Json(slo::table::rows(&[found])))
}

/// The run that is asked about, and the cluster that was.
async fn run_of(
    dashboard: &Dashboard,
    server: &Server,
    (namespace, run): (&str, &str),
) -> Result<(PipelineRun, Server), Problem> {
    let server = at(server, namespace, run)?;
    let found: Result<PipelineRun, String> = server.get(run).await;
    let found = found.map_err(|message| dashboard.problem(&server, message, 502))?;
    Ok((found, server))
}

async fn badge(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, run)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (run, _) = run_of(&dashboard, &server, (&namespace, &run)).await?;
    let badge = page::badge(&run).map_err(|message| Problem::new(404, message))?;
    let fields = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((fields, badge).into_response())
}

async fn run_page(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, run)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (run, _) = run_of(&dashboard, &server, (&namespace, &run)).await?;
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((fields, page::page(&run)).into_response())
}

/// Where the lines of a log go.
struct Pipe(Sender<Vec<u8>>);

impl logs::Listener for Pipe {
    const LONGEST: usize = LONGEST;

    async fn hear(&self, prefix: &str, line: &[u8]) -> Result<(), String> {
        let sent = timeout(SLOW, self.0.send(logs::whole(prefix, line))).await;
        // Nobody reads any more.
        sent.map_err(|_| String::new())?.map_err(|_| String::new())
    }

    async fn note(&self, prefix: &str, words: &str) -> Result<(), String> {
        let line = format!("slipway: {words}\n");
        logs::Listener::hear(self, prefix, line.as_bytes()).await
    }
}

async fn log(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((namespace, run, stage)): Path<(String, String, String)>,
    Query(fields): Fields,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (found, server) = run_of(&dashboard, &server, (&namespace, &run)).await?;
    let place = dashboard
        .place(&dashboard.0.logs, &server, &headers)
        .await?;
    // Who may not see pods is told before there is any text.
    let of_run = format!("{}={run}", label::PIPELINE_RUN);
    let pods: Result<Vec<Pod>, String> = server.list(&of_run).await;
    pods.map_err(|message| dashboard.problem(&server, message, 502))?;
    let args = logs::Args {
        name: run,
        place: Place::default(),
        follow: fields.get("follow").is_some_and(|value| value == "true"),
        stage: Some(stage),
        cell: fields.get("cell").filter(|cell| !cell.is_empty()).cloned(),
        attempt: None,
        kept: false,
        keeper: dashboard.0.keeper.clone(),
    };
    let (sender, lines) = mpsc::channel(PIECES);
    let stop = dashboard.0.stop.clone();
    tokio::spawn(async move {
        let pipe = Pipe(sender);
        stop.run_until_cancelled(tell(&server, &found, &args, &pipe))
            .await;
        drop(place);
    });
    let fields = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((fields, streamed(lines)).into_response())
}

/// Tells what a log says, for as long as somebody reads.
async fn tell(server: &Server, run: &PipelineRun, args: &logs::Args, pipe: &Pipe) {
    let read = logs::read(server, run, args, (pipe, Palette::new(false)));
    let problems = tokio::select! {
        problems = read => problems,
        // A stage that is silent would not notice.
        () = pipe.0.closed() => return,
    };
    for problem in problems {
        let line = format!("error: {problem}\n");
        let _ = timeout(SLOW, pipe.0.send(line.into_bytes())).await;
    }
}

/// A body of what comes, as it comes.
pub(super) fn streamed<T>(parts: Receiver<T>) -> Body
where
    T: Into<Bytes> + Send + 'static,
{
    let parts = futures::stream::unfold(parts, |mut parts| async move {
        let part = parts.recv().await?;
        Some((Ok::<Bytes, Infallible>(part.into()), parts))
    });
    Body::from_stream(parts)
}

async fn may(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Path((plural, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let server = at(&server, &namespace, &name)?;
    if Topic::parse(&plural).is_none() {
        return Err(Problem::new(404, format!("there are no {plural} here")));
    }
    let kind = asked::target(&plural);
    let actions = kind.map(TargetKind::actions).unwrap_or_default();
    let answers = actions.iter().copied();
    let answers = answers.map(|action| allowed(&server, action, (&plural, &name)));
    let answers = join_all(answers);
    let create = right::attributes(&namespace, ("create", GROUP, "decisions"));
    let (decides, answers) = tokio::join!(right::may(&server, create), answers);
    let failed = |message| dashboard.problem(&server, message, 502);
    let mut known = Vec::new();
    for (action, answer) in actions.iter().zip(answers) {
        if answer.map_err(failed)? {
            known.push(action.as_str());
        }
    }
    if !decides.map_err(failed)? {
        known.clear();
    }
    Ok(Json(json!({"actions": known})))
}

/// Whether whoever asks has the verb of an action.
async fn allowed(
    server: &Server,
    action: DecisionAction,
    (plural, name): (&str, &str),
) -> Result<bool, String> {
    let verb = action.verb();
    let mut what = right::attributes(server.namespace(), (&verb, GROUP, plural));
    what.name = Some(name.to_owned());
    right::may(server, what).await
}

async fn decisions(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let type_ = text(&headers, header::CONTENT_TYPE).and_then(|type_| type_.split(';').next());
    if !type_.is_some_and(|type_| type_.trim().eq_ignore_ascii_case("application/json")) {
        let words = "the content type must be application/json";
        return Err(Problem::new(415, words));
    }
    let body = timeout(PATIENCE, axum::body::to_bytes(body, MAX_BODY)).await;
    let body = body.map_err(|_| Problem::new(408, "the Decision does not come"))?;
    let body = body.map_err(|_| Problem::new(413, "a Decision is shorter than that"))?;
    let asked = Asked::read(&body).map_err(|message| Problem::new(400, message))?;
    let server = server.in_namespace(&asked.namespace);
    let who = server.whoami().await;
    let who = who.map_err(|message| dashboard.problem(&server, message, 502))?;
    let is_dry = asked.is_dry;
    let made = decide::make(&server, asked.by(who), is_dry).await;
    let made = made.map_err(|message| dashboard.problem(&server, message, 502))?;
    if is_dry {
        return Ok(Json(json!({"name": null})).into_response());
    }
    let answer = Json(json!({"name": made}));
    Ok((StatusCode::CREATED, answer).into_response())
}
