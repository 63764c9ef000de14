//! Who may deliver: those who have the token of the object, or sign with it. Reads Secrets from the API server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;
use crate::model::secret::SecretKey;

/// How long a token is known, so that whoever has none cannot make the operator ask the API server at will. A new one counts
/// after that.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// A token, of which only a hash is kept, and the state of one that checks signatures.
#[derive(Clone)]
pub(super) struct Token {
    hash: [u8; 32],
    key: hmac::Key,
}

type Known = HashMap<(String, SecretKey), (Instant, Result<Token, String>)>;

/// Tokens that were read lately.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Known>>);

impl Tokens {
    /// The token that a key of a Secret says.
    pub(super) async fn read(
        &self,
        cluster: &Cluster,
        namespace: &str,
        of: &SecretKey,
    ) -> Result<Token, String> {
        let place = (namespace.to_owned(), of.clone());
        if let Some((at, known)) = self.known().get(&place)
            && at.elapsed() < KNOWN_FOR
        {
            return known.clone();
        }
        let read = cluster.secret_value(namespace, of).await;
        let read = read.map(|value| Token::of(value.as_bytes()));
        let mut known = self.known();
        known.retain(|_, (at, _)| at.elapsed() < KNOWN_FOR);
        known.insert(place, (Instant::now(), read.clone()));
        read
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

/// What follows `Bearer` in a header field.
pub(super) fn of_bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

impl Token {
    pub(super) fn of(value: &[u8]) -> Self {
        Self {
            hash: hash(value),
            key: hmac::Key::new(HMAC_SHA256, value),
        }
    }

    /// Whether it is that token. How long that takes says nothing about where they differ.
    pub(super) fn is_same(&self, sent: &[u8]) -> bool {
        verify_slices_are_equal(&hash(sent), &self.hash).is_ok()
    }

    /// Whether a body was signed with it: by HMAC-SHA256, in hexadecimal digits.
    pub(super) fn has_signed(&self, body: &[u8], signature: &[u8]) -> bool {
        let signature = of_hex(signature);
        signature.is_some_and(|signature| hmac::verify(&self.key, body, &signature).is_ok())
    }
}

fn of_hex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() == 64)?;
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_follows_bearer() {
        for (field, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(
                of_bearer(field.as_bytes()),
                token.map(str::as_bytes),
                "{field}"
            );
        }
    }

    #[test]
    fn only_the_same_token_is_the_same() {
        let wanted = Token::of(b"the token");
        assert!(wanted.is_same(b"the token"));
        for other in ["the token ", "the toke", "", "THE TOKEN"] {
            assert!(!wanted.is_same(other.as_bytes()), "{other}");
        }
    }

    /// As GitHub's documentation has it.
    #[test]
    fn a_signature_is_of_this_body_and_with_this_token() {
        let token = Token::of(b"It's a Secret to Everybody");
        let signature = b"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(token.has_signed(b"Hello, World!", signature));
        assert!(!token.has_signed(b"Hello, World", signature));
        assert!(!Token::of(b"another").has_signed(b"Hello, World!", signature));
        let umlauts = "ü".repeat(32);
        let garbage: [&[u8]; 5] = [b"", b"75", &signature[1..], &[b'z'; 64], umlauts.as_bytes()];
        for garbage in garbage {
            assert!(!token.has_signed(b"Hello, World!", garbage));
        }
    }
}
