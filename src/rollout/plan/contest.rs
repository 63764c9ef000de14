//! Routes of people's that somebody else writes too. No I/O.
//!
//! A tool that takes weights back is not fought: after two times they stay where they are until a person has settled it.
//! Only the way back is never held up by that.

use super::Draft;
use crate::traffic::Arrangement;
use crate::traffic::router::Route;

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
