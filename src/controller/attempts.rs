//! How often an object failed in a row, and how its retries are spread. No I/O.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::key::{Key, short_hash};

/// Failures in a row, per object.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Key, u32>>);

impl Attempts {
    /// Notes one more failure; how many came before it.
    pub(super) fn failed(&self, key: &Key) -> u32 {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(key.clone()).or_default();
        let before = *attempt;
        *attempt = before.saturating_add(1);
        before
    }

    /// Forgets the failures of an object.
    pub(super) fn succeeded(&self, key: &Key) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// Spreads retries without a random source: different objects, and attempts, differ.
pub(super) fn jitter(key: &Key, attempt: u32) -> u8 {
    let hash = short_hash(format!("{key}#{attempt}").as_bytes(), 2);
    u8::from_str_radix(&hash, 16).unwrap_or_default()
}
