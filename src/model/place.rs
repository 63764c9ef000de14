//! A namespace of another cluster, and what is done to the mirror of an Environment there. No I/O.

use std::fmt;

use serde::Serialize;

use super::manifest::{Manifest, Target};
use super::secret::SecretKey;

/// A namespace of another cluster, and how the cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// Namespace of the Secret, in the operator's own cluster.
    pub home: String,
    /// The kubeconfig.
    pub kubeconfig: SecretKey,
    /// The context of it; its current one where none is named.
    pub context: Option<String>,
    /// The namespace there.
    pub namespace: String,
    /// The ServiceAccount of that namespace that everything there is done as; the user of the kubeconfig where none is named.
    pub account: Option<String>,
}

/// As people find it: `namespace shop of the cluster of Secret prod-eu`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = &self.kubeconfig.name;
        write!(
            f,
            "namespace {} of the cluster of Secret {secret}",
            self.namespace
        )?;
        match &self.context {
            Some(context) => write!(f, " (context {context})"),
            None => Ok(()),
        }
    }
}

/// What is done to a mirror.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Mirroring {
    /// Server-side apply of one that is not there. What somebody else has made meanwhile is left as it is.
    Make(Manifest),
    /// Merges into one that is ours what puts its spec right, only if it still is at the version that the plan has seen. What
    /// somebody has added is taken off, which no apply would do.
    Keep {
        /// The mirror, with the version that the plan was made on.
        target: Target,
        /// What is merged.
        change: serde_json::Value,
    },
    /// Its status, only if it still is at the version that the plan has seen.
    Tell {
        /// The mirror, with the version that the plan was made on.
        target: Target,
        /// The whole new status.
        status: serde_json::Value,
    },
    /// Delete exactly this one. One that is gone is success.
    Remove(Target),
}
