//! The clock. The only file that reads the time; everything else is handed `now`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Tells the time of the API server, as well as this process can know it.
///
/// Timestamps that end up in objects are compared with timestamps that other writers put there, so they
/// are taken on the API server's clock: the local clock plus the offset last seen in a `Date` header.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_millis: Arc<AtomicI64>,
}

impl Clock {
    /// The current time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn now(&self) -> Timestamp {
        let local = Timestamp::now();
        local.checked_add(self.offset()).unwrap_or(local)
    }

    /// Takes note of the API server's time, as told by a response that was just received.
    ///
    /// A `Date` header has a resolution of one second, so an offset below two seconds is no news.
    pub fn observe_server(&self, server: Timestamp) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the offset is relative to the local clock"
        )]
        let offset = server.duration_since(Timestamp::now());
        if (offset - self.offset()).abs() >= SignedDuration::from_secs(2) {
            let millis = i64::try_from(offset.as_millis()).unwrap_or(0);
            self.offset_millis.store(millis, Ordering::Relaxed);
        }
    }

    /// How far the API server's clock is ahead of the local one.
    fn offset(&self) -> SignedDuration {
        SignedDuration::from_millis(self.offset_millis.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_ahead_moves_our_time() {
        let clock = Clock::default();
        let before = clock.now();
        clock.observe_server(before + SignedDuration::from_secs(60));
        assert!(clock.now().duration_since(before) > SignedDuration::from_secs(50));
    }

    #[test]
    fn the_resolution_of_the_date_header_is_not_skew() {
        let clock = Clock::default();
        clock.observe_server(clock.now() - SignedDuration::from_millis(900));
        assert_eq!(clock.offset(), SignedDuration::ZERO);
    }
}
