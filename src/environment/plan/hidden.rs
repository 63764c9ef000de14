//! An Environment whose Rollouts are in another cluster, of which nothing is known now: it waits, and keeps what it said. No I/O.

use super::super::mirror::Hidden;
use super::{Draft, Said};
use crate::model::condition;

impl Draft<'_> {
    /// Why nothing can be told of the Rollouts; nothing where it can.
    pub(super) fn hidden(&self) -> Option<Hidden> {
        self.seen.mirror.hidden(&self.seen.key)
    }

    /// How its Rollouts were when they were last seen.
    pub(super) fn health_on_record(&self) -> Option<(bool, Said)> {
        let known = condition::find(&self.seen.status.conditions, "Healthy")?;
        let said = Said::new(&known.reason, known.message.clone());
        let is_healthy = condition::is_true(&self.seen.status.conditions, &known.type_);
        Some((is_healthy, said))
    }
}
