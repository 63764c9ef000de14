//! The client: read timeout, user agent, request metrics, and the API server's clock. Talks to the API server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header};
use jiff::Timestamp;
use kube::client::{Body, ClientBuilder};
use kube::config::AuthInfo;
use kube::{Client, Config};
use tower::{BoxError, Layer, Service, service_fn};

use super::fetch::egress::Egress;
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

/// A client of another cluster: every request looks the server's name up, and is sent only where the list of hosts lets it go.
///
/// # Errors
/// If the configuration has unusable certificates.
pub(in crate::cluster) fn connect_guarded(
    mut config: Config,
    metrics: Metrics,
    gate: &Gate,
) -> Result<Client, kube::Error> {
    config.read_timeout = Some(READ_TIMEOUT);
    let observe = Observe {
        metrics,
        // Its clock is its own.
        clock: Clock::default(),
    };
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(gate).with_layer(&observe).build())
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

/// Lets requests to a server pass where its name leads to addresses that the list of hosts lets through, now, and to no other: which of
/// them is taken is for whoever connects to say, who looks the name up again.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Gate {
    /// The list.
    pub(in crate::cluster) egress: Arc<Egress>,
    /// Name or address of the server.
    pub(in crate::cluster) host: String,
    /// Its port.
    pub(in crate::cluster) port: u16,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.clone(),
        }
    }
}

/// What is behind a gate.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S, B> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Gate { egress, host, port } = self.gate.clone();
        // Nothing is sent before it is polled.
        let answer = self.inner.call(request);
        Box::pin(async move {
            egress.lets_all(&host, port).await?;
            answer.await
        })
    }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nothing_reaches_a_server_whose_name_leads_where_requests_may_not_go() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = async |allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
            let gate = Gate {
                egress: Arc::new(Egress::parse(&allowed).unwrap()),
                host: "localhost".to_owned(),
                port,
            };
            let url = format!("http://localhost:{port}").parse().unwrap();
            let mut config = Config::new(url);
            config.default_retry = false;
            let client = connect_guarded(config, Metrics::new().unwrap(), &gate).unwrap();
            let asked =
                tokio::time::timeout(Duration::from_millis(500), client.apiserver_version());
            asked.await
        };
        let refused = ask(&[]).await.unwrap().unwrap_err();
        let text = crate::error::chain(&refused);
        assert!(text.contains("where requests may not go"), "{text}");
        assert!(listener.accept().now_or_never().is_none(), "nobody came");
        let _ = ask(&["localhost", "127.0.0.0/8", "::1"]).await;
        assert!(listener.accept().now_or_never().is_some(), "somebody did");
    }
}
