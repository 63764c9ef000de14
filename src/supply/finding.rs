//! What was found in a registry about an image: signed by somebody who counts, and about this very digest. No I/O.

use serde::{Deserialize, Serialize};

use super::statement::Statement;
use super::trust::Trust;
use crate::model::action::Reply;
use crate::pipeline_run::api::AttestationKind;
use crate::runner::report::clean;

/// Most that is told of what does not count, and the longest part of it that is.
const MAX_OTHERS: usize = 3;
const MAX_WORDS: usize = 300;

/// Something that somebody who counts has signed for an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it says.
    pub kind: AttestationKind,
    /// Who has signed it: fingerprint of the key, or the identity and its issuer.
    pub by: String,
    /// Digest of the artifact.
    pub artifact: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What counts.
    pub signed: Vec<Finding>,
    /// Why others that were signed in the name of an identity do not count, for people.
    pub others: Vec<String>,
}

impl Found {
    /// Takes in a bundle.
    pub fn add(&mut self, bundle: &[u8], trust: &Trust, digest: &str, artifact: &str) {
        match Finding::of(bundle, trust, digest, artifact) {
            Ok(finding) => self.signed.extend(finding),
            Err(problem) => {
                let problem = clean(&problem.replace('\n', " "), MAX_WORDS);
                if self.others.len() < MAX_OTHERS && !self.others.contains(&problem) {
                    self.others.push(problem);
                }
            }
        }
    }

    /// Reads the answer to a question for it.
    ///
    /// # Errors
    /// Says in words for people why it is not known what was signed.
    pub fn read(answer: &Result<Reply, String>) -> Result<Self, String> {
        let reply = answer.as_ref().map_err(Clone::clone)?;
        serde_json::from_slice(&reply.body).map_err(|error| format!("no usable answer: {error}"))
    }

    /// The answer that says this.
    pub fn reply(&self) -> Reply {
        Reply {
            status: 200,
            body: serde_json::to_vec(self).unwrap_or_default(),
        }
    }
}

impl Finding {
    /// What a bundle says about a digest, if somebody who counts has signed it.
    ///
    /// # Errors
    /// Says why a bundle in the name of an identity does not count.
    pub fn of(
        bundle: &[u8],
        trust: &Trust,
        digest: &str,
        artifact: &str,
    ) -> Result<Option<Self>, String> {
        let Some((statement, by)) = trust.open(bundle, digest)? else {
            return Ok(None);
        };
        let statement = Statement::read(&statement);
        let said = statement.as_ref().and_then(|said| said.says_of(digest));
        Ok(said.map(|(kind, _)| Self {
            kind,
            by,
            artifact: artifact.to_owned(),
        }))
    }

    /// Reads what counts in the answer to a question for what was signed.
    ///
    /// # Errors
    /// Says in words for people why it is not known.
    pub fn read(answer: &Result<Reply, String>) -> Result<Vec<Self>, String> {
        Found::read(answer).map(|found| found.signed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::envelope;
    use super::super::key::testing::key;
    use super::super::keyless::testing::{
        self, BUILDER, BUNDLE, BY_OTHER, ISSUER, PROVENANCE, certified,
    };
    use super::*;

    const DIGEST: &str = "sha256:aa";

    #[test]
    fn only_what_a_known_key_says_of_this_digest_counts() {
        let (known, other) = (key(), key());
        let trust = Trust::read(&[known.public().pem()], None).unwrap();
        let said = |key, digest| {
            let kind = AttestationKind::Signature;
            let statement = Statement::new(kind, "r.example/a", digest, json!({}));
            let bundle = envelope::testing::sealed(&statement.bytes(), key);
            Finding::of(&bundle, &trust, DIGEST, "sha256:cc").unwrap()
        };
        let found = said(&known, DIGEST).unwrap();
        assert_eq!(found.kind, AttestationKind::Signature);
        assert_eq!(found.by, known.public().fingerprint());
        assert_eq!(said(&other, DIGEST), None);
        assert_eq!(said(&known, "sha256:bb"), None);
    }

    #[test]
    fn what_does_not_count_is_told_once() {
        let trust = Trust::read(&[], Some(&certified(ISSUER, BUILDER))).unwrap();
        let mut found = Found::default();
        for (bundle, artifact) in [
            (BUNDLE, "sha256:01"),
            (BY_OTHER, "sha256:02"),
            (BY_OTHER, "sha256:03"),
            (PROVENANCE, "sha256:04"),
        ] {
            found.add(bundle.as_bytes(), &trust, testing::DIGEST, artifact);
        }
        let signed = found.signed.iter();
        let signed: Vec<_> = signed
            .map(|one| (one.kind, one.artifact.as_str()))
            .collect();
        let wanted = [
            (AttestationKind::Signature, "sha256:01"),
            (AttestationKind::Provenance, "sha256:04"),
        ];
        assert_eq!(signed, wanted);
        assert_eq!(found.signed[0].by, format!("{BUILDER} ({ISSUER})"));
        assert_eq!(found.others.len(), 1, "{:?}", found.others);
        assert_eq!(Found::read(&Ok(found.reply())), Ok(found));
    }

    #[test]
    fn an_answer_reads_as_it_was_written() {
        let found = vec![Finding {
            kind: AttestationKind::Provenance,
            by: "sha256:kk".into(),
            artifact: "sha256:cc".into(),
        }];
        let all = Found {
            signed: found.clone(),
            others: vec!["one is by somebody".into()],
        };
        assert_eq!(Finding::read(&Ok(all.reply())), Ok(found));
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
