//! How traffic is divided now: what Services and routes say together. No I/O.

use super::super::observed::Observed;
use super::super::spec::{Routing, Spec};
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::router::{Backends, Reading, Scene};
use crate::traffic::{Arrangement, Side};

/// What objects of people's reach that have been given back already, by a Rollout that goes without its pods: whatever
/// is left, and that is stable.
fn given_back(seen: &Observed, stable: &Revision) -> Option<Revision> {
    let is_leaving = seen.is_leaving_pods() && seen.is_only(stable);
    is_leaving.then(|| stable.clone())
}

/// How traffic is divided now.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Services and routes, where all of them exist and can be read.
    pub(super) arrangement: Option<Arrangement>,
    /// Whether the data plane has taken in the routes as they are.
    pub(super) acknowledged: bool,
    /// Why the data plane does not take them, in its words, or what a route of people's lacks.
    pub(super) refusal: Option<String>,
    /// Whether all routers, and all rules of each, divide in the same way.
    pub(super) is_even: bool,
    /// What the Services select, stable first, and the routers' own subsets with them.
    pub(super) selected: [Option<Revision>; 2],
    /// Whether a router has a subset for the side that selects by anything but a revision, or its Service is people's and
    /// does: other pods may be in it.
    pub(super) is_unclaimed: [bool; 2],
    /// How each router divides, in the order of the spec, or why it does not.
    pub(super) readings: Vec<Result<Reading, String>>,
    /// Share of each revision, by pods, where no router divides.
    ready: Vec<(Revision, i32)>,
}

impl Live {
    pub(super) fn read(
        seen: &Observed,
        spec: &Spec,
        backends: &Backends,
        stable: &Revision,
    ) -> Self {
        let ready = seen
            .sets
            .iter()
            .map(|set| (set.revision.clone(), seen.ready(&set.revision)));
        let mut live = Self {
            arrangement: None,
            acknowledged: true,
            refusal: None,
            is_even: true,
            selected: [None, None],
            is_unclaimed: [false, false],
            readings: Vec::new(),
            ready: ready.collect(),
        };
        if let Some(routing) = &spec.routing {
            // What somebody else made of a selector is a revision that nobody wants: it is put right like any.
            let given_back = given_back(seen, stable);
            live.selected = [Side::Stable, Side::Canary].map(|side| {
                let service = seen.service(side)?;
                let wide = given_back.clone().filter(|_| service.foreign.is_some());
                let selected = service.revision.clone().or(wide);
                let is_usable = service.obstacle().is_none();
                is_usable.then(|| selected.unwrap_or_else(Revision::unknown))
            });
            live.is_unclaimed = [Side::Stable, Side::Canary].map(|side| {
                let service = seen.service(side).filter(|it| it.foreign.is_some());
                service.is_some_and(|service| service.revision.is_none())
            });
            if routing.is_switch() {
                live.read_switch(stable);
            } else {
                let scene = seen.scene(backends, routing.port);
                live.read_subsets(routing, &scene, given_back.as_ref());
                live.read_routers(routing, &scene);
            }
        }
        live
    }

    /// Without routers the stable Service has all of the requests: for stable, or for what it was switched to.
    fn read_switch(&mut self, stable: &Revision) {
        let [Some(active), Some(preview)] = &self.selected else {
            return;
        };
        let is_switched = active != stable && !active.is_unknown();
        self.arrangement = Some(if is_switched {
            Arrangement {
                stable: stable.clone(),
                canary: active.clone(),
                division: Division::of(Weight::FULL),
            }
        } else {
            Arrangement {
                stable: active.clone(),
                canary: preview.clone(),
                division: Division::NONE,
            }
        });
    }

    /// A side selects a revision only where its Service and all of its subsets do.
    fn read_subsets(&mut self, routing: &Routing, scene: &Scene, given_back: Option<&Revision>) {
        let all = routing.routers.iter();
        for subsets in all.filter_map(|router| router.selections(scene)) {
            let sides = self.selected.iter_mut().zip(&mut self.is_unclaimed);
            let subsets = subsets.map(|subset| subset.or_else(|| given_back.cloned()));
            for ((selected, is_unclaimed), subset) in sides.zip(subsets) {
                *is_unclaimed |= subset.is_none();
                if selected.is_some() && *selected != subset {
                    *selected = Some(Revision::unknown());
                }
            }
        }
    }

    fn read_routers(&mut self, routing: &Routing, scene: &Scene) {
        for router in &routing.routers {
            let reading = router.read(scene);
            if let Err(words) = &reading
                && !router.is_created()
            {
                self.refuse(words.clone());
            }
            self.readings.push(reading);
            match router.acknowledged(scene) {
                Ok(acknowledged) => self.acknowledged &= acknowledged,
                Err(words) => self.refuse(words),
            }
        }
        let is_whole = self.readings.iter().all(Result::is_ok);
        let readings = self.readings.iter().flatten().cloned();
        let reading = Reading::of_all(readings).filter(|_| is_whole);
        let ([Some(stable), Some(canary)], Some(reading)) = (&self.selected, reading) else {
            self.acknowledged = false;
            return;
        };
        self.is_even = reading.is_even;
        self.acknowledged &= reading.is_even;
        self.arrangement = Some(Arrangement {
            stable: stable.clone(),
            canary: canary.clone(),
            division: reading.division,
        });
    }

    fn refuse(&mut self, words: String) {
        self.acknowledged = false;
        self.refusal.get_or_insert(words);
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

    /// Whether a Service selects the revision. One of people's that is wide selects them all.
    pub(super) fn references(&self, revision: &Revision) -> bool {
        let mut selected = self.selected.iter().flatten();
        let is_selected = selected.any(|selected| selected == revision);
        self.arrangement.is_some() && (is_selected || self.is_unclaimed.contains(&true))
    }
}
