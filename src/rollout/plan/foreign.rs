//! Objects of people's that are written into, and what puts them back: when the spec does not name them any more, and
//! when the Rollout goes. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::api::Foreign;
use super::super::observed::Observed;
use super::Draft;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::traffic::foreign::{self, entitled};
use crate::traffic::router::Route;
use crate::traffic::{Side, foreign::written_by};

/// Objects by title, with what it takes to put them back.
type Known = BTreeMap<String, Foreign>;
/// What puts an object back, by its title.
type Changes = BTreeMap<String, (Target, Value)>;

impl Draft<'_> {
    /// Keeps in mind what is written into, and puts back what the spec does not name any more.
    pub(super) fn put_back_left(&mut self) {
        let named = named(self.seen);
        let known = self.memory.progress.foreign.clone();
        let left: Known = known
            .into_iter()
            .filter(|(title, _)| !named.contains_key(title))
            .collect();
        let changes = changes(self.seen, &left);
        // What is back, or gone, is none of ours any more.
        let waiting = left
            .into_iter()
            .filter(|(title, _)| changes.contains_key(title));
        self.memory.progress.foreign = named.into_iter().chain(waiting).collect();
        if !changes.is_empty() && self.can_take_back() {
            self.moves.extend(first(changes));
        }
    }

    /// Whether what the stable Service selects can take what is given back to it, as for any other shift.
    fn can_take_back(&mut self) -> bool {
        let [selected, _] = &self.live.selected;
        let revision = selected.clone().unwrap_or_else(|| self.stable.clone());
        let total = self.spec.replicas;
        let is_way_back = self.change().is_none();
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
fn named(seen: &Observed) -> Known {
    let routing = seen.wanted.spec().and_then(|spec| spec.routing.as_ref());
    routing.map_or_else(Known::new, |routing| {
        written_by(&routing.routers, &seen.backends())
    })
}

/// Gives everything back, before the Rollout goes.
pub(super) fn put_back(seen: &Observed) -> Vec<Action> {
    let progress = seen.status.progress.as_ref();
    let mut all = progress.map_or_else(Known::new, |progress| progress.foreign.clone());
    all.extend(named(seen));
    first(changes(seen, &all)).into_iter().collect()
}

/// What puts these back, as far as that has to be done.
fn changes(seen: &Observed, all: &Known) -> Changes {
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
    let divides = |(target, _): &&(Target, Value)| target.kind != ObjectKind::DestinationRule;
    let all: Vec<(Target, Value)> = changes.into_values().collect();
    let first: Vec<(Target, Value)> = all.iter().filter(divides).cloned().collect();
    let first = if first.is_empty() { all } else { first };
    (!first.is_empty()).then_some(Action::PatchEach(first))
}
