//! Signatures without a key of one's own: a certificate says in whose name they are, for some minutes, and a log has kept that it
//! was used while it was valid. No I/O.
//!
//! What a library checks here: that the certificate comes from an authority of the root of trust and is for signing, that a
//! certificate log knows it (where the root names such logs), that the log of the root has the entry, that the entry is of this
//! signature by this certificate, that the certificate was valid at the time that the log has signed, and that the signature is one of
//! the statement, which is about the digest. No time of ours decides anything: only an entry from the future is refused.

use std::fmt;

use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash, SignatureContent};
use sigstore_verify::{VerificationPolicy, Verifier};

/// In whose name something was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatory {
    /// Who has said who it is: the issuer of its token.
    pub issuer: String,
    /// Who it is: a URI, or an address of mail.
    pub subject: String,
}

impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.subject, self.issuer)
    }
}

/// Who is believed when they say in whose name something was signed, and when.
pub struct Root {
    verifier: Verifier,
    policy: VerificationPolicy,
}

impl Root {
    /// Reads Sigstore's TrustedRoot, in JSON.
    ///
    /// # Errors
    /// Says what is wrong with it and what to do.
    pub fn read(text: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(text).map_err(|error| {
            format!("it is no root of trust: {error}; `cosign trusted-root create` writes one")
        })?;
        if root.certificate_authorities.is_empty() {
            let problem = "it names no certificate authority: give `cosign trusted-root create` the certificates of Fulcio";
            return Err(problem.to_owned());
        }
        if root.tlogs.is_empty() {
            let problem = "it names no transparency log: give `cosign trusted-root create` the public key of Rekor";
            return Err(problem.to_owned());
        }
        let verifier = Verifier::new(&root)
            .map_err(|error| format!("the root of trust cannot be used: {error}"))?;
        let policy = VerificationPolicy::any_identity();
        // An authority of one's own may tell no log of certificates.
        let policy = if root.ctlogs.is_empty() {
            policy.skip_sct()
        } else {
            policy
        };
        Ok(Self { verifier, policy })
    }

    /// Opens a bundle: the statement about a digest that was signed, and in whose name.
    ///
    /// # Errors
    /// Says why it is not believed.
    pub fn open(&self, bundle: &[u8], digest: &str) -> Result<(Vec<u8>, Signatory), String> {
        let bundle = read(bundle).ok_or("it is no bundle of Sigstore's")?;
        let hex = digest.strip_prefix("sha256:");
        let digest = hex.and_then(|hex| Sha256Hash::from_hex(hex).ok());
        let digest = digest.ok_or("the digest of the image is no SHA-256")?;
        let result = self.verifier.verify(digest, &bundle, &self.policy);
        let result = result.map_err(|error| error.to_string())?;
        let (Some(issuer), Some(subject)) = (result.issuer(), result.identity()) else {
            return Err("its certificate does not say in whose name it is".to_owned());
        };
        let signatory = Signatory {
            issuer: issuer.to_owned(),
            subject: subject.as_str().to_owned(),
        };
        let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
            return Err("it has no statement in it".to_owned());
        };
        Ok((envelope.payload.as_bytes().to_vec(), signatory))
    }
}

fn read(bundle: &[u8]) -> Option<Bundle> {
    Bundle::from_json(str::from_utf8(bundle).ok()?).ok()
}

/// Whether the clock of the log is ahead of ours, by what `open` has said of a bundle.
pub fn is_ahead(problem: &str) -> bool {
    problem.contains("is in the future")
}

/// Whether a bundle has a certificate, and no key that one has to know.
pub fn is_certified(bundle: &[u8]) -> bool {
    read(bundle).is_some_and(|bundle| bundle.signing_certificate().is_some())
}

#[cfg(test)]
pub(crate) mod testing {
    //! What cosign signed in the name of two identities of one authority, and of one of another: tests/data/sigstore/README.md.

    use crate::model::signed::{Certified, Identity, Subject};

    pub(crate) const ISSUER: &str = "http://issuer.example.com";
    pub(crate) const BUILDER: &str =
        "https://kubernetes.io/namespaces/team-a/serviceaccounts/builder";
    pub(crate) const OTHER: &str = "https://kubernetes.io/namespaces/team-a/serviceaccounts/other";
    pub(crate) const DIGEST: &str =
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    pub(crate) const ROOT: &str = include_str!("../../tests/data/sigstore/trusted-root.json");
    pub(crate) const OTHER_ROOT: &str =
        include_str!("../../tests/data/sigstore/trusted-root-other.json");
    pub(crate) const STATEMENT: &str = include_str!("../../tests/data/sigstore/statement.json");
    /// The statement by the builder.
    pub(crate) const BUNDLE: &str = include_str!("../../tests/data/sigstore/bundle.json");
    /// How the image was built, by the builder.
    pub(crate) const PROVENANCE: &str =
        include_str!("../../tests/data/sigstore/bundle-provenance.json");
    /// The statement by the other identity.
    pub(crate) const BY_OTHER: &str =
        include_str!("../../tests/data/sigstore/bundle-other-identity.json");
    /// The statement by the builder, as the other authority has certified.
    pub(crate) const AT_OTHER: &str =
        include_str!("../../tests/data/sigstore/bundle-other-root.json");

    /// Lets this identity count, as the first authority certifies it.
    pub(crate) fn certified(issuer: &str, subject: &str) -> Certified {
        Certified {
            root: ROOT.to_owned(),
            identities: vec![Identity {
                issuer: issuer.to_owned(),
                subject: Subject::Exactly(subject.to_owned()),
            }],
        }
    }
}

#[cfg(test)]
mod tests;
