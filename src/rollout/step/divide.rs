//! `setWeight`, `route` and `mirror`: done when pods and routes are as they ask. No I/O.

use jiff::Timestamp;

use super::{Progress, by_deadline};

/// What can be seen of a division of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What is wanted, in words. Example: `10 % to canary`.
    pub wanted: String,
    /// Whether the pods that it needs are there.
    pub has_pods: bool,
    /// Whether the traffic is divided like that.
    pub is_shifted: bool,
    /// Whether the data plane has said so.
    pub is_acknowledged: bool,
}

/// Whether it is reached.
pub fn advance(seen: &Seen, deadline: Option<Timestamp>, now: Timestamp) -> Progress {
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
    let wanted = &seen.wanted;
    by_deadline(
        format!("{wanted}, waiting for {missing}"),
        format!("no progress towards {wanted} within the deadline; missing: {missing}"),
        deadline,
        now,
    )
}
