//! Decides what a Rollout does next. Pure: everything it knows is in `Observed` and `now`.
//!
//! The parts, in the order in which they are asked:
//! - `adopt`: what of a Deployment is still to be taken over, before anything else;
//! - `size`: how many pods there are to be, where `spec.replicas` goes down in the middle of a change;
//! - `live`: how traffic is divided now;
//! - `silence`: since when, where no router reports what the data plane knows of it;
//! - `risk`: with strategy `Auto`, how risky the change is, and which steps it gets for that;
//! - `decision`: what people decided meanwhile;
//! - `change`: which revision is stable, and which is on its way;
//! - `down`: whether nothing of stable serves, and what follows from that;
//! - `failure`: whether that has failed, and whether it goes back for it or stays where it is;
//! - `advance`: whether the step that is being done is done, as `step/` says of its kind, and which comes next;
//! - `hook`: the Job of the step that is being done;
//! - `foreign`: what of people's is put back, because the spec does not name it any more;
//! - `object`: Services and routes that are missing, or not as they should be;
//! - `shift`: the one next move of Services (`select`) and route (`divide`) towards the wanted split, and whether it is safe;
//!   `contest`: whether somebody else writes there too;
//! - `scale`: how many pods each revision has, and the only place that says so;
//! - `config`: copies of ConfigMaps and Secrets;
//! - `template`: templates that an Environment may take in;
//! - `restart`: which pod goes next, because a person wants new ones;
//! - `measure`: which metrics are due, and those that a Job measures (`job`);
//! - `report`: the phase and the sentence that people read;
//! - `deletion`: what becomes of the pods of a Rollout that is being deleted.
//!
//! A spec that cannot be used and a missing Release are settled before, in this file.

mod adopt;
mod advance;
mod change;
mod config;
mod contest;
mod decision;
mod deletion;
mod divide;
mod down;
mod failure;
mod foreign;
mod hook;
mod job;
mod live;
mod measure;
mod object;
mod report;
mod restart;
mod risk;
mod rule;
mod scale;
mod select;
mod shift;
mod silence;
mod size;
mod template;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::api::{DecisionOutcome, Ending, Phase, Progress, Risk, StepStatus, Tally};
use super::observed::{Deletion, Observed, Set, Wanted};
use super::spec::Spec;
use crate::model::action::Action;
use crate::model::key::Key;
use crate::model::plan::{Plan, Why};
use crate::model::revision::Revision;
use crate::model::span::{after, earliest};
use crate::model::weight::Weight;
use crate::traffic::router::Backends;
use contest::Contested;
use deletion::Leaving;
use live::Live;
pub(super) use restart::noted;
use risk::Levels;
pub use rule::Rules;

/// What is remembered, and what is shown of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// What the next plan needs.
    pub progress: Progress,
    /// Counts of samples.
    pub tallies: Vec<Tally>,
    /// How changes ended, latest first.
    pub history: Vec<Ending>,
    /// The last Decision, and what came of it.
    pub last_decision: Option<DecisionOutcome>,
    /// How risky the change is that is under way, or the last one was.
    pub risk: Option<Risk>,
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
        return deletion::delete(seen, now);
    }
    if let Some(plan) = adopt::adopt(seen, now) {
        return plan;
    }
    match &seen.wanted {
        Wanted::Spec(spec) => plan_for(rules, seen, spec, now),
        Wanted::NoRelease(message) => {
            let memory = remembered(seen, Phase::Pending);
            let why = Why::normal("NoRelease", message.clone());
            without_spec(seen, memory, why)
        }
        Wanted::Invalid(problems, left) => {
            let lines: Vec<String> = problems
                .iter()
                .map(|p| format!("{}: {}", p.path, p.problem))
                .collect();
            let text = lines.join("; ");
            let Some(left) = left else {
                let memory = remembered(seen, Phase::Degraded);
                return without_spec(seen, memory, Why::warning("InvalidSpec", text));
            };
            told_invalid(plan_for(rules, seen, left, now), &text)
        }
    }
}

fn plan_for(rules: Rules, seen: &Observed, spec: &Spec, now: Timestamp) -> Plan<Memory> {
    let backends = seen.backends();
    let raised = size::raised(seen, spec, &backends);
    let levels = Levels::of(raised.as_ref().unwrap_or(spec));
    Draft::new(rules, seen, (&levels, &backends), now).finish()
}

/// What is there is held, and goes back if it has to; people are told what to edit.
fn told_invalid(plan: Plan<Memory>, problems: &str) -> Plan<Memory> {
    let mut memory = plan.progress;
    if !matches!(memory.shown.phase, Phase::RollingBack | Phase::RolledBack) {
        memory.shown.phase = Phase::Degraded;
    }
    Plan {
        why: Why::warning(
            "InvalidSpec",
            format!("{problems}; meanwhile: {}", plan.why.message),
        ),
        progress: memory,
        ..plan
    }
}

/// Nothing is moved. What is to go on serving is let go as it is.
fn without_spec(seen: &Observed, memory: Memory, why: Why) -> Plan<Memory> {
    let actions = match seen.deletion {
        Some(Deletion::Orphan | Deletion::GiveBack) => deletion::let_all_go(seen),
        Some(Deletion::Delete) => Vec::new(),
        None => template::kept(seen).into_iter().collect(),
    };
    Plan {
        finished: seen.deletion.is_some() && actions.is_empty(),
        actions,
        ..Plan::idle(memory, why)
    }
}

fn remembered(seen: &Observed, phase: Phase) -> Memory {
    Memory {
        progress: seen.status.progress.clone().unwrap_or_default(),
        tallies: seen.status.analysis.clone(),
        history: seen.status.history.clone(),
        last_decision: seen.status.last_decision.clone(),
        risk: seen.status.risk.clone(),
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
    /// Names of the two Services.
    backends: &'a Backends,
    levels: &'a Levels<'a>,
    /// The spec at the level of risk of the change.
    spec: &'a Spec,
    now: Timestamp,
    memory: Memory,
    /// The revision that serves; at the very beginning the one that is to.
    stable: Revision,
    /// The revision that is to serve: the spec's, unless somebody went back from it.
    wanted: Revision,
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
    /// Jobs that measure now.
    sampling: BTreeSet<String>,
    /// Pods that are to go.
    evictions: Vec<Action>,
    /// Corrections that nothing waits for: whatever the server says to them must not hold up the rest.
    corrections: Vec<Action>,
    wake: Option<Timestamp>,
    /// The revision that the next move waits for, and how many of its pods have to answer.
    short_of: Option<(Revision, i32)>,
    /// How far a restart is, while one goes on.
    restarting: Option<restart::Restarting>,
    /// What is being waited for, in words, from the most specific part that knows.
    waiting: Option<String>,
    /// The pods that the next move of traffic waits for, in words.
    lacking: Option<String>,
    /// Whether something of people's that left the spec is still to be put back: it may lead to what is ours.
    is_giving_back: bool,
    /// An object whose weights somebody else takes back.
    contested: Option<Contested>,
}

impl<'a> Draft<'a> {
    fn new(
        rules: Rules,
        seen: &'a Observed,
        (levels, backends): (&'a Levels<'a>, &'a Backends),
        now: Timestamp,
    ) -> Self {
        let spec = levels.written;
        let memory = remembered(seen, Phase::Progressing);
        let stable = change::stable(seen, spec);
        let live = Live::read(seen, spec, backends, &stable);
        let mut draft = Self {
            rules,
            seen,
            backends,
            levels,
            spec,
            now,
            memory,
            stable,
            wanted: spec.revision.clone(),
            live,
            creations: Vec::new(),
            moves: Vec::new(),
            sets: BTreeMap::new(),
            new_sets: Vec::new(),
            deletions: Vec::new(),
            measurements: Vec::new(),
            sampling: BTreeSet::new(),
            evictions: Vec::new(),
            corrections: Vec::new(),
            wake: None,
            short_of: None,
            restarting: None,
            waiting: None,
            lacking: None,
            is_giving_back: false,
            contested: None,
        };
        draft.note_size();
        draft.note_silence();
        draft.note_down();
        draft.decide();
        draft
    }

    fn decide(&mut self) {
        let was_lost = self.seen.status.progress.is_none();
        self.take_up_risk();
        self.follow_decisions(was_lost);
        if let Some(undo) = &self.memory.progress.undo {
            self.wanted = undo.to.clone();
        }
        self.settle_change(was_lost);
        self.await_emergency();
        self.advance_steps();
        self.withdraw();
        self.run_hooks();
        self.put_back_left();
        self.shift_traffic();
        self.scale();
        self.keep_snapshots();
        self.keep_templates();
        self.restart();
        self.measure();
        self.end_samplers();
        self.prune();
    }

    fn finish(mut self) -> Plan<Memory> {
        let mut why = self.report();
        let words = [self.words_of_size(), self.words_of_emergency()];
        for words in words.into_iter().flatten() {
            why.message = format!("{}; {words}", why.message);
        }
        let leaving = self.leave();
        if leaving == Leaving::Late {
            let actions = deletion::let_all_go(self.seen);
            return Plan {
                finished: actions.is_empty(),
                actions,
                ..Plan::idle(self.memory, why)
            };
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
        actions.append(&mut self.measurements);
        actions.append(&mut self.deletions);
        actions.append(&mut self.evictions);
        actions.append(&mut self.corrections);
        let is_done = actions.is_empty() && self.has_given_back();
        let is_back = leaving == Leaving::Back;
        let finished = is_back && self.seen.is_only(&self.stable) && is_done;
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
        if self.memory.progress.change.is_some() {
            return false;
        }
        if self.spec.routing.is_some() {
            return self.has_everything(&self.stable)
                && (self.live.arrangement.is_none() || self.live.acknowledged);
        }
        let set = self.seen.set(&self.stable);
        self.has_everything(&self.stable)
            && set.is_none_or(|set| set.replicas >= self.spec.replicas)
    }

    /// Whether no other revision has traffic: by the route, or by there being no pods of any.
    fn has_everything(&self, revision: &Revision) -> bool {
        if let Some(live) = &self.live.arrangement {
            return live.share_of(revision) == Weight::FULL;
        }
        let mut others = self
            .seen
            .sets
            .iter()
            .filter(|set| set.revision != *revision);
        self.spec.routing.is_some() || others.all(|set| set.replicas == 0 && set.current == 0)
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

    /// Whether the change is held where it is: by the spec, by a Decision, or by a failure that waits for people. A way
    /// back is not.
    fn is_held(&self) -> bool {
        self.spec.is_paused || self.memory.progress.paused.is_some() || self.stuck().is_some()
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = earliest(self.wake, at);
    }

    fn wait_for(&mut self, what: impl Into<String>) {
        self.waiting.get_or_insert_with(|| what.into());
    }

    /// The same for pods that a move of traffic waits for, which adds to what a step says that it waits for.
    fn wait_for_pods(&mut self, which: impl Into<String>) {
        let which = which.into();
        self.lacking.get_or_insert_with(|| which.clone());
        self.wait_for(which);
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
