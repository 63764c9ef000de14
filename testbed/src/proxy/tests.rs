//! The proxy in front of a small server that notes what reaches it.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

type Notes = Arc<Mutex<Vec<String>>>;
type Body = UnsyncBoxBody<Bytes, Infallible>;

struct Server {
    address: SocketAddr,
    notes: Notes,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Notes::default();
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let notes = Arc::clone(&shared);
                let service = service_fn(move |request| note(Arc::clone(&notes), request));
                let io = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(io, service));
            }
        });
        Self {
            address,
            notes,
            task,
        }
    }

    async fn proxy(&self) -> Proxy {
        let mut config =
            kube::Config::new(format!("http://{}/base", self.address).parse().unwrap());
        config.auth_info.token = Some("secret".to_owned().into());
        Proxy::start(config).await.unwrap()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

/// Notes the request and answers: `/watch` with one line and no end, `/missing` with 404.
async fn note(notes: Notes, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let auth = head
        .headers
        .get("authorization")
        .map_or("-", |value| value.to_str().unwrap());
    let text = String::from_utf8_lossy(&body);
    notes
        .lock()
        .unwrap()
        .push(format!("{} {} {auth} {text}", head.method, head.uri));
    let path = head.uri.path();
    let status = if path.ends_with("/missing") { 404 } else { 200 };
    let body = if path.ends_with("/watch") {
        let first = stream::once(async { Ok(Frame::data(Bytes::from_static(b"first\n"))) });
        StreamBody::new(first.chain(stream::pending())).boxed_unsync()
    } else {
        Full::from("done").boxed_unsync()
    };
    Ok(Response::builder().status(status).body(body).unwrap())
}

/// A client without retries, but for those of requests that were never written.
fn plain() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap()
}

async fn put(proxy: &Proxy, path: &str) -> Result<StatusCode> {
    let response = plain().put(proxy.url() + path).body("{}").send().await?;
    Ok(response.status())
}

const ROLLOUT: &str = "/apis/slipway.dev/v1alpha1/namespaces/shop/rollouts/api";

#[tokio::test]
async fn requests_and_answers_pass_unchanged() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let request = plain()
        .put(proxy.url() + ROLLOUT + "?fieldManager=x")
        .body("{\"a\":1}");
    let response = request.bearer_auth("other").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "done");
    let expected = format!("PUT /base{ROLLOUT}?fieldManager=x Bearer other {{\"a\":1}}");
    assert_eq!(server.notes(), [expected]);
}

#[tokio::test]
async fn requests_without_credentials_get_the_upstreams() {
    let server = Server::start().await;
    put(&server.proxy().await, "/x").await.unwrap();
    assert_eq!(server.notes(), ["PUT /base/x Bearer secret {}"]);
}

#[tokio::test]
async fn a_watch_is_passed_on_as_it_comes_until_its_connection_is_dropped() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let response = plain().get(proxy.url() + "/watch").send().await.unwrap();
    let mut lines = response.bytes_stream();
    assert_eq!(lines.try_next().await.unwrap().unwrap(), "first\n");
    proxy.drop_connections();
    assert!(
        lines.try_next().await.is_err(),
        "the stream was cut, not ended"
    );
    assert_eq!(put(&proxy, "/x").await.unwrap(), 200);
}

#[tokio::test]
async fn a_status_fault_looks_like_the_api_servers() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    proxy.inject(Fault::new(Match::any(), What::Status(409)));
    let maps: Api<ConfigMap> = Api::namespaced(proxy.client().await.unwrap(), "shop");
    let error = maps.get("x").await.unwrap_err();
    assert!(
        matches!(&error, kube::Error::Api(status) if status.is_conflict()),
        "{error:?}"
    );
    assert_eq!(server.notes(), [""; 0]);
}

#[tokio::test]
async fn an_expired_watch_gets_an_event_that_says_so() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    proxy.inject(Fault::new(Match::any().path("/watch"), What::Expired));
    let response = plain().get(proxy.url() + "/watch").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let event: serde_json::Value = response.json().await.unwrap();
    let code = &event["object"]["code"];
    assert_eq!(
        (event["type"].as_str(), code.as_i64()),
        (Some("ERROR"), Some(410))
    );
}

#[tokio::test]
async fn a_retry_after_fault_says_how_long_to_wait() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let fault = proxy.inject(Fault::new(
        Match::any(),
        What::RetryAfter(Duration::from_secs(1)),
    ));
    let response = plain().get(proxy.url() + "/x").send().await.unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (429, &"1".parse().unwrap())
    );

    // kube's client waits as told and asks again.
    proxy.inject(Fault::new(
        Match::any(),
        What::RetryAfter(Duration::from_secs(1)),
    ));
    let before = Instant::now();
    let maps: Api<ConfigMap> = Api::namespaced(proxy.client().await.unwrap(), "shop");
    assert!(maps.get("missing").await.is_err());
    assert!(
        before.elapsed() >= Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    assert_eq!((fault.hits(), server.notes().len()), (1, 1));
}

#[tokio::test]
async fn a_hanging_request_gets_no_answer_and_does_not_reach_the_server() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let fault = proxy.inject(Fault::new(Match::any().path("/slow"), What::Hang));
    let answer = timeout(Duration::from_millis(300), put(&proxy, "/slow")).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!((fault.hits(), server.notes().len()), (1, 0));
    assert_eq!(put(&proxy, "/slow").await.unwrap(), 200);
}

#[tokio::test]
async fn a_cut_request_does_not_reach_the_server() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    proxy.inject(Fault::new(Match::writes(), What::Cut));
    assert!(put(&proxy, ROLLOUT).await.is_err());
    assert_eq!((server.notes().len(), proxy.writes().len()), (0, 0));
    assert_eq!(put(&proxy, ROLLOUT).await.unwrap(), 200);
}

#[tokio::test]
async fn a_write_cut_afterwards_happened() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    proxy.inject(Fault::new(Match::writes(), What::CutAfter).nth(2));
    assert_eq!(put(&proxy, ROLLOUT).await.unwrap(), 200);
    assert!(put(&proxy, ROLLOUT).await.is_err());
    assert_eq!(server.notes().len(), 2);
    let writes = proxy.writes();
    assert_eq!(
        writes
            .iter()
            .map(|write| write.is_answered)
            .collect::<Vec<_>>(),
        [true, false]
    );
    assert!(
        writes
            .iter()
            .all(|write| write.path == ROLLOUT && write.status == 200)
    );
}

#[tokio::test]
async fn a_delayed_request_arrives_later() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let delay = Duration::from_millis(200);
    proxy.inject(Fault::new(Match::any(), What::Delay(delay)));
    let before = Instant::now();
    assert_eq!(put(&proxy, ROLLOUT).await.unwrap(), 200);
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn a_process_is_killed_after_the_kth_applied_write() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let kill = What::KillPid(child.id());
    let fault = proxy.inject(Fault::new(Match::writes(), kill).nth(2));
    assert_eq!(put(&proxy, ROLLOUT).await.unwrap(), 200);
    assert_eq!(
        put(&proxy, "/api/v1/namespaces/shop/pods/missing")
            .await
            .unwrap(),
        404
    );
    assert!(
        child.try_wait().unwrap().is_none(),
        "one write was applied, one refused"
    );

    assert!(put(&proxy, ROLLOUT).await.is_err(), "the answer is lost");

    let ended = tokio::task::spawn_blocking(move || child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&ended),
        Some(9)
    );
    assert_eq!(fault.hits(), 1);
    let writes: Vec<_> = proxy
        .writes()
        .iter()
        .map(|write| (write.status, write.is_answered))
        .collect();
    assert_eq!(writes, [(200, true), (404, true), (200, false)]);
}

#[tokio::test]
async fn awaited_writes_are_waited_for() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let second = Duration::from_secs(1);
    let (writes, _) = tokio::join!(
        proxy.until_writes(second, |writes| writes.len() == 1),
        put(&proxy, ROLLOUT)
    );
    assert_eq!(writes.unwrap()[0].method, Method::PUT);
    let none = proxy
        .until_writes(Duration::from_millis(50), |writes| writes.len() == 2)
        .await;
    assert!(none.is_err());
}

#[tokio::test]
async fn the_kubeconfig_file_carries_the_token_and_is_private() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let path = std::env::temp_dir().join(format!("proxy-kubeconfig-{}", std::process::id()));
    proxy.write_kubeconfig(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    let kubeconfig = Kubeconfig::read_from(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(mode & 0o777, 0o600);

    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "shop");
    assert!(maps.get("missing").await.is_err());
    let expected = "GET /base/api/v1/namespaces/shop/configmaps/missing Bearer secret ";
    assert_eq!(server.notes(), [expected]);
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_port() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let address = proxy.address;
    drop(proxy);
    let closed = async {
        while TcpStream::connect(address)
            .await
            .err()
            .map(|error| error.kind())
            != Some(ErrorKind::ConnectionRefused)
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), closed).await.unwrap();
}

#[tokio::test]
async fn what_is_passed_to_a_service_begins_behind_proxy_and_leaves_the_credentials() {
    let (server, service) = (Server::start().await, Server::start().await);
    let proxy = server.proxy().await;
    let receiver = "/api/v1/namespaces/shop/services/receiver:http/proxy";
    let fault = Fault::new(Match::any().path(receiver), What::PassTo(service.address));
    let injected = proxy.inject(fault.always());
    for path in [format!("{receiver}/v1/runs?offset=1"), ROLLOUT.to_owned()] {
        assert_eq!(put(&proxy, &path).await.unwrap(), 200);
    }
    assert_eq!(service.notes(), ["PUT /v1/runs?offset=1 - {}"]);
    assert_eq!(
        server.notes(),
        [format!("PUT /base{ROLLOUT} Bearer secret {{}}")]
    );
    assert_eq!(injected.hits(), 1);
}
