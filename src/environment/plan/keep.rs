//! Keeping the records: writing again what was lost, pruning what is too many, sending what is due. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{Deployed, NotificationEvent};
use super::super::observed::Bound;
use super::super::{notify, render};
use super::Draft;
use super::contract::gave_way;
use super::history::Entry;
use super::migrated::STUCK;
use super::ruling::{SLIPWAY, WISH_VALID_FOR, wished_until};
use crate::model::action::Action;
use crate::model::json::set;
use crate::model::span::later;
use crate::promotion::api::{PromotionKind, PromotionPhase, PromotionSpec};
use crate::promotion::{audit, incident};

/// Reason of a record whose status was lost.
pub(super) use crate::promotion::api::LOST;

impl<'a> Draft<'a> {
    /// Writes records again that were lost. Nothing else is done before they are there.
    pub(super) fn restore(&mut self) -> bool {
        self.restore_records();
        let lost: Vec<Entry<'a>> = self
            .history
            .all()
            .filter(|e| e.is_recovered)
            .copied()
            .collect();
        for entry in lost {
            let (now, phase) = (self.now, entry.phase);
            self.write(&entry, |status| {
                let text = format!("the status was lost; by all that is known it was {phase}");
                audit::append(&mut status.audit, now, SLIPWAY, &text);
                status.phase = Some(phase);
                status.reason = Some(LOST.to_owned());
                status.message = Some(text);
                status.started_at = entry.started_at.map(Time);
                status.finished_at = entry.finished_at.map(Time);
            });
        }
        if self.was_wiped() {
            self.announce_again();
            self.announce_incidents_again();
        }
        !self.actions.is_empty()
    }

    /// What the status says runs has a Promotion. One that somebody deleted is made again, as the last one.
    fn restore_records(&mut self) {
        let number = self.seen.next_number();
        let status = &self.seen.status;
        let named = status.current.iter().chain(&status.desired);
        let lost = named
            .into_iter()
            .find(|named| !self.seen.taken.contains(&named.promotion));
        if let Some(lost) = lost {
            let spec = PromotionSpec {
                // It becomes the last one, and so says what is worn.
                templates: status.templates.clone(),
                ..spec_of(&self.seen.key.name, lost, number)
            };
            let mut manifest = render::promotion(self.seen, &spec);
            manifest.key.name.clone_from(&lost.promotion);
            let path = ["metadata", "name"];
            set(&mut manifest.body, &path, lost.promotion.as_str());
            self.actions.push(Action::Create(manifest));
        }
    }

    /// Whether the Environment's own status was lost while Promotions know more.
    fn was_wiped(&self) -> bool {
        let status = &self.seen.status;
        status
            .observed_generation
            .is_none_or(|generation| generation < 0)
            && status.conditions.is_empty()
    }

    /// Messages that may have been lost with the status are sent again, under the same keys.
    fn announce_again(&mut self) {
        let Some(last) = self.history.last() else {
            return;
        };
        let event = match (last.phase, last.record.spec.kind) {
            (PromotionPhase::Succeeded, PromotionKind::Promote | PromotionKind::Config) => {
                NotificationEvent::PromotionSucceeded
            }
            (PromotionPhase::Succeeded, PromotionKind::Rollback) => NotificationEvent::RolledBack,
            (PromotionPhase::Failed | PromotionPhase::RolledBack, _) => {
                NotificationEvent::PromotionFailed
            }
            (PromotionPhase::AwaitingApproval, _) => NotificationEvent::ApprovalNeeded,
            (
                PromotionPhase::Pending
                | PromotionPhase::Migrating
                | PromotionPhase::Promoting
                | PromotionPhase::Verifying
                | PromotionPhase::Superseded,
                _,
            )
            | (PromotionPhase::Succeeded, PromotionKind::Migrate | PromotionKind::Contract) => {
                return;
            }
        };
        let name = last.name();
        self.announce(event, name);
    }

    /// The same of incidents.
    fn announce_incidents_again(&mut self) {
        let all: Vec<Entry<'a>> = self.history.all().copied().collect();
        for entry in all {
            if let Some(open) = incident::open(&entry.record.status.incidents) {
                let about = format!("{}/{}", entry.name(), open.key);
                self.announce(NotificationEvent::IncidentOpened, &about);
            }
        }
    }

    /// When no status says what runs: a Rollout that may know, and that has not been looked at yet.
    pub(super) fn unknown_rollout(&self) -> Option<&'a str> {
        let unknown = |rollout: &&'a Bound| {
            let state = rollout.state.as_ref();
            state.is_some_and(|state| state.images.is_some() && !state.is_current)
        };
        let mut rollouts = self.seen.rollouts.iter().filter(|_| self.seen.is_blank());
        rollouts.find(unknown).map(|rollout| rollout.name.as_str())
    }

    /// Deletes finished Promotions beyond the limit, oldest first, but none that is still needed, or of which it is not written down yet
    /// what counts.
    pub(super) fn prune(&mut self) {
        let limit = usize::try_from(self.seen.spec.history.promotions).unwrap_or(usize::MAX);
        let entries = &self.history.entries;
        let finished = entries.iter().filter(|entry| entry.phase.is_finished());
        let beyond = finished.clone().count().saturating_sub(limit);
        let is_idle =
            |entry: &&Entry<'a>| !self.is_needed(entry) && self.fresh_line(entry).is_none();
        let first = finished.take(beyond).find(is_idle);
        if let Some(entry) = first {
            self.actions.push(Action::Delete {
                target: entry.record.target.clone(),
                orphan: false,
            });
        }
        self.prune_migrations(limit);
    }

    /// The same of records of migrations alone: the last is what tells how the database is.
    fn prune_migrations(&mut self, limit: usize) {
        let all = &self.history.migrations;
        let beyond = all.len().saturating_sub(limit);
        let last = self.last_started();
        let is_needed = |entry: &&Entry<'a>| {
            let spec = &entry.record.spec;
            // It shows that what the Release left to be removed was removed, or tried.
            let is_of_last = last
                .as_ref()
                .is_some_and(|last| last.release() == entry.release());
            let is_contract =
                spec.kind == PromotionKind::Contract && is_of_last && !gave_way(entry);
            let has_incident = incident::open(&entry.record.status.incidents).is_some();
            // People have to look first, and this is what tells them.
            let is_stuck = entry.record.status.reason.as_deref() == Some(STUCK)
                && self.rulings.of_all().is_some();
            let is_open = !entry.phase.is_finished() || self.answers_a_person(entry);
            is_open || is_contract || is_stuck || has_incident
        };
        if let Some(entry) = all.iter().take(beyond).find(|entry| !is_needed(entry)) {
            self.actions.push(Action::Delete {
                target: entry.record.target.clone(),
                orphan: false,
            });
        }
    }

    /// While its Decision is there and counts, a record is what shows that it was followed.
    fn answers_a_person(&self, entry: &Entry) -> bool {
        entry.record.spec.decision.as_ref().is_some_and(|decision| {
            let act = self.seen.decisions.iter().find(|act| act.name == *decision);
            act.is_some_and(|act| self.now < wished_until(act).max(later(act.at, WISH_VALID_FOR)))
        })
    }

    fn is_needed(&self, entry: &Entry) -> bool {
        let name = entry.name();
        let refers = |list: &[Deployed]| list.iter().any(|deployed| deployed.promotion == name);
        let pipeline = &entry.record.spec.pipeline;
        let is_way_back = self.history.started(pipeline).is_some_and(|last| {
            self.history
                .way_back(last)
                .is_some_and(|back| back.name() == name)
        });
        let holds = self.rulings.of(entry.release()).is_some()
            && self
                .history
                .last_of(entry.release())
                .is_some_and(|last| last.name() == name);
        let is_last = self.history.last().is_some_and(|last| last.name() == name);
        let is_used = refers(&self.history.desired(&self.order))
            || refers(&self.history.current(&self.order));
        let has_incident = incident::open(&entry.record.status.incidents).is_some();
        let counted_since = self.counted_since();
        // What it left to be removed is told by its record alone.
        let has_contract = || {
            let rules = self.seen.spec.migrations.as_ref();
            let last = self.last_started();
            let bearer = last.and_then(|last| self.bearer(&last));
            rules.is_some_and(|rules| rules.contract.is_some())
                && bearer.is_some_and(|bearer| bearer.name() == name)
        };
        let is_counted =
            counted_since.is_some_and(|since| entry.started_at.is_some_and(|at| at >= since));
        is_counted
            || is_last
            || is_way_back
            || holds
            || self.answers_a_person(entry)
            || is_used
            || has_incident
            || has_contract()
    }

    /// Sends the message that is due, when there is nothing more urgent: a slow receiver holds up nobody.
    pub(super) fn send(&mut self) {
        while self.actions.is_empty() {
            let Some(entry) = self.outbox.due(self.now).cloned() else {
                break;
            };
            match notify::request(self.seen, &entry) {
                Ok(request) => self.actions.push(Action::Fetch {
                    key: entry.key,
                    request,
                }),
                Err(why) => self.outbox.give_up(&entry.key, &why),
            }
        }
        if let Some(at) = self.outbox.next_at(self.now) {
            self.wake_at(at);
        }
    }
}

/// The record that must have been there for what the status says.
fn spec_of(environment: &str, deployed: &Deployed, number: u32) -> PromotionSpec {
    let attempt = deployed.promotion.rsplit('-').next();
    PromotionSpec {
        environment: environment.to_owned(),
        release: deployed.release.clone(),
        pipeline: deployed.pipeline.clone(),
        members: deployed.members.clone(),
        images: deployed.images.clone(),
        kind: PromotionKind::Promote,
        attempt: attempt.and_then(|text| text.parse().ok()).unwrap_or(1),
        requested_by: SLIPWAY.to_owned(),
        previous: None,
        number: Some(number),
        decision: None,
        commit: None,
        policy_hash: None,
        reason: None,
        version: None,
        templates: Vec::new(),
    }
}
