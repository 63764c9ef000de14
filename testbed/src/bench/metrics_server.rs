//! What a Prometheus would answer: good values, and bad ones from a moment on. Remembers when each query first got a bad one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Dropping it closes its port.
#[derive(Debug)]
pub(super) struct MetricsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    is_bad: AtomicBool,
    /// When a query first got a bad value, by its text.
    told: Mutex<BTreeMap<String, Instant>>,
}

impl MetricsServer {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let answer = service_fn(|request| answer(Arc::clone(&shared), request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            shared,
            task: task.abort_handle(),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every value is bad.
    pub(super) fn turn_bad(&self) {
        self.shared.is_bad.store(true, Ordering::SeqCst);
    }

    /// When a query with these words in it first got a bad value.
    pub(super) fn told(&self, words: &str) -> Option<Instant> {
        let told = self
            .shared
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = told.iter().find(|(query, _)| query.contains(words));
        found.map(|(_, at)| *at)
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let uri = request.uri().to_string();
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let query = format!("{uri} {}", String::from_utf8_lossy(&body));
    let is_bad = shared.is_bad.load(Ordering::SeqCst);
    if is_bad {
        let mut told = shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.entry(query).or_insert_with(Instant::now);
    }
    let value = if is_bad { "0.5" } else { "1" };
    let text = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[0,"{value}"]}}]}}}}"#
    );
    Ok(Response::new(Full::new(Bytes::from(text))))
}
