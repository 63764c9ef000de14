//! `pause`: waits. No I/O.

use jiff::Timestamp;

use super::Progress;

/// Whether the pause is over.
pub fn advance(until: Timestamp, now: Timestamp) -> Progress {
    if now >= until {
        return Progress::Done;
    }
    Progress::Wait {
        for_what: "pausing".to_owned(),
        until: Some(until),
    }
}
