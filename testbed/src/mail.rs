//! A mail server that takes what it is sent and keeps it: SMTP with STARTTLS and AUTH, as far as clients of it need that.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An email as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Who it comes from, as the envelope has it.
    pub from: String,
    /// Who gets it, as the envelope has it.
    pub to: Vec<String>,
    /// Header and text.
    pub data: String,
    /// User and password that were given.
    pub login: Option<(String, String)>,
    /// Whether it came encrypted.
    pub is_encrypted: bool,
}

/// The server. It lives as long as the runtime that it was started in.
#[derive(Clone)]
pub struct MailServer {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    refuses: Arc<Mutex<Option<String>>>,
    /// User and password that it wants, where it wants any.
    wants: Option<(String, String)>,
    tls: Option<TlsAcceptor>,
}

impl MailServer {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// There is no port, or certificate and key cannot be used.
    pub async fn start(wants: Option<(&str, &str)>, pem: Option<(&str, &str)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Self {
            port: listener.local_addr()?.port(),
            received: Arc::default(),
            refuses: Arc::default(),
            wants: wants.map(|(user, password)| (user.to_owned(), password.to_owned())),
            tls: pem.map(|(chain, key)| acceptor(chain, key)).transpose()?,
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                // A client that goes away in the middle is no matter.
                tokio::spawn(async move { drop(server.talk(stream).await) });
            }
        });
        Ok(server)
    }

    /// Where it listens, on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What came so far.
    pub fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .map(|all| all.clone())
            .unwrap_or_default()
    }

    /// What it says to every sender from now on, such as `550 no`; with nothing it takes emails again.
    pub fn refuse(&self, answer: Option<&str>) {
        if let Ok(mut refuses) = self.refuses.lock() {
            *refuses = answer.map(str::to_owned);
        }
    }

    async fn talk(&self, stream: TcpStream) -> Result<()> {
        let mut stream = BufStream::new(stream);
        say(&mut stream, "220 testbed ESMTP").await?;
        let offers = if self.tls.is_some() {
            "STARTTLS"
        } else {
            self.auth()
        };
        if self.session(&mut stream, offers, false).await? {
            let acceptor = self.tls.clone().context("no TLS here")?;
            let mut stream = BufStream::new(acceptor.accept(stream.into_inner()).await?);
            self.session(&mut stream, self.auth(), true).await?;
        }
        Ok(())
    }

    fn auth(&self) -> &'static str {
        if self.wants.is_some() {
            "AUTH PLAIN LOGIN"
        } else {
            "8BITMIME"
        }
    }

    /// Talks until the client goes, or goes on encrypted: then it is true.
    async fn session<S>(
        &self,
        stream: &mut BufStream<S>,
        offers: &str,
        is_encrypted: bool,
    ) -> Result<bool>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut mail = Received {
            is_encrypted,
            ..Received::default()
        };
        loop {
            let line = hear(stream).await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => say(stream, &format!("250-testbed\r\n250 {offers}")).await?,
                "STARTTLS" if self.tls.is_some() && !is_encrypted => {
                    say(stream, "220 go ahead").await?;
                    return Ok(true);
                }
                "AUTH" => {
                    mail.login = Some(credentials(stream, rest).await?);
                    if mail.login != self.wants {
                        say(stream, "535 5.7.8 who are you").await?;
                        continue;
                    }
                    say(stream, "235 welcome").await?;
                }
                "MAIL" if self.wants.is_some() && mail.login != self.wants => {
                    say(stream, "530 5.7.0 log in first").await?;
                }
                "MAIL" => {
                    mail.from = mailbox(rest);
                    let refusal = self.refuses.lock().ok().and_then(|said| said.clone());
                    say(stream, refusal.as_deref().unwrap_or("250 ok")).await?;
                }
                "RCPT" => {
                    mail.to.push(mailbox(rest));
                    say(stream, "250 ok").await?;
                }
                "DATA" => {
                    say(stream, "354 go ahead").await?;
                    mail.data = data(stream).await?;
                    // It is there before that is said: who hears it may look.
                    if let Ok(mut all) = self.received.lock() {
                        all.push(mail.clone());
                    }
                    say(stream, "250 taken").await?;
                }
                "RSET" | "NOOP" => say(stream, "250 ok").await?,
                "QUIT" => {
                    say(stream, "221 bye").await?;
                    return Ok(false);
                }
                _ => say(stream, "502 what?").await?,
            }
        }
    }
}

fn acceptor(chain: &str, key: &str) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
    let chain = chain.collect::<std::result::Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn say<S: AsyncWrite + AsyncRead + Unpin>(
    stream: &mut BufStream<S>,
    line: &str,
) -> Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    Ok(stream.flush().await?)
}

async fn hear<S: AsyncWrite + AsyncRead + Unpin>(stream: &mut BufStream<S>) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        bail!("the client has gone");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn data<S: AsyncWrite + AsyncRead + Unpin>(stream: &mut BufStream<S>) -> Result<String> {
    let mut data = String::new();
    loop {
        let line = hear(stream).await?;
        if line == "." {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push('\n');
    }
}

/// The address between angle brackets.
fn mailbox(text: &str) -> String {
    let inner = text
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(text, |(address, _)| address).to_owned()
}

async fn credentials<S>(stream: &mut BufStream<S>, rest: &str) -> Result<(String, String)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let decoded = |text: &str| -> Result<String> { Ok(String::from_utf8(STANDARD.decode(text)?)?) };
    let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
    if mechanism.eq_ignore_ascii_case("PLAIN") {
        let mut told = initial.to_owned();
        if told.is_empty() {
            say(stream, "334 ").await?;
            told = hear(stream).await?;
        }
        let told = decoded(&told)?;
        let mut parts = told.split('\0').skip(1).map(str::to_owned);
        return Ok((
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        ));
    }
    say(stream, "334 VXNlcm5hbWU6").await?;
    let user = decoded(&hear(stream).await?)?;
    say(stream, "334 UGFzc3dvcmQ6").await?;
    Ok((user, decoded(&hear(stream).await?)?))
}
