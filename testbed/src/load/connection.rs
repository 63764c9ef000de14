//! One request on one connection. Talks to the loaded server.
//!
//! # Guarantees
//!
//! No request is written twice. A kept connection that turns out to be closed before the first
//! byte of a request was written is exchanged for another; anything later is a loss.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};

use super::spec::{Connections, LoadSpec};
use super::tally::{Answer, Loss, Settled};

/// The sequence number, sent with each request; an answer may carry it back.
const SEQ: HeaderName = HeaderName::from_static("x-slipway-seq");
/// The answer's revision.
const REVISION: HeaderName = HeaderName::from_static("x-revision");
/// Marks an error that the sample made on purpose.
const SAMPLE_ERROR: HeaderName = HeaderName::from_static("x-sample-error");

type Sender = SendRequest<Empty<Bytes>>;

#[derive(Debug)]
pub(super) struct Target {
    addresses: Vec<SocketAddr>,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    connections: Connections,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug)]
struct Pool {
    idle: VecDeque<Sender>,
    /// Idle ones and those that will come back.
    members: usize,
    size: usize,
}

/// A connection taken for one request; a member's place is free again if it does not come back.
struct Seat {
    sender: Option<Sender>,
    pool: Option<Arc<Mutex<Pool>>>,
}

impl Target {
    pub(super) async fn resolve(spec: &LoadSpec) -> Result<Self> {
        let authority = spec.url.authority().context("no host in the URL")?;
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let found = lookup_host((host, port))
            .await
            .with_context(|| format!("resolving {host}"))?;
        let addresses: Vec<SocketAddr> = found.collect();
        ensure!(!addresses.is_empty(), "{host} has no address");
        for address in &addresses {
            ensure!(
                is_local(address.ip()),
                "{host} is at {address}: only loopback and private addresses are loaded"
            );
        }
        let mut headers = spec.headers.clone();
        let host = spec.host.as_deref().unwrap_or(authority.as_str());
        headers.insert(
            HOST,
            HeaderValue::from_str(host).context("not a host name")?,
        );
        headers.insert(USER_AGENT, HeaderValue::from_static("slipway-load"));
        let pool = Pool {
            idle: VecDeque::new(),
            members: 0,
            size: spec.connections.kept(),
        };
        Ok(Self {
            addresses,
            path: spec.url.path().to_owned(),
            query: spec.url.query().map(str::to_owned),
            headers,
            connections: spec.connections,
            pool: Arc::new(Mutex::new(pool)),
        })
    }

    /// Sends request `seq` and reads the answer to its end.
    pub(super) async fn exchange(&self, seq: u64) -> Settled {
        match self.try_exchange(seq).await {
            Ok(settled) => settled,
            Err((loss, detail)) => Settled::lost(loss, detail),
        }
    }

    async fn try_exchange(&self, seq: u64) -> Result<Settled, (Loss, String)> {
        let mut request = self
            .request(seq)
            .map_err(|error| (Loss::Reset, error.to_string()))?;
        loop {
            let (mut seat, is_new) = self.take_seat(seq).await?;
            let Some(sender) = seat.sender.as_mut() else {
                continue;
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = body.collect().await;
                    let body = body
                        .map_err(|error| (Loss::Reset, chain(&error)))?
                        .to_bytes();
                    seat.give_back();
                    return Ok(settle(seq, &Response::from_parts(head, body)));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) | None => return Err((Loss::Reset, chain(error.error()))),
                },
            }
        }
    }

    fn request(&self, seq: u64) -> Result<Request<Empty<Bytes>>> {
        let query = self
            .query
            .as_ref()
            .map(|query| format!("{query}&"))
            .unwrap_or_default();
        let mut request =
            Request::get(format!("{}?{query}x-slipway-seq={seq}", self.path)).body(Empty::new())?;
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers.insert(SEQ, HeaderValue::from(seq));
        if self.connections.is_fresh(seq) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(request)
    }

    /// The kept connection that waited longest, or a new one.
    async fn take_seat(&self, seq: u64) -> Result<(Seat, bool), (Loss, String)> {
        let mut seat = if self.connections.is_fresh(seq) {
            Seat::for_once()
        } else {
            Seat::take(&self.pool)
        };
        if let Some(sender) = seat.sender.as_mut() {
            return match sender.ready().await {
                Ok(()) => Ok((seat, false)),
                Err(_closed) => {
                    seat.sender = Some(self.connect().await?);
                    Ok((seat, true))
                }
            };
        }
        seat.sender = Some(self.connect().await?);
        Ok((seat, true))
    }

    async fn connect(&self) -> Result<Sender, (Loss, String)> {
        let stream = TcpStream::connect(self.addresses.as_slice())
            .await
            .map_err(|error| {
                let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
                (
                    if is_refused {
                        Loss::Refused
                    } else {
                        Loss::Unreachable
                    },
                    error.to_string(),
                )
            })?;
        let _ = stream.set_nodelay(true);
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| (Loss::Reset, chain(&error)))?;
        // Its errors reach the request that is on it; an idle connection's end is no loss.
        tokio::spawn(async move { connection.await.ok() });
        Ok(sender)
    }
}

impl Seat {
    /// No connection yet, and none to keep.
    fn for_once() -> Self {
        Self {
            sender: None,
            pool: None,
        }
    }

    fn take(shared: &Arc<Mutex<Pool>>) -> Self {
        let mut pool = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.members < pool.size {
            pool.members += 1;
            return Self {
                sender: None,
                pool: Some(Arc::clone(shared)),
            };
        }
        match pool.idle.pop_front() {
            Some(sender) => Self {
                sender: Some(sender),
                pool: Some(Arc::clone(shared)),
            },
            None => Self::for_once(),
        }
    }

    fn give_back(mut self) {
        let Some(pool) = &self.pool else { return };
        if let Some(sender) = self.sender.take_if(|sender| !sender.is_closed()) {
            pool.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .idle
                .push_back(sender);
            self.pool = None;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.lock().unwrap_or_else(PoisonError::into_inner).members -= 1;
        }
    }
}

/// What an answer means. 4xx is a loss too: a gateway that has no route says 404.
fn settle(seq: u64, response: &Response<Bytes>) -> Settled {
    let (status, headers) = (response.status(), response.headers());
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(&SEQ).is_some_and(|echo| echo != seq.to_string()) {
        return Settled::lost(
            Loss::WrongAnswer,
            format!("the answer is to {:?}", text(&SEQ)),
        );
    }
    let is_injected = headers.contains_key(&SAMPLE_ERROR);
    if !is_injected && (status.is_client_error() || status.is_server_error()) {
        let is_server = status.is_server_error();
        let loss = if is_server {
            Loss::ServerError
        } else {
            Loss::ClientError
        };
        return Settled::lost(loss, describe(status, response.body()));
    }
    let revision = text(&REVISION)
        .map(str::to_owned)
        .or_else(|| revision_in(response.body()));
    Settled::answered(Answer {
        status: status.as_u16(),
        revision,
        is_injected,
    })
}

fn revision_in(body: &Bytes) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("revision")?.as_str()?.to_owned())
}

fn describe(status: StatusCode, body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    format!("{status}: {}", text.chars().take(120).collect::<String>())
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// hyper's messages leave out their cause ("Connection reset by peer").
fn chain(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
