//! Takes what the pods of stages say, and their claims; hands the logs out to people. Talks to the API server and the file
//! system.
//!
//! | | who | what |
//! |---|---|---|
//! | `POST /v1/log?offset=…&last=…` | a pod of a stage | adds to its log; 409 with the length where another part comes next |
//! | `POST /v1/reports?offset=…&last=…` | a pod of a stage | the same of what it reports |
//! | `POST /v1/claim` | a pod of a stage | 200 for the first process of the attempt that asks, and whenever it asks again; else 409 |
//! | `GET /v1/runs/<namespace>/<run>/<uid>` | people | the logs of a run |
//! | `GET /v1/runs/<namespace>/<run>/<uid>/<pod>?offset=…` | people | a part of one |
//! | `GET /v1/runs/<namespace>/<run>/<uid>/<pod>/reports?offset=…` | people | a part of what a pod has reported |
//!
//! A pod is known by its own token, so it says nothing about itself that could be wrong. People show a token of a
//! ServiceAccount of the namespace, made for this: who may make one may read the logs there. Only the process that leads
//! answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::identity::{Callers, Identities, StagePod};
use super::limit::Limits;
use super::{Refusal, leads, read_body};
use crate::archive::{Archive, Part, Refused, RunId, What};
use crate::cluster::Cluster;
use crate::cluster::write::Once;
use crate::error::chain;
use crate::model::key::{Key, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::runner::task::AUDIENCE;

/// Whom the tokens of people are for.
pub const READER_AUDIENCE: &str = "slipway.dev/logs";
/// Largest part of a log that is taken, and that is handed out, in bytes.
pub const MAX_PART: usize = 1 << 20;
/// Calls that are worked on at the same time.
const AT_ONCE: usize = 64;
/// Longest time for one, from its first byte to its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls of a pod at once, and a second after that: what 32 MiB in a hurry take, and then 1 MiB a second.
const BURST: f64 = 128.0;
const RATE: f64 = 4.0;
/// Time between two looks for logs whose run is gone.
const SWEEP: Duration = Duration::from_mins(1);
/// Longest nonce of a claim.
const MAX_NONCE: usize = 128;
/// Longest name of a claim.
const MAX_NAME: usize = 253;
/// What those hear who have not shown that they may.
const UNKNOWN: &str = "no token of a stage's pod, or of a ServiceAccount of that namespace\n";

/// What the receiver needs to know. Cloning clones handles.
#[derive(Clone)]
pub struct Receiver {
    cluster: Cluster,
    leads: Arc<AtomicBool>,
    archive: Archive,
    identities: Identities,
    callers: Callers,
    limits: Limits<String>,
    free: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct LogQuery {
    offset: u64,
    last: bool,
}

/// A pod of a run, as the path names it.
#[derive(Deserialize)]
struct OfPod {
    pod: String,
}

#[derive(Deserialize)]
struct ReadQuery {
    #[serde(default)]
    offset: u64,
}

impl Receiver {
    /// One that takes nothing until `leads` says that this process does.
    pub fn new(cluster: Cluster, leads: Arc<AtomicBool>, archive: Archive) -> Self {
        Self {
            identities: Identities::default(),
            callers: Callers::default(),
            limits: Limits::new(BURST, RATE),
            free: Arc::new(Semaphore::new(AT_ONCE)),
            cluster,
            leads,
            archive,
        }
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// If the listener breaks.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let take = |what| post(move |state, query, request| take(what, state, query, request));
        let read = |what| {
            get(move |state, run, pod, query, headers| {
                read(what, state, (run, pod), query, headers)
            })
        };
        let logs = "/v1/runs/{namespace}/{name}/{uid}";
        let app = Router::new()
            .route("/v1/log", take(What::Log))
            .route("/v1/reports", take(What::Reports))
            .route("/v1/claim", post(take_claim))
            .route(logs, get(list))
            .route(&format!("{logs}/{{pod}}"), read(What::Log))
            .route(&format!("{logs}/{{pod}}/reports"), read(What::Reports))
            .with_state(self);
        axum::serve(listener, app)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    }

    /// Removes the logs of runs that are gone, as long as this process leads and until `stop`.
    pub async fn sweep(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(SWEEP);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if self.leads.load(Ordering::Relaxed) {
                self.sweep_now().await;
            }
        }
    }

    async fn sweep_now(&self) {
        let caches = self.cluster.caches.clone();
        let is_there = move |run: &RunId| {
            let key = Key::new(run.namespace.clone(), run.name.clone());
            let found = caches.pipeline_runs.get(&key);
            found.is_some_and(|found| found.metadata.uid.as_ref() == Some(&run.uid))
        };
        let archive = self.archive.clone();
        match blocking(move || archive.sweep(is_there)).await {
            Ok(Ok(swept)) if swept.runs > 0 => {
                info!(runs = swept.runs, bytes = swept.bytes, "logs were removed");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = chain(&error), "logs cannot be removed"),
            Err(_) => warn!("logs were not removed: the sweep panicked"),
        }
    }

    /// The pod that calls.
    async fn pod(&self, headers: &HeaderMap) -> Result<StagePod, Refusal> {
        leads(&self.leads)?;
        let account = self
            .identities
            .account(&self.cluster, headers, AUDIENCE)
            .await?;
        let pod = self.callers.find(&self.cluster, &account)?;
        if !self.limits.allow(&pod.uid) {
            return Err(Refusal::Later("too many calls; try again in a moment"));
        }
        Ok(pod)
    }

    async fn take(
        &self,
        what: What,
        headers: &HeaderMap,
        query: LogQuery,
        body: Body,
    ) -> Result<String, Refusal> {
        let pod = self.pod(headers).await?;
        let body = Vec::from(read_body(body, MAX_PART, "").await?);
        if self.archive.is_full() {
            self.sweep_now().await;
        }
        let archive = self.archive.clone();
        let (run, about) = (pod.run, pod.about);
        let taken = blocking(move || {
            let part = Part {
                what,
                offset: query.offset,
                bytes: &body,
                is_last: query.last,
            };
            archive.append(&run, &about, part)
        });
        match taken.await? {
            Ok(()) => Ok(String::new()),
            Err(Refused::Elsewhere(has)) => {
                Err(Refusal::Never(StatusCode::CONFLICT, has.to_string()))
            }
            Err(error @ Refused::Full(_)) => Err(Refusal::Never(
                StatusCode::PAYLOAD_TOO_LARGE,
                error.to_string(),
            )),
            Err(error) => {
                warn!(error = chain(&error), "a log cannot be kept");
                Err(Refusal::Later(
                    "the log cannot be written; the operator's log says why",
                ))
            }
        }
    }

    /// Puts on record that one process goes on with an attempt. The record is made once and never changed, so whoever of
    /// two is first, by the API server's order, has it; no leader and no cache is asked.
    async fn take_claim(&self, headers: &HeaderMap, body: Body) -> Result<String, Refusal> {
        let pod = self.pod(headers).await?;
        let nonce = Vec::from(read_body(body, MAX_NONCE, "").await?);
        if nonce.is_empty() {
            let problem = "the body is to tell the process from any other".to_owned();
            return Err(Refusal::Never(StatusCode::BAD_REQUEST, problem));
        }
        let holder = format!("{} {}", pod.uid, short_hash(&nonce, 32));
        let record = claim(&pod, &holder);
        let once = self.cluster.create_once(&record).await.map_err(|error| {
            warn!(error = chain(&error), "a claim cannot be put on record");
            Refusal::Later("the claim cannot be put on record; try again")
        })?;
        let first = match once {
            Once::Made => return Ok("claimed\n".to_owned()),
            Once::WasThere(found) => found,
        };
        let data = first.data.get("data");
        let says = |key: &str| {
            let text = data.and_then(|data| data.get(key)?.as_str());
            text.unwrap_or_default()
        };
        if says("holder") == holder {
            return Ok("claimed\n".to_owned());
        }
        let problem = format!(
            "this stage runs at most once, and pod {} has begun it before: whether it did its work cannot be told from here; \
             find out, and make a new run",
            says("pod")
        );
        Err(Refusal::Never(StatusCode::CONFLICT, problem))
    }

    /// Whether whoever calls may read the logs of a namespace.
    async fn may_read(&self, headers: &HeaderMap, namespace: &str) -> Result<(), Refusal> {
        leads(&self.leads)?;
        let account = self
            .identities
            .account(&self.cluster, headers, READER_AUDIENCE)
            .await?;
        if account.namespace == namespace {
            Ok(())
        } else {
            Err(Refusal::Unknown)
        }
    }

    async fn list(&self, headers: &HeaderMap, run: RunId) -> Result<Response, Refusal> {
        self.may_read(headers, &run.namespace).await?;
        let archive = self.archive.clone();
        let found = blocking(move || archive.list(&run)).await?;
        let found = found.map_err(|error| unreadable(&error))?;
        Ok(axum::Json(json!(found)).into_response())
    }

    async fn read(
        &self,
        what: What,
        headers: &HeaderMap,
        (run, pod): (RunId, String),
        offset: u64,
    ) -> Result<Response, Refusal> {
        self.may_read(headers, &run.namespace).await?;
        let archive = self.archive.clone();
        let found = blocking(move || archive.read(&run, (&pod, what), offset, MAX_PART as u64));
        let found = found.await?.map_err(|error| unreadable(&error))?;
        found
            .map(IntoResponse::into_response)
            .ok_or_else(|| Refusal::Never(StatusCode::NOT_FOUND, "there is no such log".to_owned()))
    }
}

/// The record of a claim. It goes with the run.
fn claim(pod: &StagePod, holder: &str) -> Manifest {
    let RunId {
        namespace, name, ..
    } = &pod.run;
    let labels = [
        (label::COMPONENT, "claim"),
        (label::PIPELINE_RUN, name.as_str()),
        (label::STAGE, pod.about.stage.as_str()),
    ];
    let key = Key::new(namespace.clone(), suffixed(&pod.job, "claim", MAX_NAME));
    let data = json!({"pod": pod.about.pod, "holder": holder});
    Manifest::new(
        ObjectKind::ConfigMap,
        key,
        &labels,
        Some(&pod.owner),
        json!({"immutable": true, "data": data}),
    )
}

fn unreadable(error: &std::io::Error) -> Refusal {
    if error.kind() == std::io::ErrorKind::InvalidInput {
        return Refusal::Never(StatusCode::BAD_REQUEST, "no name is like that".to_owned());
    }
    warn!(error = chain(error), "a log cannot be read");
    Refusal::Later("the log cannot be read; the operator's log says why")
}

/// Does what waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::Later("it went wrong in here; try again"))
}

/// One call, if there is room for it, for as long as it may take.
async fn in_turn<T: IntoResponse>(
    receiver: &Receiver,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Response {
    let Ok(_free) = receiver.free.clone().try_acquire_owned() else {
        return Refusal::Later("too many calls at once").answer(UNKNOWN);
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(said)) => said.into_response(),
        Ok(Err(refusal)) => refusal.answer(UNKNOWN),
        Err(_) => Refusal::Later("not done in time; try again").answer(UNKNOWN),
    }
}

async fn take(
    what: What,
    State(receiver): State<Receiver>,
    Query(query): Query<LogQuery>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let taken = receiver.take(what, &parts.headers, query, body);
    in_turn(&receiver, taken).await
}

async fn take_claim(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    in_turn(&receiver, receiver.take_claim(&parts.headers, body)).await
}

async fn list(
    State(receiver): State<Receiver>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
) -> Response {
    in_turn(&receiver, receiver.list(&headers, run)).await
}

async fn read(
    what: What,
    State(receiver): State<Receiver>,
    (Path(run), Path(OfPod { pod })): (Path<RunId>, Path<OfPod>),
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Response {
    let found = receiver.read(what, &headers, (run, pod), query.offset);
    in_turn(&receiver, found).await
}

#[cfg(test)]
mod tests;
