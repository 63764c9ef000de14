//! How many calls each caller has: so many at once, and so many a second after that. Reads a monotonic clock.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Callers that are remembered before those are forgotten who have all their calls again.
const MANY: usize = 1024;

/// What each caller has left. Only those are counted who have shown who they are.
#[derive(Clone, Debug)]
pub(super) struct Limits<K> {
    /// Calls at once.
    burst: f64,
    /// Calls a second after that.
    rate: f64,
    left: Arc<Mutex<HashMap<K, Bucket>>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> Limits<K> {
    /// So many calls at once, and so many a second after that.
    pub(super) fn new(burst: f64, rate: f64) -> Self {
        Self {
            burst,
            rate,
            left: Arc::default(),
        }
    }

    /// Whether another one is taken now.
    pub(super) fn allow(&self, key: &K) -> bool {
        self.allow_at(key, Instant::now())
    }

    fn allow_at(&self, key: &K, now: Instant) -> bool {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + passed * self.rate).min(self.burst)
        };
        if all.len() >= MANY && !all.contains_key(key) {
            all.retain(|_, bucket| left(bucket) < self.burst);
        }
        let full = Bucket {
            left: self.burst,
            at: now,
        };
        let bucket = all.entry(key.clone()).or_insert(full);
        bucket.left = left(bucket);
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
    fn each_caller_has_so_many_at_once_and_so_many_a_second() {
        let (limits, now) = (Limits::new(60.0, 10.0), Instant::now());
        let taken = |key, now| (0..100).filter(|_| limits.allow_at(key, now)).count();
        assert_eq!((taken(&"one", now), taken(&"other", now)), (60, 60));
        assert_eq!(taken(&"one", now + Duration::from_secs(1)), 10);
        assert_eq!(taken(&"one", now + Duration::from_hours(1)), 60);
    }

    #[test]
    fn who_has_all_their_calls_again_is_forgotten() {
        let (limits, now) = (Limits::new(60.0, 10.0), Instant::now());
        assert!((0..MANY).all(|key| limits.allow_at(&key, now)));
        limits.allow_at(&MANY, now + Duration::from_mins(1));
        assert_eq!(limits.left.lock().unwrap().len(), 1);
    }
}
