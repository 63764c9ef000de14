//! Decides what a Rollout does next. Pure: everything it knows is in `Observed` and `now`.
//!
//! The parts, in the order in which they are asked:
//! - `change`: which revision is stable, which is on its way, and whether it has to be given up;
//! - `step/`: whether the step that is being done is done;
//! - `shift`: the one next move of Services and route towards the wanted split, and whether it is safe;
//! - `scale`: how many pods each revision has, and the only place that says so;
//! - `measure`: which metrics are due;
//! - `report`: the phase and the sentence that people read.
//!
//! Deletion, a spec that cannot be used and a missing Release are settled before, in this file.

mod change;
mod measure;
mod report;
mod rule;
mod scale;
mod shift;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::api::{Ending, Phase, Progress, StepStatus, Tally};
use super::observed::{Deletion, Observed, Set, Wanted};
use super::spec::Spec;
use crate::model::action::Action;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::plan::{Plan, Why};
use crate::model::revision::Revision;
use crate::model::weight::Weight;
pub use rule::Rules;
use shift::Live;

/// What is remembered, and what is shown of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// What the next plan needs.
    pub progress: Progress,
    /// Counts of samples.
    pub tallies: Vec<Tally>,
    /// How changes ended, latest first.
    pub history: Vec<Ending>,
    /// What is shown.
    pub shown: Shown,
}

/// What a plan shows in status.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    /// Where the Rollout is.
    pub phase: Phase,
    /// The step that is being done.
    pub step: Option<StepStatus>,
    /// The canary's share, and whether the data plane has acknowledged it.
    pub weight: Option<(Weight, bool)>,
    /// The revision that is on its way, or was given up.
    pub canary: Option<Revision>,
}

/// Changes that are kept in `status.history`.
const HISTORY: usize = 10;

/// Decides what a Rollout does next.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan<Memory> {
    plan_with(Rules::ALL, seen, now)
}

/// The same with some traffic rules taken out: tests show that each of them is needed.
pub(super) fn plan_with(rules: Rules, seen: &Observed, now: Timestamp) -> Plan<Memory> {
    if seen.deletion == Some(Deletion::Delete) {
        let why = Why::normal("Deleting", "being deleted, with its pods");
        return Plan {
            finished: true,
            ..Plan::idle(remembered(seen, Phase::Pending), why)
        };
    }
    match &seen.wanted {
        Wanted::Spec(spec) => Draft::new(rules, seen, spec, now).finish(),
        Wanted::NoRelease(message) => idle(
            seen,
            Phase::Pending,
            Why::normal("NoRelease", message.clone()),
        ),
        Wanted::Invalid(problems) => {
            let lines: Vec<String> = problems
                .iter()
                .map(|p| format!("{}: {}", p.path, p.problem))
                .collect();
            idle(
                seen,
                Phase::Degraded,
                Why::warning("InvalidSpec", lines.join("; ")),
            )
        }
    }
}

/// Nothing can be decided, so everything stays as it is; also when the Rollout goes and leaves its children.
fn idle(seen: &Observed, phase: Phase, why: Why) -> Plan<Memory> {
    let mut plan = Plan::idle(remembered(seen, phase), why);
    if seen.deletion == Some(Deletion::Orphan) {
        let sets = seen.sets.iter().filter(|set| set.is_owned);
        let owned = sets.map(|set| &set.target).chain(owned_traffic(seen));
        plan.actions.extend(owned.map(disowned));
        plan.finished = plan.actions.is_empty();
    }
    plan
}

/// Services and route that we own.
fn owned_traffic(seen: &Observed) -> impl Iterator<Item = &Target> {
    let services = seen
        .services
        .iter()
        .flatten()
        .filter(|service| service.is_owned);
    let route = seen.route.iter().filter(|route| route.is_owned());
    services
        .map(|service| &service.target)
        .chain(route.map(|route| &route.target))
}

fn disowned(target: &Target) -> Action {
    Action::Patch {
        target: target.clone(),
        change: disown(),
    }
}

fn disown() -> Value {
    json!({"metadata": {"ownerReferences": null}})
}

fn remembered(seen: &Observed, phase: Phase) -> Memory {
    Memory {
        progress: seen.status.progress.clone().unwrap_or_default(),
        tallies: seen.status.analysis.clone(),
        history: seen.status.history.clone(),
        shown: Shown {
            phase,
            ..Shown::default()
        },
    }
}

/// A plan in the making.
struct Draft<'a> {
    rules: Rules,
    seen: &'a Observed,
    spec: &'a Spec,
    now: Timestamp,
    memory: Memory,
    /// The revision that serves; at the very beginning the one that is to.
    stable: Revision,
    live: Live,
    /// New Services and the route.
    creations: Vec<Action>,
    /// The next move of traffic.
    moves: Vec<Action>,
    /// Changes to ReplicaSets, merged to one write each.
    sets: BTreeMap<Key, Value>,
    /// New ReplicaSets.
    new_sets: Vec<Action>,
    deletions: Vec<Action>,
    measurements: Vec<Action>,
    wake: Option<Timestamp>,
    /// What is being waited for, in words, from the most specific part that knows.
    waiting: Option<String>,
}

impl<'a> Draft<'a> {
    fn new(rules: Rules, seen: &'a Observed, spec: &'a Spec, now: Timestamp) -> Self {
        let memory = remembered(seen, Phase::Progressing);
        let stable = change::stable(seen, spec);
        let live = Live::read(seen, spec, &stable);
        let mut draft = Self {
            rules,
            seen,
            spec,
            now,
            memory,
            stable,
            live,
            creations: Vec::new(),
            moves: Vec::new(),
            sets: BTreeMap::new(),
            new_sets: Vec::new(),
            deletions: Vec::new(),
            measurements: Vec::new(),
            wake: None,
            waiting: None,
        };
        draft.decide();
        draft
    }

    fn decide(&mut self) {
        self.settle_change();
        self.advance_steps();
        self.shift_traffic();
        self.scale();
        self.measure();
        self.prune();
    }

    fn finish(mut self) -> Plan<Memory> {
        let why = self.report();
        let orphaned = self.seen.deletion == Some(Deletion::Orphan) && self.is_back_at_stable();
        if orphaned {
            self.let_go();
        }
        let sets = std::mem::take(&mut self.sets);
        let patches = sets.into_iter().filter_map(|(key, change)| {
            let set = self.seen.sets.iter().find(|set| set.target.key == key)?;
            Some(Action::Patch {
                target: set.target.clone(),
                change,
            })
        });
        let mut actions = std::mem::take(&mut self.creations);
        actions.append(&mut self.moves);
        actions.append(&mut self.new_sets);
        actions.extend(patches);
        actions.append(&mut self.deletions);
        actions.append(&mut self.measurements);
        let finished = orphaned && self.is_stable_alone() && actions.is_empty();
        Plan {
            actions,
            progress: self.memory,
            wake: self.wake,
            why,
            finished,
        }
    }

    /// Whether nothing but the stable revision has traffic, as far as anybody can tell.
    fn is_back_at_stable(&self) -> bool {
        self.memory.progress.change.is_none()
            && self.live.arrangement.as_ref().is_none_or(|live| {
                live.share_of(&self.stable) == Weight::FULL && self.live.acknowledged
            })
    }

    /// Takes the owner off everything that is to go on serving.
    fn let_go(&mut self) {
        if let Some(set) = self.seen.set(&self.stable).filter(|set| set.is_owned) {
            self.change_set(set, &disown());
        }
        self.moves.extend(owned_traffic(self.seen).map(disowned));
    }

    /// Whether every pod is of the stable revision: the others have served what they had accepted.
    fn is_stable_alone(&self) -> bool {
        let sets = self.seen.sets.iter();
        let mut others = sets.filter(|set| set.revision != self.stable);
        others.all(|set| set.replicas == 0)
    }

    /// Merges a change into the one write that a ReplicaSet gets.
    fn change_set(&mut self, set: &Set, change: &Value) {
        let merged = self
            .sets
            .entry(set.target.key.clone())
            .or_insert_with(|| json!({}));
        // Not the `merge` of JSON merge patch: a null has to stay a null here.
        merge(merged, change);
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
    }

    fn wait_for(&mut self, what: impl Into<String>) {
        self.waiting.get_or_insert_with(|| what.into());
    }

    fn remember_ending(&mut self, ending: Ending) {
        self.memory.history.insert(0, ending);
        self.memory.history.truncate(HISTORY);
    }
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// `at` plus a span of a spec.
fn after(at: Timestamp, span: std::time::Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
