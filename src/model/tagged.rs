//! A question to a registry: which digest a tag names; or that it is to name another one. No I/O.

use serde::Serialize;

use super::secret::SecretKey;

/// Which digest does a tag name? Or, it is to name this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TagQuestion {
    /// Where the image is, without tag or digest.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The digest that it is to name; nothing where it is only asked for.
    pub to: Option<String>,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// The login for the registry, and the namespace of the Secret.
    pub login: Option<(String, SecretKey)>,
}
