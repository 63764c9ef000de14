//! How many pods each revision has. The only place that scales. No I/O.

use std::time::Duration;

use serde_json::json;

use super::super::api::StableScale;
use super::super::observed::Set;
use super::super::render;
use super::change::step_of;
use super::{Draft, after};
use crate::model::action::Action;
use crate::model::revision::Revision;
use crate::traffic::Side;
use crate::traffic::division::Division;
use crate::traffic::replicas::Counts;

impl Draft<'_> {
    /// Plans the number of pods of every revision.
    pub(super) fn scale(&mut self) {
        self.adopt();
        self.record_on_sets();
        match self.spec.routing {
            Some(_) => self.scale_with_router(),
            None => self.scale_by_ratio(),
        }
    }

    fn adopt(&mut self) {
        if self.seen.deletion.is_some() {
            return;
        }
        let seen = self.seen;
        for set in seen.sets.iter().filter(|set| !set.is_owned) {
            self.change_set(set, &self.own());
        }
    }

    /// With a router weights are exact: the canary has what its weight needs, and stable all of its pods or what its
    /// own weight needs.
    fn scale_with_router(&mut self) {
        let total = self.spec.replicas;
        let stable = self.stable.clone();
        let has = |set: Option<&Set>| set.map_or(0, |set| set.replicas.min(total));
        let kept = self.need_of_stable();
        let kept = kept.max(self.spare_for_restart(&stable, kept));
        if !self.is_held() || kept >= has(self.seen.set(&stable)) {
            self.want(&stable, kept);
        }
        if self.spec.stable_scale == StableScale::WithWeight
            && self.change().is_some()
            && let Some(until) = self.silent_until()
        {
            self.wake_at(until);
        }
        if let Some(change) = self.change() {
            let revision = change.revision.clone();
            let least = self.spec.scale_at(step_of(change)).min(total);
            // The way to where it should be may take more pods than being there.
            let next = self.awaited(&revision);
            let need = self.wanted_division().need(total).max(least).max(next);
            let spare = self.spare_for_restart(&revision, need);
            let need = need.max(spare);
            // Never fewer while the change is on: the way down is by way of draining.
            let has = has(self.seen.set(&revision));
            let paced = self.paced(&revision, need, has);
            if !self.is_held() {
                self.want(&revision, paced.max(has));
            } else if spare > has {
                self.want(&revision, spare);
            }
        }
        self.drain_the_rest();
    }

    /// Pods of stable. Where they go with the weight, one stays to the end, and none goes before the data plane has
    /// taken in what it is not needed for any more.
    fn need_of_stable(&self) -> i32 {
        let total = self.spec.replicas;
        let (Some(change), Some(live)) = (self.change(), &self.live.arrangement) else {
            return total;
        };
        // What was superseded gives its weight back to stable first.
        let is_superseded = live.canary != change.revision && live.canary != self.stable;
        // Not behind its own Service, it gets everything by way of the other one.
        let is_coming_back = live.stable != self.stable
            && (live.canary == self.stable || live.stable != change.revision);
        if self.spec.stable_scale == StableScale::Full || is_superseded || is_coming_back {
            return total;
        }
        let share = live.share_of(&self.stable);
        let next = self.affordable_weight(live).rest();
        let need = if next > share {
            next.need(total)
        } else {
            // One of three pods has 33 %, and the other 67 % would need three: what pods of the canary take, stable can
            // do without.
            let taken = self.seen.answering(Side::Canary, &change.revision);
            let taken = share.rest().most(total).min(taken);
            share.need(total).min(total - taken)
        };
        let need = need.max(self.awaited(&self.stable)).max(total.min(1));
        let has = self
            .seen
            .set(&self.stable)
            .map_or(0, |set| set.replicas.min(total));
        if self.live.acknowledged && self.silent_until().is_none() {
            need
        } else {
            need.max(has)
        }
    }

    /// As many of the needed pods of the canary as may be there now: they start a few at a time, and of all revisions
    /// together there are never more than twice `replicas`; where stable goes down with the weight, never many more than
    /// `replicas`.
    fn paced(&self, revision: &Revision, need: i32, has: i32) -> i32 {
        if !self.rules.counts_are_bounded {
            return need;
        }
        let surge = self.spec.max_surge.max(1);
        let ready = self.seen.ready(revision);
        let paced = match self.spec.batch {
            // Pods that answer are not counted against the budget.
            None => ready.saturating_add(surge),
            Some(batch) if !batch.is_checked => ready.saturating_add(batch.size),
            Some(batch) => {
                let available = self.seen.set(revision).map_or(0, Set::lasting);
                if available.min(ready) < has {
                    has
                } else {
                    has.saturating_add(batch.size)
                }
            }
        };
        let paced = paced.min(need);
        if self.spec.stable_scale == StableScale::Full {
            return paced.min(self.room_beside_stable(revision));
        }
        let sets = self.seen.sets.iter();
        let others = sets.filter(|set| set.revision != *revision);
        let others: i32 = others.map(|set| set.replicas.max(set.current)).sum();
        let most = self.spec.replicas.saturating_add(surge);
        let room = most.saturating_sub(others);
        // A superseded revision that drains must not hold up the change for ever, so one more always fits; nor must
        // idle pods hold up those that a move of traffic waits for.
        paced.min(room.max(1).max(self.awaited(revision)))
    }

    /// Pods for which there is room where stable keeps all of its own: what was superseded, and drains, takes some for a
    /// while. A fix of a stable that is down waits for nothing.
    fn room_beside_stable(&self, revision: &Revision) -> i32 {
        let live = self.live.arrangement.as_ref();
        // What has the stable Service is waited for by what drains, too.
        let is_before_stable = live.is_some_and(|live| live.stable == *revision);
        if self.seen.ready(&self.stable) == 0 || is_before_stable {
            return i32::MAX;
        }
        let total = self.spec.replicas;
        let sets = self.seen.sets.iter();
        let draining = sets.filter(|set| set.revision != *revision && set.revision != self.stable);
        let draining: i32 = draining.map(|set| set.replicas.max(set.current)).sum();
        total
            .max(self.spec.max_surge)
            .saturating_sub(draining)
            .max(0)
    }

    /// Pods of a revision that the next move of traffic waits for.
    fn awaited(&self, revision: &Revision) -> i32 {
        let short_of = self.short_of.as_ref();
        short_of
            .filter(|(of, _)| of == revision)
            .map_or(0, |(_, need)| *need)
    }

    /// Everything that is neither stable nor on its way: drained, then gone.
    fn drain_the_rest(&mut self) {
        let seen = self.seen;
        let change = self.change().map(|change| change.revision.clone());
        for set in &seen.sets {
            let name = set.revision.as_str();
            let is_in_use = set.revision == self.stable || Some(&set.revision) == change.as_ref();
            if is_in_use || set.replicas == 0 {
                self.memory.progress.draining.remove(name);
                continue;
            }
            if self.may_end(set) {
                self.set_replicas(set, 0);
            }
        }
        let known = |name: &String| seen.sets.iter().any(|set| set.revision.as_str() == name);
        self.memory.progress.draining.retain(|name, _| known(name));
    }

    /// Rules 2, 3 and 9: nobody selects it, the data plane knows, and what it had accepted is answered.
    fn may_end(&mut self, set: &Set) -> bool {
        let is_referenced = self.live.references(&set.revision);
        if is_referenced && self.rules.referenced_is_never_scaled_away {
            self.memory.progress.draining.remove(set.revision.as_str());
            return false;
        }
        let is_known = self.live.acknowledged && self.live.arrangement.is_some();
        let is_superseded = set.promoted_at.is_none() && set.failed.is_none();
        let drains =
            self.rules.drain_before_scale_down && (self.rules.superseded_drain || !is_superseded);
        if !drains {
            return true;
        }
        if !is_known {
            return false;
        }
        let until = after(self.now, self.drain_of(set));
        let draining = &mut self.memory.progress.draining;
        let noted = draining.entry(set.revision.to_string()).or_insert(until);
        // What nobody keeps any more need not wait for the end of that.
        let until = until.min(*noted);
        *noted = until;
        if until <= self.now {
            return true;
        }
        self.wake_at(until);
        false
    }

    /// How long a revision without traffic goes on being there: for what it had accepted, and the one before for as long
    /// as people may want it back at once.
    fn drain_of(&self, set: &Set) -> Duration {
        let before = self
            .earlier()
            .into_iter()
            .find(|revision| *revision != self.stable);
        let is_before = before.as_ref() == Some(&set.revision) && set.failed.is_none();
        if is_before && self.change().is_none() {
            return self.spec.drain.max(self.spec.keep_old_for);
        }
        self.spec.drain
    }

    /// Without a router the numbers of pods are the split.
    fn scale_by_ratio(&mut self) {
        self.memory.progress.draining.clear();
        let (total, surge) = (self.spec.replicas, self.spec.max_surge);
        let change = self.change().map(|change| change.revision.clone());
        let goal = match &change {
            // One of its pods stays for people to look at, where that takes none from stable.
            Some(change) if self.is_withdrawn() => Counts {
                stable: total,
                canary: self
                    .seen
                    .set(change)
                    .map_or(0, |set| set.replicas.min(1).min(surge)),
            },
            Some(_) => self.counts(self.wanted_weight()),
            None => Counts {
                stable: total.max(self.spare_for_restart(&self.stable, total)),
                canary: 0,
            },
        };
        let goal_of = |draft: &Self, revision: &Revision| {
            if *revision == draft.stable {
                goal.stable
            } else if Some(revision) == change.as_ref() {
                goal.canary
            } else {
                0
            }
        };
        if self.is_held() && !self.is_withdrawn() && change.is_some() {
            return;
        }
        self.raise_by_ratio(&goal_of, change.as_ref());
        self.lower_by_ratio(&goal_of);
    }

    /// Stable first, then the canary, within what surge leaves.
    fn raise_by_ratio(
        &mut self,
        goal_of: &impl Fn(&Self, &Revision) -> i32,
        change: Option<&Revision>,
    ) {
        let most = self.spec.replicas.saturating_add(self.spec.max_surge);
        let has: i32 = self.seen.sets.iter().map(|set| set.replicas).sum();
        let mut room = if self.rules.counts_are_bounded {
            most - has
        } else {
            i32::MAX / 2
        };
        let stable = self.stable.clone();
        for revision in std::iter::once(&stable).chain(change) {
            let set = self.seen.set(revision);
            let current = set.map_or(0, |set| set.replicas);
            let batch = if Some(revision) == change {
                self.next_batch(set)
            } else {
                i32::MAX
            };
            if set.is_none() && !self.is_known(revision) {
                // It cannot come back, and takes no room from those that can.
                continue;
            }
            let more = (goal_of(self, revision) - current)
                .min(room)
                .min(batch)
                .max(0);
            if more > 0 || set.is_none() {
                room -= more;
                self.want(revision, current + more);
            }
        }
    }

    /// Pods of the canary that may be added now.
    fn next_batch(&self, set: Option<&Set>) -> i32 {
        let starting = set.map_or(0, |set| set.replicas - set.lasting());
        match self.spec.batch {
            None => i32::MAX,
            Some(batch) if batch.is_checked && starting > 0 => 0,
            Some(batch) => batch.size - starting,
        }
    }

    /// Old ones first; never below what has to be available.
    fn lower_by_ratio(&mut self, goal_of: &impl Fn(&Self, &Revision) -> i32) {
        let seen = self.seen;
        if seen.owned_traffic().next().is_some() {
            // A Service of ours still selects one revision only: it goes first (rule 3).
            return;
        }
        if !seen.sets.iter().all(|set| set.is_settled) {
            // One that was told to go down, and up again before it had, still counts pods that are about to end.
            return;
        }
        let least = self.spec.replicas - self.spec.max_unavailable;
        let available: i32 = seen.sets.iter().map(Set::lasting).sum();
        let has: i32 = seen.sets.iter().map(|set| set.replicas).sum();
        let mut room = if self.rules.counts_are_bounded {
            available - least
        } else {
            i32::MAX / 2
        };
        // Pods of stable that are not available may be so again in a moment: as many are kept as have to be.
        let coming = seen
            .set(&self.wanted)
            .map_or(0, |set| set.replicas - set.lasting());
        let mut spare = (has - least - coming).max(0);
        let mut sets: Vec<&Set> = seen.sets.iter().collect();
        let rank =
            |set: &Set| i32::from(set.revision == self.stable || set.revision == self.wanted);
        sets.sort_by_key(|set| (rank(set), set.ordinal));
        for set in sets {
            let surplus = set.replicas - goal_of(self, &set.revision);
            if surplus <= 0 {
                continue;
            }
            // Pods that are not available go first and cost nothing.
            let mut idle = set.replicas - set.lasting();
            if set.revision == self.stable && self.rules.counts_are_bounded {
                idle = idle.min(spare);
            }
            let fewer = surplus.min(room.max(0).saturating_add(idle));
            if fewer > 0 {
                room -= (fewer - idle).max(0);
                spare -= fewer.min(spare);
                self.set_replicas(set, set.replicas - fewer);
            }
        }
    }

    /// Creates or scales the ReplicaSet of a revision.
    fn want(&mut self, revision: &Revision, count: i32) {
        if let Some(set) = self.seen.set(revision) {
            if set.replicas != count {
                self.set_replicas(set, count);
            }
            return;
        }
        let is_staying = self.seen.deletion.is_none();
        if self.is_known(revision) && count > 0 && is_staying {
            let ordinal = self
                .seen
                .sets
                .iter()
                .map(|set| set.ordinal)
                .max()
                .unwrap_or(0)
                + 1;
            let set = render::replica_set(self.seen, self.spec, count, ordinal);
            self.new_sets.push(Action::Create(set));
        }
    }

    /// Only the wanted template is known; another revision's ReplicaSet that is gone stays gone.
    fn is_known(&self, revision: &Revision) -> bool {
        *revision == self.spec.revision && self.spec.is_sound
    }

    fn set_replicas(&mut self, set: &Set, count: i32) {
        self.change_set(set, &json!({"spec": {"replicas": count}}));
    }

    /// Deletes the oldest revisions beyond the limit.
    pub(super) fn prune(&mut self) {
        let change = self.change().map(|change| change.revision.clone());
        let mut old: Vec<&Set> = self
            .seen
            .sets
            .iter()
            .filter(|set| {
                set.revision != self.stable
                    && Some(&set.revision) != change.as_ref()
                    && set.revision != self.spec.revision
                    && set.replicas == 0
                    && set.current == 0
            })
            .collect();
        old.sort_by_key(|set| set.ordinal);
        let surplus = old.len().saturating_sub(self.spec.history_limit);
        let gone = old.into_iter().take(surplus);
        self.deletions.extend(gone.map(|set| Action::Delete {
            target: set.target.clone(),
            orphan: false,
        }));
    }

    /// Whether the change has the pods that its step needs.
    pub(super) fn has_pods_for(&self, revision: &Revision, division: &Division) -> bool {
        let need = match self.spec.routing {
            Some(_) => division.need(self.spec.replicas),
            None => self.counts(division.weight).canary,
        };
        let set = self.seen.set(revision);
        let are_available = |set: &Set| set.replicas >= need && set.lasting() >= need;
        self.seen.ready(revision) >= need && set.map_or(need == 0, are_available)
    }
}
