//! An API server that says what it is told to say.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use futures::StreamExt;
use http::{Request, Response};
use serde_json::Value;
use tokio::time::timeout;
use tower::service_fn;

use super::*;

/// One answer.
pub(crate) struct Said {
    code: u16,
    body: Vec<u8>,
    /// How long nothing comes after that, until its end.
    silence: Duration,
}

impl Said {
    /// A document, whole.
    pub(crate) fn whole(code: u16, body: &Value) -> Self {
        Self::text(code, format!("{body}\n").as_bytes())
    }

    /// A text, whole.
    pub(crate) fn text(code: u16, body: &[u8]) -> Self {
        Self {
            code,
            body: body.to_vec(),
            silence: Duration::ZERO,
        }
    }

    /// The beginning of a body, after which nothing more comes, and no end either.
    pub(crate) fn hangs(body: &[u8]) -> Self {
        Self::lasts(body, Duration::MAX)
    }

    /// A body after which nothing more comes, and its end only after so long.
    pub(crate) fn lasts(body: &[u8], silence: Duration) -> Self {
        let said = Self::text(200, body);
        Self { silence, ..said }
    }
}

/// These answers, one after the other.
pub(crate) fn in_turn(answers: Vec<Said>) -> impl FnMut(&str) -> Option<Said> + Send {
    let mut answers = answers.into_iter();
    move |_| answers.next()
}

/// A server that answers so, and the paths that it was asked for. Whoever gets no answer waits for ever.
pub(crate) fn scripted(
    mut answer: impl FnMut(&str) -> Option<Said> + Send + 'static,
) -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let service = service_fn(move |request: Request<kube::client::Body>| {
        let uri = request.uri().to_string();
        let said = answer(&uri);
        told.lock().unwrap().push(uri);
        async move {
            let Some(said) = said else {
                return std::future::pending().await;
            };
            let first = Ok::<_, Infallible>(Bytes::from(said.body));
            let first = futures::stream::iter([first]);
            let end = timeout(said.silence, std::future::pending::<()>());
            let end = futures::stream::once(end);
            let body = Body::from_stream(first.chain(end.map(|_| Ok(Bytes::new()))));
            let answer = Response::builder().status(said.code).body(body);
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    let client = Client::new(service, "shop");
    let server = Server {
        patient: client.clone(),
        client,
        address: "https://k8s".to_owned(),
        namespace: "shop".to_owned(),
        patience: PATIENCE,
        clock: Clock::default(),
        may_pass: AtomicBool::new(false),
        failed_with: AtomicU16::new(0),
    };
    (server, asked)
}
