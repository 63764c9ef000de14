//! What follows when nothing of stable serves: traffic goes where something does, and no step is skipped for it. No I/O.
//!
//! It is an emergency measure, so it takes some time without a pod of stable, which a restart or a node that goes does not
//! take, and it is no promotion: steps go on deciding who is stable. As soon as a pod of stable is ready again, the
//! weight is what the step says.

use std::time::Duration;

use jiff::Timestamp;

use super::super::api::Change;
use super::super::spec::Routing;
use super::change::step_of;
use super::{Draft, after};
use crate::model::revision::Revision;
use crate::model::span::time_of_day;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::{Arrangement, Side};

/// How long stable has to be without a ready pod before what is on its way gets its traffic.
const DWELL: Duration = Duration::from_secs(30);
/// The share of the canary then, where weights are ratios of pods: one pod of stable stays, to tell when it is back.
const ALL_BUT_ONE: i64 = 99;

impl Draft<'_> {
    /// Remembers since when stable is down.
    pub(super) fn note_down(&mut self) {
        let should_serve = self
            .change()
            .is_none_or(|change| self.should_stable_serve(change));
        let is_down = should_serve && self.spec.replicas > 0 && self.seen.ready(&self.stable) == 0;
        let known = self.memory.progress.down_since;
        // A clock that went back begins anew.
        let since = known.filter(|since| *since <= self.now);
        self.memory.progress.down_since = is_down.then(|| since.unwrap_or(self.now));
    }

    /// Whether stable should serve. It need not once the steps have taken all of its traffic.
    fn should_stable_serve(&self, change: &Change) -> bool {
        let weight = self.spec.weight_at(step_of(change));
        if self.spec.routing.is_none() {
            return self.counts(weight).stable > 0;
        }
        let live = self.live.arrangement.as_ref();
        let has_all = live.is_some_and(|live| live.share_of(&change.revision) == Weight::FULL);
        self.spec.replicas > 0 && !(has_all && weight == Weight::FULL)
    }

    /// Whether stable should serve, and nothing of it does. Without a router, pods of stable come and go as the weight says,
    /// so there it takes a sign that they are in trouble.
    fn is_stable_down(&self, change: &Change) -> bool {
        if self.seen.ready(&self.stable) > 0 || !self.should_stable_serve(change) {
            return false;
        }
        if self.spec.routing.is_some() {
            return true;
        }
        let is_lost = self.seen.set(&self.stable).is_none();
        // Between two crashes there is no trouble: what has begun goes on until a pod is ready.
        let asked = self.counts(self.spec.weight_at(step_of(change))).canary;
        let set = self.seen.set(&change.revision);
        let has_begun = set.is_some_and(|set| set.replicas > asked);
        is_lost || has_begun || self.seen.trouble(&self.stable).is_some()
    }

    /// When stable will have been down for long enough, or has been.
    fn emergency_at(&self, change: &Change) -> Option<Timestamp> {
        let since = self.memory.progress.down_since?;
        self.is_stable_down(change).then(|| after(since, DWELL))
    }

    /// Whether stable has been down for so long that its traffic goes to what is on its way.
    pub(super) fn is_emergency(&self, change: &Change) -> bool {
        self.emergency_at(change).is_some_and(|at| at <= self.now)
    }

    /// Looks again when stable will have been down for long enough.
    pub(super) fn await_emergency(&mut self) {
        let at = self.change().and_then(|change| self.emergency_at(change));
        if let Some(at) = at.filter(|at| *at > self.now) {
            self.wake_at(at);
        }
    }

    /// Whether the way back may wait for more than one pod of stable: what was given up has all of the traffic, because
    /// stable was down, and its pods serve it. Not for ever, since it was given up for something.
    pub(super) fn may_wait_to_go_back(&self, live: &Arrangement) -> bool {
        let Some(until) = self.patience_with(&live.canary) else {
            return false;
        };
        let has_all = live.weight() == Weight::FULL && live.stable == self.stable;
        let serves = self.seen.answering(self.side_of_all(), &live.canary) > 0
            && self.seen.faults(&live.canary).next().is_none();
        has_all && serves && until > self.now
    }

    /// Looks again when one pod of stable is enough.
    pub(super) fn await_way_back(&mut self, live: &Arrangement) {
        let is_waiting = self.is_way_back() && self.may_wait_to_go_back(live);
        if let Some(until) = self.patience_with(&live.canary).filter(|_| is_waiting) {
            self.wake_at(until);
        }
    }

    /// Until when a revision that was given up may go on serving although a pod of stable is ready.
    fn patience_with(&self, revision: &Revision) -> Option<Timestamp> {
        let failed = self.memory.progress.failed.as_ref();
        let failed = failed.filter(|failed| failed.revision == *revision)?;
        // A clock that went back must not make it longer.
        let since = failed.at.min(self.now);
        Some(after(since, self.spec.progress_deadline))
    }

    /// The Service by which the canary has all of the traffic.
    fn side_of_all(&self) -> Side {
        let routing = self.spec.routing.as_ref();
        if routing.is_some_and(Routing::is_switch) {
            Side::Stable
        } else {
            Side::Canary
        }
    }

    /// What the change gets then.
    pub(super) fn in_emergency(&self, division: Division) -> Division {
        if self.spec.routing.is_some() {
            return Division::of(Weight::FULL);
        }
        let most = Weight::new(ALL_BUT_ONE).unwrap_or_default();
        Division {
            weight: division.weight.max(most),
            ..division
        }
    }

    /// Whether both Services select the change although steps of it are left: there was no other way while nothing of
    /// stable served. Stable gets its Service back by way of the other one, which loses nothing.
    pub(super) fn is_ahead_of_steps(&self, live: &Arrangement) -> bool {
        let is_past = |change: &Change| {
            live.stable == change.revision
                && live.canary == change.revision
                && !self.is_past_return(change)
        };
        self.change().is_some_and(is_past)
    }

    /// What people read of it.
    pub(super) fn words_of_emergency(&self) -> Option<String> {
        let change = self.change()?;
        let at = self.emergency_at(change)?;
        let since = time_of_day(self.memory.progress.down_since?);
        let (stable, revision) = (&self.stable, &change.revision);
        let follows = if self.is_withdrawn() {
            "people decide what follows".to_owned()
        } else if at <= self.now {
            format!("{revision} gets its traffic until it has one, and its steps go on")
        } else {
            let at = time_of_day(at);
            format!("from {at} on {revision} gets its traffic until it has one")
        };
        Some(format!(
            "stable {stable} has had no ready pod since {since}: {follows}"
        ))
    }
}
