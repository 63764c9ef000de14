//! Routes of people's that somebody else writes too, and what of them is put back at the end. No I/O.
//!
//! A tool that takes weights back is not fought: after two times they stay where they are until a person has settled it.
//! Only the way back is never held up by that.

use serde_json::Value;

use super::super::observed::Observed;
use super::super::spec::Routing;
use super::Draft;
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::traffic::Arrangement;
use crate::traffic::division::Division;
use crate::traffic::router::{Reading, Route};

/// Times that somebody may take weights back in one change.
const REVERTS: u32 = 2;

/// An object that is written by somebody else too.
#[derive(Clone, Debug)]
pub(super) struct Contested {
    /// Kind and name. Example: `HTTPRoute shop`.
    object: String,
    /// The field manager that takes them back.
    by: String,
}

impl Contested {
    /// A sentence for people.
    pub(super) fn message(&self) -> String {
        let Self { object, by } = self;
        format!(
            "{by} has taken the weights in {object} back {REVERTS} times, so they stay where they are; have it leave them \
             alone (docs/gitops.md), then make a Decision Resume"
        )
    }
}

impl Draft<'_> {
    /// Whether the weights in an object of people's may be written.
    pub(super) fn may_write(&mut self, route: &Route, live: &Arrangement) -> bool {
        let object = format!("{} {}", route.target.kind.kind(), route.target.key.name);
        let known = self.memory.progress.driven.get(&object).copied();
        let other = route.taken_by().filter(|_| known.is_some());
        let reverts = known.unwrap_or(0) + u32::from(other.is_some());
        let is_idle = live.canary == live.stable;
        match other {
            Some(by) if reverts >= REVERTS && (self.change().is_some() || is_idle) => {
                self.contested = Some(Contested { object, by });
                false
            }
            _ => {
                self.memory.progress.driven.insert(object, reverts);
                true
            }
        }
    }

    /// What was taken back so far does not count any more.
    pub(super) fn forget_reverts(&mut self) {
        let driven = &mut self.memory.progress.driven;
        for reverts in driven.values_mut() {
            *reverts = 0;
        }
    }
}

/// Gives all of the traffic back to the stable Service in objects of people's, before the Rollout goes.
pub(super) fn put_back(seen: &Observed) -> Vec<Action> {
    let Some(routing) = seen.wanted.spec().and_then(|spec| spec.routing.as_ref()) else {
        return Vec::new();
    };
    let Routing { port, routers, .. } = routing;
    let backends = seen.backends();
    let scene = seen.scene(&backends, *port);
    let nothing = Reading::even(Division::NONE);
    let foreign = routers.iter().filter(|router| !router.is_created());
    let driven = foreign.filter(|router| router.read(&scene).is_ok_and(|now| now != nothing));
    let changes = driven.filter_map(|router| {
        let change: Value = router.divided(&scene, &Division::NONE)?;
        Some((router.carrier(&scene)?.target.clone(), change))
    });
    let changes: Vec<(Target, Value)> = changes.collect();
    // One that is refused does not keep the others from going back.
    let each = (!changes.is_empty()).then(|| Action::PatchEach(changes));
    each.into_iter().collect()
}
