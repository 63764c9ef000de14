//! Writing how requests are divided between the two Services, router by router, and whether that is safe. No I/O.

use serde_json::Value;

use super::super::api::Change;
use super::Draft;
use super::object::patch;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::router::{Reading, Router, taken_of};
use crate::traffic::{Arrangement, Side};

/// What a side lacks that is to gain weight.
struct Missing {
    revision: Revision,
    answering: i32,
    need: i32,
}

/// Half of some pods, rounded up.
fn half_of(full: i32) -> i32 {
    full / 2 + full % 2
}

impl Draft<'_> {
    pub(super) fn shift_back(&mut self, live: &Arrangement) {
        self.shift_back_to(Side::Stable, self.way_back(live), live);
    }

    /// The same by way of the canary Service.
    pub(super) fn shift_back_beside(&mut self, live: &Arrangement) {
        self.shift_back_to(Side::Canary, self.way_back_beside(live), live);
    }

    fn shift_back_to(&mut self, side: Side, weight: Weight, live: &Arrangement) {
        let division = Division::of(weight);
        if division == live.division && self.live.is_even {
            let answering = self.seen.answering(side, live.selected_by(side));
            let total = self.spec.replicas;
            return self.wait_for_pods(format!(
                "{answering} of {total} pods of stable answer again"
            ));
        }
        self.shift(live, &division);
    }

    /// Gives the canary Service this, in every router for itself: one may be elsewhere than the others, because somebody
    /// wrote there or because it refused what they took.
    pub(super) fn shift(&mut self, live: &Arrangement, division: &Division) {
        // A person who pauses stops the change, not the way back of another.
        let is_held = |change: &Change| self.is_held() && live.canary == change.revision;
        if self.change().is_some_and(is_held) && !self.is_way_back() {
            return;
        }
        let Some(routing) = &self.spec.routing else {
            return;
        };
        if routing.is_switch() {
            let now = Reading::even(live.division.clone());
            if self.has_pods_to_shift(live, &now, division) {
                self.write_switch(live, division);
            }
            return;
        }
        let wanted = Reading::even(division.clone());
        let readings = self.live.readings.clone();
        let routers = routing.routers.iter().zip(readings);
        let routers = routers.filter_map(|(router, now)| Some((router, now.ok()?)));
        let mut behind: Vec<(&Router, Reading)> =
            routers.filter(|(_, now)| *now != wanted).collect();
        behind.retain(|(_, now)| self.has_pods_to_shift(live, now, division));
        if behind.is_empty() {
            return;
        }
        if let Some(words) = self.obstacle(division) {
            return self.wait_for(words);
        }
        self.write_division(division, &behind);
    }

    /// Whether the sides that gain by a shift of a router have the pods for it. If not, that is what is waited for.
    fn has_pods_to_shift(
        &mut self,
        live: &Arrangement,
        now: &Reading,
        division: &Division,
    ) -> bool {
        let Some(missing) = self.missing_for(live, now, division) else {
            return true;
        };
        let Missing {
            revision,
            answering,
            need,
        } = missing;
        self.wait_for_pods(format!(
            "{answering} of {need} pods of {revision} answer behind their Service"
        ));
        self.short_of = Some((revision, need));
        self.await_way_back(live);
        false
    }

    /// What of people's objects is in the way of a division.
    pub(super) fn obstacle(&self, division: &Division) -> Option<String> {
        let routing = self.spec.routing.as_ref()?;
        let scene = self.seen.scene(self.backends, routing.port);
        let mut routers = routing.routers.iter();
        routers.find_map(|router| router.obstacle(&scene, division))
    }

    fn write_switch(&mut self, live: &Arrangement, division: &Division) {
        let side = if division.weight == Weight::FULL {
            Side::Canary
        } else {
            Side::Stable
        };
        let revision = live.selected_by(side).clone();
        self.write_selector(Side::Stable, &revision);
    }

    /// What takes requests from the canary comes first, and no router waits there for what another says to its write.
    fn write_division(&mut self, division: &Division, routers: &[(&Router, Reading)]) {
        let Some(routing) = &self.spec.routing else {
            return;
        };
        let scene = self.seen.scene(self.backends, routing.port);
        let (mut back, mut forth): (Vec<(Target, Value)>, Vec<_>) = (Vec::new(), Vec::new());
        for (router, now) in routers {
            let change = router.divided(&scene, division);
            let (Some(carrier), Some(change)) = (router.carrier(&scene), change) else {
                continue;
            };
            let may_write = if router.is_created() {
                let taken = taken_of(&carrier.live.metadata, &change);
                let can_stay = self.can_stay_divided(now);
                self.may_put_right(&carrier.target, taken, can_stay)
            } else {
                self.may_write(carrier)
            };
            if !may_write {
                continue;
            }
            let is_back = !now.is_raised_by(division);
            let writes = if is_back { &mut back } else { &mut forth };
            writes.push((carrier.target.clone(), change));
        }
        if back.len() > 1 {
            self.moves
                .push(Action::PatchEach(std::mem::take(&mut back)));
        }
        let rest = back.into_iter().chain(forth);
        let rest = rest.map(|(target, change)| patch(&target, change));
        self.moves.extend(rest);
    }

    /// What a side lacks that gains weight by a shift of one router (rule 1).
    ///
    /// On the way back, also of what was superseded while it is in trouble, one pod that answers is enough for
    /// stable: whatever it cannot take is lost anyway. But where the other side serves everything, and where nothing else
    /// serves, it is half of them, which the rest can be added to.
    fn missing_for(
        &self,
        live: &Arrangement,
        now: &Reading,
        division: &Division,
    ) -> Option<Missing> {
        let total = self.spec.replicas;
        let raised = now
            .is_raised_by(division)
            .then(|| (Side::Canary, division.need(total)));
        let lowered = (division.weight < now.division.weight)
            .then(|| (Side::Stable, division.weight.rest().need(total)));
        let mut gaining = raised.into_iter().chain(lowered);
        gaining.find_map(|(side, full)| self.missing_at(side, full, live))
    }

    /// What a side lacks of the pods that it needs.
    fn missing_at(&self, side: Side, full: i32, live: &Arrangement) -> Option<Missing> {
        let revision = live.selected_by(side);
        let other = live.selected_by(side.other());
        let is_given_up = self.is_withdrawn()
            || self.change().is_none_or(|change| {
                change.revision != *other
                    && *other != self.stable
                    && self.seen.faults(other).next().is_some()
            });
        let is_way_back = is_given_up && self.rules.abort_needs_no_health;
        let is_one_enough = is_way_back || !self.rules.shares_need_their_pods;
        let full = self.can_have(revision, full);
        let half = half_of(full);
        let need = if is_one_enough && !self.may_wait_to_go_back(live) {
            full.min(1)
        } else if is_one_enough || self.is_all_there_can_be(side, live) {
            half
        } else {
            full
        };
        let mut answering = self.proven(side, revision);
        // Between two Services of one revision nothing is lost, however few of its pods are left.
        if other == revision && answering >= self.proven(side.other(), revision) {
            return None;
        }
        // What is gone does not answer again: whatever stable cannot take of its requests is lost anyway.
        if side == Side::Stable && self.seen.set(other).is_none() {
            return None;
        }
        if side == Side::Canary && !is_way_back {
            let set = self.seen.set(revision);
            answering = answering.min(set.map_or(0, |set| set.available));
        }
        if answering >= need || !self.rules.ready_before_weight {
            return None;
        }
        Some(Missing {
            revision: revision.clone(),
            answering,
            need,
        })
    }

    /// Of the pods that a revision needs those that it can have: one that is neither stable nor on its way gets no more.
    fn can_have(&self, revision: &Revision, full: i32) -> i32 {
        let mut in_use = self.change().map(|change| &change.revision).into_iter();
        if *revision == self.stable || in_use.any(|it| it == revision) {
            return full;
        }
        let has = self.seen.set(revision).map_or(0, |set| set.replicas);
        full.min(has.max(1))
    }

    /// Whether the change is to get the traffic of a stable of which nothing serves, and nothing else does either.
    fn is_all_there_can_be(&self, side: Side, live: &Arrangement) -> bool {
        let is_change = |change: &Change| change.revision == *live.selected_by(side);
        let change = self.change().filter(|change| is_change(change));
        change.is_some_and(|change| self.is_emergency(change))
            && self.seen.ready(live.selected_by(side.other())) == 0
    }

    /// Pods that answer behind the Service of a side; of a revision that no Service selects, those that are ready.
    pub(super) fn proven(&self, side: Side, revision: &Revision) -> i32 {
        let [stable, canary] = &self.live.selected;
        let selected = match side {
            Side::Stable => stable,
            Side::Canary => canary,
        };
        if selected.as_ref() == Some(revision) {
            self.seen.answering(side, revision)
        } else {
            self.seen.ready(revision)
        }
    }
}
