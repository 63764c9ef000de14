//! What must be signed before a promotion starts. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::signed::{Certified, Identity, Subject};
use crate::pipeline_run::api::AttestationKind;
use crate::schema;

/// What must be signed for each image of a Release. A rollback needs no signature.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.publicKeys) || self.publicKeys.all(key, key.startsWith('-----BEGIN PUBLIC KEY-----'))",
     "publicKeys must be public keys in PEM; cosign public-key --key … prints one"),
    ("has(self.publicKeys) || has(self.identities)",
     "requireSigned needs publicKeys, identities or both: whose signatures count"),
    ("has(self.identities) == has(self.trustedRoot)",
     "identities and trustedRoot go together: the root of trust is who certifies the identities; cosign trusted-root create writes one"),
    ("!has(self.trustedRoot) || self.trustedRoot.contains('application/vnd.dev.sigstore.trustedroot')",
     "trustedRoot must be Sigstore's TrustedRoot in JSON; cosign trusted-root create writes one"),
]))]
pub struct RequireSigned {
    /// Public keys in PEM, 1 to 8; what one of them has signed counts. `cosign public-key --key …` prints one. They stand here,
    /// and not in another object, so that changing them takes the verb `protect`. Default: none, and `identities` are set.
    /// Example: `["-----BEGIN PUBLIC KEY-----\nMFkw…\n-----END PUBLIC KEY-----\n"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::texts::<8, 1024>)]
    pub public_keys: Vec<String>,
    /// Identities, 1 to 16; what was signed in the name of one of them, without a key of its own, counts as well, if
    /// `trustedRoot` has certified it. Default: none, and `publicKeys` are set.
    /// Example: `[{issuer: "https://kubernetes.default.svc", subject: "https://kubernetes.io/namespaces/shop/serviceaccounts/signer"}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), transform = schema::list::<16>)]
    pub identities: Vec<SignerIdentity>,
    /// Who is believed when they certify an identity and when they say that a signature is in their log: Sigstore's TrustedRoot in
    /// JSON, as `cosign trusted-root create` writes it, at most 65536 characters. Nothing is fetched. It stands here, and not in another object, so
    /// that changing it takes the verb `protect`. Goes with `identities`. Default: nobody.
    /// Example: `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "certificateAuthorities": […], …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<65536>)]
    pub trusted_root: Option<String>,
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

/// Who may have signed, as a certificate names it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.subject) != has(self.subjectPattern)",
     "an identity has exactly one of subject and subjectPattern"),
]))]
pub struct SignerIdentity {
    /// Who has said who it is: the issuer of the token, compared as it is. For a ServiceAccount that of the cluster's tokens, for
    /// a workflow of GitHub `https://token.actions.githubusercontent.com`. Example: `https://kubernetes.default.svc`.
    #[schemars(transform = schema::http_url)]
    pub issuer: String,
    /// Who it is, compared as it is: a URI or an address of mail. At most 1024 characters. Default: none, and `subjectPattern` is set.
    /// Example: `https://kubernetes.io/namespaces/shop/serviceaccounts/signer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<1024>)]
    pub subject: Option<String>,
    /// Who it is, as a pattern that has to fit as a whole: `*` is anything within a part between slashes, `?` one character of it, `**` any
    /// parts. The host and the first part of a path are written out, or what follows the `@` of an address.
    /// At most 1024 characters. Default: none, and `subject` is set.
    /// Example: `https://github.com/shop/api/.github/workflows/release.yml@refs/tags/v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::subject_pattern)]
    pub subject_pattern: Option<String>,
}

impl SignerIdentity {
    /// As it is asked for.
    fn asked(&self) -> Identity {
        let subject = match (&self.subject, &self.subject_pattern) {
            (Some(subject), _) => Subject::Exactly(subject.clone()),
            (None, Some(pattern)) => Subject::Like(pattern.clone()),
            // No certificate is believed that is of nobody.
            (None, None) => Subject::Exactly(String::new()),
        };
        Identity {
            issuer: self.issuer.clone(),
            subject,
        }
    }
}

impl RequireSigned {
    /// The identities that count, and who certifies them.
    pub fn certified(&self) -> Option<Certified> {
        (!self.identities.is_empty()).then(|| Certified {
            root: self.trusted_root.clone().unwrap_or_default(),
            identities: self.identities.iter().map(SignerIdentity::asked).collect(),
        })
    }

    /// Whose signatures count, for people.
    pub fn whose(&self) -> &'static str {
        match (self.public_keys.len(), self.identities.len()) {
            (1, 0) => "the key",
            (_, 0) => "one of the keys",
            (0, 1) => "the identity",
            (0, _) => "one of the identities",
            (_, _) => "one of the keys and identities",
        }
    }

    /// What has to be signed.
    pub fn statements(&self) -> &[AttestationKind] {
        if self.statements.is_empty() {
            return &[AttestationKind::Signature];
        }
        &self.statements
    }
}
