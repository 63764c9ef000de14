//! Follows Decisions to try a run again, once it is over. No I/O.
//!
//! The other run is made first, and noted once it is there: a crash in between makes it again, under the same name, and it does
//! not come back when retention has deleted it.

use super::super::render;
use super::Draft;
use crate::model::action::Action;

/// Decisions that are followed for one run, the first ones.
const MOST: usize = 8;

impl Draft<'_> {
    /// Makes the runs that were asked for.
    pub(super) fn follow_retries(&mut self) {
        let Some(pipeline) = &self.seen.pipeline else {
            return;
        };
        if !self.is_over() || self.seen.is_deleted {
            return;
        }
        for retry in self.seen.retries.iter().take(MOST) {
            if self.next.retries.contains(&retry.decision) {
                continue;
            }
            if retry.is_made {
                self.next.retries.push(retry.decision.clone());
            } else {
                let made = render::retry(self.seen, pipeline, retry);
                self.actions.push(Action::Create(made));
            }
        }
        self.next.retries.truncate(MOST);
    }
}
