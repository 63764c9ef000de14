//! Objects of people's that somebody else writes too. No I/O.
//!
//! A tool that takes weights back is not fought: after two times they stay where they are until a person has settled it.
//! Only the way back is never held up by that.

use super::super::api::Taken;
use super::super::observed::{ForeignService, Service};
use super::Draft;
use crate::model::object::ObjectKind;
use crate::traffic::foreign::title;
use crate::traffic::router::{Route, taken};

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
            "{by} has taken back what was written into {object} {REVERTS} times, so that stays as it is; have it leave that \
             alone (docs/gitops.md), then make a Decision Resume"
        )
    }
}

impl Draft<'_> {
    /// Whether the weights in an object of people's may be written.
    pub(super) fn may_write(&mut self, route: &Route) -> bool {
        let object = title(route.target.kind, &route.target.key.name);
        self.may_change(object, taken(&route.live.metadata))
    }

    /// Whether the revision that a Service of people's selects may be written.
    pub(super) fn may_narrow(&mut self, service: &Service, foreign: &ForeignService) -> bool {
        let object = title(ObjectKind::Service, &service.target.key.name);
        self.may_change(object, foreign.taken.clone())
    }

    fn may_change(&mut self, object: String, taken: Option<Taken>) -> bool {
        let progress = &mut self.memory.progress;
        let known = progress.driven.get(&object).copied();
        let answered = progress
            .foreign
            .get(&object)
            .and_then(|it| it.taken.as_ref());
        // What was answered before may still be there: that answer was lost, or came too late.
        let is_news = known.is_some() && taken.as_ref() != answered;
        let reverts = known.unwrap_or(0) + u32::from(taken.is_some() && is_news);
        let [stable, canary] = &self.live.selected;
        // A Service that is wide reaches stable as well: it holds no way back up.
        let is_idle = stable == canary || self.live.is_unclaimed.contains(&true);
        match &taken {
            Some(Taken { by, .. })
                if reverts >= REVERTS && (progress.change.is_some() || is_idle) =>
            {
                let by = by.clone();
                self.contested = Some(Contested { object, by });
                false
            }
            _ => {
                if let Some(foreign) = progress.foreign.get_mut(&object) {
                    foreign.taken = taken.or_else(|| foreign.taken.take());
                }
                progress.driven.insert(object, reverts);
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
