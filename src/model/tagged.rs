//! A question to a registry: which digest a tag names. No I/O.

use serde::Serialize;

use super::secret::SecretKey;

/// Which digest does a tag name?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagQuestion {
    /// Where the image is, without tag or digest.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// The login for the registry, and the namespace of the Secret.
    pub login: Option<(String, SecretKey)>,
}
