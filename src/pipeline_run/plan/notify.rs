//! Tells people what became of a run, also once that is over. No I/O.
//!
//! A message is on record with the status that says what it is about, and made from that when it is sent.

use super::super::api::RunPhase;
use super::super::notify;
use super::Draft;
use crate::model::action::Action;
use crate::outbox::Outbox;
use crate::pipeline::api::RunEvent;

impl Draft<'_> {
    /// Puts what people are to hear on record, and sends what is due, when there is nothing more urgent.
    pub(super) fn notify(&mut self) {
        if self.seen.is_deleted {
            return;
        }
        let events = self.events();
        if events.is_empty() && self.next.notifications.is_empty() {
            return;
        }
        let mut outbox = Outbox::new(std::mem::take(&mut self.next.notifications));
        // Whoever may open a pull request is not to page anybody, nor is who tries its run again.
        let is_proposal = self.seen.spec.pull_number().is_some();
        let receivers = notify::receivers(self.seen).iter();
        for receiver in receivers.filter(|receiver| !(is_proposal && receiver.is_paged())) {
            for event in &events {
                if receiver.hears(*event, event.severity()) {
                    let key = notify::key(&receiver.name, *event);
                    outbox.keep(&key, &receiver.name, event.as_str());
                }
            }
        }
        while self.actions.is_empty() {
            let Some(entry) = outbox.due(self.now).cloned() else {
                break;
            };
            match notify::request(self.seen, &self.next, &entry) {
                Ok(request) => self.actions.push(Action::Fetch {
                    key: entry.key,
                    request,
                }),
                Err(why) => outbox.give_up(&entry.key, &why),
            }
        }
        if let Some(at) = outbox.next_at(self.now) {
            self.wake_at(at);
        }
        self.next.notifications = outbox.entries().to_vec();
    }

    /// What people hear of with this plan: that it ends is told with the plan that ends it, and not by one that finds it over,
    /// for that may have been long ago.
    fn events(&self) -> Vec<RunEvent> {
        let before = self.seen.status.phase.unwrap_or_default();
        let phase = self.next.phase.unwrap_or_default();
        // Of what a few stages say nothing follows for the commit.
        if before.is_finished() || !self.seen.spec.stages.is_empty() {
            return Vec::new();
        }
        match phase {
            RunPhase::Queued if self.awaits_approval() => vec![RunEvent::ApprovalNeeded],
            RunPhase::Failed | RunPhase::TimedOut => vec![RunEvent::RunFailed],
            RunPhase::Succeeded => {
                let mut events = vec![RunEvent::RunSucceeded];
                if self.seen.branch.had_failed {
                    events.push(RunEvent::RunRecovered);
                }
                if self.next.release.is_some() {
                    events.push(RunEvent::ReleaseMade);
                }
                events
            }
            RunPhase::Queued | RunPhase::Running | RunPhase::Cancelled => Vec::new(),
        }
    }

    fn awaits_approval(&self) -> bool {
        let needs = self.seen.spec.trigger.needs_approval == Some(true);
        needs && self.seen.answer.is_none() && self.next.started_at.is_none()
    }
}
