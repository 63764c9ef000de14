//! `analyse`: done when every metric is good and its time is over. No I/O.

use jiff::Timestamp;

use super::Progress;
use crate::rollout::api::FailureReason;

/// What can be seen of an analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether every metric is good.
    pub are_good: bool,
    /// Good samples of wanted ones, in words.
    pub counts: String,
    /// The earliest end.
    pub earliest: Timestamp,
    /// The latest end.
    pub latest: Timestamp,
}

/// Whether the analysis is over. A bad metric ends the change elsewhere, whatever the step.
pub fn advance(seen: Seen, now: Timestamp) -> Progress {
    let Seen {
        are_good,
        counts,
        earliest,
        latest,
    } = seen;
    if now < earliest {
        return Progress::Wait {
            for_what: format!("analysing ({counts})"),
            until: Some(earliest),
        };
    }
    if are_good {
        return Progress::Done;
    }
    if now >= latest {
        return Progress::Failed {
            reason: FailureReason::NoVerdict,
            message: format!("no verdict in time ({counts}); no data is not success"),
        };
    }
    Progress::Wait {
        for_what: format!("analysing ({counts})"),
        until: Some(latest),
    }
}
