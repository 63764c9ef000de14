use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers every request with this, and its address.
async fn serving(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
    )
}

fn filled(url: &str) -> (Request, Filled) {
    let request = Request::get(url.to_owned(), Duration::from_secs(5));
    let secrets = Secrets::default();
    let filled = secrets.fill(&request, &Access::default(), Timestamp::UNIX_EPOCH);
    (request, filled.unwrap())
}

/// What asks everybody, this machine too.
pub(super) fn open() -> Http {
    let hosts = ["*".to_owned(), "127.0.0.0/8".to_owned()];
    Http::new(Egress::parse(&hosts).unwrap())
}

async fn asked(http: &Http, url: &str) -> Result<Reply, String> {
    let (request, filled) = filled(url);
    http.ask(&request, filled).await
}

#[tokio::test]
async fn names_that_lead_to_this_machine_are_not_asked() {
    let address = serving(answer("200 OK", "", "1")).await;
    let port = address.rsplit_once(':').unwrap().1;
    for url in [
        format!("http://{address}"),
        format!("http://localhost:{port}"),
    ] {
        let refused = asked(&Http::default(), &url).await.unwrap_err();
        assert!(refused.contains("analysis.allowedHosts"), "{refused}");
        assert_eq!(asked(&open(), &url).await.unwrap().body, b"1");
    }
}

#[tokio::test]
async fn a_provider_on_another_host_is_asked_only_where_requests_may_go() {
    let address = serving(answer("200 OK", "", "1")).await;
    for (purpose, is_asked) in [(Purpose::Repository, true), (Purpose::Provider, false)] {
        let access = Access {
            purpose,
            ..Access::default()
        };
        let request = Request {
            access: Some(Box::new(access)),
            ..Request::get(format!("http://{address}"), Duration::from_secs(5))
        };
        let none = BTreeMap::new;
        let usual = Http::default();
        let near = usual.ask_with(&request, none(), Timestamp::UNIX_EPOCH);
        assert_eq!(near.await.is_ok(), is_asked, "{purpose:?}");
        let open = open();
        let named = open.ask_with(&request, none(), Timestamp::UNIX_EPOCH);
        assert_eq!(named.await.unwrap().body, b"1");
    }
}

#[tokio::test]
async fn redirects_to_other_hosts_are_answers() {
    let other = serving(answer("200 OK", "", "1")).await;
    let location = format!("location: http://{other}/\r\n");
    let here = serving(answer("302 Found", &location, "")).await;
    let reply = asked(&open(), &format!("http://{here}")).await.unwrap();
    assert_eq!(reply.status, 302);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read() {
    let page = "x".repeat(MAX_REPLY + 1);
    let address = serving(answer("200 OK", "", &page)).await;
    let refused = asked(&open(), &format!("http://{address}")).await;
    assert!(refused.unwrap_err().contains("more than 1 MiB"));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let request = Request {
        headers: BTreeMap::new(),
        ..Request::get(url, Duration::from_millis(50))
    };
    let told = open().send(&request).await.unwrap_err();
    assert_eq!(told, "no answer from 127.0.0.1 within 50 ms");
}
