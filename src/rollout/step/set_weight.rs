//! `setWeight`: done when pods and route are as the weight asks. No I/O.

use jiff::Timestamp;

use super::Progress;
use crate::model::weight::Weight;

/// What can be seen of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The weight that is wanted.
    pub wanted: Weight,
    /// Whether the pods that it needs are there.
    pub has_pods: bool,
    /// Whether the traffic is divided like that.
    pub is_shifted: bool,
    /// Whether the data plane has said so.
    pub is_acknowledged: bool,
}

/// Whether the weight is reached.
pub fn advance(seen: Seen, deadline: Timestamp, now: Timestamp) -> Progress {
    let missing = match seen {
        Seen {
            has_pods: false, ..
        } => "pods",
        Seen {
            is_shifted: false, ..
        } => "the shift",
        Seen {
            is_acknowledged: false,
            ..
        } => "the data plane",
        _ => return Progress::Done,
    };
    let wanted = seen.wanted;
    if now >= deadline {
        return Progress::Failed {
            reason: "ProgressDeadline",
            message: format!(
                "no progress towards {wanted} within the deadline; missing: {missing}"
            ),
        };
    }
    Progress::Wait {
        for_what: format!("{wanted} to canary, waiting for {missing}"),
        until: Some(deadline),
    }
}
