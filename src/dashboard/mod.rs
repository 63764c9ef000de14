//! The dashboard: a page, and what it asks for. One server, run by a person for themselves (`kubectl slipway dashboard`), or in the cluster for
//! everybody.
//!
//! It has no rights of its own. On somebody's machine it acts as their kubeconfig does, for whoever has the secret of its address; in the
//! cluster each request brings a token of Kubernetes, which is handed on as it is. What is seen and done is what the API server lets that
//! person see and do, and whatever they do is a Decision in their name. Talks to the API server.
//!
//! - [`topic`], [`cut`], [`told`]: what a stream tells, and how; [`stream`] watches for it;
//! - [`asked`], [`pod`]: what goes in and out elsewhere; [`answer`] answers;
//! - [`guard`], [`page`]: who may ask, and what browsers may do;
//! - [`connection`], [`room`]: how much of it at the same time.

mod answer;
pub mod asked;
mod asset;
mod connection;
pub mod cut;
pub mod guard;
pub mod page;
pub mod pod;
mod problem;
mod room;
mod stream;
#[cfg(test)]
mod tests;
pub mod told;
pub mod topic;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::cli::cluster::Server;
use crate::cli::run::archive::Keeper;
use connection::BOUNDS;
use guard::{CONTENT_POLICY, Secret, bearer, is_local};
use problem::Problem;
use room::{Place, Room};

/// Streams at the same time, of everybody together and of each.
const STREAMS: usize = 64;
const OWN_STREAMS: usize = 16;
/// Logs that are read at the same time, of everybody together and of each.
const LOGS: usize = 32;
const OWN_LOGS: usize = 8;
/// Lists at the same time: what is listed is in memory as a whole.
const LISTS: usize = 4;
/// How long whoever reads may take for what is told next.
const SLOW: Duration = Duration::from_secs(30);

/// Whom it serves.
pub enum Door {
    /// Whoever runs it.
    Local {
        /// What they know.
        secret: Secret,
        /// Name of the context that it acts in.
        context: Option<String>,
        /// The namespace that they begin with; all, where there is none.
        namespace: Option<String>,
    },
    /// Whoever has a token of Kubernetes.
    Cluster,
}

/// What every request finds.
#[derive(Clone)]
pub(crate) struct Dashboard(Arc<Inner>);

struct Inner {
    /// The cluster: as whoever runs this, or as nobody.
    server: Server,
    door: Door,
    port: u16,
    keeper: Keeper,
    streams: Arc<Room>,
    logs: Arc<Room>,
    lists: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Serves until `stop`: a cluster, to whom the door lets in. What the operator keeps of logs, `keeper` hands out.
///
/// # Errors
/// If the listener has no address.
pub async fn serve(
    listener: TcpListener,
    (server, door): (Server, Door),
    keeper: Keeper,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let dashboard = Dashboard(Arc::new(Inner {
        server,
        door,
        port: listener.local_addr()?.port(),
        keeper,
        streams: Room::new(STREAMS, OWN_STREAMS),
        logs: Room::new(LOGS, OWN_LOGS),
        lists: Arc::new(Semaphore::new(LISTS)),
        stop: stop.clone(),
    }));
    connection::serve(listener, router(dashboard), BOUNDS, stop).await;
    Ok(())
}

fn router(dashboard: Dashboard) -> Router {
    let api = answer::routes().layer(middleware::map_response(unstored));
    Router::new()
        .nest("/api/v1", api)
        .route("/", get(asset::file))
        .route("/{*path}", get(asset::file))
        .layer(middleware::from_fn_with_state(dashboard.clone(), guarded))
        .with_state(dashboard)
}

/// No answer is kept by anybody.
async fn unstored(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// Lets nothing in that was sent to another name, and says what browsers may do with what comes out.
async fn guarded(State(dashboard): State<Dashboard>, request: Request, next: Next) -> Response {
    let mut response = if dashboard.is_meant(request.headers()) {
        next.run(request).await
    } else {
        let words = "this dashboard is for this machine only: open it under 127.0.0.1 or localhost";
        Problem::new(421, words).into_response()
    };
    let fields = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fields {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

impl Dashboard {
    fn is_meant(&self, headers: &HeaderMap) -> bool {
        match &self.0.door {
            Door::Local { .. } => is_local(text(headers, header::HOST), self.0.port),
            // Nothing that a browser adds by itself opens anything there.
            Door::Cluster => true,
        }
    }

    /// The cluster, asked in the name of whoever calls.
    fn let_in(&self, headers: &HeaderMap) -> Result<Server, Problem> {
        let token = bearer(text(headers, header::AUTHORIZATION));
        match &self.0.door {
            Door::Local { secret, .. } => {
                let knows = token.is_some_and(|token| secret.is(token));
                let words = "open the address that kubectl slipway dashboard printed when it was started last";
                knows
                    .then(|| self.0.server.in_namespace(self.0.server.namespace()))
                    .ok_or_else(|| Problem::new(401, words))
            }
            Door::Cluster => {
                let authorization = token
                    .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok())
                    .map(|mut value| {
                        value.set_sensitive(true);
                        value
                    });
                let authorization = authorization
                    .ok_or_else(|| Problem::new(401, "sign in with a token of Kubernetes"))?;
                Ok(self.0.server.as_bearer(&authorization))
            }
        }
    }

    /// A place for what lasts, for whoever asks. Who is not known is told so; any other trouble is told by what lasts.
    async fn place(
        &self,
        room: &Arc<Room>,
        server: &Server,
        headers: &HeaderMap,
    ) -> Result<Place, Problem> {
        let words = "too many pages are open at the same time; this one is tried again";
        let full = || Problem::new(503, words);
        if room.is_full() {
            return Err(full());
        }
        let user = match server.whoami().await {
            Ok(info) => info.username,
            Err(message) if server.failed_with() == Some(401) => {
                return Err(self.problem(server, message, 401));
            }
            Err(_) => None,
        };
        // Where nobody says who it is, each token is somebody.
        let token = || bearer(text(headers, header::AUTHORIZATION)).map(str::to_owned);
        let who = user.or_else(token).unwrap_or_default();
        room.enter(&who).ok_or_else(full)
    }

    /// What the API server has said, to whoever was asked in the name of; `code` counts where it has said nothing bad itself.
    fn problem(&self, server: &Server, message: String, code: u16) -> Problem {
        match (server.failed_with().unwrap_or(code), &self.0.door) {
            (401, Door::Local { .. }) => {
                let words = "the API server does not know you any more: log in again, then start kubectl slipway dashboard anew";
                Problem::new(502, words).because("Unauthorized")
            }
            (401, Door::Cluster) => {
                let words =
                    "the API server does not know this token, or it has ended: sign in again";
                Problem::new(401, words)
            }
            (code, _) => Problem::new(code, message),
        }
    }
}

/// The cluster, asked in the name of whoever calls.
struct Caller(Server);

impl FromRequestParts<Dashboard> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Problem> {
        dashboard.let_in(&parts.headers).map(Self)
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
