//! One file per step; each says whether it is done, or what it waits for. Pure.

pub mod analyse;
pub mod approve;
pub mod divide;
pub mod pause;
pub mod run;
pub mod scale;

use std::time::Duration;

use jiff::Timestamp;

use super::api::{self, Change, FailureReason};
use crate::model::span::after;

/// Since when a change waits for what is its own: not while a data plane has time to take in the weight, and not while pods
/// of others drain, whose room it waits for. `drain`: how long the former takes at most, whatever is on record.
pub fn waits_since(progress: &api::Progress, change: &Change, drain: Duration) -> Timestamp {
    let since = change.progressed_at.max(change.step_started_at);
    let silence = progress.unreported.as_ref();
    let silence = silence.map(|silence| silence.until.min(after(since, drain)));
    let drained = progress.draining.values().max().copied();
    silence.into_iter().chain(drained).fold(since, Ord::max)
}

/// What waits for pods or for the data plane, and not for ever.
fn by_deadline(
    for_what: String,
    too_late: String,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Progress {
    if deadline.is_some_and(|deadline| now >= deadline) {
        return Progress::Failed {
            reason: FailureReason::ProgressDeadline,
            message: too_late,
        };
    }
    Progress::Wait {
        for_what,
        until: deadline,
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
