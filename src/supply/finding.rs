//! What was found in a registry about an image: signed by a key that counts, and about this very digest. No I/O.

use serde::{Deserialize, Serialize};

use super::envelope;
use super::key::PublicKey;
use super::statement::Statement;
use crate::model::action::Reply;
use crate::pipeline_run::api::AttestationKind;

/// Something that a key which counts has signed for an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it says.
    pub kind: AttestationKind,
    /// Fingerprint of the key.
    pub key: String,
    /// Digest of the artifact.
    pub artifact: String,
}

impl Finding {
    /// What a bundle says about a digest, if one of the keys has signed it.
    pub fn of(bundle: &[u8], keys: &[PublicKey], digest: &str, artifact: &str) -> Option<Self> {
        let (statement, key) = envelope::open(bundle, keys)?;
        let statement = Statement::read(&statement)?;
        let (kind, _) = statement.says_of(digest)?;
        Some(Self {
            kind,
            key: key.fingerprint(),
            artifact: artifact.to_owned(),
        })
    }

    /// Reads the answer to a question for them.
    ///
    /// # Errors
    /// Says in words for people why it is not known what was signed.
    pub fn read(answer: &Result<Reply, String>) -> Result<Vec<Self>, String> {
        let reply = answer.as_ref().map_err(Clone::clone)?;
        serde_json::from_slice(&reply.body).map_err(|error| format!("no usable answer: {error}"))
    }

    /// The answer that says this.
    pub fn reply(findings: &[Self]) -> Reply {
        Reply {
            status: 200,
            body: serde_json::to_vec(findings).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::key::testing::key;
    use super::*;

    const DIGEST: &str = "sha256:aa";

    #[test]
    fn only_what_a_known_key_says_of_this_digest_counts() {
        let (known, other) = (key(), key());
        let keys = [known.public()];
        let said = |key, digest| {
            let kind = AttestationKind::Signature;
            let statement = Statement::new(kind, "r.example/a", digest, json!({}));
            let bundle = envelope::testing::sealed(&statement.bytes(), key);
            Finding::of(&bundle, &keys, DIGEST, "sha256:cc")
        };
        let found = said(&known, DIGEST).unwrap();
        assert_eq!(found.kind, AttestationKind::Signature);
        assert_eq!(found.key, known.public().fingerprint());
        assert_eq!(said(&other, DIGEST), None);
        assert_eq!(said(&known, "sha256:bb"), None);
    }

    #[test]
    fn an_answer_reads_as_it_was_written() {
        let found = vec![Finding {
            kind: AttestationKind::Provenance,
            key: "sha256:kk".into(),
            artifact: "sha256:cc".into(),
        }];
        assert_eq!(Finding::read(&Ok(Finding::reply(&found))), Ok(found));
        assert_eq!(
            Finding::read(&Err("cannot reach r.example".into())),
            Err("cannot reach r.example".into())
        );
        let empty = Reply {
            status: 200,
            body: Vec::new(),
        };
        assert!(Finding::read(&Ok(empty)).is_err());
    }
}
