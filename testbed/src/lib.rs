//! A real Kubernetes cluster for Slipway's tests and demo, out of nothing but package registries.
//!
//! - [`ControlPlane::start`]: etcd, API server, controllers and scheduler in about five seconds, several at once.
//! - [`Node::start`]: the same with a node that runs pods, a registry, DNS, a gateway and Prometheus.
//! - [`scripted`]: nodes whose pods become ready or fail as told. [`proxy`]: an API server that fails as told.
//! - [`gitea::Gitea`]: a real git provider. [`git`]: a git server that fails as told.
//! - [`load`]: open-loop requests, each of which is answered once or counted as lost; also `slipway-load`.
//! - [`mail`]: a mail server that keeps what it is sent. [`vault::Vault`]: a key service. [`sigstore::Sigstore`]: Fulcio and Rekor.
//! - [`advisories::Advisories`]: what is known to be vulnerable, as osv.dev tells it.
//! - [`bench`]: what the operator costs.
//! - [`operator::install`]: this repository's operator in it. [`demo::story`]: what `make demo` tells and tests assert.
//! - `cargo run -p testbed -- up|down|status|env|run`: the same for people and scripts.
//!
//! Where `SLIPWAY_TEST_KUBECONFIG` names a cluster, that one is used and none is started.

pub mod advisories;
pub mod bench;
mod certs;
mod control_plane;
pub mod demo;
pub mod git;
pub mod gitea;
pub mod image;
mod kubeconfig;
mod kubectl;
pub mod load;
pub mod mail;
mod node;
pub mod operator;
pub mod picture;
mod ports;
mod process;
pub mod programs;
pub mod progress;
pub mod proxy;
pub mod scripted;
pub mod settings;
pub mod sigstore;
mod site;
pub mod vault;
pub mod wait;
mod web;

pub mod cli;

pub use control_plane::ControlPlane;
pub use node::{Alertmanager, Node};

/// The manifests of the Gateway API's standard kinds, one YAML stream.
///
/// # Errors
///
/// The pinned module cannot be downloaded.
pub async fn gateway_api_crds() -> anyhow::Result<String> {
    programs::gateway_api(&settings::Settings::from_env()).await
}

/// The manifests of every kind that carries weights, one YAML stream: the Gateway API's, Istio's and Traefik's.
///
/// # Errors
///
/// A pinned module cannot be downloaded.
pub async fn router_crds() -> anyhow::Result<String> {
    let settings = settings::Settings::from_env();
    let all = [
        programs::gateway_api(&settings).await?,
        programs::istio_kinds(&settings).await?,
        programs::traefik_kinds(&settings).await?,
    ];
    Ok(all.join("\n---\n"))
}

/// The manifest of the Prometheus Operator's PrometheusRules.
///
/// # Errors
///
/// The pinned module cannot be downloaded.
pub async fn prometheus_rule_crd() -> anyhow::Result<String> {
    programs::prometheus_rule_kind(&settings::Settings::from_env()).await
}

/// The top of this repository.
pub(crate) fn repository_root() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
