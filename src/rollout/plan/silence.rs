//! What the data plane may not know yet, where a router reports nothing. No I/O.
//!
//! There a weight counts as soon as it is written. The drain time is what the data plane has to take it in: until it is
//! over, what had weight is neither pointed elsewhere nor has fewer pods. The time begins with the first look that
//! finds another weight, whoever wrote it, so a status that is lost costs one such time and nothing else. No weight
//! waits for it.

use jiff::Timestamp;

use super::super::api::Unreported;
use super::{Draft, after};
use crate::traffic::division::Division;

impl Draft<'_> {
    /// Remembers how routers divide of which one reports nothing, and until when that may not be known.
    pub(super) fn note_silence(&mut self) {
        let before = self.memory.progress.unreported.take();
        let Some(routing) = &self.spec.routing else {
            return;
        };
        let scene = self.seen.scene(self.backends, routing.port);
        let mut routers = routing.routers.iter();
        if routers.all(|router| router.reports(&scene)) {
            return;
        }
        let live = self.live.arrangement.as_ref();
        let Some(live) = live.filter(|_| self.live.is_even) else {
            return;
        };
        let weight = live.division.weight;
        let added = live.division != Division::of(weight);
        let is_same =
            |before: &Unreported| (before.weight, before.added) == (weight.percent(), added);
        // A clock that went back, and a drain time that is shorter now, must not make it longer.
        let latest = after(self.now, self.spec.drain);
        let known = before.filter(is_same);
        self.memory.progress.unreported = Some(Unreported {
            weight: weight.percent(),
            added,
            until: known.map_or(latest, |before| before.until.min(latest)),
        });
    }

    /// Until when the data plane may still go by what routers said before, where it may.
    pub(super) fn silent_until(&self) -> Option<Timestamp> {
        let until = self.memory.progress.unreported.as_ref()?.until;
        let is_awaited = self.rules.silence_takes_its_time && until > self.now;
        is_awaited.then_some(until)
    }
}
