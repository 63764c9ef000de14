//! Which part of a status is written at once, and when the rest of it is. No I/O.
//!
//! Every pod that becomes ready changes a number and a sentence, and each write of them costs the API server
//! more than the whole plan costs us. What no plan stands on waits until there is something else to write, but
//! not for long: people look at it. See docs/adr/0024.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::key::Key;

/// How long a change that only informs waits for others: what happens to a Rollout comes in bursts that are
/// shorter, and people do not look more often.
const PACE: SignedDuration = SignedDuration::from_secs(1);
/// What each object that waits adds to that, so that all of them together write about ten times a second:
/// hundreds that move at once share one API server, and what matters of each is written several times meanwhile.
const SHARE: SignedDuration = SignedDuration::from_millis(100);
/// Longest wait, however many there are: a number that is older helps nobody.
const LONGEST: SignedDuration = SignedDuration::from_secs(30);

/// How a status differs from the one on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Not at all.
    None,
    /// In what informs people, and nothing else.
    Rest,
    /// In what is written at once.
    Essence,
}

impl Difference {
    /// The difference between two statuses, of which `has_same_essence` tells whether it may wait.
    pub(super) fn between(
        on_record: &Value,
        status: &Value,
        has_same_essence: impl Fn(&Value, &Value) -> bool,
    ) -> Self {
        if on_record == status {
            Self::None
        } else if has_same_essence(on_record, status) {
            Self::Rest
        } else {
            Self::Essence
        }
    }
}

/// Objects of one kind whose status has something to say that may wait, and until when it does.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<Key, Timestamp>>);

impl Pace {
    /// Until when the rest of this object's status waits: the same answer until it is written.
    pub(super) fn due(&self, key: &Key, now: Timestamp) -> Timestamp {
        let mut waiting = self.waiting();
        let count = i32::try_from(waiting.len()).unwrap_or(i32::MAX);
        let wait = SHARE.saturating_mul(count).clamp(PACE, LONGEST);
        let due = waiting.entry(key.clone()).or_insert_with(|| now + wait);
        // Of a clock that went back, too, nobody waits longer than that.
        *due = (*due).min(now + LONGEST);
        *due
    }

    /// Nothing waits any longer: everything is on record, or the object is gone.
    pub(super) fn settled(&self, key: &Key) {
        self.waiting().remove(key);
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn key(number: i32) -> Key {
        Key::new("ns", number.to_string())
    }

    #[test]
    fn what_may_wait_waits_for_a_second_once() {
        let pace = Pace::default();
        assert_eq!(pace.due(&key(1), NOW), NOW + PACE);
        // Another look in the meantime does not put it off.
        assert_eq!(pace.due(&key(1), NOW + PACE / 2), NOW + PACE);
        assert_eq!(pace.due(&key(1), NOW + PACE), NOW + PACE);
    }

    #[test]
    fn what_comes_after_a_write_waits_anew() {
        let pace = Pace::default();
        pace.due(&key(1), NOW);
        pace.settled(&key(1));
        assert!(pace.waiting().is_empty());
        let later = NOW + PACE * 3;
        assert_eq!(pace.due(&key(1), later), later + PACE);
    }

    #[test]
    fn many_that_wait_share_the_server_and_none_waits_for_ever() {
        let pace = Pace::default();
        let wait = |number| pace.due(&key(number), NOW).duration_since(NOW);
        let waits: Vec<_> = (0..1000).map(wait).collect();
        assert_eq!(waits[9], PACE);
        assert_eq!(waits[100], SignedDuration::from_secs(10));
        assert_eq!(waits[999], LONGEST);
        assert!(waits.is_sorted());
    }

    #[test]
    fn a_clock_that_goes_back_holds_nothing_up() {
        let pace = Pace::default();
        pace.due(&key(1), NOW);
        let before = NOW - SignedDuration::from_hours(1);
        assert_eq!(pace.due(&key(1), before), before + LONGEST);
    }

    #[test]
    fn a_status_differs_in_its_essence_in_the_rest_or_not_at_all() {
        let status = |phase: &str, message: &str| json!({"phase": phase, "message": message});
        let is_same = |one: &Value, other: &Value| one["phase"] == other["phase"];
        let before = status("Progressing", "1 of 4");
        let difference = |after| Difference::between(&before, &after, is_same);
        assert_eq!(
            difference(status("Progressing", "1 of 4")),
            Difference::None
        );
        assert_eq!(
            difference(status("Progressing", "2 of 4")),
            Difference::Rest
        );
        assert_eq!(difference(status("Healthy", "1 of 4")), Difference::Essence);
    }
}
