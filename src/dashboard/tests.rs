//! What the server says before it asks the API server anything; what it says then, stories on a real one tell.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use kube::Config;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::guard::Secret;
use super::room::Room;
use super::{Dashboard, Door, Inner, LISTS, LOGS, OWN_LOGS, OWN_STREAMS, STREAMS, router};
use crate::cli::cluster::Server;
use crate::cli::run::archive::Keeper;

const PORT: u16 = 8001;
const HERE: &str = "127.0.0.1:8001";

fn secret() -> Secret {
    Secret::of([7; 32])
}

/// A dashboard of a cluster that does not answer.
fn dashboard(door: Door) -> Dashboard {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    Dashboard(Arc::new(Inner {
        server: Server::without_login(config).unwrap(),
        door,
        port: PORT,
        keeper: Keeper {
            operator_namespace: "slipway-system".to_owned(),
            receiver: "slipway-receiver".to_owned(),
            service_account: "default".to_owned(),
        },
        streams: Room::new(STREAMS, OWN_STREAMS),
        logs: Room::new(LOGS, OWN_LOGS),
        lists: Arc::new(Semaphore::new(LISTS)),
        stop: CancellationToken::new(),
    }))
}

fn local() -> Dashboard {
    dashboard(Door::Local {
        secret: secret(),
        context: None,
        namespace: None,
    })
}

fn ask(path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::get(path).header(header::HOST, HERE);
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

fn decide(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/api/v1/decisions")
        .header(header::HOST, HERE)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", secret().as_str()),
        )
        .header(header::CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap()
}

async fn answer(dashboard: &Dashboard, request: Request<Body>) -> Response {
    router(dashboard.clone()).oneshot(request).await.unwrap()
}

/// Status and reason of a problem.
async fn problem(dashboard: &Dashboard, request: Request<Body>) -> (u16, String) {
    let answer = answer(dashboard, request).await;
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|words| !words.is_empty())
    );
    (status, body["reason"].as_str().unwrap().to_owned())
}

fn is(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn who_comes_under_another_name_gets_nothing() {
    let dashboard = local();
    for path in ["/", "/api/v1/about"] {
        let mut request = ask(path, Some(secret().as_str()));
        let host = "evil.example:8001".parse().unwrap();
        request.headers_mut().insert(header::HOST, host);
        assert_eq!(problem(&dashboard, request).await, is(421, "Misdirected"));
        let mut request = ask(path, Some(secret().as_str()));
        request.headers_mut().remove(header::HOST);
        assert_eq!(problem(&dashboard, request).await, is(421, "Misdirected"));
    }
}

#[tokio::test]
async fn without_the_secret_nothing_is_asked() {
    let dashboard = local();
    for token in [None, Some("x")] {
        for path in [
            "/api/v1/about",
            "/api/v1/stream?kinds=rollouts",
            "/api/v1/dora",
        ] {
            let said = problem(&dashboard, ask(path, token)).await;
            assert_eq!(said, is(401, "Unauthorized"), "{path}");
        }
    }
    let answer = answer(&dashboard, ask("/api/v1/about", None)).await;
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
}

#[tokio::test]
async fn in_the_cluster_nothing_is_asked_without_a_token() {
    let dashboard = dashboard(Door::Cluster);
    let said = problem(&dashboard, ask("/api/v1/about", None)).await;
    assert_eq!(said, is(401, "Unauthorized"));
    // With one the API server is asked, which is away.
    let said = problem(&dashboard, ask("/api/v1/about", Some("abc"))).await;
    assert_eq!(said, is(503, "ServiceUnavailable"));
}

#[tokio::test]
async fn every_answer_says_what_browsers_may_do() {
    let dashboard = local();
    let has = |headers: &HeaderMap, name: &str, words: &str| {
        let value = headers.get(name).unwrap_or_else(|| panic!("no {name}"));
        let value = value.to_str().unwrap();
        assert!(value.contains(words), "{name}: {value}");
    };
    for path in ["/", "/nowhere", "/api/v1/nothing"] {
        let answer = answer(&dashboard, ask(path, None)).await;
        let headers = answer.headers();
        has(headers, "content-security-policy", "default-src 'self'");
        has(headers, "content-security-policy", "base-uri 'none'");
        has(headers, "x-content-type-options", "nosniff");
        has(headers, "referrer-policy", "no-referrer");
        assert!(!headers.contains_key(header::SET_COOKIE));
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
    let answer = answer(&dashboard, ask("/api/v1/nothing", None)).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn what_is_no_name_gets_into_no_path() {
    let dashboard = local();
    let secret = secret();
    let said = |path: &'static str| problem(&dashboard, ask(path, Some(secret.as_str())));
    let bad = is(400, "BadRequest");
    assert_eq!(
        said("/api/v1/objects/rollouts/shop/..%2Fsecrets").await,
        bad
    );
    assert_eq!(said("/api/v1/pods/shop/api,x%3Dy").await, bad);
    assert_eq!(said("/api/v1/logs/Shop/api-1/unit").await, bad);
    assert_eq!(said("/api/v1/stream").await, bad);
    assert_eq!(said("/api/v1/stream?kinds=secrets").await, bad);
    assert_eq!(said("/api/v1/dora?days=31").await, bad);
    let unknown = is(404, "NotFound");
    assert_eq!(said("/api/v1/objects/secrets/shop/api").await, unknown);
    assert_eq!(said("/api/v1/may/pods/shop/api").await, unknown);
}

#[tokio::test]
async fn only_a_decision_is_taken_for_one() {
    let dashboard = local();
    let form = decide("application/x-www-form-urlencoded", "action=Promote");
    let said = problem(&dashboard, form).await;
    assert_eq!(said, is(415, "UnsupportedMediaType"));
    let long = decide("application/json", "x".repeat(65 << 10));
    let said = problem(&dashboard, long).await;
    assert_eq!(said, is(413, "RequestEntityTooLarge"));
    let other = decide(
        "application/json; charset=utf-8",
        "{\"namespace\": \"shop\"}",
    );
    let said = problem(&dashboard, other).await;
    assert_eq!(said, is(400, "BadRequest"));
    let said = problem(&dashboard, ask("/api/v1/decisions", None)).await;
    assert_eq!(said, is(405, "MethodNotAllowed"));
}

#[tokio::test]
async fn more_pages_than_there_is_room_for_come_again() {
    let dashboard = local();
    let room = Arc::clone(&dashboard.0.streams);
    let enter = |who: usize| room.enter(&who.to_string()).unwrap();
    let taken: Vec<_> = (0..STREAMS).map(enter).collect();
    let one_more = ask("/api/v1/stream?kinds=rollouts", Some(secret().as_str()));
    let answer = answer(&dashboard, one_more).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "5");
    drop(taken);
}

#[tokio::test]
async fn one_alone_does_not_keep_the_others_out() {
    let dashboard = local();
    // The cluster does not answer, so it is the secret that says who it is.
    let enter = |_| dashboard.0.streams.enter(secret().as_str()).unwrap();
    let taken: Vec<_> = (0..OWN_STREAMS).map(enter).collect();
    let ask = || ask("/api/v1/stream?kinds=rollouts", Some(secret().as_str()));
    let said = answer(&dashboard, ask()).await;
    assert_eq!(said.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(taken);
    assert_eq!(answer(&dashboard, ask()).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let dashboard = local();
    let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let said = problem(&dashboard, decide("application/json", body)).await;
    assert_eq!(said, is(408, "RequestTimeout"));
}
