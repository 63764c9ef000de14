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
    ("[has(self.keyRef), has(self.kms), has(self.keyless)].filter(is_set, is_set).size() == 1",
     "sign takes one key: set keyRef for a private key in a Secret, kms for one that stays in a key service, or keyless for none"),
    ("!has(self.keyless) || !has(self.signatureTag) || !self.signatureTag",
     "signatureTag is for keys: what readers of that tag would have to know of a certificate has no place there; take it out, or sign with a key"),
]))]
pub struct Sign {
    /// Names of the Build stages whose images are signed, and of packages; at most 8. Default: all images and packages of the
    /// Pipeline. Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub images: Vec<String>,
    /// The private key, in a Secret. It is mounted into the pod that signs, and nowhere else. Default: none, and `kms` or `keyless` is set.
    /// Example: `{name: cosign}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ref: Option<SigningKeyRef>,
    /// A key that stays in a key service, which signs with it; the stage's `env` has the login, and `defaults.env` is not for it.
    /// Default: none, and `keyRef` or `keyless` is set. Example: `{uri: "hashivault://cosign", image: "registry.example/ci/cosign:v3.1.1"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms: Option<KeyService>,
    /// No key: Fulcio certifies for some minutes that the stage's service account signs, and Rekor keeps for ever that it did. Whoever
    /// reads that log, everybody where it is a public one, reads the digests of what was signed and who has signed it.
    /// The stage has a `pod.serviceAccountName`. Default: none, and `keyRef` or `kms` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<Keyless>,
    /// Signs how the image was built as well: an SLSA v1 provenance of what the operator has observed. Default `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<bool>,
    /// Puts the signature under the tag `sha256-<digest>.sig` as well, for readers that know nothing else: cosign wrote
    /// signatures there before version 3. Not with `keyless`. Default `false`.
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

/// Signing in the name of a service account. The program `cosign` makes a key, has Fulcio certify it for a token of the service
/// account, signs, and has Rekor keep that; the key is gone then.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Keyless {
    /// Image that has the program `cosign`, version 3, on its path. What is in it may sign in the name of the service account, so
    /// name it by its digest. Example: `registry.example/ci/cosign@sha256:9b2c…`.
    #[schemars(transform = schema::image)]
    pub image: String,
    /// URL of Fulcio, which believes tokens of this cluster. Example: `https://fulcio.example`.
    #[schemars(transform = schema::http_url)]
    pub fulcio_url: String,
    /// URL of Rekor. Example: `https://rekor.example`.
    #[schemars(transform = schema::http_url)]
    pub rekor_url: String,
    /// Audience of the token, which Fulcio asks for. At most 253 characters. Default `sigstore`. Example: `sigstore.example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<253>)]
    pub audience: Option<String>,
    /// Who is believed to be that Fulcio and that Rekor; what others have certified is not stored. What an Environment believes stands in
    /// its own spec.
    pub trusted_root: RootOfTrust,
}

/// Sigstore's TrustedRoot in a ConfigMap of the same namespace, as `cosign trusted-root create` writes it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RootOfTrust {
    /// Name of the ConfigMap. Example: `sigstore`.
    #[schemars(transform = schema::record_name)]
    pub config_map_name: String,
    /// Key whose value is the TrustedRoot, in JSON. Default `trusted_root.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::data_key)]
    pub key: Option<String>,
}

impl Keyless {
    /// Whom the token is for.
    pub fn audience(&self) -> &str {
        self.audience.as_deref().unwrap_or("sigstore")
    }
}

impl RootOfTrust {
    /// Key in the ConfigMap's data.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("trusted_root.json")
    }
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
