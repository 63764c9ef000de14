//! The outbox: everything that leaves the cluster, sent at least once, deduplicated, retried, visible.
//!
//! An entry is a key, a receiver and how far it is; the message itself is made from records when it is
//! sent. The driver writes the status, and with it a new entry, before it runs the actions, so a message
//! is on record before it is sent, and a crash in between sends it again under the same key. No I/O.

pub mod api;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::model::action::Reply;
use crate::model::text::truncate;
use api::{OutboxEntry, OutboxState};

/// Entries that are kept: of two events for every receiver that there may be, with room to spare.
pub const CAP: usize = 40;
/// Entries that there may be while all of them are still to be sent.
pub const MOST: usize = 128;
/// Tries before a message is given up: with the delays below, about five hours.
const TRIES: u32 = 15;
/// First delay after a failed try.
const BASE: SignedDuration = SignedDuration::from_secs(5);
/// Longest delay.
const LONGEST: SignedDuration = SignedDuration::from_mins(30);

/// Messages, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outbox(Vec<OutboxEntry>);

impl Outbox {
    /// The outbox as it stands in a status.
    pub fn new(entries: Vec<OutboxEntry>) -> Self {
        Self(entries)
    }

    /// As it goes back into the status.
    pub fn entries(&self) -> &[OutboxEntry] {
        &self.0
    }

    /// Whether a message is there, however far it is.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|entry| entry.key == key)
    }

    /// Adds a message, unless it is there. The oldest that are over make room for it. One that is still to be sent does not,
    /// before there are so many that receivers do not get them any more.
    pub fn add(&mut self, key: &str, sink: &str) {
        if self.has(key) {
            return;
        }
        self.0.push(OutboxEntry {
            key: key.to_owned(),
            sink: sink.to_owned(),
            content: None,
            state: OutboxState::Pending,
            attempts: 0,
            next_at: None,
            last_error: None,
        });
        while self.0.len() > CAP {
            let mut entries = self.0.iter();
            let over = entries.position(|entry| entry.state != OutboxState::Pending);
            match over {
                Some(over) => self.0.remove(over),
                None if self.0.len() > MOST => self.0.remove(0),
                None => break,
            };
        }
    }

    /// Keeps a receiver up to date about one thing: what it was told of it last is on record, and it is told again when
    /// that is not so any more. None of these makes room for others; who keeps them bounds their number.
    pub fn keep(&mut self, key: &str, sink: &str, content: &str) {
        let known = self.0.iter_mut().find(|entry| entry.key == key);
        let fresh = OutboxEntry {
            key: key.to_owned(),
            sink: sink.to_owned(),
            content: Some(content.to_owned()),
            state: OutboxState::Pending,
            attempts: 0,
            next_at: None,
            last_error: None,
        };
        match known {
            None => self.0.push(fresh),
            Some(entry) if entry.content.as_deref() != Some(content) => *entry = fresh,
            Some(_) => {}
        }
    }

    /// The message that is to be sent now.
    pub fn due(&self, now: Timestamp) -> Option<&OutboxEntry> {
        self.all_due(now).next()
    }

    /// All messages that are to be sent now, oldest first.
    pub fn all_due(&self, now: Timestamp) -> impl Iterator<Item = &OutboxEntry> {
        self.pending().filter(move |entry| {
            let next = entry.next_at.as_ref();
            next.is_none_or(|next| next.0 <= now)
        })
    }

    /// When the next message is to be sent that is not due yet.
    pub fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self
            .pending()
            .filter_map(|entry| Some(entry.next_at.as_ref()?.0));
        next.filter(|next| *next > now).min()
    }

    fn pending(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.0
            .iter()
            .filter(|entry| entry.state == OutboxState::Pending)
    }

    /// Takes in what became of a try.
    pub fn record(&mut self, key: &str, reply: &Result<Reply, String>, now: Timestamp) {
        let result = match reply {
            Ok(reply) if (200..300).contains(&reply.status) => Ok(()),
            Ok(reply) => Err(format!("the receiver answered {}", reply.status)),
            Err(error) => Err(error.clone()),
        };
        self.settle(key, result, now);
    }

    /// The same of a try whose answer was read: the error says why the receiver does not have the message.
    pub fn settle(&mut self, key: &str, result: Result<(), String>, now: Timestamp) {
        let problem = result.err();
        let Some(entry) = self.0.iter_mut().find(|entry| entry.key == key) else {
            return;
        };
        entry.attempts += 1;
        entry.next_at = None;
        match &problem {
            None => entry.state = OutboxState::Sent,
            Some(_) if entry.attempts >= TRIES => entry.state = OutboxState::Failed,
            Some(_) => entry.next_at = Some(Time(later(now, entry.attempts))),
        }
        entry.last_error = problem.map(|problem| truncate(&problem, 512).to_owned());
    }

    /// Takes back a message that nobody is to get any more, if it has not arrived.
    pub fn take_back(&mut self, key: &str) {
        self.0
            .retain(|entry| entry.key != key || entry.state != OutboxState::Pending);
    }

    /// A message that cannot be sent any more, and why.
    pub fn give_up(&mut self, key: &str, why: &str) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.key == key) {
            entry.state = OutboxState::Failed;
            entry.next_at = None;
            entry.last_error = Some(why.to_owned());
        }
    }
}

/// When something is tried again that was tried in vain so often.
pub fn later(now: Timestamp, attempts: u32) -> Timestamp {
    let factor = 1_i32 << attempts.saturating_sub(1).min(20);
    let delay = BASE.checked_mul(factor).unwrap_or(LONGEST).min(LONGEST);
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[expect(clippy::unnecessary_wraps, reason = "as the shell hands it on")]
    fn reply(status: u16) -> Result<Reply, String> {
        let body = Vec::new();
        Ok(Reply { status, body })
    }

    #[test]
    fn the_same_message_is_kept_once() {
        let mut outbox = Outbox::default();
        outbox.add("a", "team");
        outbox.record("a", &reply(200), NOW);
        outbox.add("a", "team");
        assert_eq!(outbox.entries().len(), 1);
        assert_eq!(outbox.due(NOW), None);
    }

    #[test]
    fn a_refused_message_is_sent_again_later_and_later() {
        let mut outbox = Outbox::default();
        outbox.add("a", "team");
        outbox.record("a", &reply(503), NOW);
        assert_eq!(outbox.due(NOW), None);
        let second = outbox.next_at(NOW).unwrap();
        assert_eq!(second, NOW + BASE);
        assert_eq!(outbox.due(second).unwrap().key, "a");
        outbox.record("a", &Err("no answer".into()), second);
        assert_eq!(outbox.next_at(second), Some(second + BASE * 2));
        let entry = &outbox.entries()[0];
        assert_eq!(entry.last_error.as_deref(), Some("no answer"));
    }

    #[test]
    fn a_message_is_given_up_in_the_end() {
        let mut outbox = Outbox::default();
        outbox.add("a", "team");
        for _ in 0..TRIES {
            outbox.record("a", &reply(500), NOW);
        }
        assert_eq!(outbox.entries()[0].state, OutboxState::Failed);
        assert_eq!(outbox.next_at(NOW), None);
    }

    #[test]
    fn what_is_over_makes_room_first() {
        let mut outbox = Outbox::default();
        for number in 0..CAP {
            outbox.add(&number.to_string(), "team");
        }
        outbox.record("7", &reply(200), NOW);
        outbox.add("new", "team");
        let keys: Vec<&str> = outbox
            .entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(keys.len(), CAP);
        assert!(!keys.contains(&"7") && keys.contains(&"0") && keys.contains(&"new"));
    }

    #[test]
    fn what_is_still_to_be_sent_makes_no_room_before_there_is_too_much_of_it() {
        let mut outbox = Outbox::default();
        for number in 0..MOST {
            outbox.add(&number.to_string(), "team");
        }
        assert_eq!(outbox.entries().len(), MOST);
        assert_eq!(outbox.entries()[0].key, "0");
        outbox.add("new", "team");
        let (first, last) = (&outbox.entries()[0], &outbox.entries()[MOST - 1]);
        assert_eq!((first.key.as_str(), last.key.as_str()), ("1", "new"));
        for number in 0..MOST {
            outbox.record(&number.to_string(), &reply(200), NOW);
        }
        outbox.add("newer", "team");
        assert_eq!(outbox.entries().len(), CAP);
        assert_eq!(outbox.due(NOW).unwrap().key, "new");
    }

    #[test]
    fn what_is_kept_up_to_date_is_sent_again_when_it_changes_and_only_then() {
        let mut outbox = Outbox::default();
        outbox.keep("unit", "provider", "running");
        outbox.record("unit", &reply(500), NOW);
        outbox.keep("unit", "provider", "running");
        assert_eq!(outbox.due(NOW), None, "what is refused waits");
        outbox.keep("unit", "provider", "passed");
        assert_eq!(outbox.due(NOW).unwrap().attempts, 0, "news does not");
        outbox.record("unit", &reply(201), NOW);
        outbox.keep("unit", "provider", "passed");
        assert_eq!(outbox.entries()[0].state, OutboxState::Sent);
        outbox.keep("unit", "provider", "failed");
        assert_eq!(outbox.entries().len(), 1);
        assert_eq!(outbox.due(NOW).unwrap().key, "unit");
    }

    proptest! {
        /// Whatever the receiver does, a message is due, waits for a time that is to come, or is over.
        #[test]
        fn no_message_is_forgotten(codes in proptest::collection::vec(prop_oneof![Just(200_u16), Just(404), Just(500)], 0..30)) {
            let mut outbox = Outbox::default();
            let mut now = NOW;
            outbox.add("a", "team");
            for code in codes {
                if outbox.due(now).is_some() {
                    outbox.record("a", &reply(code), now);
                }
                match outbox.next_at(now) {
                    Some(next) => {
                        prop_assert!(next > now && next <= now + LONGEST);
                        now = next;
                    }
                    None => prop_assert!(outbox.entries()[0].state != OutboxState::Pending || outbox.due(now).is_some()),
                }
            }
        }
    }
}
