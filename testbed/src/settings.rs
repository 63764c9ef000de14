//! What the environment says. The only file of the testbed that reads it.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The settings of a testbed, all of them optional in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SLIPWAY_TEST_KUBECONFIG`: a cluster that is already there and is used instead of one of ours.
    pub kubeconfig: Option<PathBuf>,
    /// `SLIPWAY_TEST_AUDIT_LOG`: where that cluster's API server writes its audit log, when known.
    pub audit_log: Option<PathBuf>,
    /// `SLIPWAY_TEST_REGISTRY`: the given cluster's image registry, `address:port`.
    pub registry: Option<String>,
    /// `SLIPWAY_TEST_GATEWAY`: where the given cluster's Gateway `gateway-system/slipway` listens.
    pub gateway: Option<String>,
    /// `SLIPWAY_TEST_PROMETHEUS`: the given cluster's Prometheus.
    pub prometheus: Option<String>,
    /// `SLIPWAY_TEST_ENVOY`: where the given cluster's Gateway `gateway-system/envoy` listens, if it has one.
    pub envoy: Option<String>,
    /// `KUBEBUILDER_ASSETS`: a folder with etcd, kube-apiserver and kubectl to use as they are.
    pub assets: Option<PathBuf>,
    /// Built programs and the images' storage; outlives clusters.
    pub cache: PathBuf,
    /// The folder of all clusters' state.
    pub root: PathBuf,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Self {
        let cache = path("SLIPWAY_CACHE")
            .or_else(|| path("XDG_CACHE_HOME").map(|dir| dir.join("slipway")))
            .or_else(|| path("HOME").map(|dir| dir.join(".cache/slipway")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/slipway"));
        Self {
            kubeconfig: path("SLIPWAY_TEST_KUBECONFIG"),
            audit_log: path("SLIPWAY_TEST_AUDIT_LOG"),
            registry: text("SLIPWAY_TEST_REGISTRY"),
            gateway: text("SLIPWAY_TEST_GATEWAY"),
            prometheus: text("SLIPWAY_TEST_PROMETHEUS"),
            envoy: text("SLIPWAY_TEST_ENVOY"),
            assets: path("KUBEBUILDER_ASSETS"),
            cache,
            root: path("SLIPWAY_TESTBED_DIR").unwrap_or_else(default_root),
        }
    }
}

/// Short, because unix sockets below it have 108 bytes for their whole path; and each user's own.
fn default_root() -> PathBuf {
    let user = rustix::process::geteuid();
    let root = PathBuf::from("/tmp/slipway-testbed");
    if user.is_root() {
        root
    } else {
        root.with_extension(user.as_raw().to_string())
    }
}

/// A variable that is set and not empty.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The same as text.
fn text(name: &str) -> Option<String> {
    path(name)?.into_os_string().into_string().ok()
}

/// Whether the user asks for no colours, as https://no-color.org has it.
pub(crate) fn no_color() -> bool {
    path("NO_COLOR").is_some()
}

/// The cargo that runs this, else that of the machine.
pub(crate) fn cargo() -> PathBuf {
    path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"))
}

/// A program of the machine, wherever it is installed.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let mut places = search_path().into_iter().map(|dir| dir.join(name));
    let missing = || format!("the program {name} is not on this machine");
    places.find(|place| place.is_file()).with_context(missing)
}

/// The program's search path, with the folders of administration programs, which a user's may lack.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs
}
