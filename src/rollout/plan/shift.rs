//! The one next move of Services and route towards the wanted split, and whether it is safe. No I/O.

use serde_json::{Value, json};

use super::super::observed::Observed;
use super::super::render;
use super::super::spec::{Router, Spec};
use super::{Draft, merge};
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
    pub(super) fn read(seen: &Observed, spec: &Spec, stable: &Revision) -> Self {
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
            Some(service.revision.clone().unwrap_or_else(|| stable.clone()))
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

impl Draft<'_> {
    /// Plans the one next move.
    pub(super) fn shift_traffic(&mut self) {
        let Some(router) = &self.spec.router else {
            return self.finish_without_router();
        };
        self.create_missing(router);
        let Some(live) = self.live.arrangement.clone() else {
            return;
        };
        let goal = self.goal(&live);
        if live == goal && self.live.acknowledged && live.stable != self.stable {
            // The stable Service selects the new revision, the weight is back on it: it is the stable one.
            self.promote();
        }
        self.refresh(router, &live);
        match next_move(&live, &goal) {
            Move::Done => {
                if !self.live.acknowledged {
                    self.wait_for_data_plane();
                }
            }
            Move::Select(side, revision) => self.select(side, &revision),
            Move::Shift(weight) => self.shift(router, &live, weight),
        }
    }

    /// The arrangement that the change's step asks for; without a change everything goes to stable.
    fn goal(&self, live: &Arrangement) -> Arrangement {
        let Some(change) = self.change() else {
            return Arrangement::all_to(&self.stable);
        };
        if self.may_promote(live) {
            return Arrangement::all_to(&change.revision);
        }
        Arrangement {
            stable: self.stable.clone(),
            canary: change.revision.clone(),
            weight: self.wanted_weight(),
        }
    }

    /// All steps are done, the canary has all of the traffic and all of the pods; or we are past that point.
    fn may_promote(&self, live: &Arrangement) -> bool {
        let Some(change) = self.change() else {
            return false;
        };
        if !self.are_steps_done() || self.spec.is_paused {
            return false;
        }
        let has_all = live.share_of(&change.revision) == Weight::FULL && self.live.acknowledged;
        let has_pods = self.seen.ready(&change.revision) >= self.spec.replicas;
        live.stable == change.revision || (has_all && has_pods)
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
        if self.seen.route.is_none() {
            // Whoever answers gets the traffic: stable, unless only the canary does.
            let answers = |side| {
                let service = self.seen.service(side);
                service.is_some_and(|service| !service.ready.is_empty())
            };
            let only_canary = answers(Side::Canary) && !answers(Side::Stable);
            let weight = if only_canary {
                Weight::FULL
            } else {
                Weight::ZERO
            };
            self.creations
                .push(Action::Create(render::route(self.seen, router, weight)));
        }
    }

    /// Brings owners, ports, hosts and gateways up to date, without touching selectors or weights.
    fn refresh(&mut self, router: &Router, live: &Arrangement) {
        let seen = self.seen;
        let owner = json!({"metadata": {"ownerReferences": [seen.owner]}});
        let is_staying = seen.deletion.is_none();
        for service in seen.services.iter().flatten() {
            let mut change = json!({});
            if !service.is_current {
                merge(
                    &mut change,
                    &json!({"spec": {"ports": [render::service_port(router)]}}),
                );
            }
            if !service.is_owned && is_staying {
                merge(&mut change, &owner);
            }
            self.update(&service.target, change);
        }
        if let Some(route) = &seen.route {
            let mut change = json!({});
            let spec = gateway_api::spec(router, &seen.backends(), live.weight);
            if !gateway_api::is_as_wanted(&route.live, &spec) {
                change["spec"] = spec;
            }
            if !route.is_owned() && is_staying {
                merge(&mut change, &owner);
            }
            self.update(&route.target, change);
        }
    }

    fn update(&mut self, target: &Target, change: Value) {
        if change != json!({}) {
            let target = target.clone();
            self.creations.push(Action::Patch { target, change });
        }
    }

    fn select(&mut self, side: Side, revision: &Revision) {
        if !self.live.acknowledged && self.rules.selector_swaps_idle {
            return self.wait_for_data_plane();
        }
        if let Some(service) = self.seen.service(side) {
            let change = json!({"spec": {"selector": render::selector(self.spec, revision)}});
            self.moves.push(Action::Patch {
                target: service.target.clone(),
                change,
            });
        }
    }

    fn shift(&mut self, router: &Router, live: &Arrangement, weight: Weight) {
        // A person who pauses stops the canary, not the way back.
        if self.spec.is_paused && self.change().is_some() {
            return;
        }
        if !self.creations.is_empty() {
            // The route is about to be written; two writes in one plan would race each other.
            return;
        }
        if let Some(missing) = self.missing_for(live, weight) {
            return self.wait_for(missing);
        }
        if let Some(route) = &self.seen.route {
            let spec = gateway_api::spec(router, &self.seen.backends(), weight);
            let change = json!({"spec": {"rules": spec.get("rules")}});
            self.moves.push(Action::Patch {
                target: route.target.clone(),
                change,
            });
        }
    }

    /// What the side that gains weight still lacks, in words (rule 1).
    ///
    /// On the way back, one pod that answers is enough for stable: whatever it cannot take is lost anyway.
    fn missing_for(&self, live: &Arrangement, weight: Weight) -> Option<String> {
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
        let is_way_back = self.change().is_none() && self.rules.abort_needs_no_health;
        let need = if is_way_back { full.min(1) } else { full };
        let answering = self.seen.answering(side, revision);
        if answering >= need || !self.rules.ready_before_weight {
            return None;
        }
        Some(format!(
            "{answering} of {need} pods of {revision} answer behind their Service"
        ))
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
        let others = self.seen.sets.iter().filter(|set| set.revision != revision);
        let are_gone = others
            .into_iter()
            .all(|set| set.replicas == 0 && set.current == 0);
        let has_all = self
            .seen
            .set(&revision)
            .is_some_and(|set| set.is_settled && set.available >= self.spec.replicas);
        if self.are_steps_done() && are_gone && has_all && !self.spec.is_paused {
            self.promote();
        }
    }
}
