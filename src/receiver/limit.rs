//! How many deliveries an Environment takes: so many at once, and so many a second after that. Reads a monotonic clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::model::key::Key;

/// Deliveries at once.
const BURST: f64 = 60.0;
/// Deliveries a second after that. Alertmanager sends one for each group that has news.
const RATE: f64 = 10.0;

/// What each Environment has left. Only those whose token was shown are counted, so there are no more than Environments.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(Arc<Mutex<HashMap<Key, Bucket>>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limits {
    /// Whether another one is taken now.
    pub(super) fn allow(&self, key: &Key) -> bool {
        self.allow_at(key, Instant::now())
    }

    fn allow_at(&self, key: &Key, now: Instant) -> bool {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            left: BURST,
            at: now,
        };
        let bucket = all.entry(key.clone()).or_insert(full);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * RATE).min(BURST);
        bucket.at = now;
        let allows = bucket.left >= 1.0;
        if allows {
            bucket.left -= 1.0;
        }
        allows
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_environment_has_so_many_at_once_and_so_many_a_second() {
        let (limits, now) = (Limits::default(), Instant::now());
        let (one, other) = (Key::new("shop", "a"), Key::new("shop", "b"));
        let taken = |key, now| (0..100).filter(|_| limits.allow_at(key, now)).count();
        assert_eq!((taken(&one, now), taken(&other, now)), (60, 60));
        assert_eq!(taken(&one, now + Duration::from_secs(1)), 10);
        assert_eq!(taken(&one, now + Duration::from_hours(1)), 60);
    }
}
