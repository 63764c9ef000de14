//! How many pods there are to be while revisions share the traffic and `spec.replicas` goes down. No I/O.
//!
//! The pods that share the traffic are more than those that would do without a change, so an autoscaler may find them
//! idle and take some away. What it takes then would be missing as soon as one revision has everything again.

use super::super::api::{Progress, StableScale};
use super::super::observed::Observed;
use super::super::spec::Spec;
use super::live::Live;
use super::{Draft, change};
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::router::Backends;

/// The spec with as many pods as there were when it began to ask for fewer, where these are to go on.
///
/// No pods at all is nothing that an autoscaler finds out: somebody wants it off.
pub(super) fn raised(seen: &Observed, spec: &Spec, backends: &Backends) -> Option<Spec> {
    let before = seen.status.progress.as_ref()?;
    let replicas = before.replicas.filter(|known| *known > spec.replicas)?;
    if spec.replicas == 0 {
        return None;
    }
    let stable = change::stable(seen, spec);
    let live = Live::read(seen, spec, backends, &stable);
    is_shared(before, spec, &live, &stable).then(|| Spec {
        replicas,
        ..spec.clone()
    })
}

/// Whether revisions share the traffic: from the first weight to the one that the data plane knows to be the last.
fn is_shared(before: &Progress, spec: &Spec, live: &Live, stable: &Revision) -> bool {
    let share = live.share_of(stable);
    let is_divided = share > Weight::ZERO && share < Weight::FULL;
    let is_awaited = before.replicas.is_some() && !live.acknowledged;
    // The way back needs one pod of a stable that has kept all of its own. Any other stable has to get them again, and
    // may be waiting for a number that can be had.
    let is_full = spec.routing.is_some() && spec.stable_scale == StableScale::Full;
    (is_divided || is_awaited) && (before.change.is_some() || is_full)
}

impl Draft<'_> {
    /// Remembers the number of pods while revisions share the traffic.
    pub(super) fn note_size(&mut self) {
        let before = &self.memory.progress;
        let is_shared = is_shared(before, self.spec, &self.live, &self.stable);
        self.memory.progress.replicas = is_shared.then_some(self.spec.replicas);
    }

    /// What people read while the spec asks for fewer pods than go on.
    pub(super) fn words_of_size(&self) -> Option<String> {
        let asked = self.seen.wanted.spec()?.replicas;
        let there = self.spec.replicas;
        (asked < there).then(|| {
            format!(
                "spec.replicas went down to {asked}: {there} go on until one revision has all of the traffic"
            )
        })
    }
}
