//! What follows from the SLOs of an Environment: questions, rules, and the way back from a promotion that burns their
//! budgets. No I/O.
//!
//! A promotion that is under way ends as any other that fails. One that has ended stays as it is, and a Promotion of kind
//! `Rollback` takes it back, which has the reason on it. That is the last that is started then, and a rollback is never
//! watched: so nothing goes back twice, and no way back is taken back.

use jiff::Timestamp;

use super::super::api::RollbackCause;
use super::super::observed::LiveRules;
use super::super::render;
use super::super::slo::{Slos, Watch};
use super::advance::Cause;
use super::candidate::Wish;
use super::history::Entry;
use super::{Draft, after};
use crate::model::action::Action;
use crate::model::condition::truncate;
use crate::model::json;
use crate::promotion::api::{PromotionKind, PromotionPhase};

/// Longest reason on a Promotion, in bytes.
const MAX_REASON: usize = 600;

impl<'a> Draft<'a> {
    /// The promotion whose effect on the SLOs is watched: the last that started, while it is under way, and within
    /// `rollback.within` of its end. A rollback is not.
    pub(super) fn watched(&self) -> Option<Entry<'a>> {
        let last = self.last_started()?;
        let is_watched = !last.is_rollback() && self.is_lively(&last);
        (is_watched && !self.seen.spec.slos.is_empty()).then_some(last)
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
            | PromotionPhase::Failed
            | PromotionPhase::RolledBack
            | PromotionPhase::Superseded => false,
        }
    }

    fn watch_ends(&self, entry: &Entry) -> Option<Timestamp> {
        let within = self.seen.spec.rollback.within;
        Some(after(entry.finished_at?, within.into()))
    }

    /// Its SLOs, and the promotion that is watched.
    pub(super) fn slos(&self) -> Slos<'a> {
        let watch = self.watched().and_then(|entry| {
            let promotion = entry.name().to_owned();
            let since = entry.started_at?;
            Some(Watch { promotion, since })
        });
        let is_watchful = self
            .last_started()
            .is_some_and(|last| self.is_lively(&last));
        Slos::new(self.seen, watch, is_watchful)
    }

    /// Asks about the SLOs what is due.
    pub(super) fn ask(&mut self) {
        if self.seen.spec.slos.is_empty() {
            return;
        }
        let (questions, next) = self.slos().questions(self.now);
        self.actions.extend(questions);
        if let Some(next) = next {
            self.wake_at(next);
        }
        let ends = self.watched().and_then(|entry| self.watch_ends(&entry));
        if let Some(end) = ends.filter(|end| *end > self.now) {
            self.wake_at(end);
        }
    }

    /// Why the promotion that is watched is to blame for a burn, where such a burn takes back.
    fn blamed(&self) -> Option<String> {
        let takes_back = self.seen.spec.rollback.on.contains(&RollbackCause::SLOBurn);
        let slos = self.slos();
        slos.watch.as_ref().filter(|_| takes_back)?;
        let judged = slos.judge(&self.seen.answers, self.now);
        judged.into_iter().find_map(|judged| judged.blame)
    }

    /// Ends a promotion that is under way, and under which the budget of an SLO burns.
    pub(super) fn leave_for_burn(&mut self, entry: &Entry<'a>) -> bool {
        let is_watched = self
            .watched()
            .is_some_and(|watched| watched.name() == entry.name());
        let Some(message) = self.blamed().filter(|_| is_watched) else {
            return false;
        };
        let steps = entry.record.status.steps.clone();
        self.fail(entry, steps, Cause::By(RollbackCause::SLOBurn), &message);
        true
    }

    /// The way back from a promotion that has ended, and since which the budget of an SLO burns.
    pub(super) fn burn_wish(&mut self) -> Option<Wish> {
        let from = self.watched().filter(|entry| entry.phase.is_finished())?;
        let message = self.blamed()?;
        let (release, promotion) = (from.release(), from.name());
        let Some(to) = self.history.way_back(&from) else {
            let text = format!(
                "{release} burns the budget of an SLO, and there is no earlier good Release to go back to"
            );
            self.notice(text);
            return None;
        };
        let cause = RollbackCause::SLOBurn;
        let reason = format!("{cause}: {message}, since Promotion {promotion}");
        let wish = Wish::back_to(to, PromotionKind::Rollback, Some(release.to_owned()));
        Some(Wish {
            reason: Some(truncate(&reason, MAX_REASON).to_owned()),
            culprit: Some(promotion.to_owned()),
            ..wish
        })
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
            self.actions.push(Action::Delete {
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
            Some(_) | None => self.actions.push(Action::Apply(wanted)),
        }
    }
}
