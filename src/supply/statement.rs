//! What is said about an image: statements of in-toto, and what they prove. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pipeline_run::api::AttestationKind;

/// Type of a statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The predicate with which `cosign sign` signs for an image: somebody stands for it.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// How it was built (SLSA v1).
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What is in it (CycloneDX).
const BOM: &str = "https://cyclonedx.org/bom";

/// The type of the predicate of what is said.
pub const fn predicate_type(kind: AttestationKind) -> &'static str {
    match kind {
        AttestationKind::SBOM => BOM,
        AttestationKind::Provenance => PROVENANCE,
        AttestationKind::Signature => SIGNED,
    }
}

/// Something that is said about digests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    type_: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Value,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// Says something about an image.
    pub fn new(kind: AttestationKind, repository: &str, digest: &str, predicate: Value) -> Self {
        let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", digest));
        let digest = BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]);
        Self {
            type_: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: repository.to_owned(),
                digest,
            }],
            predicate_type: predicate_type(kind).to_owned(),
            predicate,
        }
    }

    /// Reads one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let statement: Self = serde_json::from_slice(bytes).ok()?;
        (statement.type_ == STATEMENT).then_some(statement)
    }

    /// As bytes that can be signed: the same statement is always the same text.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What it says about a digest; nothing where it is about others, or of a kind that is not known here.
    pub fn says_of(&self, digest: &str) -> Option<(AttestationKind, &Value)> {
        let (algorithm, hex) = digest.split_once(':')?;
        let is_it = |subject: &Subject| {
            let own = subject.digest.get(algorithm);
            own.is_some_and(|own| own == hex)
        };
        let mut kinds = AttestationKind::ALL.iter().copied();
        let kind = kinds.find(|kind| predicate_type(*kind) == self.predicate_type)?;
        let is_about = self.subject.iter().any(is_it);
        is_about.then_some((kind, &self.predicate))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_statement_is_about_its_digest_only() {
        let (one, other) = ("sha256:aa", "sha256:bb");
        let made = Statement::new(AttestationKind::Signature, "r.example/a", one, json!({}));
        let read = Statement::read(&made.bytes()).unwrap();
        assert_eq!(read, made);
        assert_eq!(
            read.says_of(one),
            Some((AttestationKind::Signature, &json!({})))
        );
        assert_eq!(read.says_of(other), None);
        assert_eq!(read.says_of("aa"), None);
    }

    #[test]
    fn other_statements_say_nothing() {
        assert_eq!(Statement::read(b"{}"), None);
        let foreign = json!({"_type": "https://in-toto.io/Statement/v0.1", "subject": [],
            "predicateType": SIGNED, "predicate": {}});
        assert_eq!(Statement::read(foreign.to_string().as_bytes()), None);
        let vote = json!({"_type": STATEMENT, "subject": [{"digest": {"sha256": "aa"}}],
            "predicateType": "https://example.com/vote", "predicate": {}});
        let vote = Statement::read(vote.to_string().as_bytes()).unwrap();
        assert_eq!(vote.says_of("sha256:aa"), None);
    }
}
