//! Passes one request on and its answer back, unless a fault says otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::fault::{Seen, What, is_write};
use super::{Shared, Write};

/// Headers that belong to one connection.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

type Body = Either<Incoming, Full<Bytes>>;
type Answer = Response<Body>;

#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    scheme: Scheme,
    authority: Authority,
    base_path: String,
    /// For requests that bring none, as client-go's do over plain HTTP.
    authorization: Option<HeaderValue>,
}

impl Upstream {
    pub(super) fn new(config: &kube::Config) -> Result<Self> {
        let url = config.cluster_url.clone().into_parts();
        let client = Client::builder(TokioExecutor::new()).build(
            config
                .rustls_https_connector()
                .context("the upstream's certificates")?,
        );
        let base_path = url.path_and_query.as_ref().map_or("", |path| path.path());
        Ok(Self {
            client,
            scheme: url.scheme.context("the upstream's URL has no scheme")?,
            authority: url.authority.context("the upstream's URL has no host")?,
            base_path: base_path.trim_end_matches('/').to_owned(),
            authorization: authorization(config)?,
        })
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        let path = format!("{}{}", self.base_path, path_of(request.uri()));
        *request.uri_mut() = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()?;
        let headers = request.headers_mut();
        if let Some(value) = &self.authorization {
            headers
                .entry(AUTHORIZATION)
                .or_insert_with(|| value.clone());
        }
        self.ask(request).await
    }

    /// Asks a server that is behind a Service.
    async fn pass(&self, mut request: Request<Body>, to: SocketAddr) -> Result<Response<Incoming>> {
        let path = path_of(request.uri()).to_owned();
        let (_, path) = path.split_once("/proxy").context("no path to a Service")?;
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(to.to_string())
            .path_and_query(path)
            .build()?;
        request.headers_mut().remove(AUTHORIZATION);
        self.ask(request).await
    }

    async fn ask(&self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        let headers = request.headers_mut();
        strip(headers);
        headers.remove(HOST);
        let mut response = self.client.request(request).await?;
        strip(response.headers_mut());
        Ok(response)
    }
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

fn authorization(config: &kube::Config) -> Result<Option<HeaderValue>> {
    let kubeconfig = serde_json::to_value(&config.auth_info)?;
    let text = |key: &str| kubeconfig.get(key).and_then(serde_json::Value::as_str);
    let token = match (text("token"), text("tokenFile")) {
        (Some(token), _) => token.to_owned(),
        (None, Some(path)) => {
            std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?
        }
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Answers one request. An error closes the connection without an answer.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer> {
    let method = request.method().clone();
    let path = path_of(request.uri()).to_owned();
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let agent = agent.unwrap_or_default().to_owned();
    let seen = Seen {
        method: &method,
        path_and_query: &path,
        user_agent: &agent,
    };

    let what = shared.faults.before(seen);
    match what {
        Some(What::Status(code)) => return refuse(code, None),
        Some(What::RetryAfter(after)) => return refuse(429, Some(after)),
        Some(What::Expired) => return expired(),
        Some(What::Hang) => return std::future::pending().await,
        Some(What::Cut) => bail!("cut by a fault"),
        Some(What::Delay(delay)) => wait(delay).await,
        Some(What::PassTo(address)) => {
            let passed = shared.upstream.pass(request.map(Either::Left), address);
            return Ok(passed.await?.map(Either::Left));
        }
        Some(What::CutAfter | What::KillPid(_)) | None => {}
    }
    let dies = shared.faults.before_success(seen);
    let request = match dies {
        // All of it, before who sends it stands still.
        Some(_) => whole(request).await?,
        None => request.map(Either::Left),
    };
    let still = dies.map(Still::new).transpose()?;
    let sent = shared.upstream.send(request).await;
    let response = sent.inspect_err(|error| tracing::warn!(%error, %path, "no answer upstream"))?;
    let status = response.status();
    let killed = status
        .is_success()
        .then(|| shared.faults.after_success(seen))
        .flatten();
    let is_answered = what != Some(What::CutAfter) && killed.is_none();
    if is_write(&method, &path) {
        record(&shared, seen, status, is_answered);
    }
    if let Some(What::KillPid(pid)) = killed {
        signal(pid, Signal::KILL)?;
    }
    drop(still);
    ensure!(is_answered, "the answer was lost by a fault");
    Ok(response.map(Either::Left))
}

fn record(shared: &Shared, seen: Seen<'_>, status: StatusCode, is_answered: bool) {
    let (path, query) = seen
        .path_and_query
        .split_once('?')
        .unwrap_or((seen.path_and_query, ""));
    let write = Write {
        method: seen.method.clone(),
        path: path.to_owned(),
        query: query.to_owned(),
        user_agent: seen.user_agent.to_owned(),
        status: status.as_u16(),
        is_answered,
    };
    shared.writes.send_modify(|writes| writes.push(write));
}

/// Answers as the API server does when it refuses.
fn refuse(code: u16, retry_after: Option<Duration>) -> Result<Answer> {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    let seconds = retry_after.map(|after| after.as_millis().div_ceil(1_000));
    let mut status = failure(code, reason, "injected by the testbed's proxy");
    if let (Some(fields), Some(after)) = (status.as_object_mut(), seconds) {
        fields.insert("details".to_owned(), json!({"retryAfterSeconds": after}));
    }
    let mut response = Response::builder()
        .status(code)
        .header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = seconds {
        response = response.header(RETRY_AFTER, seconds.to_string());
    }
    Ok(response.body(Either::Right(Full::from(serde_json::to_vec(&status)?)))?)
}

/// Answers a watch as the API server does when it no longer knows the version asked for.
fn expired() -> Result<Answer> {
    let object = failure(410, "Expired", "too old resource version");
    let mut event = serde_json::to_vec(&json!({"type": "ERROR", "object": object}))?;
    event.push(b'\n');
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    Ok(response.body(Either::Right(Full::from(event)))?)
}

fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

async fn whole(request: Request<Incoming>) -> Result<Request<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Request::from_parts(parts, Either::Right(Full::from(body))))
}

/// A process that stands still until this is dropped.
struct Still(u32);

impl Still {
    fn new(pid: u32) -> Result<Self> {
        signal(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        // It may be dead.
        let _ = signal(self.0, Signal::CONT);
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid)?;
    let pid = Pid::from_raw(raw).context("0 is no process")?;
    kill_process(pid, signal).with_context(|| format!("sending {signal:?} to process {raw}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the delay is the fault that was asked for"
)]
async fn wait(delay: Duration) {
    tokio::time::sleep(delay).await;
}
