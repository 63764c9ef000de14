//! What the environment says. The only file of the testbed that reads it.

use std::path::PathBuf;

/// The settings of a testbed, all of them optional in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `SLIPWAY_TEST_KUBECONFIG`: a cluster that is already there and is used instead of one of ours.
    pub kubeconfig: Option<PathBuf>,
    /// `SLIPWAY_TEST_AUDIT_LOG`: where that cluster's API server writes its audit log, when known.
    pub audit_log: Option<PathBuf>,
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
            assets: path("KUBEBUILDER_ASSETS"),
            cache,
            // Short, because unix sockets below it have 108 bytes for their whole path.
            root: path("SLIPWAY_TESTBED_DIR").unwrap_or_else(|| "/tmp/slipway-testbed".into()),
        }
    }
}

/// A variable that is set and not empty.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// The program's search path, with the folders of administration programs, which a user's may lack.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs
}
