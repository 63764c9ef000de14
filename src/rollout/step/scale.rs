//! `scale`: done when the canary has its pods and they answer behind its Service. No I/O.

use jiff::Timestamp;

use super::Progress;

/// Whether the canary has its pods.
pub fn advance(answering: i32, wanted: i32, deadline: Timestamp, now: Timestamp) -> Progress {
    if answering >= wanted {
        return Progress::Done;
    }
    if now >= deadline {
        return Progress::Failed {
            reason: "ProgressDeadline",
            message: format!(
                "{answering} of {wanted} pods answer, and no more within the deadline"
            ),
        };
    }
    Progress::Wait {
        for_what: format!("{answering} of {wanted} pods of the canary answer behind their Service"),
        until: Some(deadline),
    }
}
