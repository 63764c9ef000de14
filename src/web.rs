//! Health, readiness and metrics over HTTP.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::watch::Queues;
use crate::telemetry::metrics::Metrics;

/// A process whose runtime has not beaten for this long is stuck, in seconds.
const STUCK: i64 = 30;

/// What the endpoints report.
#[derive(Clone)]
pub struct Health {
    ready: Arc<AtomicBool>,
    /// What is wrong though it can serve.
    notice: Arc<Mutex<Option<String>>>,
    beat: Arc<AtomicI64>,
    clock: Clock,
    metrics: Metrics,
    queues: Arc<Queues>,
}

impl Health {
    /// Alive, not ready.
    pub fn new(clock: Clock, metrics: Metrics, queues: Arc<Queues>) -> Self {
        let beat = Arc::new(AtomicI64::new(clock.now().as_second()));
        Self {
            ready: Arc::new(AtomicBool::new(false)),
            notice: Arc::default(),
            beat,
            clock,
            metrics,
            queues,
        }
    }

    /// The caches are complete: leader and standbys alike can serve.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Has `/readyz` say this beside its yes, or nothing any more.
    pub fn set_notice(&self, notice: Option<String>) {
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = notice;
    }

    /// Beats until `stop`, from the runtime that does the work.
    pub async fn beat(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(std::time::Duration::from_secs(5));
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.beat
                .store(self.clock.now().as_second(), Ordering::Relaxed);
        }
    }
}

/// Serves until `stop`.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn livez(State(health): State<Health>) -> Response {
    let silent = health.clock.now().as_second() - health.beat.load(Ordering::Relaxed);
    if silent > STUCK {
        let text = format!("no heartbeat for {silent} s\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ok\n".into_response()
}

async fn readyz(State(health): State<Health>) -> Response {
    if health.ready.load(Ordering::Relaxed) {
        let notice = health.notice.lock();
        let notice = notice.unwrap_or_else(PoisonError::into_inner);
        let but = notice.iter().map(|notice| format!("{notice}\n"));
        return format!("ok\n{}", but.collect::<String>()).into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "caches are not complete yet\n",
    )
        .into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    for (kind, queue) in health.queues.iter() {
        let (ready, oldest) = queue.waiting();
        health.metrics.queue(*kind, ready, oldest);
    }
    match health.metrics.text() {
        Ok(text) => {
            let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (content_type, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
