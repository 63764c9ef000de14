//! A cluster with a node that runs pods, and what an operator meets around it: registry, DNS, gateway, metrics.
//!
//! Everything beside the pods runs as a process of this machine, at one address: that of the pods' bridge. So machine,
//! pods and build containers reach a server under the same `address:port`. One node per machine.

mod alertmanager;
pub(crate) mod cleanup;
mod containerd;
mod dns;
pub(crate) mod envoy;
mod gateway;
mod kubelet;
mod network;
mod prometheus;
mod registry;
mod requirements;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::OnceCell;

use crate::control_plane::{ControlPlane, components, unique};
use crate::kubectl::Kubectl;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::site::{self, Site};
use crate::{programs, web};
pub use alertmanager::Alertmanager;

/// The bridge's address, and every server's.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// The node's name in the cluster.
const NAME: &str = "slipway-node";

/// Long enough for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_mins(2);

/// A cluster with a node: a test's own, or the one that `SLIPWAY_TEST_KUBECONFIG` and its sisters name.
#[derive(Debug)]
pub struct Node {
    control_plane: ControlPlane,
    registry: String,
    gateway: String,
    prometheus: String,
    envoy: OnceCell<String>,
}

impl Node {
    /// Starts a cluster with a node, in about twenty seconds once its programs and images are built.
    pub async fn start(name: &str) -> Result<Self> {
        let settings = Settings::from_env();
        if settings.kubeconfig.is_some() {
            return Self::attach(name, settings).await;
        }
        let mut site = Site::ephemeral(&settings.root, &unique(name))?;
        up(&mut site, &settings, false, Progress::Quiet).await?;
        Self::at(site).await
    }

    /// The lasting cluster of that name, with what of it does not run brought up; it outlives this process.
    pub async fn lasting(name: &str) -> Result<Self> {
        let settings = Settings::from_env();
        if settings.kubeconfig.is_some() {
            return Self::attach(name, settings).await;
        }
        let mut site = Site::open(&settings.root, name).await?;
        ensure!(
            !site.state.ephemeral,
            "cluster {name} belongs to another process: choose another name"
        );
        up(&mut site, &settings, false, Progress::Told).await?;
        Self::at(site).await
    }

    /// A cluster that is there already, by its kubeconfig; the rest is as `SLIPWAY_TEST_…` say.
    pub async fn given(name: &str, kubeconfig: &Path) -> Result<Self> {
        let settings = Settings {
            kubeconfig: Some(kubeconfig.to_owned()),
            ..Settings::from_env()
        };
        Self::attach(name, settings).await
    }

    async fn at(site: Site) -> Result<Self> {
        let address = |server: &str| {
            let address = site.state.addresses.get(server).cloned();
            address.with_context(|| format!("{server} has no address"))
        };
        Ok(Self {
            registry: address("registry")?,
            gateway: address("traefik")?,
            prometheus: address("prometheus")?,
            envoy: OnceCell::new_with(envoy::address(&site.path(""))),
            control_plane: ControlPlane::of(site).await?,
        })
    }

    async fn attach(name: &str, settings: Settings) -> Result<Self> {
        let given = |address: Option<String>, variable: &str| {
            address.with_context(|| {
                format!(
                    "{variable} must say which one the given cluster's pods and this machine reach"
                )
            })
        };
        Ok(Self {
            registry: given(settings.registry.clone(), "SLIPWAY_TEST_REGISTRY")?,
            gateway: given(settings.gateway.clone(), "SLIPWAY_TEST_GATEWAY")?,
            prometheus: given(settings.prometheus.clone(), "SLIPWAY_TEST_PROMETHEUS")?,
            envoy: OnceCell::new_with(settings.envoy.clone()),
            control_plane: ControlPlane::attach(name, &settings).await?,
        })
    }

    /// The cluster's API, its administrator and other users.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// `address:port` of the image registry, over plain http. The same for this machine, the node and pods.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `address:port` of the Gateway `slipway` in namespace `gateway-system`.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// `address:port` of Prometheus.
    pub fn prometheus(&self) -> &str {
        &self.prometheus
    }

    /// Has Prometheus evaluate a file of rules as well, which replaces the one of that name.
    pub async fn load_rules(&self, name: &str, rules: &str) -> Result<()> {
        let site = self.control_plane.kubeconfig_path().parent();
        let folder = prometheus::rules_folder(site.context("a kubeconfig without a folder")?);
        std::fs::write(folder.join(format!("{name}.yaml")), rules)
            .context("the given cluster's Prometheus takes no rules")?;
        let url = format!("http://{}/-/reload", self.prometheus);
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http.post(url).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "Prometheus refuses the rules: {text}");
        Ok(())
    }

    /// Has the node pull images of another server over plain http as well, a proxy in front of the registry for example.
    pub fn pull_over_http(&self, address: &str) -> Result<()> {
        let site = self.control_plane.kubeconfig_path().parent();
        containerd::pull_over_http(site.context("a kubeconfig without a folder")?, address)
            .context("the given cluster's node cannot be told how to pull")
    }

    /// Starts an Alertmanager where Prometheus sends its alerts, with a configuration in YAML. It ends when this is dropped.
    ///
    /// There is one at a time. Its program is built on first use, in about two minutes.
    pub async fn alertmanager(&self, config: &str) -> Result<Alertmanager> {
        Alertmanager::start(&self.prometheus, config).await
    }

    /// `address:port` of the Gateway `envoy` in namespace `gateway-system`, which mirrors requests and keeps sessions.
    ///
    /// The first call starts it, in about ten seconds once it is built. From then on HTTPRoutes have the fields of the experimental channel.
    pub async fn envoy(&self) -> Result<&str> {
        let start = || async {
            let site = self.control_plane.site();
            ensure!(
                site.state.node,
                "SLIPWAY_TEST_ENVOY must say where the given cluster's Gateway envoy listens: \
                 one of the testbed's has it after `testbed up --envoy`"
            );
            envoy::up(site, &Settings::from_env(), Progress::Quiet).await
        };
        Ok(self.envoy.get_or_try_init(start).await?)
    }
}

/// Brings up a cluster with a node, or what of it does not run already. Envoy too, if it is asked for or once was.
pub(crate) async fn up(
    site: &mut Site,
    settings: &Settings,
    envoy: bool,
    progress: Progress,
) -> Result<()> {
    requirements::check()?;
    claim_machine(site, &settings.root)?;
    progress
        .step("node's programs", programs::ensure(programs::NODE))
        .await?;
    progress.step("bridge, routes", network::up(site)).await?;
    components::up(site, ADDRESS, progress).await?;
    progress
        .step("registry", registry::up(site, settings))
        .await?;
    progress.step("containerd", containerd::up(site)).await?;
    progress
        .step("kubelet, kube-proxy", kubelet::up(site))
        .await?;
    progress.step("CoreDNS", dns::up(site)).await?;
    progress
        .step("Gateway API, Traefik", gateway::up(site, settings))
        .await?;
    progress.step("Prometheus", prometheus::up(site)).await?;
    progress.step("node ready", kubelet::ready(site)).await?;
    if envoy || envoy::address(&site.path("")).is_some() {
        envoy::up(site, settings, progress).await?;
    }
    Ok(())
}

/// Addresses, the bridge and the packet filter are the machine's: only one cluster can have them.
fn claim_machine(site: &mut Site, root: &Path) -> Result<()> {
    site::sweep(root);
    for name in site::names(root)
        .iter()
        .filter(|name| root.join(name) != site.path("").as_path())
    {
        let taken = site::peek(root, name)?.is_some_and(|state| state.node);
        ensure!(
            !taken,
            "cluster {name} has this machine's only node: `testbed down --name {name}`"
        );
    }
    ensure!(
        site.state.node || site.state.processes.is_empty(),
        "this cluster runs without a node: take it down first, then bring it up again"
    );
    site.state.node = true;
    site.save()
}

/// Applies manifests the way a user does.
async fn apply(site: &Site, manifests: &str) -> Result<()> {
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl(site, &apply, manifests).await
}

/// Runs kubectl as the administrator.
async fn kubectl(site: &Site, args: &[&str], input: &str) -> Result<()> {
    let admin = Kubectl::new(&site.path("kubeconfig"));
    admin.run(args, input).await.map(drop)
}

/// Asks a server of ours by plain http whether it is well.
async fn http_ok(url: &str) -> Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    web::is_well(&http, url).await
}
