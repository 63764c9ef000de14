//! A question to a registry: what was signed for an image, by one of some keys. No I/O.

use serde::Serialize;

use super::secret::SecretKey;

/// What was signed for an image, by one of some keys?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedQuestion {
    /// Where the image is, without tag or digest.
    pub repository: String,
    /// Its digest.
    pub digest: String,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// The public keys, in PEM.
    pub keys: Vec<String>,
    /// The login for the registry, and the namespace of the Secret.
    pub login: Option<(String, SecretKey)>,
}
