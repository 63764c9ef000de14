//! The registry of an image: opened with the login that is mounted into the pod. Talks to the operating system.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use tokio::time::timeout;

use super::report::StageReport;
use super::say;
use super::task::{self, Subject};
use crate::error::chain;
use crate::oci::client::{Manifest, Registry};
use crate::oci::login::Login;
use crate::oci::repository::Repository;
use crate::oci::{Problem, RegistryError};
use crate::pipeline_run::api::FailureKind;

/// How long a registry may take to answer at all.
const CONNECT: Duration = Duration::from_secs(20);
/// How long it may say nothing in the middle of an answer.
pub(super) const SILENCE: Duration = Duration::from_mins(1);
/// File of a login.
const LOGIN_FILE: &str = "config.json";

/// Why it did not work: whose fault it is, what happened, and whether it may work the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What happened and what to do.
    pub message: String,
    /// Whether it may work the next time.
    pub is_transient: bool,
}

impl Trouble {
    /// Something that will not change by itself.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            is_transient: false,
        }
    }

    /// The container's exit code.
    pub fn exit_code(&self) -> u8 {
        if self.is_transient {
            task::TRANSIENT
        } else {
            1
        }
    }
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self {
            kind: FailureKind::Registry,
            is_transient: error.is_transient(),
            message: error.message,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::new(FailureKind::Infra, error.to_string())
    }
}

/// Lets work on registries take so many seconds.
///
/// # Errors
/// When the work has failed, or took longer.
pub(super) async fn within<T>(
    seconds: u64,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let done = timeout(Duration::from_secs(seconds), work).await;
    done.unwrap_or_else(|_| {
        let message = format!("it was stopped after {seconds} s");
        Err(Trouble::new(FailureKind::Timeout, message))
    })
}

/// Says how work on registries has ended; the report and the container's exit code.
pub(super) fn finished(done: Result<StageReport, Trouble>) -> (StageReport, u8) {
    let (report, code) = match done {
        Ok(report) => (report, 0),
        Err(trouble) => {
            let code = trouble.exit_code();
            let report = StageReport {
                failure: Some(trouble.kind),
                message: Some(trouble.message),
                ..StageReport::default()
            };
            (report, code)
        }
    };
    if let Some(message) = &report.message {
        say(&format!("slipway: {message}"));
    }
    (report, code)
}

/// Opens the repository of an image.
///
/// # Errors
/// When the login cannot be read, or no certificates are there to check the registry against.
pub fn open(subject: &Subject) -> Result<Registry, Trouble> {
    open_patiently(subject, SILENCE)
}

/// The same, where the registry may say nothing for so long: while it is given what is large, it does not.
///
/// # Errors
/// As those of [`open`].
pub fn open_patiently(subject: &Subject, silence: Duration) -> Result<Registry, Trouble> {
    let Subject {
        repository,
        insecure,
        login,
        ..
    } = subject;
    let repository = Repository::parse(repository, *insecure).ok_or_else(|| {
        let message = format!("{repository} is no repository; name one without tag or digest");
        Trouble::new(FailureKind::Config, message)
    })?;
    let login = match login {
        Some(folder) => find_login(folder, &repository)?,
        None => None,
    };
    // Another library of this process may have chosen one already, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut client = Client::builder()
        .user_agent(concat!("slipway-runner/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(silence);
    if *insecure {
        // An image without certificates will do then.
        client = client.tls_certs_only([]);
    }
    let client = client.build().map_err(|error| {
        let message = format!("cannot speak to registries: {}", chain(&error));
        Trouble::new(FailureKind::Infra, message)
    })?;
    Ok(Registry::new(client, repository, login))
}

fn find_login(folder: &str, repository: &Repository) -> Result<Option<Login>, Trouble> {
    let file = Path::new(folder).join(LOGIN_FILE);
    let text = fs::read_to_string(&file).map_err(|error| {
        let message = format!("cannot read the registry login {}: {error}", file.display());
        Trouble::new(FailureKind::Config, message)
    })?;
    Login::find(&text, repository).map_err(|message| Trouble::new(FailureKind::Config, message))
}

/// What the registry has under the digest of an image.
///
/// # Errors
/// When there is nothing, or the registry does not answer.
pub async fn manifest_of(registry: &Registry, subject: &Subject) -> Result<Manifest, Trouble> {
    let found = registry.manifest(&subject.digest).await?;
    found.ok_or_else(|| {
        let name = registry.repository().name();
        let message = format!(
            "{name} has no {} any more; what was built is gone: build it again",
            subject.digest
        );
        Trouble::from(RegistryError::new(Problem::NotFound, message))
    })
}
