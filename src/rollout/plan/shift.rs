//! The one next move of Services and routes towards the wanted split, and whether it is safe. No I/O.

use super::super::api::{Change, StableScale};
use super::super::spec::Routing;
use super::Draft;
use super::live::Live;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::{Arrangement, Move, Side, next_move};

impl Draft<'_> {
    /// Plans the one next move.
    pub(super) fn shift_traffic(&mut self) {
        let Some(routing) = &self.spec.routing else {
            self.remove_leftovers();
            return self.finish_without_router();
        };
        self.create_missing(routing);
        let Some(live) = self.live.arrangement.clone() else {
            return;
        };
        let sides = [Side::Stable, Side::Canary];
        let is_strange = |side: &Side| live.selected_by(*side).is_unknown();
        if let Some(side) = sides.into_iter().find(is_strange) {
            self.put_right(side, &live);
            return self.go_back_all_the_same(live);
        }
        let live = self.promoted_by_switch(routing, live);
        let goal = self.goal(&live);
        if live == goal && self.live.acknowledged && live.stable != self.stable {
            // The stable Service selects the new revision, the weight is back on it: it is the stable one.
            self.promote();
        }
        let live = self.as_selected(routing, live, &goal);
        match self.next_move(&live, &goal) {
            Move::Shift(division)
                if !division.reaches_canary() && self.is_in_vain(&live, &goal) =>
            {
                self.write_selector(Side::Stable, &goal.stable);
            }
            Move::Done => {
                if !self.live.acknowledged {
                    self.wait_for_data_plane();
                }
                self.wait_for_share(&goal);
                self.bring_preview_along(routing, &live);
            }
            Move::Select(side, revision) => self.select(side, &revision),
            Move::Shift(division) if !division.reaches_canary() && self.is_way_back() => {
                self.shift_back(&live);
            }
            Move::Shift(division) if self.is_way_back_beside(&live, &division) => {
                self.shift_back_beside(&live);
            }
            Move::Shift(division) => self.shift(&live, &division),
        }
        self.correct(routing, &live);
    }

    /// Whether everything is to go to stable, whatever becomes of the change.
    pub(super) fn is_way_back(&self) -> bool {
        self.change().is_none() || self.is_withdrawn()
    }

    /// The weight does not wait for a Service of people's that somebody else keeps wide: stable is behind it, too.
    fn go_back_all_the_same(&mut self, mut live: Arrangement) {
        let is_way_back = self.is_way_back() && live.division.reaches_canary();
        if self.contested.is_some() && is_way_back {
            let is_wide = live.stable.is_unknown();
            live.stable = if is_wide {
                self.stable.clone()
            } else {
                live.stable
            };
            self.shift_back(&live);
        }
    }

    /// Where a Service is switched, the other one selects the same, for whoever looks there: steps do.
    fn bring_preview_along(&mut self, routing: &Routing, live: &Arrangement) {
        let [_, preview] = &self.live.selected;
        let is_other = preview.as_ref().is_some_and(|it| *it != live.canary);
        if routing.is_switch() && live.weight() == Weight::FULL && is_other {
            self.select(Side::Canary, &live.canary);
        }
    }

    /// Where stable goes down with the weight, the weight goes up with the pods.
    fn wait_for_share(&mut self, goal: &Arrangement) {
        let wanted = self.wanted_weight();
        if self.change().is_none() || goal.weight() >= wanted || goal.canary == goal.stable {
            return;
        }
        let answering = self.seen.answering(Side::Canary, &goal.canary);
        let need = wanted.need(self.spec.replicas);
        let revision = &goal.canary;
        self.wait_for_pods(format!(
            "{answering} of {need} pods of {revision} answer behind their Service"
        ));
    }

    /// Where a Service is switched, what it was switched to is stable as soon as all steps are done: nothing has to
    /// move for that.
    fn promoted_by_switch(&mut self, routing: &Routing, live: Arrangement) -> Arrangement {
        if !routing.is_switch() || !self.may_promote(&live) {
            return live;
        }
        self.promote();
        self.live = Live::read(self.seen, self.spec, self.backends, &self.stable);
        self.live.arrangement.clone().unwrap_or(live)
    }

    /// Where a Service is switched to what was superseded, and stable is not to have it back because nothing of it serves:
    /// then stable is left out, and the new revision comes by way of the other Service as always.
    fn as_selected(&self, routing: &Routing, live: Arrangement, goal: &Arrangement) -> Arrangement {
        let is_bypassed = goal.stable != live.stable && goal.stable != live.canary;
        match &self.live.selected {
            [Some(active), Some(preview)] if routing.is_switch() && is_bypassed => Arrangement {
                stable: active.clone(),
                canary: preview.clone(),
                division: Division::NONE,
            },
            _ => live,
        }
    }

    /// The next move. Routers that do not say the same yet are made to, before anything else.
    fn next_move(&self, live: &Arrangement, goal: &Arrangement) -> Move {
        if live.stable != goal.stable
            && live.weight() < Weight::FULL
            && self.is_ahead_of_steps(live)
        {
            return Move::Shift(Division::of(Weight::FULL));
        }
        let next = next_move(live, goal);
        if self.live.is_even || matches!(next, Move::Shift(_)) {
            return next;
        }
        Move::Shift(live.division.clone())
    }

    /// Whether the stable Service reaches nobody and is to select something else. Then that need not wait until
    /// the weight is elsewhere, where it may not be able to go.
    fn is_in_vain(&self, live: &Arrangement, goal: &Arrangement) -> bool {
        let service = self.seen.service(Side::Stable);
        let is_dead = service.is_some_and(|service| service.ready.is_empty());
        is_dead && live.stable != goal.stable && live.canary != goal.stable
    }

    /// The arrangement that the change's step asks for; without a change everything goes to stable.
    fn goal(&self, live: &Arrangement) -> Arrangement {
        let Some(change) = self.change() else {
            return Arrangement::all_to(&self.stable);
        };
        let is_superseded = live.canary != change.revision && live.canary != self.stable;
        // Whatever the Services select then, nothing of it can serve as stable would.
        let is_strange = is_superseded || live.stable != self.stable;
        // It has everything already, and would give it to nobody to get it by the other Service.
        let has_all = live.share_of(&change.revision) == Weight::FULL
            && live.stable == change.revision
            && self.seen.ready(&self.stable) == 0;
        let is_needed = has_all || (self.is_emergency(change) && !self.is_held_back(change, live));
        let is_in_need = is_strange && !self.is_ahead_of_steps(live) && is_needed;
        if self.may_promote(live) || is_in_need {
            return Arrangement::all_to(&change.revision);
        }
        Arrangement {
            stable: self.stable.clone(),
            canary: change.revision.clone(),
            division: Division {
                weight: self.affordable_weight(live),
                ..self.wanted_division()
            },
        }
    }

    /// The weight that the step asks for; where stable goes down with it, as much of that as the pods of the canary can
    /// take by now, because the next ones may have to wait for pods of stable to go.
    pub(super) fn affordable_weight(&self, live: &Arrangement) -> Weight {
        let wanted = self.wanted_weight();
        let Some(change) = self.change() else {
            return wanted;
        };
        if self.spec.stable_scale == StableScale::Full || live.canary != change.revision {
            return wanted;
        }
        let carried = self.carried_by(Side::Canary, &change.revision);
        wanted.min(carried.max(live.weight()))
    }

    /// Whether the change is withdrawn, and something else serves behind a Service: it gets nothing then before people say
    /// so, not even where stable is down.
    fn is_held_back(&self, change: &Change, live: &Arrangement) -> bool {
        let mut selected = [&live.stable, &live.canary].into_iter();
        let serves = selected.any(|it| *it != change.revision && self.seen.ready(it) > 0);
        self.is_withdrawn() && serves
    }

    /// The largest share that the pods of a side can take: those that answer, but for those that it was told to do without.
    fn carried_by(&self, side: Side, revision: &Revision) -> Weight {
        if self.spec.replicas <= 0 {
            return Weight::FULL;
        }
        let staying = self.seen.set(revision).map_or(0, |set| set.replicas);
        let answering = i64::from(self.seen.answering(side, revision).min(staying));
        let total = i64::from(self.spec.replicas);
        Weight::new((answering * 100 / total).min(100)).unwrap_or_default()
    }

    /// What is shifted on the way back. Stable that has gone down with the weight takes back what it can by now, unless
    /// the other side does not answer anyway.
    pub(super) fn way_back(&self, live: &Arrangement) -> Weight {
        if !self.goes_back_bit_by_bit(Side::Canary, live) || live.stable != self.stable {
            return Weight::ZERO;
        }
        self.carried_by(Side::Stable, &live.stable)
            .rest()
            .min(live.weight())
    }

    /// The same where stable has lost its own Service, and comes back by way of the other one.
    pub(super) fn way_back_beside(&self, live: &Arrangement) -> Weight {
        if !self.goes_back_bit_by_bit(Side::Stable, live) {
            return Weight::FULL;
        }
        self.carried_by(Side::Canary, &live.canary)
            .max(live.weight())
    }

    /// Whether that is what stable takes back, and the side that loses answers meanwhile.
    fn goes_back_bit_by_bit(&self, losing: Side, live: &Arrangement) -> bool {
        let revision = live.selected_by(losing);
        let is_dead = self.seen.answering(losing, revision) == 0
            || self.seen.faults(revision).next().is_some();
        self.spec.stable_scale != StableScale::Full && !is_dead
    }

    /// Whether a move gives stable everything by way of the canary Service, because its own selects something else.
    fn is_way_back_beside(&self, live: &Arrangement, division: &Division) -> bool {
        let is_beside = live.canary == self.stable && live.stable != self.stable;
        self.is_way_back() && is_beside && division.weight == Weight::FULL
    }

    /// All steps are done, the canary has all of the traffic and all of the pods; or we are past that point.
    fn may_promote(&self, live: &Arrangement) -> bool {
        let Some(change) = self.change() else {
            return false;
        };
        if self.is_past_return(change) {
            return true;
        }
        let has_all = live.share_of(&change.revision) == Weight::FULL && self.live.acknowledged;
        let has_pods = self.has_pods_for(&change.revision, &Division::of(Weight::FULL));
        self.are_steps_done() && !self.is_held() && has_all && has_pods
    }

    pub(super) fn wait_for_data_plane(&mut self) {
        let words = self.live.refusal.clone();
        self.wait_for(words.unwrap_or_else(|| {
            "waiting for the Gateway to report that it has taken in the route".to_owned()
        }));
    }

    /// Without a router a change is over when all pods are of the new revision.
    fn finish_without_router(&mut self) {
        let Some(change) = self.change() else { return };
        let revision = change.revision.clone();
        let set = self.seen.set(&revision);
        let has_all = self.spec.replicas == 0
            || set.is_some_and(|set| set.is_settled && set.available >= self.spec.replicas);
        let are_gone = self.has_everything(&revision);
        if self.are_steps_done() && are_gone && has_all && !self.is_held() {
            self.promote();
        }
    }
}
