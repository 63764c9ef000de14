//! What happens next after an error: the three classes, and the backoff of each. No I/O.

use std::time::Duration;

use jiff::Timestamp;

/// What the driver does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May go away by itself: retried with exponential backoff and jitter, per object.
    Transient,
    /// Not an error at all, only too early: looked at again at `until`.
    Waiting {
        /// When it is worth looking again.
        until: Timestamp,
    },
    /// Will not change until somebody edits something: reported, then retried on change only.
    Terminal,
}

/// Errors that know what happens next.
pub trait Classify: std::error::Error {
    /// The class of this error.
    fn class(&self) -> Class;

    /// A short name from a closed set, for metric labels and event reasons.
    fn name(&self) -> &'static str;
}

/// First delay of the exponential backoff.
const BASE: Duration = Duration::from_millis(100);
/// Longest delay of the exponential backoff: a cluster that comes back is noticed within half a minute.
const CAP: Duration = Duration::from_secs(30);

/// Delay before retry number `attempt` (from 0): exponential, capped, with up to 20 % jitter.
///
/// `jitter` is a number in `0..=255` that the caller draws (or fixes, in tests).
pub fn backoff(attempt: u32, jitter: u8) -> Duration {
    let delay = BASE.saturating_mul(1u32 << attempt.min(10)).min(CAP);
    delay + delay.mul_f64(f64::from(jitter) / 255.0 * 0.2)
}

/// Writes an error and its causes on one line, as every log line and status message shows them.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        assert_eq!(backoff(0, 0), Duration::from_millis(100));
        assert_eq!(backoff(3, 0), Duration::from_millis(800));
        assert_eq!(backoff(63, 0), CAP);
        assert_eq!(backoff(63, 255), CAP.mul_f64(1.2));
    }
}
