//! Calls the operator's receiver, over HTTP, with the pod's own token. Talks to the network.

use std::io;
use std::path::Path;
use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

/// Longest time for one call.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MAX_ANSWER: usize = 64 << 10;
/// Connections that are tried for one call, and the time between two: only the process that leads takes it, and each
/// connection may come to another one.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// What the receiver says.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its words.
    pub text: String,
}

/// Where the receiver is, and who calls.
#[derive(Clone, Copy, Debug)]
pub struct Receiver<'a> {
    /// Its URL, without a path.
    pub url: &'a str,
    /// File with the token of the pod. It is read for each call: Kubernetes puts a new one there in time.
    pub token_file: &'a Path,
}

impl Receiver<'_> {
    /// Posts a body to a path of it; tried again where it says "later".
    ///
    /// # Errors
    /// If no process of it answers, or none that leads.
    pub async fn post(&self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let mut tick = interval(PAUSE);
        let mut last = io::Error::other("not tried");
        for _ in 0..TRIES {
            tick.tick().await;
            match timeout(PATIENCE, self.post_once(path, body)).await {
                Ok(Ok(answer)) if answer.status < 500 => return Ok(answer),
                Ok(Ok(answer)) => last = io::Error::other(answer.text),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn post_once(&self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let url: http::Uri = format!("{}{path}", self.url.trim_end_matches('/'))
            .parse()
            .map_err(io::Error::other)?;
        let host = url.authority().filter(|_| url.scheme_str() == Some("http"));
        let host = host.ok_or_else(|| {
            io::Error::other(format!("{url}: the receiver is reached over http only"))
        })?;
        let token = std::fs::read_to_string(self.token_file)?;
        let request = Request::post(&url)
            .header(header::HOST, host.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(io::Error::other)?;
        let port = host.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host.host(), port)).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let talk = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(io::Error::other)?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            Ok(Answer { status, text })
        };
        // The connection is driven until the answer is there; it may end before, with the answer read.
        let mut talk = std::pin::pin!(talk);
        tokio::select! {
            answer = &mut talk => answer,
            ended = connection => {
                ended.map_err(io::Error::other)?;
                talk.await
            }
        }
    }
}
