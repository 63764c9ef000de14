//! `approve`: done when enough people have said so. No I/O.

use super::Progress;

/// Whether enough people have approved. `rollout` is the name that a Decision has to name.
pub fn advance(users: &[String], required: usize, groups: &[String], rollout: &str) -> Progress {
    let have = users.len();
    if have >= required {
        return Progress::Done;
    }
    let by = if users.is_empty() {
        String::new()
    } else {
        format!(" ({})", users.join(", "))
    };
    let whose = if groups.is_empty() {
        String::new()
    } else {
        format!(" in the name of {}", groups.join(" or "))
    };
    Progress::Wait {
        for_what: format!(
            "{have} of {required} approvals{by}; a Decision Approve on Rollout {rollout}{whose} adds one"
        ),
        until: None,
    }
}
