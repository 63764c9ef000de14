//! Sends the HTTP requests that pure providers render. Talks to the network, never to the API server.

use std::time::Duration;

use futures::StreamExt;

use crate::error::chain;
use crate::model::action::{Reply, Request};

/// Largest reply that is read: a page of a metrics API or the refs of a repository, with room to spare.
const MAX_REPLY: usize = 1 << 20;

/// A shared HTTP client.
#[derive(Clone, Debug, Default)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// Sends a request and reads the reply up to the limit. The error is a sentence for people.
    pub async fn send(&self, request: &Request) -> Result<Reply, String> {
        let exchange = self.exchange(request);
        match tokio::time::timeout(request.timeout, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(format!(
                "no answer from {} within {} s",
                host(&request.url),
                Duration::as_secs(&request.timeout)
            )),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Reply, String> {
        let fail = |error: reqwest::Error| chain(&error.without_url());
        let client = match &request.ca_bundle {
            None => self.client.clone(),
            Some(pem) => {
                let certificates =
                    reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(fail)?;
                reqwest::Client::builder()
                    .tls_certs_merge(certificates)
                    .build()
                    .map_err(fail)?
            }
        };
        let method = if request.method == "POST" {
            http::Method::POST
        } else {
            http::Method::GET
        };
        let mut builder = client.request(method, &request.url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await.map_err(fail)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(fail)?);
            if body.len() > MAX_REPLY {
                return Err(format!("{} answered more than 1 MiB", host(&request.url)));
            }
        }
        Ok(Reply { status, body })
    }
}

/// The part of a URL that may be shown: no user, no path, no query.
fn host(url: &str) -> String {
    let uri = url.parse::<http::Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_else(|| "the server".to_owned())
}
