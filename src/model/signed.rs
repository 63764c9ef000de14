//! A question to a registry: what was signed for an image, by somebody who counts. No I/O.

use serde::Serialize;

use super::glob;
use super::secret::SecretKey;

/// What was signed for an image, by one of some keys, or in the name of one of some identities?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignedQuestion {
    /// Where the image is, without tag or digest.
    pub repository: String,
    /// Its digest.
    pub digest: String,
    /// Whether its registry is reached over http.
    pub is_insecure: bool,
    /// The public keys, in PEM.
    pub keys: Vec<String>,
    /// The identities, and who certifies them.
    pub certified: Option<Certified>,
    /// The login for the registry, and the namespace of the Secret.
    pub login: Option<(String, SecretKey)>,
}

/// Identities that count, and who may certify them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Certified {
    /// The root of trust: Sigstore's TrustedRoot, in JSON.
    pub root: String,
    /// Those that count.
    pub identities: Vec<Identity>,
}

/// An identity, or several of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Who has said who it is: the issuer of its token.
    pub issuer: String,
    /// Who it is.
    pub subject: Subject,
}

/// Who an identity is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Subject {
    /// This one.
    Exactly(String),
    /// Whoever fits this pattern as a whole: `*` within a part between slashes, `**` for any parts.
    Like(String),
}

impl Identity {
    /// Whether it is who a certificate names.
    pub fn is(&self, issuer: &str, subject: &str) -> bool {
        let is_subject = match &self.subject {
            Subject::Exactly(own) => own == subject,
            Subject::Like(pattern) => glob::matches(pattern, subject),
        };
        self.issuer == issuer && is_subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";

    fn identity(subject: Subject) -> Identity {
        Identity {
            issuer: GITHUB.into(),
            subject,
        }
    }

    #[test]
    fn who_it_is_and_who_says_so_are_compared_as_they_are() {
        let own = identity(Subject::Exactly("https://github.com/shop/*".into()));
        assert!(own.is(GITHUB, "https://github.com/shop/*"));
        for (issuer, subject) in [
            (
                "https://token.actions.githubusercontent.com/",
                "https://github.com/shop/*",
            ),
            (
                "https://TOKEN.actions.githubusercontent.com",
                "https://github.com/shop/*",
            ),
            (GITHUB, "https://github.com/shop/api"),
            (GITHUB, "https://github.com/shop/*/"),
            (GITHUB, "HTTPS://github.com/shop/*"),
            (GITHUB, ""),
        ] {
            assert!(!own.is(issuer, subject), "{issuer} {subject}");
        }
    }

    #[test]
    fn a_pattern_is_about_all_of_it() {
        let pattern = "https://github.com/shop/api/.github/workflows/release.yml@refs/tags/v*";
        let own = identity(Subject::Like(pattern.into()));
        let good = "https://github.com/shop/api/.github/workflows/release.yml@refs/tags/v1.2.0";
        assert!(own.is(GITHUB, good));
        assert!(!own.is("https://gitlab.com", good));
        for subject in [
            "https://github.com/shop/api/.github/workflows/release.yml@refs/heads/v1",
            "https://github.com/shop/api/.github/workflows/release.yml@refs/tags/v1/more",
            "https://evil.example/https://github.com/shop/api/.github/workflows/release.yml@refs/tags/v1",
            "https://github.com/shop/api2/.github/workflows/release.yml@refs/tags/v1",
        ] {
            assert!(!own.is(GITHUB, subject), "{subject}");
        }
        let people = identity(Subject::Like("*@shop.example".into()));
        assert!(people.is(GITHUB, "alice@shop.example"));
        assert!(!people.is(GITHUB, "alice@shop.example.evil.example"));
        assert!(!people.is(GITHUB, "https://evil.example/a@shop.example"));
    }
}
