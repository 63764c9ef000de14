//! When each object's questions were last answered: what makes polling possible without a status write.
//!
//! A plan asks with `Action::Fetch`. An answer that changes nothing leaves no trace in the status, so the
//! driver notes here that it came, and `observe` hands that on as data: the planner stays pure and asks
//! again when its interval has passed. Nothing is kept beyond the process: after a restart everything is
//! due at once. Of some questions the answer itself is kept as well, because what a status says of it may wait for its turn
//! and can be made again from it. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::model::action::{Answer, Reply};
use crate::model::key::Key;
use crate::model::object::ObjectKind;

/// Questions that are remembered per object, more than any asks again and again: an Environment about ten SLOs and fifty previews.
/// The oldest answers are forgotten first.
const KEPT: usize = 160;
/// Bytes of answers that are kept per object, and from how many on an answer counts as large. Of large ones the oldest are forgotten
/// first, and the newest never: what somebody pushes to a registry is not to fill the memory.
const KEPT_BYTES: usize = 2 << 20;
const LARGE: usize = 64 << 10;

type Answers = HashMap<(ObjectKind, Key), BTreeMap<String, Answered>>;

/// A question that was answered.
#[derive(Debug)]
enum Answered {
    /// When, and no more.
    At(Timestamp),
    /// With an answer that is kept.
    With(Arc<Answer>),
}

impl Answered {
    fn new(at: Timestamp, reply: Option<Result<Reply, String>>) -> Self {
        match reply {
            Some(reply) => Self::With(Arc::new(Answer { at, reply })),
            None => Self::At(at),
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::At(at) => *at,
            Self::With(answer) => answer.at,
        }
    }

    fn kept(&self) -> Option<&Arc<Answer>> {
        match self {
            Self::At(_) => None,
            Self::With(answer) => Some(answer),
        }
    }

    fn size(&self) -> usize {
        match self.kept().map(|answer| &answer.reply) {
            Some(Ok(reply)) => reply.body.len(),
            Some(Err(problem)) => problem.len(),
            None => 0,
        }
    }
}

/// When questions were last answered. Cloning clones the handle.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<Mutex<Answers>>);

impl Asked {
    /// When this question of an object was last answered by this process, with an answer or an error.
    pub fn at(&self, kind: ObjectKind, key: &Key, question: &str) -> Option<Timestamp> {
        let answers = self.answers();
        let answered = answers.get(&(kind, key.clone()))?.get(question)?;
        Some(answered.at())
    }

    /// Every question of an object that was answered, and when.
    pub fn times(&self, kind: ObjectKind, key: &Key) -> BTreeMap<String, Timestamp> {
        let answers = self.answers();
        let of_it = answers.get(&(kind, key.clone())).into_iter().flatten();
        of_it
            .map(|(question, answered)| (question.clone(), answered.at()))
            .collect()
    }

    /// The answers to questions of an object that are kept. Nothing of them is copied.
    pub fn kept(&self, kind: ObjectKind, key: &Key) -> BTreeMap<String, Arc<Answer>> {
        let answers = self.answers();
        let of_it = answers.get(&(kind, key.clone())).into_iter().flatten();
        of_it
            .filter_map(|(question, answered)| {
                Some((question.clone(), Arc::clone(answered.kept()?)))
            })
            .collect()
    }

    /// Notes that questions were answered, and that what they changed is on record; with the answers that are kept.
    pub fn note(
        &self,
        kind: ObjectKind,
        key: &Key,
        questions: impl Iterator<Item = (String, Option<Result<Reply, String>>)>,
        at: Timestamp,
    ) {
        let mut answers = self.answers();
        let mut questions = questions.peekable();
        if questions.peek().is_none() {
            return;
        }
        let known = answers.entry((kind, key.clone())).or_default();
        known.extend(questions.map(|(question, reply)| (question, Answered::new(at, reply))));
        while known.len() > KEPT {
            let Some(oldest) = oldest(known.iter()) else {
                break;
            };
            known.remove(&oldest);
        }
        while known.values().map(Answered::size).sum::<usize>() > KEPT_BYTES {
            let large: Vec<_> = known
                .iter()
                .filter(|(_, answered)| answered.size() > LARGE)
                .collect();
            let is_alone = large.len() < 2;
            let Some(oldest) = oldest(large.into_iter()).filter(|_| !is_alone) else {
                break;
            };
            known.remove(&oldest);
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, kind: ObjectKind, key: &Key) {
        self.answers().remove(&(kind, key.clone()));
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The question whose answer is the oldest.
fn oldest<'a>(known: impl Iterator<Item = (&'a String, &'a Answered)>) -> Option<String> {
    let oldest = known.min_by_key(|(_, answered)| answered.at());
    oldest.map(|(question, _)| question.clone())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const KIND: ObjectKind = ObjectKind::Pipeline;

    #[test]
    fn an_answer_is_remembered_until_the_object_is_gone() {
        let (asked, key, now) = (Asked::default(), Key::new("ns", "a"), Timestamp::UNIX_EPOCH);
        asked.note(KIND, &key, [("head".to_owned(), None)].into_iter(), now);
        assert_eq!(asked.at(KIND, &key, "head"), Some(now));
        assert_eq!(asked.at(KIND, &key, "other"), None);
        assert_eq!(asked.at(KIND, &Key::new("ns", "b"), "head"), None);
        asked.forget(KIND, &key);
        assert_eq!(asked.at(KIND, &key, "head"), None);
    }

    #[test]
    fn an_answer_that_is_kept_is_shared_by_all_who_look_at_it() {
        let (asked, key, now) = (Asked::default(), Key::new("ns", "a"), Timestamp::UNIX_EPOCH);
        let body = vec![b'x'; LARGE];
        let reply = Ok(Reply { status: 200, body });
        let answers = [("large".to_owned(), Some(reply)), ("head".to_owned(), None)];
        asked.note(KIND, &key, answers.into_iter(), now);
        let look = || asked.kept(KIND, &key);
        let (first, second) = (look(), look());
        assert!(Arc::ptr_eq(&first["large"], &second["large"]));
        assert_eq!(first.len(), 1, "of others only the time is known");
        let times = asked.times(KIND, &key);
        assert_eq!(times.into_keys().collect::<Vec<_>>(), ["head", "large"]);
    }

    #[test]
    fn the_oldest_answers_are_forgotten_first() {
        let (asked, key) = (Asked::default(), Key::new("ns", "a"));
        for number in 0..200 {
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(number);
            asked.note(KIND, &key, [(number.to_string(), None)].into_iter(), at);
        }
        assert_eq!(asked.at(KIND, &key, "39"), None);
        assert!(asked.at(KIND, &key, "40").is_some());
        assert!(asked.at(KIND, &key, "199").is_some());
    }

    #[test]
    fn large_answers_are_forgotten_before_they_fill_the_memory_and_small_ones_stay() {
        let (asked, key) = (Asked::default(), Key::new("ns", "a"));
        let note = |question: &str, size: usize, second: i64| {
            let body = vec![b'x'; size];
            let reply = Ok(Reply { status: 200, body });
            let answer = [(question.to_owned(), Some(reply))];
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
            asked.note(KIND, &key, answer.into_iter(), at);
        };
        note("small", 1 << 10, 0);
        for number in 1..=20 {
            note(&number.to_string(), 256 << 10, number);
        }
        let kept = asked.kept(KIND, &key);
        let size = |answer: &Arc<Answer>| answer.reply.as_ref().map_or(0, |reply| reply.body.len());
        assert!(kept.values().map(size).sum::<usize>() <= KEPT_BYTES);
        assert!(kept.contains_key("small") && kept.contains_key("20"));
        assert!(!kept.contains_key("1") && kept.len() > 5);
        note("huge", 3 << 20, 21);
        assert!(
            asked.at(KIND, &key, "huge").is_some(),
            "or it were asked again at once"
        );
    }
}
