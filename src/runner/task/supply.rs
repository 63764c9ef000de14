//! What is done about images that were built. No I/O.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SecretSource;

/// Folder with the private key and its password.
pub const KEY_FOLDER: &str = "/slipway-key";
/// Name of the file with the private key in there.
pub const KEY_FILE: &str = "key";
/// Name of the file with its password, if it has one.
pub const PASSWORD_FILE: &str = "password";
/// Folder with the token that says who signs, and the root of trust of those who believe it.
pub const IDENTITY_FOLDER: &str = "/slipway-identity";
/// Name of the file with the token in there.
pub const IDENTITY_FILE: &str = "token";
/// Name of the file with the root of trust in there: Sigstore's TrustedRoot, in JSON.
pub const ROOT_FILE: &str = "trusted_root.json";
/// The program that has others sign, in the image that a stage names.
pub const COSIGN: &str = "cosign";

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Its name.
    pub image: String,
    /// Where it is, without tag or digest.
    pub repository: String,
    /// Its digest.
    pub digest: String,
    /// Whether its registry is reached over http.
    #[serde(default)]
    pub insecure: bool,
    /// Folder with the `config.json` that has the login for its registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// List what is in images, and put the lists beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SbomTask {
    /// The images.
    pub images: Vec<Subject>,
    /// Name or path of syft. Default `syft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// Sign images, and what is known about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignTask {
    /// The images.
    pub images: Vec<Signed>,
    /// With what.
    #[serde(flatten)]
    pub with: SignsWith,
    /// Whether the signature is put under a tag as well.
    #[serde(default)]
    pub signature_tag: bool,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// With what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SignsWith {
    /// The private key in this folder.
    Key(String),
    /// A key that stays in a key service.
    Kms(KmsTask),
    /// No key: an identity, certified for this one time.
    Keyless(KeylessTask),
}

/// A key that stays in a key service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KmsTask {
    /// Which key, as cosign names it.
    pub uri: String,
    /// Name or path of cosign, which finds its login in the environment.
    pub program: String,
    /// What is kept out of what it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretSource>,
}

/// An identity that signs: Fulcio certifies it, and Rekor keeps that it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeylessTask {
    /// Where Fulcio answers.
    pub fulcio_url: String,
    /// Where Rekor answers.
    pub rekor_url: String,
    /// Folder with the token and the root of trust: [`IDENTITY_FILE`] and [`ROOT_FILE`].
    pub identity: String,
    /// Name or path of cosign.
    pub program: String,
    /// What is kept out of what it says, beside the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretSource>,
}

/// An image and what is signed for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// The image.
    #[serde(flatten)]
    pub subject: Subject,
    /// The same image in other repositories, which get their own signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Subject>,
    /// How it was built: the predicate of a provenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Value>,
    /// Digest of the artifact with the list of what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
}
