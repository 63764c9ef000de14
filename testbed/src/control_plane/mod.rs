//! A control plane without a node: what most tests against a cluster use.

pub(crate) mod components;
mod users;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::kubeconfig;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::site::Site;

/// A cluster for a test: its own, or the one that `SLIPWAY_TEST_KUBECONFIG` names.
///
/// # Guarantees
/// An own one is ready when you get it, runs beside any number of others, and is gone with this value, or with the
/// process when that is killed. One that was there before is left as it is.
#[derive(Debug)]
pub struct ControlPlane {
    site: Site,
    path: PathBuf,
    kubeconfig: Kubeconfig,
    config: Config,
    server: String,
    ca: Option<PathBuf>,
    token: Option<String>,
    audit_log: Option<PathBuf>,
}

impl ControlPlane {
    /// Starts a control plane, in about five seconds once its programs are built.
    ///
    /// The name is for people who look at processes and folders; it need not be unique.
    pub async fn start(name: &str) -> Result<Self> {
        let settings = Settings::from_env();
        if settings.kubeconfig.is_some() {
            return Self::attach(name, &settings).await;
        }
        Self::start_own(name).await
    }

    /// The same, always one of its own: for tests that take a second cluster.
    pub async fn start_own(name: &str) -> Result<Self> {
        let settings = Settings::from_env();
        let mut site = Site::ephemeral(&settings.root, &unique(name))?;
        components::up(&mut site, Ipv4Addr::LOCALHOST, Progress::Quiet).await?;
        Self::of(site).await
    }

    /// The cluster that the settings name.
    pub(crate) async fn attach(name: &str, settings: &Settings) -> Result<Self> {
        let given = settings
            .kubeconfig
            .as_deref()
            .context("no kubeconfig is given")?;
        let site = Site::ephemeral(&settings.root, &unique(name))?;
        Self::read(site, given, settings.audit_log.clone()).await
    }

    /// The control plane that runs at a site.
    pub(crate) async fn of(site: Site) -> Result<Self> {
        let (kubeconfig, audit_log) = (site.path("kubeconfig"), site.path("audit.log"));
        Self::read(site, &kubeconfig, Some(audit_log)).await
    }

    /// The site keeps what we write; of a cluster that is there already it keeps nothing else.
    async fn read(site: Site, path: &Path, audit_log: Option<PathBuf>) -> Result<Self> {
        let facts = kubeconfig::facts(path)?;
        let ca = match facts.ca {
            Some(ca) => Some(site.write("ca.crt", &String::from_utf8(ca)?)?),
            None => None,
        };
        let config = client_config(path).await?;
        Ok(Self {
            path: path.to_owned(),
            kubeconfig: Kubeconfig::read_from(path)?,
            config,
            server: facts.server,
            ca,
            token: facts.token,
            audit_log,
            site,
        })
    }

    /// Where it lives.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The administrator's kubeconfig, as a file.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.path
    }

    /// The administrator's kubeconfig, parsed.
    pub fn kubeconfig(&self) -> Kubeconfig {
        self.kubeconfig.clone()
    }

    /// A client for the administrator. A new one each time, because a client belongs to the runtime it was made in.
    pub fn client(&self) -> Result<Client> {
        client(&self.config)
    }

    /// `https://…`, without a slash at the end.
    pub fn api_server_url(&self) -> &str {
        &self.server
    }

    /// The certificate authority of the API server; `None` when a given kubeconfig trusts the machine's.
    pub fn ca_path(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The administrator's bearer token; `None` when a given kubeconfig proves identity in another way.
    pub fn admin_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Every request as a line of JSON; `None` for a given cluster, unless `SLIPWAY_TEST_AUDIT_LOG` says where.
    pub fn audit_log_path(&self) -> Option<&Path> {
        self.audit_log.as_deref()
    }

    /// A kubeconfig for a user who can do only what RBAC grants them: authenticated by a certificate of the cluster.
    pub async fn user_kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        users::kubeconfig(self, user, groups).await
    }
}

/// A site's name that no other process and no other call has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name: String = name.chars().take(20).collect();
    format!(
        "{name}-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) async fn client_config(kubeconfig: &Path) -> Result<Config> {
    let unusable = || format!("the kubeconfig {} cannot be used", kubeconfig.display());
    let parsed = Kubeconfig::read_from(kubeconfig).with_context(unusable)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(parsed, &options)
        .await
        .with_context(unusable)?;
    // Its own address is never behind the machine's proxy.
    config.proxy_url = None;
    Ok(config)
}

pub(crate) fn client(config: &Config) -> Result<Client> {
    Client::try_from(config.clone()).context("cannot make a client for the cluster")
}
