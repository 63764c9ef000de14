//! What must be signed before a promotion starts. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline_run::api::AttestationKind;
use crate::schema;

/// What must be signed for each image of a Release. A rollback needs no signature.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.publicKeys.all(key, key.startsWith('-----BEGIN PUBLIC KEY-----'))",
     "publicKeys must be public keys in PEM; cosign public-key --key … prints one"),
]))]
pub struct RequireSigned {
    /// Public keys in PEM, 1 to 8; what one of them has signed counts. `cosign public-key --key …` prints one. They stand here,
    /// and not in another object, so that changing them takes the verb `protect`.
    /// Example: `["-----BEGIN PUBLIC KEY-----\nMFkw…\n-----END PUBLIC KEY-----\n"]`.
    #[schemars(length(min = 1), transform = schema::texts::<8, 1024>)]
    pub public_keys: Vec<String>,
    /// What has to be signed: `Signature`, that somebody stands for the image; `Provenance`, how it was built; `SBOM`, what is
    /// in it. Default: `[Signature]`. Example: `[Signature, Provenance]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::words::<3>)]
    pub statements: Vec<AttestationKind>,
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson`, with the label `slipway.dev/use`, that has the login for the
    /// registry. The operator must be allowed to read Secrets (`analysis.secrets.enabled` in the values of its chart).
    /// Default: none. Example: `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub registry_secret_name: Option<String>,
    /// Reaches the registry over http, for one inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
}

impl RequireSigned {
    /// What has to be signed.
    pub fn statements(&self) -> &[AttestationKind] {
        if self.statements.is_empty() {
            return &[AttestationKind::Signature];
        }
        &self.statements
    }
}
