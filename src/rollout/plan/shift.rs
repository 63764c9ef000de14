//! The one next move of Services and route towards the wanted split, and whether it is safe. No I/O.

use serde_json::{Value, json};

use super::super::api::{Change, StableScale};
use super::super::observed::Observed;
use super::super::render;
use super::super::spec::{Router, Spec};
use super::Draft;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::{Arrangement, Move, Side, gateway_api, next_move};

/// How traffic is divided now.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Services and route, where a router divides and all three exist.
    pub(super) arrangement: Option<Arrangement>,
    /// Whether the data plane has taken in the route as it is.
    pub(super) acknowledged: bool,
    /// Why the data plane does not take it, in its words.
    pub(super) refusal: Option<String>,
    /// Share of each revision, by pods, where no router divides.
    ready: Vec<(Revision, i32)>,
}

impl Live {
    pub(super) fn read(seen: &Observed, spec: &Spec) -> Self {
        let ready = seen
            .sets
            .iter()
            .map(|set| (set.revision.clone(), seen.ready(&set.revision)));
        let mut live = Self {
            arrangement: None,
            acknowledged: true,
            refusal: None,
            ready: ready.collect(),
        };
        if spec.router.is_none() {
            return live;
        }
        let selected = |side| {
            let service = seen.service(side)?;
            // What somebody else made of a selector is a revision that nobody wants: it is put right like any.
            Some(service.revision.clone().unwrap_or_else(Revision::unknown))
        };
        live.acknowledged = false;
        if let Some(route) = &seen.route {
            match gateway_api::acknowledged(&route.live) {
                Ok(acknowledged) => live.acknowledged = acknowledged,
                Err(refusal) => live.refusal = Some(refusal),
            }
            let weight = gateway_api::weight(&route.live, &seen.backends());
            if let (Some(stable), Some(canary), Some(weight)) =
                (selected(Side::Stable), selected(Side::Canary), weight)
            {
                live.arrangement = Some(Arrangement {
                    stable,
                    canary,
                    weight,
                });
            }
        }
        live
    }

    /// The share of a revision.
    pub(super) fn share_of(&self, revision: &Revision) -> Weight {
        if let Some(arrangement) = &self.arrangement {
            return arrangement.share_of(revision);
        }
        let total: i32 = self.ready.iter().map(|(_, ready)| ready).sum();
        let own = self
            .ready
            .iter()
            .find(|(of, _)| of == revision)
            .map_or(0, |(_, ready)| *ready);
        Weight::new(i64::from(own) * 100 / i64::from(total.max(1))).unwrap_or_default()
    }

    /// Whether a Service selects the revision.
    pub(super) fn references(&self, revision: &Revision) -> bool {
        self.arrangement
            .as_ref()
            .is_some_and(|live| live.references(revision))
    }
}

/// What a side lacks that is to gain weight.
struct Missing {
    revision: Revision,
    answering: i32,
    need: i32,
}

fn patch(target: &Target, change: Value) -> Action {
    Action::Patch {
        target: target.clone(),
        change,
    }
}

impl Draft<'_> {
    /// Plans the one next move.
    pub(super) fn shift_traffic(&mut self) {
        let Some(router) = &self.spec.router else {
            self.remove_leftovers();
            return self.finish_without_router();
        };
        self.create_missing(router);
        let Some(live) = self.live.arrangement.clone() else {
            return;
        };
        let sides = [Side::Stable, Side::Canary];
        let is_strange = |side: &Side| *live.selected_by(*side) == Revision::unknown();
        if let Some(side) = sides.into_iter().find(is_strange) {
            return self.put_right(side);
        }
        let goal = self.goal(&live);
        if live == goal && self.live.acknowledged && live.stable != self.stable {
            // The stable Service selects the new revision, the weight is back on it: it is the stable one.
            self.promote();
        }
        match next_move(&live, &goal) {
            Move::Shift(Weight::ZERO) if self.is_in_vain(&live, &goal) => {
                self.write_selector(Side::Stable, &goal.stable);
            }
            Move::Done => {
                if !self.live.acknowledged {
                    self.wait_for_data_plane();
                }
            }
            Move::Select(side, revision) => self.select(side, &revision),
            Move::Shift(Weight::ZERO) if self.change().is_none() => self.shift_back(&live),
            Move::Shift(weight) => self.shift(&live, weight),
        }
        self.correct(router, &live);
    }

    /// A Service whose selector somebody changed gets it back at once, with or without weight: whatever it
    /// reaches now is not what anybody wanted.
    fn put_right(&mut self, side: Side) {
        let change = self.change().filter(|_| side == Side::Canary);
        let revision = change
            .map_or(&self.stable, |change| &change.revision)
            .clone();
        self.write_selector(side, &revision);
    }

    /// Whether the stable Service reaches nobody and is to select something else. Then that need not wait until
    /// the weight is elsewhere, where it may not be able to go.
    fn is_in_vain(&self, live: &Arrangement, goal: &Arrangement) -> bool {
        let service = self.seen.service(Side::Stable);
        let is_dead = service.is_some_and(|service| service.ready.is_empty());
        is_dead && live.stable != goal.stable && live.canary != goal.stable
    }

    /// Services and a route from when there was a router. The route goes first: it is what the Services serve.
    fn remove_leftovers(&mut self) {
        let seen = self.seen;
        let route = seen.route.iter().filter(|route| route.is_owned());
        let mut first: Vec<&Target> = route.map(|route| &route.target).collect();
        if first.is_empty() {
            first = seen.owned_traffic().collect();
        }
        if seen.deletion.is_none() {
            self.deletions
                .extend(first.into_iter().map(|target| Action::Delete {
                    target: target.clone(),
                    orphan: false,
                }));
        }
    }

    /// The arrangement that the change's step asks for; without a change everything goes to stable.
    fn goal(&self, live: &Arrangement) -> Arrangement {
        let Some(change) = self.change() else {
            return Arrangement::all_to(&self.stable);
        };
        let is_superseded = live.canary != change.revision && live.canary != self.stable;
        // Whatever the Services select then, nothing of it can serve as stable would.
        let is_strange = is_superseded || live.stable != self.stable;
        if self.may_promote(live) || (is_strange && self.is_stable_down(change)) {
            return Arrangement::all_to(&change.revision);
        }
        Arrangement {
            stable: self.stable.clone(),
            canary: change.revision.clone(),
            weight: self.affordable_weight(live),
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
        wanted.min(carried.max(live.weight))
    }

    /// The largest share that the pods of a side can take.
    fn carried_by(&self, side: Side, revision: &Revision) -> Weight {
        if self.spec.replicas <= 0 {
            return Weight::FULL;
        }
        let answering = i64::from(self.seen.answering(side, revision));
        let total = i64::from(self.spec.replicas);
        Weight::new((answering * 100 / total).min(100)).unwrap_or_default()
    }

    /// What is shifted on the way back. Stable that has gone down with the weight takes back what it can by now, unless
    /// the other side does not answer anyway.
    fn way_back(&self, live: &Arrangement) -> Weight {
        let is_full = self.spec.stable_scale == StableScale::Full;
        let is_dead = self.seen.answering(Side::Canary, &live.canary) == 0
            || self.seen.trouble(&live.canary).is_some();
        if is_full || is_dead || live.stable != self.stable {
            return Weight::ZERO;
        }
        self.carried_by(Side::Stable, &live.stable)
            .rest()
            .min(live.weight)
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
        let has_pods = self.has_pods_for(&change.revision, Weight::FULL);
        self.are_steps_done() && !self.is_held() && has_all && has_pods
    }

    /// A Rollout that goes makes nothing new: its namespace may be going too, and would take nothing in.
    fn create_missing(&mut self, router: &Router) {
        if self.seen.deletion.is_some() {
            return;
        }
        let canary = self
            .change()
            .map_or(&self.stable, |change| &change.revision)
            .clone();
        for (side, revision) in [(Side::Stable, self.stable.clone()), (Side::Canary, canary)] {
            if self.seen.service(side).is_none() {
                let service = render::service(self.seen, self.spec, router, side, &revision);
                self.creations.push(Action::Create(service));
            }
        }
        let is_empty = |live| gateway_api::weight(live, &self.seen.backends()).is_none();
        match &self.seen.route {
            None => {
                let route = render::route(self.seen, router, self.first_weight());
                self.creations.push(Action::Create(route));
            }
            // Somebody made it divide between others: that is no state to move on from.
            Some(route) if is_empty(&route.live) => {
                let backends = self.seen.backends();
                let spec = gateway_api::spec(router, &backends, self.first_weight());
                self.creations
                    .push(patch(&route.target, json!({"spec": spec})));
            }
            Some(_) => {}
        }
    }

    /// Whoever answers gets the traffic: stable, unless only the canary does.
    fn first_weight(&self) -> Weight {
        let answers = |side| {
            let service = self.seen.service(side);
            service.is_some_and(|service| !service.ready.is_empty())
        };
        if answers(Side::Canary) && !answers(Side::Stable) {
            Weight::FULL
        } else {
            Weight::ZERO
        }
    }

    /// Brings owners, ports, hosts and gateways up to date, without touching selectors or weights. An object
    /// that this plan writes already has to wait: the second write would lose against the first.
    fn correct(&mut self, router: &Router, live: &Arrangement) {
        if self.seen.deletion.is_some() {
            return;
        }
        let is_written = |target: &Target| {
            self.moves.iter().any(|action| {
                matches!(action, Action::Patch { target: written, .. } if written == target)
            })
        };
        let mut corrections = Vec::new();
        for service in self.seen.services.iter().flatten() {
            if !service.is_current {
                let ports = json!({"spec": {"ports": [render::service_port(router)]}});
                corrections.push((&service.target, ports));
            } else if !service.is_owned {
                corrections.push((&service.target, self.own()));
            }
        }
        if let Some(route) = &self.seen.route {
            let spec = gateway_api::spec(router, &self.seen.backends(), live.weight);
            if !gateway_api::is_as_wanted(&route.live, &spec) {
                corrections.push((&route.target, json!({"spec": spec})));
            } else if !route.is_owned() {
                corrections.push((&route.target, self.own()));
            }
        }
        let free = corrections
            .into_iter()
            .filter(|(target, _)| !is_written(target));
        let patches: Vec<Action> = free.map(|(target, change)| patch(target, change)).collect();
        self.corrections.extend(patches);
    }

    /// What makes an object ours, as one that an earlier Rollout of this name has left behind.
    pub(super) fn own(&self) -> Value {
        json!({"metadata": {"ownerReferences": [self.seen.owner]}})
    }

    fn select(&mut self, side: Side, revision: &Revision) {
        if !self.live.acknowledged && self.rules.selector_swaps_idle {
            return self.wait_for_data_plane();
        }
        self.write_selector(side, revision);
    }

    fn write_selector(&mut self, side: Side, revision: &Revision) {
        if let Some(service) = self.seen.service(side) {
            let selector = render::selector_patch(self.spec, revision, &service.foreign_keys);
            let change = json!({"spec": {"selector": selector}});
            self.moves.push(patch(&service.target, change));
        }
    }

    fn shift_back(&mut self, live: &Arrangement) {
        let weight = self.way_back(live);
        if weight == live.weight {
            let answering = self.seen.answering(Side::Stable, &live.stable);
            let total = self.spec.replicas;
            return self.wait_for(format!(
                "{answering} of {total} pods of stable answer again"
            ));
        }
        self.shift(live, weight);
    }

    fn shift(&mut self, live: &Arrangement, weight: Weight) {
        // A person who pauses stops the change, not the way back of another.
        let is_held = |change: &Change| self.is_held() && live.canary == change.revision;
        if self.change().is_some_and(is_held) {
            return;
        }
        if let Some(Missing {
            revision,
            answering,
            need,
        }) = self.missing_for(live, weight)
        {
            let text =
                format!("{answering} of {need} pods of {revision} answer behind their Service");
            self.short_of = Some((revision, need));
            return self.wait_for(text);
        }
        if let Some(route) = &self.seen.route {
            let rules = gateway_api::reweighted(&route.live, &self.seen.backends(), weight);
            let change = json!({"spec": {"rules": rules}});
            self.moves.push(patch(&route.target, change));
        }
    }

    /// What the side that gains weight still lacks (rule 1).
    ///
    /// On the way back, also of what was superseded while it is in trouble, one pod that answers is enough for
    /// stable: whatever it cannot take is lost anyway.
    fn missing_for(&self, live: &Arrangement, weight: Weight) -> Option<Missing> {
        let side = if weight > live.weight {
            Side::Canary
        } else {
            Side::Stable
        };
        let share = if side == Side::Canary {
            weight
        } else {
            weight.rest()
        };
        let revision = live.selected_by(side);
        let full = share.need(self.spec.replicas);
        let other = live.selected_by(side.other());
        let is_given_up = self.change().is_none_or(|change| {
            change.revision != *other && *other != self.stable && self.seen.trouble(other).is_some()
        });
        let is_way_back = is_given_up && self.rules.abort_needs_no_health;
        let need = if is_way_back { full.min(1) } else { full };
        let mut answering = self.seen.answering(side, revision);
        // Between two Services of one revision nothing is lost, however few of its pods are left.
        if other == revision && answering >= self.seen.answering(side.other(), revision) {
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

    fn wait_for_data_plane(&mut self) {
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
