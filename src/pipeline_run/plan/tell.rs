//! Keeps the provider of the repository up to date about a run, also once that is over. No I/O.

use super::super::tell;
use super::{Draft, LOOK_AGAIN};
use crate::model::action::Action;
use crate::outbox::Outbox;

/// Messages that are sent at the same time: providers refuse those who ask too much at once.
const AT_ONCE: usize = 8;

impl Draft<'_> {
    /// Puts what is to be told on record, and sends what is due, when there is nothing more urgent: a slow provider holds up
    /// nobody.
    pub(super) fn tell(&mut self) {
        let Some(spec) = tell::spec_of(self.seen, &self.next) else {
            return;
        };
        if self.seen.is_deleted || !tell::tells(self.seen, spec) {
            return;
        }
        let mut outbox = Outbox::new(std::mem::take(&mut self.next.outbox));
        let news = tell::news(self.seen, spec, &self.next);
        // What is said of a run that was over before follows from what came after it, and is no news of it.
        let was_over = self.seen.status.phase.unwrap_or_default().is_finished();
        for (key, content) in &news {
            if !(was_over && outbox.has(key)) {
                outbox.keep(key, tell::SINK, content);
            }
        }
        // A newer run of the pull request has the word then.
        if !news.iter().any(|(key, _)| key == tell::COMMENT) {
            outbox.take_back(tell::COMMENT);
        }
        if self.actions.is_empty() {
            for entry in outbox.all_due(self.now).take(AT_ONCE) {
                if let Some(request) = tell::request(self.seen, &self.next, &entry.key) {
                    let key = entry.key.clone();
                    self.actions.push(Action::Fetch { key, request });
                }
            }
        }
        if let Some(at) = outbox.next_at(self.now) {
            self.wake_at(at);
        }
        // What the certificate of the provider is checked against may come any time, and no event tells of it.
        if self.actions.is_empty() && outbox.due(self.now).is_some() {
            self.wake_at(self.now + LOOK_AGAIN);
        }
        self.next.outbox = outbox.entries().to_vec();
    }
}
