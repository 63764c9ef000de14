//! Hands emails to mail servers. Talks to the network.

use std::net::SocketAddr;

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::Http;
use super::secret::Secrets;
use crate::error::chain;
use crate::model::access::{Access, Login};
use crate::model::action::Reply;
use crate::model::mail::{Mail, Transport};

/// What a mail server says when it has taken an email.
const TAKEN: u16 = 250;

impl Http {
    /// Hands it over. The server is reached only where metrics may come from, by an address that was looked at, and proves the
    /// name that people wrote.
    ///
    /// # Errors
    /// Says in words for people why the server does not have it.
    pub(super) async fn post(
        &self,
        mail: &Mail,
        access: &Access,
        secrets: &Secrets,
    ) -> Result<Reply, String> {
        let Mail { host, port, .. } = mail;
        let message = written(mail)?;
        self.egress.check(&format!("https://{host}:{port}"))?;
        let addresses = self.egress.resolve(host, *port).await;
        let addresses = addresses.map_err(|error| format!("{host}: {error}"))?;
        let mut told = format!("{host} has no address");
        for address in addresses {
            let server = server(mail, address, access, secrets)?;
            match server.send(message.clone()).await {
                Ok(_) => {
                    return Ok(Reply {
                        // Outside of HTTP nothing but taken is an answer.
                        status: TAKEN,
                        body: Vec::new(),
                    });
                }
                Err(error) if error.is_response() => {
                    // What it says instead may be anything, and is not repeated.
                    told = format!("{host} does not speak SMTP on port {port}");
                    break;
                }
                Err(error) => {
                    told = format!("{host} did not take the email: {}", chain(&error));
                    if error.is_permanent() || error.is_transient() || error.is_tls() {
                        break;
                    }
                }
            }
        }
        Err(told)
    }
}

fn server(
    mail: &Mail,
    address: SocketAddr,
    access: &Access,
    secrets: &Secrets,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let tls = match mail.transport {
        Transport::Plain => Tls::None,
        Transport::StartTls => Tls::Required(proof(&mail.host, access, secrets)?),
        Transport::Tls => Tls::Wrapper(proof(&mail.host, access, secrets)?),
    };
    let ip = address.ip().to_string();
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(ip)
        .port(mail.port)
        .hello_name(ClientId::Domain("slipway".to_owned()))
        .tls(tls);
    if let Some(Login::Basic { username, password }) = &access.login {
        let password = secrets.value(password)?.to_owned();
        builder = builder
            .credentials(Credentials::new(username.clone(), password))
            .authentication(vec![Mechanism::Plain, Mechanism::Login]);
    }
    Ok(builder.build())
}

/// What the server has to prove.
fn proof(host: &str, access: &Access, secrets: &Secrets) -> Result<TlsParameters, String> {
    let mut builder =
        TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::Default);
    if let Some(ca) = &access.ca {
        let unusable = |_| {
            format!(
                "key {} of Secret {} has no certificates in PEM",
                ca.key, ca.name
            )
        };
        let pem = secrets.value(ca)?;
        builder =
            builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(unusable)?);
    }
    builder.build_rustls().map_err(|error| chain(&error))
}

fn written(mail: &Mail) -> Result<Message, String> {
    let mailbox = |text: &str| {
        let address = text.parse::<Address>();
        let address = address.map_err(|error| format!("{text} is no address: {error}"))?;
        Ok::<_, String>(Mailbox::new(None, address))
    };
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(mail.subject.clone())
        .message_id(Some(mail.id.clone()))
        .date(mail.at.into());
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    let part = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::QuotedPrintable)
        .body(mail.text.clone());
    let message = builder.singlepart(part);
    message.map_err(|error| format!("the email cannot be written: {}", chain(&error)))
}

#[cfg(test)]
mod tests;
