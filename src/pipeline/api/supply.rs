//! What stages say about images that were built. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::schema;

/// Lists what is in images, and puts the lists beside them into their registries.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    /// Names of the Build stages whose images are listed, at most 8. Default: all Build stages of the Pipeline.
    /// Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub images: Vec<String>,
}

/// Signs images, and what is known about them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.keyRef) != has(self.kms)",
     "sign takes one key: set keyRef for a private key in a Secret, or kms for one that stays in a key service"),
]))]
pub struct Sign {
    /// Names of the Build stages whose images are signed, and of packages; at most 8. Default: all images and packages of the
    /// Pipeline. Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub images: Vec<String>,
    /// The private key, in a Secret. It is mounted into the pod that signs, and nowhere else. Default: none, and `kms` is set.
    /// Example: `{name: cosign}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ref: Option<SigningKeyRef>,
    /// A key that stays in a key service, which signs with it; the stage's `env` has the login, and `defaults.env` is not for it.
    /// Default: none, and `keyRef` is set. Example: `{uri: "hashivault://cosign", image: "registry.example/ci/cosign:v3.1.1"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms: Option<KeyService>,
    /// Signs how the image was built as well: an SLSA v1 provenance of what the operator has observed. Default `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<bool>,
    /// Puts the signature under the tag `sha256-<digest>.sig` as well, for readers that know nothing else: cosign wrote
    /// signatures there before version 3. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_tag: Option<bool>,
}

/// A private key in a Secret of the same namespace, as `cosign generate-key-pair k8s://…` makes one.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyRef {
    /// Name of the Secret, which carries the label `slipway.dev/use`. Example: `cosign`.
    #[schemars(transform = schema::record_name)]
    pub name: String,
    /// Key in its data that holds the private key, in PEM: as cosign keeps it, or PKCS #8; on the curve P-256.
    /// Default `cosign.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::data_key)]
    pub key: Option<String>,
    /// Key in its data that holds the password of the private key. Default `cosign.password`; none is needed for a key
    /// that is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::data_key)]
    pub password_key: Option<String>,
}

/// A key that stays in a key service. The program `cosign` has the service sign; it runs in the pod of the stage, with the
/// login that the stage's `env` or its service account gives it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyService {
    /// Which key, as cosign names it: what begins with `awskms://`, `gcpkms://`, `azurekms://`, `hashivault://` or `openbao://`. It
    /// is an ECDSA key on the curve P-256. At most 512 characters. Example: `hashivault://cosign`.
    #[schemars(transform = schema::key_uri)]
    pub uri: String,
    /// Image that has the program `cosign`, version 3, on its path. What is in it may sign whatever the login allows, so name it
    /// by its digest. Example: `registry.example/ci/cosign@sha256:9b2c…`.
    #[schemars(transform = schema::image)]
    pub image: String,
}

impl Sign {
    /// Whether it signs how the image was built.
    pub fn provenance(&self) -> bool {
        self.provenance.unwrap_or(true)
    }

    /// Whether the signature is put under a tag as well.
    pub fn signature_tag(&self) -> bool {
        self.signature_tag.unwrap_or(false)
    }
}

impl SigningKeyRef {
    /// Where the private key is.
    pub fn private_key(&self) -> SecretKey {
        SecretKey::new(&self.name, self.key.as_deref().unwrap_or("cosign.key"))
    }

    /// Key in the Secret's data that may hold the password.
    pub fn password_key(&self) -> &str {
        self.password_key.as_deref().unwrap_or("cosign.password")
    }
}
