//! Objects that somebody else writes too, people's and ours. No I/O.
//!
//! A tool that takes back what was written is not fought: after two times that stays as it is until a person has settled
//! it. Only the way back is never held up by that.

use jiff::{SignedDuration, Timestamp};

use super::super::api::{Meddled, Taken};
use super::super::observed::{ForeignService, Service};
use super::Draft;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::traffic::Side;
use crate::traffic::foreign::title;
use crate::traffic::router::{Reading, Route, taken};

/// Times that somebody may take back what was written in one change.
const REVERTS: u32 = 2;
/// How long somebody's write into an object of ours counts while no change is on its way: a person who edits one now and
/// then is no tool that does so again and again.
const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(1);

/// An object that is written by somebody else too.
#[derive(Clone, Debug)]
pub(super) struct Contested {
    /// Kind and name. Example: `HTTPRoute shop`.
    object: String,
    /// The field manager that takes them back.
    by: String,
    /// Whether what it has written stays.
    is_left: bool,
}

impl Contested {
    /// A sentence for people.
    pub(super) fn message(&self) -> String {
        let Self {
            object,
            by,
            is_left,
        } = self;
        if !is_left {
            return format!(
                "{by} takes back again and again what is written into {object}, and it is put right each time, because \
                 requests would be lost as it is; have it leave that alone (docs/gitops.md)"
            );
        }
        format!(
            "{by} has taken back what was written into {object} {REVERTS} times, so that stays as it is; have it leave that \
             alone (docs/gitops.md), then make a Decision Resume"
        )
    }
}

impl Draft<'_> {
    /// Whether the weights in an object of people's may be written.
    pub(super) fn may_write(&mut self, route: &Route) -> bool {
        let object = title(route.target.kind, &route.target.key.name);
        self.may_change(object, taken(&route.live.metadata))
    }

    /// Whether the revision that a Service of people's selects may be written.
    pub(super) fn may_narrow(&mut self, service: &Service, foreign: &ForeignService) -> bool {
        let object = title(ObjectKind::Service, &service.target.key.name);
        self.may_change(object, foreign.taken.clone())
    }

    fn may_change(&mut self, object: String, taken: Option<Taken>) -> bool {
        let progress = &mut self.memory.progress;
        let known = progress.driven.get(&object).copied();
        let answered = progress
            .foreign
            .get(&object)
            .and_then(|it| it.taken.as_ref());
        // What was answered before may still be there: that answer was lost, or came too late.
        let is_news = known.is_some() && taken.as_ref() != answered;
        let reverts = known.unwrap_or(0) + u32::from(taken.is_some() && is_news);
        let [stable, canary] = &self.live.selected;
        // A Service that is wide reaches stable as well: it holds no way back up.
        let is_idle = stable == canary || self.live.is_unclaimed.contains(&true);
        match &taken {
            Some(Taken { by, .. })
                if reverts >= REVERTS && (progress.change.is_some() || is_idle) =>
            {
                let by = by.clone();
                self.contested = Some(Contested {
                    object,
                    by,
                    is_left: true,
                });
                false
            }
            _ => {
                if let Some(foreign) = progress.foreign.get_mut(&object) {
                    foreign.taken = taken.or_else(|| foreign.taken.take());
                }
                progress.driven.insert(object, reverts);
                true
            }
        }
    }

    /// Whether an object of ours may be put right, where somebody has taken what is to be written. What would lose requests
    /// is put right in any case: it can stay only where `can_stay`.
    pub(super) fn may_put_right(
        &mut self,
        target: &Target,
        taken: Option<Taken>,
        can_stay: bool,
    ) -> bool {
        let Some(taken) = taken else {
            return true;
        };
        let object = title(target.kind, &target.key.name);
        let known = self.memory.progress.meddled.get(&object).cloned();
        let known = known.unwrap_or_default();
        // What was answered before may still be there: that answer was lost, or came too late.
        let is_news = known.last != taken;
        let is_forgotten = self.change().is_none() && is_long_before(&known.last, &taken);
        let before = if is_forgotten { 0 } else { known.times };
        let times = before.saturating_add(u32::from(is_news));
        if times >= REVERTS && !self.is_going_back() {
            self.contested = Some(Contested {
                object: object.clone(),
                by: taken.by.clone(),
                is_left: can_stay,
            });
            if can_stay {
                return false;
            }
        }
        let meddled = Meddled { last: taken, times };
        self.memory.progress.meddled.insert(object, meddled);
        true
    }

    /// Whether what a Service of ours selects may be written.
    pub(super) fn may_select(&mut self, side: Side, service: &Service) -> bool {
        let can_stay = self.can_stay(side, service);
        self.may_put_right(&service.target, service.taken.clone(), can_stay)
    }

    /// Whether a Service of ours may go on selecting what it does: as many pods answer behind it as its side needs.
    fn can_stay(&self, side: Side, service: &Service) -> bool {
        let total = self.spec.replicas;
        let live = self.live.arrangement.as_ref();
        let need = match side {
            Side::Stable => total,
            Side::Canary => live.map_or(0, |live| live.division.need(total)),
        };
        i32::try_from(service.ready.len()).unwrap_or(i32::MAX) >= need
    }

    /// Whether a route of ours may go on dividing as it does: both sides have the pods for it.
    pub(super) fn can_stay_divided(&self, now: &Reading) -> bool {
        let Some(live) = &self.live.arrangement else {
            return false;
        };
        let total = self.spec.replicas;
        let needs = [
            (Side::Stable, now.division.weight.rest().need(total)),
            (Side::Canary, now.division.need(total)),
        ];
        let mut needs = needs.into_iter();
        needs.all(|(side, need)| self.proven(side, live.selected_by(side)) >= need)
    }

    /// Whether traffic goes to stable, or has done so after a failure, as far as that can be told while somebody writes
    /// into what says so.
    fn is_going_back(&self) -> bool {
        let live = self.live.arrangement.as_ref();
        let is_on_its_way =
            live.is_some_and(|live| live.canary != live.stable && live.division.reaches_canary());
        let has_failed = self.memory.progress.failed.is_some();
        self.is_way_back() && (self.change().is_some() || has_failed || is_on_its_way)
    }

    /// What was taken back so far does not count any more.
    pub(super) fn forget_reverts(&mut self) {
        self.memory.progress.meddled.clear();
        let driven = &mut self.memory.progress.driven;
        for reverts in driven.values_mut() {
            *reverts = 0;
        }
    }
}

/// Whether one write was so long before another that they have nothing to do with each other.
fn is_long_before(first: &Taken, second: &Taken) -> bool {
    let at = |taken: &Taken| taken.at.unwrap_or(Timestamp::UNIX_EPOCH);
    at(second).duration_since(at(first)) > COUNTS_FOR
}
