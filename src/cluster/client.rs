//! The client: read timeout, user agent, request metrics, and the API server's clock. Talks to the API server.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use kube::client::{Body, ClientBuilder};
use kube::config::AuthInfo;
use kube::{Client, Config};
use tower::{Layer, Service, service_fn};

use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// Longest silence on a connection. Watches hear from the server every minute (bookmarks), and without a
/// limit a request into a black hole would wait for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// A client for reconciles and watches.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect(mut config: Config, metrics: Metrics, clock: Clock) -> Result<Client, kube::Error> {
    config.read_timeout = Some(READ_TIMEOUT);
    build(config, metrics, clock)
}

/// A client for who asks once, a person or an eviction: an answer within `timeout`, or a failure.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect_once(
    mut config: Config,
    timeout: Duration,
    metrics: Metrics,
    clock: Clock,
) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(timeout);
    config.read_timeout = Some(timeout);
    build(config, metrics, clock)
}

/// A client for what a person follows: an answer may take as long as it takes, and be silent meanwhile.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect_to_follow(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.read_timeout = None;
    Client::try_from(config)
}

/// The way to a cluster without the means to log in there: nothing is asked in the name of this process.
pub fn without_login(mut config: Config) -> Config {
    config.auth_info = AuthInfo::default();
    config
}

/// The same way to a cluster, in the name of whoever has this `Authorization` header.
pub fn in_the_name_of(client: &Client, authorization: &HeaderValue) -> Client {
    let (inner, authorization) = (client.clone(), authorization.clone());
    let named = service_fn(move |mut request: Request<Body>| {
        let (inner, headers) = (inner.clone(), request.headers_mut());
        headers.insert(header::AUTHORIZATION, authorization.clone());
        async move { inner.send(request).await }
    });
    Client::new(named, client.default_namespace())
}

fn build(config: Config, metrics: Metrics, clock: Clock) -> Result<Client, kube::Error> {
    let layer = Observe { metrics, clock };
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

/// A client for the lease: it answers within seconds or fails, and never retries behind our back.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect_for_lease(mut config: Config, timeout: Duration) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(timeout);
    config.read_timeout = Some(timeout);
    Client::try_from(config)
}

#[derive(Clone)]
struct Observe {
    metrics: Metrics,
    clock: Clock,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            observe: self.clone(),
        }
    }
}

#[derive(Clone)]
struct Observed<S> {
    inner: S,
    observe: Observe,
}

impl<S, B> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let observe = self.observe.clone();
        let operation = request
            .extensions()
            .get::<&'static str>()
            .copied()
            .unwrap_or("other");
        let start = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer
                .as_ref()
                .map_or(0, |response| response.status().as_u16());
            observe
                .metrics
                .kube_request(operation, code, start.elapsed());
            if let Ok(response) = &answer
                && let Some(server) = date(response)
            {
                observe.clock.observe_server(server);
            }
            answer
        })
    }
}

fn date<B>(response: &Response<B>) -> Option<Timestamp> {
    let text = response.headers().get(http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}
