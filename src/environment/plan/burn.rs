//! What follows from the SLOs of an Environment: questions, rules, and the way back from a promotion that burns their
//! budgets. No I/O.
//!
//! A promotion that is under way ends as any other that fails. One that has ended stays as it is, and a Promotion of kind
//! `Rollback` takes it back, which has the reason on it. What came after it goes as well, since that was built on it; but
//! as long as such a promotion is under way, it may be the cure, and is waited for. A way back is the last that is started
//! then, and nothing from before a rollback is watched: so nothing goes back twice, and no way back is taken back.

use jiff::Timestamp;

use super::super::api::RollbackCause;
use super::super::observed::LiveRules;
use super::super::render;
use super::super::slo::{Blame, Slos, Watch};
use super::advance::Cause;
use super::candidate::Wish;
use super::history::Entry;
use super::{Draft, after};
use crate::model::action::Action;
use crate::model::json;
use crate::promotion::api::{IncidentSource, PromotionPhase};
use crate::promotion::incident;

/// Most promotions that are watched at once: each is a question about each SLO.
const MOST_WATCHED: usize = 8;

impl<'a> Draft<'a> {
    /// The promotions whose effect on the SLOs is watched, the last one first: while they are under way, and within
    /// `rollback.within` of their end. What started before one that failed, or before a rollback, is not any more.
    pub(super) fn watched(&self) -> Vec<Entry<'a>> {
        if self.seen.spec.slos.is_empty() {
            return Vec::new();
        }
        let started = self.history.entries.iter().rev();
        let started = started.filter(|entry| entry.started_at.is_some());
        started
            .take_while(|entry| !entry.is_rollback() && self.is_lively(entry))
            .take(MOST_WATCHED)
            .copied()
            .collect()
    }

    pub(super) fn last_started(&self) -> Option<Entry<'a>> {
        let mut entries = self.history.entries.iter().rev();
        entries.find(|entry| entry.started_at.is_some()).copied()
    }

    /// Whether a promotion is under way, or ended well and lately.
    pub(super) fn is_lively(&self, entry: &Entry) -> bool {
        match entry.phase {
            PromotionPhase::Promoting | PromotionPhase::Verifying => true,
            PromotionPhase::Succeeded => self.watch_ends(entry).is_some_and(|end| self.now < end),
            PromotionPhase::Pending
            | PromotionPhase::AwaitingApproval
            | PromotionPhase::Migrating
            | PromotionPhase::Failed
            | PromotionPhase::RolledBack
            | PromotionPhase::Superseded => false,
        }
    }

    fn watch_ends(&self, entry: &Entry) -> Option<Timestamp> {
        let within = self.seen.spec.rollback.within;
        Some(after(entry.finished_at?, within.into()))
    }

    /// Its SLOs, and the promotions that are watched.
    pub(super) fn slos(&self) -> Slos<'a> {
        let watches = self.watched().into_iter().filter_map(|entry| {
            let promotion = entry.name().to_owned();
            let since = entry.started_at?;
            Some(Watch { promotion, since })
        });
        let is_watchful = self
            .last_started()
            .is_some_and(|last| self.is_lively(&last));
        Slos::new(self.seen, watches.collect(), is_watchful)
    }

    /// Asks what is due: what was signed, and about the SLOs.
    pub(super) fn ask(&mut self) {
        self.actions.append(&mut self.gates.questions);
        if let Some(at) = self.gates.again_at {
            self.wake_at(at);
        }
        if self.seen.spec.slos.is_empty() {
            return;
        }
        let (questions, next) = self.slos().questions(self.now);
        self.actions.extend(questions);
        if let Some(next) = next {
            self.wake_at(next);
        }
        let watched = self.watched();
        let ends = watched.iter().filter_map(|entry| self.watch_ends(entry));
        if let Some(end) = ends.filter(|end| *end > self.now).min() {
            self.wake_at(end);
        }
    }

    /// Promotions that are to blame for a burn, where such a burn takes back.
    fn blames(&self) -> Vec<Blame> {
        let takes_back = self.seen.spec.rollback.on.contains(&RollbackCause::SLOBurn);
        let slos = self.slos();
        if !takes_back || slos.watches.is_empty() {
            return Vec::new();
        }
        let judged = slos.judge(&self.seen.answers, self.now);
        judged
            .into_iter()
            .filter_map(|judged| judged.blame)
            .collect()
    }

    /// Ends a promotion that is under way, and under which the budget of an SLO burns.
    pub(super) fn leave_for_burn(&mut self, entry: &Entry<'a>) -> bool {
        let mut blames = self.blames().into_iter();
        let Some(blame) = blames.find(|blame| blame.promotion == entry.name()) else {
            return false;
        };
        let steps = entry.record.status.steps.clone();
        let cause = Cause::By(RollbackCause::SLOBurn);
        self.fail(entry, steps, cause, &blame.because);
        true
    }

    /// The way back from the first promotion that has ended, and since which the budget of an SLO burns; and from what
    /// came after it.
    pub(super) fn burn_wish(&mut self) -> Option<Wish> {
        let watched = self.watched();
        let is_over = watched.first().is_some_and(|last| last.phase.is_finished());
        let blames = self.blames();
        let of = |entry: &Entry| {
            let mut blames = blames.iter();
            blames.find(|blame| blame.promotion == entry.name())
        };
        let mut first = watched.iter().rev().filter(|_| is_over);
        let (from, blame) = first.find_map(|entry| Some((entry, of(entry)?)))?;
        let left = self.history.started(&from.record.spec.pipeline)?;
        let to = self.history.way_back(from);
        let is_other = |to: &&Entry| to.images() != left.images() || to.has_other_templates(left);
        let Some(to) = to.filter(is_other) else {
            let text = format!(
                "{} burns the budget of an SLO, and there is no earlier good Release to go back to",
                from.release()
            );
            self.notice(text);
            return None;
        };
        let cause = RollbackCause::SLOBurn;
        let incident = |reason: &str| {
            incident::Cause::new(cause.as_str(), IncidentSource::SLOBurn, reason, self.now)
        };
        let because = (cause, blame.because.as_str());
        Some(Wish::taking_back(
            from,
            because,
            (to, left.release()),
            incident,
        ))
    }

    /// Keeps the object that has the rules as it should be, and no other.
    pub(super) fn keep_rules(&mut self) {
        let Some(rules) = &self.seen.rules else {
            return;
        };
        let wanted = render::rules(self.seen, rules.kind);
        let own = wanted
            .as_ref()
            .map(|wanted| (wanted.kind, wanted.key.clone()));
        let is_wanted = |live: &LiveRules| {
            let target = &live.target;
            own.as_ref()
                .is_some_and(|(kind, key)| *kind == target.kind && *key == target.key)
        };
        for stale in rules
            .live
            .iter()
            .filter(|live| live.is_ours && !is_wanted(live))
        {
            self.late.push(Action::Delete {
                target: stale.target.clone(),
                orphan: false,
            });
        }
        let Some(wanted) = wanted else {
            return;
        };
        match rules.live.iter().find(|live| is_wanted(live)) {
            Some(foreign) if !foreign.is_ours => {
                let (kind, name) = (wanted.kind.kind(), &wanted.key.name);
                self.notice(format!(
                    "the rules of the SLOs are not written down: {kind} {name} belongs to somebody else; delete it"
                ));
            }
            Some(live) if json::covers(&live.body, &wanted.body) => {}
            Some(_) | None => self.late.push(Action::Apply(wanted)),
        }
    }
}
