//! How well deliveries go: the five figures of DORA, counted from the records of Promotions. No I/O.
//!
//! - [`record`]: what is kept of a promotion for as long as it counts, in pages that outlive its record and its status;
//! - [`fate`]: what became of each deployment afterwards;
//! - [`tally`]: what is counted over a window, of one Environment or of several;
//! - [`figures`]: rates, medians and performance bands of what was counted;
//! - [`api`]: the same as it stands in the status of an Environment.
//!
//! What is counted, and where that is published, is said where it is done and in `docs/dora.md`. Time is an argument, a day
//! has 86 400 seconds, and no time zone plays a part.

pub mod api;
pub mod fate;
pub mod figures;
pub mod record;
pub mod tally;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

/// A day, in seconds.
pub const DAY: i64 = 86_400;

/// A span that figures are counted over; it ends when it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// Ninety days.
    Quarter,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: &'static [Self] = &[Self::Week, Self::Month, Self::Quarter];

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Quarter => "90d",
        }
    }

    /// Its days.
    pub const fn days(self) -> u32 {
        match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
        }
    }

    /// When it begins, if it ends at `end`.
    pub fn start(self, end: Timestamp) -> Timestamp {
        let span = SignedDuration::from_secs(i64::from(self.days()) * DAY);
        end.checked_sub(span).unwrap_or(Timestamp::MIN)
    }
}
