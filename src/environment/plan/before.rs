//! What ends a promotion before it has started: people, time, or something newer. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Draft;
use super::candidate::Wish;
use super::history::Entry;
use super::ruling::{SLIPWAY, VETOED};
use crate::decision::api::DecisionAction;
use crate::promotion::api::{PromotionKind, PromotionPhase};

/// How a promotion ends that has not started: phase, reason, who, and what is said.
type End = (PromotionPhase, &'static str, String, String);

impl<'a> Draft<'a> {
    /// Why a promotion ends that has not started, if it does.
    pub(super) fn end_before_start(&mut self, entry: &Entry<'a>) -> Option<End> {
        if let Some(end) = self.refused(entry) {
            return Some(end);
        }
        if let Some(text) = self.approval_timeout(entry) {
            return Some((
                PromotionPhase::Failed,
                "ApprovalTimeout",
                SLIPWAY.to_owned(),
                text,
            ));
        }
        if let Some(end) = self.vetoed(entry) {
            return Some(end);
        }
        if let Some(text) = self.set_problem(entry).or_else(|| self.outdated(entry)) {
            let by = SLIPWAY.to_owned();
            return Some((PromotionPhase::Superseded, "Superseded", by, text));
        }
        let next = self.successor(entry)?;
        let text = format!(
            "{} comes instead; {} was never started",
            next.release,
            entry.release()
        );
        let by = next.requested_by.clone();
        Some((PromotionPhase::Superseded, "Superseded", by, text))
    }

    /// What people have said against it since its Release last failed here.
    pub(super) fn said_against(&self, entry: &Entry<'a>) -> Option<End> {
        self.refused(entry).or_else(|| self.vetoed(entry))
    }

    fn refused(&self, entry: &Entry<'a>) -> Option<End> {
        let release = entry.release();
        if let Some(act) = self.rejection(entry) {
            let user = act.spec.user.clone();
            let why = act.spec.reason.as_deref().unwrap_or("no reason given");
            let text = format!(
                "{release} was refused by {user}: {why}; it is not tried again until a Decision Retry; {}",
                self.said_of_way_back(entry)
            );
            return Some((PromotionPhase::Failed, "Rejected", user, text));
        }
        if let Some(act) = self.abortion(entry) {
            let user = act.spec.user.clone();
            let why = act.spec.reason.as_deref().unwrap_or("no reason given");
            let text = format!(
                "{release} was stopped by {user} before it started: {why}; it is not tried again until a Decision Retry"
            );
            return Some((PromotionPhase::Failed, "Aborted", user, text));
        }
        None
    }

    fn vetoed(&self, entry: &Entry<'a>) -> Option<End> {
        let release = entry.release();
        let veto = self.seen.decisions.iter().rev().find(|act| {
            let named = act.spec.release.as_deref();
            let is_meant = named.is_some_and(|named| self.has_part(release, named));
            act.spec.action == DecisionAction::Veto && is_meant
        });
        if let Some(ruling) = self.rulings.of(release)
            && veto.is_some_and(|veto| Time(veto.at) == ruling.hold.at)
        {
            let text = format!("{release} was {}", ruling.hold.reason);
            return Some((PromotionPhase::Failed, VETOED, ruling.hold.by.clone(), text));
        }
        None
    }

    /// What takes the place of a promotion that has not started.
    fn successor(&mut self, entry: &Entry<'a>) -> Option<Wish> {
        let is_forward =
            |wish: &Wish| matches!(wish.kind, PromotionKind::Promote | PromotionKind::Config);
        let is_other = |wish: &Wish| wish.release != entry.release() || !is_forward(wish);
        if let Some(wish) = self.pending_wish() {
            return Some(wish).filter(is_other);
        }
        if let Some(wish) = self.way_back_wish() {
            return Some(wish);
        }
        // What a person asked for does not give way to what comes by itself, nor does what has its turn.
        if entry.record.spec.decision.is_some() || self.keeps_its_place(entry) {
            return None;
        }
        let newer = self.candidate().filter(is_other)?;
        self.order
            .is_newer(&newer.release, entry.release())
            .then_some(newer)
    }
}
