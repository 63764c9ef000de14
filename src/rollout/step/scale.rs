//! `scale`: done when the canary has its pods and they answer behind its Service. No I/O.

use jiff::Timestamp;

use super::{Progress, by_deadline};

/// Whether the canary has its pods.
pub fn advance(
    answering: i32,
    wanted: i32,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Progress {
    if answering >= wanted {
        return Progress::Done;
    }
    by_deadline(
        format!("{answering} of {wanted} pods of the canary answer behind their Service"),
        format!("{answering} of {wanted} pods answer, and no more within the deadline"),
        deadline,
        now,
    )
}
