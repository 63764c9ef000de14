//! Whose signatures count: some keys, and some identities that a root of trust certifies. No I/O.

use super::envelope;
use super::key::PublicKey;
use super::keyless::{Root, is_certified};
use crate::model::signed::{Certified, Identity};

/// Keys and identities whose signatures count.
pub struct Trust {
    keys: Vec<PublicKey>,
    certified: Option<(Root, Vec<Identity>)>,
}

/// Something in `requireSigned` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The field in there.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl Trust {
    /// Reads keys in PEM, and a root of trust.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn read(keys: &[String], certified: Option<&Certified>) -> Result<Self, Vec<Unusable>> {
        let mut trust = Self {
            keys: Vec::new(),
            certified: None,
        };
        let mut unusable = Vec::new();
        for (index, text) in keys.iter().enumerate() {
            match PublicKey::read(text) {
                Ok(key) => trust.keys.push(key),
                Err(problem) => unusable.push(Unusable {
                    field: format!("publicKeys[{index}]"),
                    problem,
                }),
            }
        }
        if let Some(certified) = certified {
            match Root::read(&certified.root) {
                Ok(root) => trust.certified = Some((root, certified.identities.clone())),
                Err(problem) => unusable.push(Unusable {
                    field: "trustedRoot".to_owned(),
                    problem,
                }),
            }
        }
        if unusable.is_empty() {
            Ok(trust)
        } else {
            Err(unusable)
        }
    }

    /// Opens a bundle: the statement about a digest that somebody who counts has signed, and who it was. Nothing where it is by
    /// a key that does not count.
    ///
    /// # Errors
    /// Says why a bundle with a certificate does not count.
    pub fn open(&self, bundle: &[u8], digest: &str) -> Result<Option<(Vec<u8>, String)>, String> {
        if let Some((statement, key)) = envelope::open(bundle, &self.keys) {
            return Ok(Some((statement, key.fingerprint())));
        }
        if !is_certified(bundle) {
            return Ok(None);
        }
        let Some((root, identities)) = &self.certified else {
            return Err("one is by an identity, and only keys count".to_owned());
        };
        let (statement, signatory) = root
            .open(bundle, digest)
            .map_err(|problem| format!("one by an identity does not hold: {problem}"))?;
        let mut identities = identities.iter();
        if identities.any(|identity| identity.is(&signatory.issuer, &signatory.subject)) {
            return Ok(Some((statement, signatory.to_string())));
        }
        Err(format!(
            "one is by {signatory}, which is none of the identities"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::testing::sealed;
    use super::super::key::testing::key;
    use super::super::keyless::testing::{
        AT_OTHER, BUILDER, BUNDLE, BY_OTHER, DIGEST, ISSUER, OTHER, STATEMENT, certified,
    };
    use super::*;

    fn trust(keys: &[String], certified: Option<&Certified>) -> Trust {
        Trust::read(keys, certified).unwrap()
    }

    #[test]
    fn keys_and_identities_count_beside_each_other() {
        let (own, stranger) = (key(), key());
        let identity = certified(ISSUER, BUILDER);
        let trust = trust(&[own.public().pem()], Some(&identity));
        let by = |bundle: &[u8]| {
            let opened = trust.open(bundle, DIGEST).unwrap();
            opened.map(|(statement, by)| {
                assert_eq!(statement, STATEMENT.as_bytes());
                by
            })
        };
        let signatory = format!("{BUILDER} ({ISSUER})");
        assert_eq!(by(BUNDLE.as_bytes()), Some(signatory));
        let sealed = |key| sealed(STATEMENT.as_bytes(), key);
        assert_eq!(by(&sealed(&own)), Some(own.public().fingerprint()));
        assert_eq!(by(&sealed(&stranger)), None);
        assert_eq!(by(b"{}"), None);
    }

    #[test]
    fn who_does_not_count_is_told_from_what_does_not_hold() {
        let said = |bundle: &str, identity: Option<&Certified>| {
            let trust = trust(&[key().public().pem()], identity);
            trust.open(bundle.as_bytes(), DIGEST).unwrap_err()
        };
        for (issuer, subject, bundle) in [
            (ISSUER, OTHER, BUNDLE),
            (ISSUER, BUILDER, BY_OTHER),
            ("http://other.example.com", BUILDER, BUNDLE),
        ] {
            let said = said(bundle, Some(&certified(issuer, subject)));
            assert!(said.contains("none of the identities"), "{said}");
            assert!(said.contains(ISSUER), "{said}");
        }
        let unbelieved = said(AT_OTHER, Some(&certified(ISSUER, BUILDER)));
        assert!(unbelieved.contains("does not hold"), "{unbelieved}");
        assert!(said(BUNDLE, None).contains("only keys count"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let mut bad = certified(ISSUER, BUILDER);
        bad.root = "{}".to_owned();
        let keys = [key().public().pem(), "ssh-rsa".to_owned()];
        let unusable = Trust::read(&keys, Some(&bad)).err().unwrap();
        let fields: Vec<&str> = unusable.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["publicKeys[1]", "trustedRoot"]);
    }
}
