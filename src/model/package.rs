//! A question to a registry: what manifests are in a package? No I/O.

use serde::Serialize;

use super::secret::SecretKey;

/// Largest answer: all files of a package together, in bytes.
pub const MAX: usize = 256 << 10;

/// What manifests are in a package? The answer is a stream of YAML documents: all files of it that are YAML or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageQuestion {
    /// Where the package is, without digest.
    pub repository: String,
    /// Its digest.
    pub digest: String,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// The login for the registry, and the namespace of the Secret.
    pub login: Option<(String, SecretKey)>,
}
