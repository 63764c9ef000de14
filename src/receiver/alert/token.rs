//! Who may deliver alerts: those who have the token of the Environment. Reads Secrets from the API server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest, Sha256};

use crate::cluster::Cluster;
use crate::model::secret::SecretKey;

/// How long a token is known, so that whoever has none cannot make the operator ask the API server at will. A new one counts
/// after that.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// A token, of which only a hash is kept.
pub(super) type Hash = [u8; 32];

type Known = HashMap<(String, SecretKey), (Instant, Result<Hash, String>)>;

/// Tokens that were read lately.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<Known>>);

impl Tokens {
    /// The hash of what a key of a Secret says.
    pub(super) async fn read(
        &self,
        cluster: &Cluster,
        namespace: &str,
        of: &SecretKey,
    ) -> Result<Hash, String> {
        let place = (namespace.to_owned(), of.clone());
        if let Some((at, known)) = self.known().get(&place)
            && at.elapsed() < KNOWN_FOR
        {
            return known.clone();
        }
        let read = cluster.secret_value(namespace, of).await;
        let read = read.map(|value| hash(value.as_bytes()));
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

fn hash(value: &[u8]) -> Hash {
    Sha256::digest(value).into()
}

/// What follows `Bearer` in a header field.
pub(super) fn of_bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// Whether it is that token. How long that takes says nothing about where they differ.
pub(super) fn is_same(sent: &[u8], wanted: &Hash) -> bool {
    verify_slices_are_equal(&hash(sent), wanted).is_ok()
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
        let wanted = hash(b"the token");
        assert!(is_same(b"the token", &wanted));
        for other in ["the token ", "the toke", "", "THE TOKEN"] {
            assert!(!is_same(other.as_bytes(), &wanted), "{other}");
        }
    }
}
