//! Namespace and name of an object, and names that fit where Kubernetes wants them. No I/O.

use std::fmt;

use sha2::{Digest, Sha256};

use super::meta::Identified;

/// Namespace and name: what tells objects of one kind apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Key {
    /// The namespace. All of our kinds are namespaced.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key from its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object. Empty parts stand for a missing namespace or name.
    pub fn of<K: Identified>(object: &K) -> Self {
        object.own_key()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Longest value of a label, and longest name of a Service, in characters.
pub const MAX_LABEL: usize = 63;

/// Longest name of an object, in characters.
pub const MAX_NAME: usize = 253;

/// The first `digits` hexadecimal digits of the SHA-256 of `content`.
pub fn short_hash(content: &[u8], digits: usize) -> String {
    let mut all = hexadecimal(&Sha256::digest(content));
    all.truncate(digits);
    all
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(hex).collect()
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

/// Joins `base` and `suffix` with a dash so that the result has at most `limit` bytes.
///
/// A base that is too long is cut and marked with a hash of the whole, so that two long names that
/// share a beginning stay apart.
pub fn suffixed(base: &str, suffix: &str, limit: usize) -> String {
    let whole = format!("{base}-{suffix}");
    if whole.len() <= limit {
        return whole;
    }
    let mark = short_hash(base.as_bytes(), 8);
    let room = limit.saturating_sub(suffix.len() + mark.len() + 2);
    let cut: String = base.chars().take(room).collect();
    format!("{}-{mark}-{suffix}", cut.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_joined_as_they_are() {
        assert_eq!(suffixed("api", "canary", MAX_LABEL), "api-canary");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let a = suffixed(&format!("{}a", "x".repeat(70)), "canary", MAX_LABEL);
        let b = suffixed(&format!("{}b", "x".repeat(70)), "canary", MAX_LABEL);
        assert_eq!(a.len(), MAX_LABEL);
        assert_ne!(a, b);
    }
}
