//! Sends the HTTP requests that pure providers render. Talks to the network, and to the API server for Secrets.

mod change;
mod changed;
pub mod egress;
mod kept;
mod leftover;
mod mail;
mod package;
mod probe;
mod rehearsal;
mod secret;
mod signed;
mod sigv4;
mod tagged;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use reqwest::redirect;

use super::Cluster;
use crate::error::chain;
use crate::model::access::{Access, Purpose};
use crate::model::action::{Errand, Reply, Request};
use crate::model::mail::Mail;
use crate::model::secret::SecretKey;
use egress::{Egress, Guard};
use kept::Turns;
pub(super) use secret::value_of;
use secret::{Filled, Secrets};

/// Largest reply that is read: a page of a metrics API or the refs of a repository, with room to spare.
const MAX_REPLY: usize = 1 << 20;
/// Redirects that are followed on one host.
const REDIRECTS: usize = 5;

/// Shared HTTP clients: one that goes anywhere, for repositories and messages, and those that go where metrics may come
/// from.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    metrics: reqwest::Client,
    registries: reqwest::Client,
    egress: Arc<Egress>,
    turns: Turns,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(Egress::default())
    }
}

impl Http {
    /// Clients of which the one for metrics goes only where `egress` lets it.
    pub fn new(egress: Egress) -> Self {
        let egress = Arc::new(egress);
        // Without certificates of its own there is nothing in it that can be wrong.
        let metrics = guarded(&egress).build().unwrap_or_default();
        let registries = far(&egress).build().unwrap_or_default();
        Self {
            client: reqwest::Client::default(),
            metrics,
            registries,
            egress,
            turns: Turns::default(),
        }
    }

    /// Where requests may go that people make the operator send.
    pub(super) fn egress(&self) -> &Arc<Egress> {
        &self.egress
    }

    /// Sends a request and reads the reply up to the limit. The error is a sentence for people.
    pub async fn send(&self, request: &Request) -> Result<Reply, String> {
        in_time(request, self.exchange(request)).await
    }

    async fn exchange(&self, request: &Request) -> Result<Reply, String> {
        let client = self.trusting(request)?;
        let mut builder = client.request(method(request), &request.url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        if let Some(bytes) = &request.bytes {
            builder = builder.body(bytes.clone());
        }
        read(builder, &request.url).await
    }

    /// Sends a request whose secret values are given, as of this time. For programs that read no Secrets.
    pub async fn ask_with(
        &self,
        request: &Request,
        values: BTreeMap<SecretKey, String>,
        now: Timestamp,
    ) -> Result<Reply, String> {
        let access = request.access.as_deref().cloned().unwrap_or_default();
        let secrets = Secrets::of(values);
        in_time(request, self.measure(request, &access, &secrets, now)).await
    }

    async fn measure(
        &self,
        request: &Request,
        access: &Access,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Reply, String> {
        let reply = match secrets.fill(request, access, now) {
            Ok(filled) => self.ask(request, filled).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(Reply { status, body }) => Ok(Reply {
                status,
                body: secrets.redact_all(body),
            }),
            Err(error) => Err(secrets.redact(&error)),
        }
    }

    /// The same for a request that was filled in.
    async fn ask(&self, request: &Request, filled: Filled) -> Result<Reply, String> {
        let purpose = request.access.as_ref().map(|access| access.purpose);
        if purpose == Some(Purpose::Repository) {
            let client = self.trusting(request)?;
            return send(client, request, filled).await;
        }
        let is_plain = request.ca_bundle.is_none() && filled.ca.is_none();
        let client = if is_plain && filled.identity.is_none() {
            self.metrics.clone()
        } else {
            let mut builder = guarded(&self.egress);
            for pem in request.ca_bundle.iter().chain(&filled.ca) {
                builder = trusting(builder, pem)?;
            }
            if let Some(pem) = &filled.identity {
                let identity = reqwest::Identity::from_pem(pem.as_bytes());
                let identity = identity.map_err(|_| "the client certificate cannot be used: tls.crt and tls.key have to be PEM, and fit each other".to_owned())?;
                builder = builder.identity(identity);
            }
            builder.build().map_err(sentence)?
        };
        self.egress.check(&filled.url)?;
        send(client, request, filled).await
    }

    /// The client that goes anywhere, with the certificates that the request brings.
    fn trusting(&self, request: &Request) -> Result<reqwest::Client, String> {
        match &request.ca_bundle {
            None => Ok(self.client.clone()),
            Some(pem) => {
                let builder = trusting(reqwest::Client::builder(), pem)?;
                builder.build().map_err(sentence)
            }
        }
    }
}

async fn send(client: reqwest::Client, request: &Request, filled: Filled) -> Result<Reply, String> {
    let mut builder = client.request(method(request), &filled.url);
    builder = builder.headers(filled.headers);
    if let Some(body) = filled.body {
        builder = builder.body(body);
    }
    if let Some(bytes) = &request.bytes {
        builder = builder.body(bytes.clone());
    }
    read(builder, &request.url).await
}

impl Cluster {
    /// Sends an HTTP request that a pure provider rendered. What is secret in it is filled in here, and taken out of what
    /// comes back.
    pub async fn fetch(&self, request: &Request) -> Result<Reply, String> {
        match request.errand.as_deref() {
            // Each of the requests of these two has a limit of its own.
            Some(Errand::Kept(kept)) => self.keep(kept).await,
            Some(Errand::Change(change)) => self.change(change).await,
            Some(Errand::Changed(question)) => in_time(request, self.changed(question)).await,
            Some(Errand::Signed(question)) => in_time(request, self.signed(question)).await,
            Some(Errand::Tagged(question)) => in_time(request, self.tagged(question)).await,
            Some(Errand::Package(question)) => in_time(request, self.package(question)).await,
            Some(Errand::Leftovers(question)) => in_time(request, self.leftovers(question)).await,
            Some(Errand::Probe(probe)) => {
                let now = self.clock().now();
                in_time(request, self.http.probe(request, probe, now)).await
            }
            Some(Errand::Rehearsal(objects)) => in_time(request, self.rehearse(objects)).await,
            Some(Errand::Mail(mail)) => in_time(request, self.mail(request, mail)).await,
            None => self.fetch_one(request).await,
        }
    }

    async fn mail(&self, request: &Request, mail: &Mail) -> Result<Reply, String> {
        let access = request.access.as_deref().cloned().unwrap_or_default();
        let secrets = self.secrets(&access).await?;
        let posted = self.http.post(mail, &access, &secrets).await;
        posted.map_err(|error| secrets.redact(&error))
    }

    async fn fetch_one(&self, request: &Request) -> Result<Reply, String> {
        let Some(access) = &request.access else {
            return self.http.send(request).await;
        };
        in_time(request, async {
            let secrets = self.secrets(access).await?;
            let now = self.clock().now();
            self.http.measure(request, access, &secrets, now).await
        })
        .await
    }

    async fn secrets(&self, access: &Access) -> Result<Secrets, String> {
        let needed = access.needed();
        let (may_read, what, value) = match access.purpose {
            Purpose::Metrics => (self.reads_secrets, "metrics", "analysis"),
            Purpose::Repository | Purpose::Provider => {
                (self.reads_stage_secrets, "Pipelines", "stages")
            }
            // It is one right, and whoever may write the receivers of one may write those of the other.
            Purpose::Notification => (
                self.reads_secrets || self.reads_stage_secrets,
                "notifications",
                "analysis",
            ),
        };
        if let Some(first) = needed.first()
            && !may_read
        {
            return Err(format!(
                "needs Secret {}, and this operator may not read Secrets for {what}; set {value}.secrets.enabled: true \
                 in the values of its chart",
                first.name
            ));
        }
        Secrets::read(&self.client, &access.namespace, needed).await
    }

    /// What a key of a labelled Secret says.
    ///
    /// # Errors
    /// Why it cannot be read, without anything that is secret.
    pub async fn secret_value(&self, namespace: &str, of: &SecretKey) -> Result<String, String> {
        let needed = BTreeSet::from([of.clone()]);
        let secrets = Secrets::read(&self.client, namespace, needed).await?;
        secrets.value(of).map(str::to_owned)
    }
}

/// A builder of clients that go only where metrics may come from, and follow no redirect to anywhere else.
fn guarded(egress: &Arc<Egress>) -> reqwest::ClientBuilder {
    let on_the_same_host = redirect::Policy::custom(|attempt| {
        let place = |url: &reqwest::Url| {
            let host = url.host_str().map(str::to_owned);
            (url.scheme().to_owned(), host, url.port_or_known_default())
        };
        let first = attempt.previous().first().map(place);
        if first == Some(place(attempt.url())) && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    reqwest::Client::builder()
        .dns_resolver(Guard::new(egress))
        .redirect(on_the_same_host)
}

/// A builder of clients that go only where metrics may come from, and follow redirects there too: registries keep content in
/// other places.
fn far(egress: &Arc<Egress>) -> reqwest::ClientBuilder {
    let checked = Arc::clone(egress);
    let where_it_may = redirect::Policy::custom(move |attempt| {
        let may = checked.check(attempt.url().as_str()).is_ok();
        if may && attempt.previous().len() <= REDIRECTS {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    reqwest::Client::builder()
        .dns_resolver(Guard::new(egress))
        .redirect(where_it_may)
}

fn trusting(builder: reqwest::ClientBuilder, pem: &str) -> Result<reqwest::ClientBuilder, String> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(sentence)?;
    Ok(builder.tls_certs_merge(certificates))
}

fn method(request: &Request) -> http::Method {
    match request.method {
        "POST" => http::Method::POST,
        "PUT" => http::Method::PUT,
        "PATCH" => http::Method::PATCH,
        _ => http::Method::GET,
    }
}

/// The answer, up to the limit.
async fn read(builder: reqwest::RequestBuilder, url: &str) -> Result<Reply, String> {
    let response = builder.send().await.map_err(sentence)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(sentence)?);
        if body.len() > MAX_REPLY {
            return Err(format!("{} answered more than 1 MiB", host(url)));
        }
    }
    Ok(Reply { status, body })
}

async fn in_time(
    request: &Request,
    exchange: impl Future<Output = Result<Reply, String>>,
) -> Result<Reply, String> {
    let result = tokio::time::timeout(request.timeout, exchange).await;
    result.unwrap_or_else(|_| {
        Err(format!(
            "no answer from {} within {}",
            host(&request.url),
            shown(request.timeout)
        ))
    })
}

fn shown(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// A URL may have what is not meant for everybody.
fn sentence(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

/// The part of a URL that may be shown: no user, no path, no query.
fn host(url: &str) -> String {
    let uri = url.parse::<http::Uri>().ok();
    uri.and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_else(|| "the server".to_owned())
}

#[cfg(test)]
mod tests;
