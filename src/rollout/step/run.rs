//! `run`: done when its Job has passed. No I/O.

use jiff::Timestamp;

use super::Progress;
use crate::check::Outcome;
use crate::rollout::api::FailureReason;

/// Whether the hook has passed. Without an outcome, its Job is being made.
pub fn advance(
    name: &str,
    outcome: Option<&Outcome>,
    deadline: Timestamp,
    now: Timestamp,
) -> Progress {
    let fail = |message: String| Progress::Failed {
        reason: FailureReason::HookFailed,
        message,
    };
    match outcome {
        Some(Outcome::Passed) => Progress::Done,
        // A hook may have done half of what it does: what is lost is not begun again.
        Some(Outcome::Failed(why) | Outcome::Stuck(why) | Outcome::Lost(why)) => {
            fail(format!("hook {name}: {why}"))
        }
        Some(Outcome::Running) | None if now >= deadline => fail(format!(
            "hook {name} did not end in time; look at its Job and the Job controller"
        )),
        Some(Outcome::Running) | None => Progress::Wait {
            for_what: format!("running hook {name}"),
            until: Some(deadline),
        },
    }
}
