//! Objects of people's that are written into, and what puts them back: when the spec does not name them any more, and
//! when the Rollout goes. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::api::Foreign;
use super::super::observed::Observed;
use super::super::spec::Routing;
use super::Draft;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::traffic::Side;
use crate::traffic::foreign::{self, entitled, title, written_by};
use crate::traffic::router::{Backends, Route};

/// Objects by title, with what it takes to put them back.
type Known = BTreeMap<String, Foreign>;
/// What puts an object back, by its title.
type Changes = BTreeMap<String, (Target, Value)>;

impl Draft<'_> {
    /// Keeps in mind what is written into, and puts back what the spec does not name any more.
    pub(super) fn put_back_left(&mut self) {
        let mut named = named(self.seen, self.backends);
        let known = std::mem::take(&mut self.memory.progress.foreign);
        for (title, how) in &mut named {
            how.taken = known.get(title).and_then(|known| known.taken.clone());
        }
        let left: Known = known
            .into_iter()
            .filter(|(title, _)| !named.contains_key(title) && !is_of_a_rival(self.seen, title))
            .collect();
        let changes = changes(self.seen, &left);
        // What is back, or gone, is none of ours any more.
        let waiting = left
            .into_iter()
            .filter(|(title, _)| changes.contains_key(title));
        self.memory.progress.foreign = named.into_iter().chain(waiting).collect();
        self.is_giving_back = !changes.is_empty();
        if self.is_giving_back && self.can_take_back() {
            self.moves.extend(first(changes));
        }
    }

    /// Whether what the stable Service selects can take what is given back to it, as for any other shift.
    fn can_take_back(&mut self) -> bool {
        let [selected, _] = &self.live.selected;
        let revision = selected.clone().unwrap_or_else(|| self.stable.clone());
        let total = self.spec.replicas;
        let is_way_back = self.is_way_back();
        let need = if is_way_back { total.min(1) } else { total };
        let answering = self.proven(Side::Stable, &revision);
        if answering >= need {
            return true;
        }
        self.wait_for_pods(format!(
            "{answering} of {need} pods of {revision} answer behind their Service"
        ));
        self.short_of.get_or_insert((revision, need));
        false
    }
}

/// The objects of people's that the spec names.
fn named(seen: &Observed, backends: &Backends) -> Known {
    let Some(routing) = seen.wanted.spec().and_then(|spec| spec.routing.as_ref()) else {
        return Known::new();
    };
    let mut named = written_by(&routing.routers, backends);
    for side in [Side::Stable, Side::Canary] {
        let name = backends.name(side);
        let is_foreign = match seen.service(side) {
            Some(service) => service.foreign.as_ref().is_some_and(|it| !it.is_barred),
            None => is_missing(seen, routing, name),
        };
        if is_foreign {
            named.insert(title(ObjectKind::Service, name), Foreign::default());
        }
    }
    named
}

/// Whether another Rollout drives a Service now: it is not for this one to put it back.
fn is_of_a_rival(seen: &Observed, title: &str) -> bool {
    let services = seen.services.iter().flatten();
    let mut lost = services.filter(|service| service.rival().is_some());
    lost.any(|service| foreign::title(ObjectKind::Service, &service.target.key.name) == title)
}

/// Whether a Service of people's that was there is gone. It is not made anew: that would make it ours.
pub(super) fn is_missing(seen: &Observed, routing: &Routing, name: &str) -> bool {
    let progress = seen.status.progress.as_ref();
    let title = title(ObjectKind::Service, name);
    let was_there = progress.is_some_and(|progress| progress.foreign.contains_key(&title));
    was_there && routing.may_be_foreign(name)
}

/// Why a Service of people's cannot serve its side, as a sentence for people.
pub(super) fn obstacle(seen: &Observed, routing: &Routing, backends: &Backends) -> Option<String> {
    [Side::Stable, Side::Canary].into_iter().find_map(|side| {
        let name = backends.name(side);
        match seen.service(side) {
            Some(service) => service.obstacle().cloned(),
            None => is_missing(seen, routing, name).then(|| {
                format!("Service {name}, which is yours, is gone; create it again, or take it out of spec.traffic.services")
            }),
        }
    })
}

/// Gives everything back, before the Rollout goes.
pub(super) fn put_back(seen: &Observed, backends: &Backends) -> Vec<Action> {
    let progress = seen.status.progress.as_ref();
    let mut all = progress.map_or_else(Known::new, |progress| progress.foreign.clone());
    all.extend(named(seen, backends));
    first(changes(seen, &all)).into_iter().collect()
}

/// What puts these back, as far as that has to be done.
fn changes(seen: &Observed, all: &Known) -> Changes {
    if all.is_empty() {
        return Changes::new();
    }
    let objects: Vec<Route> = seen.routes.iter().chain(&seen.left).cloned().collect();
    let changes = all.iter().filter_map(|(title, how)| {
        let change = foreign::put_back(entitled(title)?, how, &objects)?;
        Some((title.clone(), change))
    });
    changes.collect()
}

/// What comes first: what divides requests, and then what they are divided between. One that is refused does not keep the
/// others from going back.
fn first(changes: Changes) -> Option<Action> {
    let divides = |(target, _): &&(Target, Value)| {
        !matches!(
            target.kind,
            ObjectKind::DestinationRule | ObjectKind::Service
        )
    };
    let all: Vec<(Target, Value)> = changes.into_values().collect();
    let first: Vec<(Target, Value)> = all.iter().filter(divides).cloned().collect();
    let first = if first.is_empty() { all } else { first };
    (!first.is_empty()).then_some(Action::PatchEach(first))
}
