//! A Rollout that is being deleted: with its pods, or so that they go on serving without it. No I/O.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use super::super::api::Phase;
use super::super::config::Named;
use super::super::observed::{Deletion, Observed};
use super::object::patch;
use super::{Draft, Memory, after, foreign, remembered};
use crate::model::action::Action;
use crate::model::manifest::Target;
use crate::model::plan::{Plan, Why};

/// How long a Rollout that goes tries to put objects of people's back.
const PUT_BACK: std::time::Duration = std::time::Duration::from_mins(1);

/// How far a Rollout is that goes and leaves its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It stays, or what is not stable has to go first.
    NotYet,
    /// Nothing but stable has traffic, and is let go.
    Back,
    /// That takes too long: everything is let go as it is.
    Late,
}

/// Objects of people's are put back first, if that can be done in good time.
pub(super) fn delete(seen: &Observed, now: Timestamp) -> Plan<Memory> {
    let is_in_time = seen.deleted_at.is_none_or(|at| now < after(at, PUT_BACK));
    let actions = Some(foreign::put_back(seen, &seen.backends())).filter(|_| is_in_time);
    let actions = actions.unwrap_or_default();
    let why = Why::normal("Deleting", "being deleted, with its pods");
    Plan {
        finished: actions.is_empty(),
        actions,
        ..Plan::idle(remembered(seen, Phase::Pending), why)
    }
}

/// Takes the owner off everything that serves, whatever it is.
pub(super) fn let_all_go(seen: &Observed) -> Vec<Action> {
    let serving = seen
        .sets
        .iter()
        .filter(|set| set.is_owned && set.replicas > 0);
    let sets = serving.map(|set| &set.target);
    let traffic = sets.chain(seen.owned_traffic());
    traffic.chain(kept_copies(seen)).map(disown).collect()
}

/// Copies of ConfigMaps and Secrets that what goes on serving still reads.
fn kept_copies(seen: &Observed) -> impl Iterator<Item = &Target> {
    let serving = seen.sets.iter().filter(|set| set.replicas > 0);
    let read: BTreeSet<&Named> = serving.flat_map(|set| &set.configs).collect();
    let copies = seen.snapshots.iter().filter(|copy| copy.is_owned);
    let kept = copies.filter(move |copy| read.contains(&copy.named()));
    kept.map(|copy| &copy.target)
}

fn disown(target: &Target) -> Action {
    patch(target, json!({"metadata": {"ownerReferences": null}}))
}

impl Draft<'_> {
    /// Lets go of what is to go on serving, where the Rollout goes without its pods and stable has everything.
    pub(super) fn leave(&mut self) -> Leaving {
        if !self.seen.is_leaving_pods() {
            return Leaving::NotYet;
        }
        let gives_back = self.seen.deletion == Some(Deletion::GiveBack);
        if !self.is_back_at_stable() {
            let is_late = !gives_back && self.is_out_of_patience();
            return if is_late {
                Leaving::Late
            } else {
                Leaving::NotYet
            };
        }
        if gives_back {
            self.give_back();
        } else {
            self.let_go();
        }
        if self.seen.is_only(&self.stable) {
            self.moves
                .extend(foreign::put_back(self.seen, self.backends));
        }
        Leaving::Back
    }

    /// Whether somebody who deleted the Rollout has waited for long enough for stable to take everything back.
    fn is_out_of_patience(&mut self) -> bool {
        let patience = self.spec.progress_deadline;
        let Some(end) = self.seen.deleted_at.map(|at| after(at, patience)) else {
            return false;
        };
        if end > self.now {
            self.wake_at(end);
        }
        end <= self.now
    }

    /// Takes the owner off everything that is to go on serving.
    fn let_go(&mut self) {
        let disowned = json!({"metadata": {"ownerReferences": null}});
        if let Some(set) = self.seen.set(&self.stable).filter(|set| set.is_owned) {
            self.change_set(set, &disowned);
        }
        self.moves.extend(self.seen.owned_traffic().map(disown));
        self.moves.extend(kept_copies(self.seen).map(disown));
    }
}
