//! Conditions as kstatus reads them: `Ready` always there, abnormal ones only while they hold. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::action::Outcome;
use super::text::truncate;

/// Abnormal: what a plan wanted to do did not succeed; the message says why.
pub const ACTION_FAILED: &str = "ActionFailed";
/// Longest message of a condition, in bytes.
pub const MAX_MESSAGE: usize = 1024;

/// Builds the conditions of a status from scratch, keeping the transition times of what did not change.
#[derive(Debug)]
pub struct Conditions<'a> {
    before: &'a [Condition],
    generation: i64,
    now: Timestamp,
    after: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// Starts from the conditions of the previous status.
    pub fn new(before: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self {
            before,
            generation,
            now,
            after: Vec::new(),
        }
    }

    /// Sets a condition that is always shown.
    #[must_use]
    pub fn set(mut self, type_: &str, is_true: bool, reason: &str, message: &str) -> Self {
        let status = if is_true { "True" } else { "False" };
        let since = self
            .before
            .iter()
            .find(|old| old.type_ == type_ && old.status == status)
            .map_or_else(|| Time(self.now), |old| old.last_transition_time.clone());
        self.after.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: truncate(message, MAX_MESSAGE).to_owned(),
            observed_generation: Some(self.generation),
            last_transition_time: since,
        });
        self
    }

    /// Sets a condition that is shown only while it is true.
    #[must_use]
    pub fn set_if(self, type_: &str, is_true: bool, reason: &str, message: &str) -> Self {
        if is_true {
            self.set(type_, true, reason, message)
        } else {
            self
        }
    }

    /// Sets what is shown while an action that failed was not done yet, for every kind the same: the driver reads it.
    #[must_use]
    pub fn set_failure(self, outcome: &Outcome) -> Self {
        let failure = outcome.failure.as_deref();
        let said = failure.unwrap_or_default();
        self.set_if(ACTION_FAILED, failure.is_some(), ACTION_FAILED, said)
    }

    /// The conditions, in the order in which they were set.
    pub fn build(self) -> Vec<Condition> {
        self.after
    }
}

/// The condition, if it is there.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    let mut conditions = conditions.iter();
    conditions.find(|condition| condition.type_ == type_)
}

/// Whether the condition is there and true.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|found| found.status == "True")
}

/// Since when the condition has been true, if it is.
pub fn true_since(conditions: &[Condition], type_: &str) -> Option<Timestamp> {
    let found = find(conditions, type_)?;
    (found.status == "True").then_some(found.last_transition_time.0)
}

/// Since when the condition has been false, if it is.
pub fn false_since(conditions: &[Condition], type_: &str) -> Option<Timestamp> {
    let found = find(conditions, type_)?;
    (found.status == "False").then_some(found.last_transition_time.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let later = NOW + jiff::SignedDuration::from_secs(60);
        let first = Conditions::new(&[], 1, NOW)
            .set("Ready", true, "A", "a")
            .build();
        let same = Conditions::new(&first, 2, later)
            .set("Ready", true, "B", "b")
            .build();
        assert_eq!(same[0].last_transition_time, Time(NOW));
        assert_eq!(same[0].observed_generation, Some(2));
        let flipped = Conditions::new(&same, 2, later)
            .set("Ready", false, "B", "b")
            .build();
        assert_eq!(flipped[0].last_transition_time, Time(later));
    }
}
