//! A real Kubernetes cluster for Slipway's tests and demo, out of nothing but package registries.
//!
//! - [`ControlPlane::start`]: etcd, API server, controllers and scheduler in about five seconds, several at once.
//! - [`Node::start`]: the same with a node that runs pods, a registry, DNS, a gateway and Prometheus.
//! - [`scripted`]: nodes whose pods become ready or fail as told. [`proxy`]: an API server that fails as told.
//! - [`load`]: open-loop requests, each of which is answered once or counted as lost; also `slipway-load`.
//! - `cargo run -p testbed -- up|down|status|env|run`: the same for people and scripts.
//!
//! Where `SLIPWAY_TEST_KUBECONFIG` names a cluster, that one is used and none is started.

mod certs;
mod control_plane;
pub mod git;
pub mod image;
mod kubeconfig;
pub mod load;
mod node;
mod ports;
mod process;
pub mod programs;
pub mod progress;
pub mod proxy;
pub mod scripted;
pub mod settings;
mod site;
pub mod wait;

pub mod cli;

pub use control_plane::ControlPlane;
pub use node::Node;

/// The manifests of the Gateway API's standard kinds, one YAML stream.
///
/// # Errors
///
/// The pinned module cannot be downloaded.
pub async fn gateway_api_crds() -> anyhow::Result<String> {
    programs::gateway_api(&settings::Settings::from_env()).await
}
