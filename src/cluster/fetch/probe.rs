//! Tries connections, names and certificates. Talks to the network.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Http;
use crate::error::chain;
use crate::model::action::{Reply, Request};
use crate::model::probe::Probe;

impl Http {
    /// Tries it, as of this time.
    ///
    /// # Errors
    /// Says in words for people what is not so.
    pub(super) async fn probe(
        &self,
        request: &Request,
        probe: &Probe,
        now: Timestamp,
    ) -> Result<Reply, String> {
        match probe {
            Probe::Dns { host } => {
                let found = tokio::net::lookup_host((host.as_str(), 0)).await;
                let mut found = found.map_err(|error| format!("{host}: {error}"))?;
                found
                    .next()
                    .ok_or_else(|| format!("{host} has no address"))?;
            }
            Probe::Tcp { host, port } => drop(self.connect(host, *port).await?),
            Probe::Tls {
                host,
                port,
                valid_for,
            } => {
                let ca = request.ca_bundle.as_deref();
                // Now first: what is not good at all is said as what it is.
                for later in [Duration::ZERO, *valid_for] {
                    let stream = self.connect(host, *port).await?;
                    let at = UnixTime::since_unix_epoch(since_1970(now).saturating_add(later));
                    shake_hands(host, stream, ca, at).await?;
                }
            }
        }
        Ok(Reply {
            status: 200,
            body: Vec::new(),
        })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        self.egress.check(&format!("https://{host}:{port}"))?;
        let addresses = self.egress.resolve(host, port).await;
        let addresses = addresses.map_err(|error| format!("{host}: {error}"))?;
        let stream = TcpStream::connect(addresses.as_slice()).await;
        stream.map_err(|error| format!("cannot connect to {host}:{port}: {error}"))
    }
}

fn since_1970(now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0))
}

/// A clock that stands.
#[derive(Debug)]
struct Standing(UnixTime);

impl TimeProvider for Standing {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

/// Has the server prove at this time that it is `host`.
async fn shake_hands(
    host: &str,
    stream: TcpStream,
    ca: Option<&str>,
    at: UnixTime,
) -> Result<(), String> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| format!("{host} is no name that a certificate can be for"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(Standing(at)))
        .with_safe_default_protocol_versions()
        .map_err(|error| chain(&error))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    connected.map(drop).map_err(|error| {
        let cause = error.get_ref();
        let cause = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => {
                let end = i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX);
                let end = Timestamp::from_second(end).unwrap_or(Timestamp::MAX);
                format!("the certificate of {host} ends at {end}")
            }
            Some(_) | None => format!("{host} does not prove who it is: {error}"),
        }
    })
}

/// The certificates of the system, and these.
fn roots(ca: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(ca.unwrap_or_default().as_bytes()) {
        let certificate = certificate.map_err(|error| format!("caBundle: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("caBundle: {error}"))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
