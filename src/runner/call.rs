//! Calls the operator's receiver, with the pod's own token. Talks to the network.

use std::io;
use std::path::Path;
use std::time::Duration;

use http::header;
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
#[derive(Clone, Debug)]
pub struct Receiver<'a> {
    url: &'a str,
    token_file: &'a Path,
    http: reqwest::Client,
}

impl<'a> Receiver<'a> {
    /// The receiver at a URL without a path, and the file with the token of the pod. It is read for each call: Kubernetes
    /// puts a new one there in time.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(url: &'a str, token_file: &'a Path) -> io::Result<Self> {
        // Where one is installed already it is this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A connection of its own for each call: the last one may lead to a process that does not lead any more.
        let mut http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy();
        if url.starts_with("http:") {
            // An image without certificates will do then.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(io::Error::other)?;
        Ok(Self {
            url,
            token_file,
            http,
        })
    }

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
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let token = std::fs::read_to_string(self.token_file)?;
        let request = self
            .http
            .post(url)
            .bearer_auth(token.trim())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(body.to_vec());
        let mut answer = request.send().await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let mut text = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(io::Error::other)? {
            text.extend_from_slice(&part);
            if text.len() > MAX_ANSWER {
                return Err(io::Error::other("its answer is too long"));
            }
        }
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Ok(Answer { status, text })
    }
}
