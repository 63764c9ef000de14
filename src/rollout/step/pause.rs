//! `pause`: waits, for a time or for a person. No I/O.

use jiff::Timestamp;

use super::Progress;

/// Whether the pause is over. Without an end, only a Decision ends it.
pub fn advance(until: Option<Timestamp>, now: Timestamp) -> Progress {
    if until.is_some_and(|until| now >= until) {
        return Progress::Done;
    }
    Progress::Wait {
        for_what: "pausing".to_owned(),
        until,
    }
}
