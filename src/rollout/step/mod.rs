//! One file per step; each says whether it is done, or what it waits for. Pure.

pub mod analyse;
pub mod approve;
pub mod divide;
pub mod pause;
pub mod run;
pub mod scale;

use jiff::Timestamp;

use super::api::FailureReason;

/// What waits for pods or for the data plane, and not for ever.
fn by_deadline(
    for_what: String,
    too_late: String,
    deadline: Timestamp,
    now: Timestamp,
) -> Progress {
    if now >= deadline {
        return Progress::Failed {
            reason: FailureReason::ProgressDeadline,
            message: too_late,
        };
    }
    Progress::Wait {
        for_what,
        until: Some(deadline),
    }
}

/// What a step says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done,
    /// It waits for something.
    Wait {
        /// For what, in words.
        for_what: String,
        /// When it is over by itself, or worth another look.
        until: Option<Timestamp>,
    },
    /// It cannot be done any more.
    Failed {
        /// A word for it.
        reason: FailureReason,
        /// A sentence for it.
        message: String,
    },
}
