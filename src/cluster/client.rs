//! The client: read timeout, user agent, request metrics, and the API server's clock. Talks to the API server.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, header};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::AuthInfo;
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};

use super::fetch::egress::Egress;
use crate::clock::Clock;
use crate::telemetry::metrics::Metrics;

/// Longest silence on a connection. Watches hear from the server every minute (bookmarks), and without a
/// limit a request into a black hole would wait for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// Bytes that a connection reads at a time at most: what TLS brings in one piece. It keeps room for as much as it has ever read
/// at a time, up to 400 KiB if it may, and each watch is a connection.
const AT_A_TIME: usize = 16 << 10;

/// A client for reconciles and watches.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect(mut config: Config, metrics: Metrics, clock: Clock) -> Result<Client, kube::Error> {
    config.read_timeout = Some(READ_TIMEOUT);
    if config.proxy_url.is_some() {
        // There is no way by a proxy, and kube says so.
        return build(config, metrics, clock);
    }
    connect_by(config, &Observe { metrics, clock }, GaiResolver::new())
}

/// A client of another cluster: each connection goes to an address that the list of hosts has let through, and to no other.
///
/// # Errors
/// If the configuration has unusable certificates.
pub(in crate::cluster) fn connect_guarded(
    mut config: Config,
    metrics: Metrics,
    egress: &Arc<Egress>,
) -> Result<Client, kube::Error> {
    let egress = Arc::clone(egress);
    let addresses = service_fn(move |name: Name| {
        let egress = Arc::clone(&egress);
        async move {
            let found = egress.resolve(name.as_str(), 0).await?;
            Ok::<_, BoxError>(found.into_iter())
        }
    });
    config.read_timeout = Some(READ_TIMEOUT);
    let observe = Observe {
        metrics,
        // Its clock is its own.
        clock: Clock::default(),
    };
    connect_by(config, &observe, addresses)
}

/// The stack of kube's own clients but for its traces, on connections to the addresses that this finds for a name. There is no way
/// around it by a proxy.
fn connect_by<R>(config: Config, observe: &Observe, addresses: R) -> Result<Client, kube::Error>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<BoxError>,
    R::Future: Send,
{
    // Where one is installed already it is this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut http = HttpConnector::new_with_resolver(addresses);
    http.enforce_http(false);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(http)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let wire = legacy::Client::builder(TokioExecutor::new())
        .http1_max_buf_size(AT_A_TIME)
        .build(connector);
    let tries_again = config.default_retry;
    let tries_again = tries_again.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(tries_again)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(wire);
    let builder = ClientBuilder::new(service, config.default_namespace);
    Ok(builder.with_layer(observe).build())
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

/// A client for what a person follows: a connection is there within `timeout`, and then an answer may take as long as it takes. How long it
/// may be silent is for whoever reads it to say, and to watch over.
///
/// # Errors
/// If the configuration has unusable certificates or proxies.
pub fn connect_to_follow(mut config: Config, timeout: Duration) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(timeout);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn egress(allowed: &[&str]) -> Arc<Egress> {
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        Arc::new(Egress::parse(&allowed).unwrap())
    }

    fn config(host: &str, port: u16) -> Config {
        let mut config = Config::new(format!("http://{host}:{port}").parse().unwrap());
        config.default_retry = false;
        config
    }

    #[tokio::test]
    async fn nothing_reaches_a_server_whose_name_leads_where_requests_may_not_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = async |allowed: &[&str]| {
            let config = config("localhost", port);
            let metrics = Metrics::new().unwrap();
            let client = connect_guarded(config, metrics, &egress(allowed)).unwrap();
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

    /// Answers once and hangs up.
    async fn answer(listener: &TcpListener) {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        assert!(socket.read(&mut asked).await.unwrap() > 0);
        let body = r#"{"major": "1", "minor": "31", "gitVersion": "v1.31.0", "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        socket.write_all(answer.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_a_moment_later_leads_nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let egress = egress(&["*", "127.0.0.1"]);
        let looks = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&looks);
        // First it leads where it may, and from then on to another address of this machine.
        let addresses = service_fn(move |name: Name| {
            let last = 1 + count.fetch_add(1, Ordering::Relaxed);
            let at: SocketAddr = format!("127.0.0.{last}:0").parse().unwrap();
            let found = egress.among(name.as_str(), std::iter::once(at));
            let found = found.map(Vec::into_iter).map_err(BoxError::from);
            std::future::ready(found)
        });
        let config = config("cluster.example", port);
        let observe = Observe {
            metrics: Metrics::new().unwrap(),
            clock: Clock::default(),
        };
        let client = connect_by(config, &observe, addresses).unwrap();
        let (version, ()) = tokio::join!(client.apiserver_version(), answer(&listener));
        assert_eq!(version.unwrap().git_version, "v1.31.0");
        let times = looks.load(Ordering::Relaxed);
        assert_eq!(times, 1, "what was checked is what is connected to");
        let refused = client.apiserver_version().await.unwrap_err();
        let text = crate::error::chain(&refused);
        assert!(text.contains("cluster.example is 127.0.0.2"), "{text}");
        assert!(listener.accept().now_or_never().is_none(), "nobody came");
    }
}
