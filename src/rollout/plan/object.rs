//! Services and routes as objects: made where they are missing, brought up to date, and removed. Whom they select, and how they
//! divide, is `shift`'s. No I/O.

use serde_json::{Value, json};

use super::super::render;
use super::super::spec::Routing;
use super::Draft;
use super::foreign;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::router::{Router, taken_of};
use crate::traffic::{Arrangement, Side};

/// A change of an object, guarded by the version that was seen.
pub(super) fn patch(target: &Target, change: Value) -> Action {
    Action::Patch {
        target: target.clone(),
        change,
    }
}

impl Draft<'_> {
    /// A Rollout that goes makes nothing new: its namespace may be going too, and would take nothing in.
    pub(super) fn create_missing(&mut self, routing: &Routing) {
        if self.seen.deletion.is_some() {
            return;
        }
        let canary = self
            .change()
            .map_or(&self.stable, |change| &change.revision)
            .clone();
        for (side, revision) in [(Side::Stable, self.stable.clone()), (Side::Canary, canary)] {
            let is_wanted = match self.seen.service(side) {
                // One that another Rollout drives is there, and people's.
                Some(service) => service
                    .foreign
                    .as_ref()
                    .is_some_and(|it| it.is_barred && it.rival.is_none()),
                None => !foreign::is_missing(self.seen, routing, self.backends.name(side)),
            };
            if is_wanted {
                let service = render::service(self.seen, self.spec, routing, side, &revision);
                self.creations.push(Action::Create(service));
            }
        }
        let scene = self.seen.scene(self.backends, routing.port);
        let routers = routing.routers.iter().zip(&self.live.readings);
        let missing = routers.filter(|(_, reading)| reading.is_err());
        let missing: Vec<&Router> = missing.map(|(router, _)| router).collect();
        for router in missing {
            let rendered = match router.rendered(&scene, &self.first_division()) {
                Ok(Some(rendered)) => rendered,
                Ok(None) => continue,
                Err(words) => {
                    self.wait_for(words);
                    continue;
                }
            };
            let Some(carrier) = router.carrier(&scene) else {
                let (kind, name) = router.carried_by(&self.seen.key.name);
                let route = render::route(self.seen, kind, name, &rendered);
                self.creations.push(Action::Create(route));
                continue;
            };
            // Somebody made it divide between others: that is no state to move on from.
            let taken = taken_of(&carrier.live.metadata, &rendered);
            if self.may_put_right(&carrier.target, taken, false) {
                self.creations.push(patch(&carrier.target, rendered));
            }
        }
    }

    /// Whoever answers gets the traffic: stable, unless only the canary does.
    fn first_division(&self) -> Division {
        let answers = |side| {
            let service = self.seen.service(side);
            service.is_some_and(|service| !service.ready.is_empty())
        };
        if answers(Side::Canary) && !answers(Side::Stable) {
            Division::of(Weight::FULL)
        } else {
            Division::NONE
        }
    }

    /// Brings owners, ports, hosts and gateways up to date, without touching selectors or weights. An object
    /// that this plan writes already has to wait: the second write would lose against the first.
    pub(super) fn correct(&mut self, routing: &Routing, live: &Arrangement) {
        if self.seen.deletion.is_some() {
            return;
        }
        let is_written = |target: &Target| {
            let mut written = self.moves.iter().flat_map(Action::patches);
            written.any(|(written, _)| written == target)
        };
        let seen = self.seen;
        let mut corrections = Vec::new();
        let services = seen.services.iter().flatten();
        for service in services.filter(|service| service.foreign.is_none()) {
            if !service.is_current {
                let ports = json!({"spec": {"ports": [render::service_port(routing)]}});
                corrections.push((&service.target, ports, service.taken.clone()));
            } else if !service.is_owned {
                corrections.push((&service.target, self.own(), None));
            }
        }
        let scene = seen.scene(self.backends, routing.port);
        for (router, reading) in routing.routers.iter().zip(&self.live.readings) {
            // As it divides itself: that it is to follow the others is another move.
            let own = reading.as_ref().map(|reading| &reading.division);
            let division = own.unwrap_or(&live.division);
            let rendered = router.rendered(&scene, division);
            let (Ok(Some(rendered)), Some(carrier)) = (rendered, router.carrier(&scene)) else {
                continue;
            };
            if !router.is_as_wanted(carrier, &rendered) {
                let taken = taken_of(&carrier.live.metadata, &rendered);
                corrections.push((&carrier.target, rendered, taken));
            } else if !carrier.is_owned() {
                corrections.push((&carrier.target, self.own(), None));
            }
        }
        corrections.retain(|(target, ..)| !is_written(target));
        for (target, change, taken) in corrections {
            if self.may_put_right(target, taken, false) {
                self.corrections.push(patch(target, change));
            }
        }
        if self.live.acknowledged {
            // Routes first: they are what the Services serve.
            let is_route = |target: &&Target| target.kind != ObjectKind::Service;
            let routes: Vec<&Target> = self.seen.leftovers.iter().filter(is_route).collect();
            let gone = if routes.is_empty() {
                self.seen.leftovers.iter().collect()
            } else {
                routes
            };
            self.remove(gone);
        }
    }

    /// What makes an object ours, as one that an earlier Rollout of this name has left behind.
    pub(super) fn own(&self) -> Value {
        json!({"metadata": {"ownerReferences": [self.seen.owner]}})
    }

    /// Services and routes from when there was a router. The routes go first: they are what the Services serve.
    pub(super) fn remove_leftovers(&mut self) {
        let seen = self.seen;
        let mut first: Vec<&Target> = seen.owned_routes().collect();
        if first.is_empty() {
            first = seen.owned_traffic().collect();
        }
        self.remove(first);
    }

    fn remove(&mut self, targets: Vec<&Target>) {
        if self.seen.deletion.is_none() && !self.is_giving_back {
            let gone = targets.into_iter().map(|target| Action::Delete {
                target: target.clone(),
                orphan: false,
            });
            self.deletions.extend(gone);
        }
    }
}
