//! Writes down what can be seen of a change: numbers of pods, the weight, and what is waited for. No I/O.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::super::plan::Memory;
use super::super::spec::{Spec, Step};
use super::happening::{Happening, What};
use super::{Witness, World};
use crate::model::plan::Plan;
use crate::model::revision::Revision;
use crate::model::span::{after, span};
use crate::model::weight::Weight;
use crate::schema::closed_set;

closed_set! {
    /// What kind of thing happens.
    pub enum Event {
        /// The revision is wanted.
        Begins,
        /// Pods or traffic move.
        Moves,
        /// Time, metrics or people are waited for.
        Waits,
        /// Somebody decides something, or something goes wrong.
        Happens,
        /// The revision is given up.
        GivenUp,
        /// The revision is stable.
        Promoted,
        /// Nothing is left to do.
        Ends,
    }
}

/// One thing that happens, and how things are then.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// When, since the beginning.
    #[serde(rename = "elapsedSeconds", serialize_with = "super::seconds")]
    pub elapsed: Duration,
    /// What kind of thing.
    pub event: Event,
    /// The step that is being done, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// Of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// What happens, or what is waited for.
    pub what: String,
    /// Until when it is waited for, since the beginning; nothing where people end it.
    #[serde(
        rename = "untilSeconds",
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_seconds"
    )]
    pub until: Option<Duration>,
    /// Pods of the revision before.
    pub stable_pods: i32,
    /// Pods of the new revision.
    pub canary_pods: i32,
    /// The share of the new revision, in percent.
    pub weight: Weight,
}

#[expect(clippy::ref_option, reason = "that is how serde calls it")]
fn maybe_seconds<S: Serializer>(of: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    of.map(|of| of.as_secs_f64()).serialize(serializer)
}

/// How things are.
#[derive(Clone, Copy, PartialEq)]
struct Scene {
    stable: i32,
    canary: i32,
    weight: Weight,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Held,
    Step(usize),
    Drain,
}

/// Takes notes of a change from one revision to another.
pub(super) struct Script<'a> {
    spec: &'a Spec,
    before: Revision,
    start: Timestamp,
    rows: Vec<Row>,
    scene: Scene,
    /// The step at the last look, counted from 0: what moves since then is its doing.
    step: Option<usize>,
    /// Steps that are done.
    done: usize,
    /// What is waited for, since which row.
    waiting: Option<(Wait, usize)>,
    is_promoted: bool,
    most_pods: i32,
    /// What is to happen, and when, the next one first.
    expected: VecDeque<(Timestamp, What)>,
    /// Whether anything was to happen at all.
    is_troubled: bool,
    /// Why the revision was given up.
    given_up: Option<String>,
}

impl<'a> Script<'a> {
    pub(super) fn new(spec: &'a Spec, before: Revision, start: Timestamp) -> Self {
        let scene = Scene {
            stable: spec.replicas,
            canary: 0,
            weight: Weight::ZERO,
        };
        let mut script = Self {
            spec,
            before,
            start,
            rows: Vec::new(),
            scene,
            step: None,
            done: 0,
            waiting: None,
            is_promoted: false,
            most_pods: spec.replicas,
            expected: VecDeque::new(),
            is_troubled: false,
            given_up: None,
        };
        script.push(start, Event::Begins, "a new revision is wanted".to_owned());
        script
    }

    /// What is to happen, from the beginning on.
    pub(super) fn expect(&mut self, happenings: &[Happening]) {
        let mut all: Vec<(Timestamp, What)> = happenings
            .iter()
            .map(|one| (after(self.start, one.after), one.what.clone()))
            .collect();
        all.sort_by_key(|(at, _)| *at);
        self.is_troubled = !all.is_empty();
        self.expected = all.into();
    }

    /// Why the revision was given up, if it was.
    pub(super) fn given_up(&self) -> Option<String> {
        self.given_up.clone()
    }

    /// Takes note of a revision that is given up, and of one that is tried again.
    fn note_failure(&mut self, plan: &Plan<Memory>, at: Timestamp) {
        let failed = plan.progress.progress.failed.as_ref();
        let failed = failed.map(|failed| format!("{}: {}", failed.reason, failed.message));
        if failed == self.given_up {
            return;
        }
        if let Some(why) = &failed {
            self.end_wait(at);
            self.push(at, Event::GivenUp, format!("given up: {why}"));
        }
        self.given_up = failed;
    }

    fn take_note(&mut self, plan: &Plan<Memory>, world: &World, at: Timestamp) {
        let memory = &plan.progress;
        self.note_failure(plan, at);
        self.note_moves(&self.scene_of(plan, world), at);
        if !self.is_promoted && memory.progress.stable.as_ref() == Some(&self.spec.revision) {
            self.note_promotion(at);
        }
        self.note_steps(plan, at);
        let wait = self.wait_of(plan);
        let known = self.waiting.as_ref().map(|(wait, _)| *wait);
        if wait.as_ref().map(|(wait, _)| *wait) == known {
            return;
        }
        self.end_wait(at);
        if let Some((wait, text)) = wait {
            self.push(at, Event::Waits, text);
            self.waiting = Some((wait, self.rows.len() - 1));
        }
    }

    /// Everything that happened, the most pods at any time, and how long it took.
    pub(super) fn finish(mut self, is_over: bool) -> (Vec<Row>, i32, Duration) {
        let took = self.rows.last().map(|row| row.elapsed).unwrap_or_default();
        let took = self
            .rows
            .iter()
            .filter_map(|row| row.until)
            .fold(took, Duration::max);
        if is_over {
            let end = self.start.checked_add(took).unwrap_or(self.start);
            self.step = None;
            self.push(end, Event::Ends, "done".to_owned());
        }
        (self.rows, self.most_pods, took)
    }

    fn scene_of(&self, plan: &Plan<Memory>, world: &World) -> Scene {
        let shown = plan.progress.shown.weight.map(|(weight, _)| weight);
        let is_stable = plan.progress.progress.stable.as_ref() == Some(&self.spec.revision);
        Scene {
            stable: world.pods_of(&self.before),
            canary: world.pods_of(&self.spec.revision),
            weight: if is_stable {
                Weight::FULL
            } else {
                shown.unwrap_or_default()
            },
        }
    }

    fn note_moves(&mut self, scene: &Scene, at: Timestamp) {
        let before = std::mem::replace(&mut self.scene, *scene);
        self.most_pods = self.most_pods.max(scene.stable + scene.canary);
        if before == *scene {
            return;
        }
        let mut parts = Vec::new();
        let stable = if self.is_promoted {
            "of the revision before"
        } else {
            "of stable"
        };
        parts.extend(change_of(scene.canary - before.canary, "of the canary"));
        parts.extend(change_of(scene.stable - before.stable, stable));
        if scene.weight != before.weight {
            parts.push(format!("{} to the canary", scene.weight));
        }
        let text = parts.join(", ");
        let text = match self.title() {
            Some(title) => format!("{title}: {text}"),
            None => text,
        };
        self.push(at, Event::Moves, text);
    }

    /// What a step is called, in its first row.
    fn title(&self) -> Option<String> {
        let last = self.rows.last().filter(|row| row.event != Event::Begins);
        let is_new = last.is_none_or(|row| row.step != self.step.and_then(number));
        if !is_new || self.is_promoted {
            return None;
        }
        if self.given_up.is_some() {
            return Some("go back".to_owned());
        }
        let step = self.step.and_then(|step| self.spec.steps.get(step));
        Some(step.map_or_else(|| "take over".to_owned(), Step::to_string))
    }

    fn note_promotion(&mut self, at: Timestamp) {
        self.is_promoted = true;
        self.step = None;
        self.end_wait(at);
        self.push(at, Event::Promoted, "the canary is stable now".to_owned());
    }

    /// Notes the present step. Those that were done as soon as they began have a row, too.
    fn note_steps(&mut self, plan: &Plan<Memory>, at: Timestamp) {
        let change = plan.progress.progress.change.as_ref();
        let position = change.and_then(|change| usize::try_from(change.step).ok());
        let Some(position) = position else {
            self.step = None;
            return;
        };
        let steps = &self.spec.steps;
        for index in self.done..position.min(steps.len()) {
            let has_row = self.rows.iter().any(|row| row.step == number(index));
            if let Some(step) = steps.get(index).filter(|_| !has_row) {
                self.step = Some(index);
                self.push(at, Event::Moves, format!("{step}: nothing to do"));
            }
        }
        self.done = position;
        self.step = (position < steps.len()).then_some(position);
    }

    fn wait_of(&self, plan: &Plan<Memory>) -> Option<(Wait, String)> {
        let progress = &plan.progress.progress;
        let Some(change) = &progress.change else {
            let kept = progress.draining.contains_key(self.before.as_str());
            return (self.is_promoted && kept).then(|| (Wait::Drain, self.drain()));
        };
        if plan.why.reason == "Paused" {
            let text = if progress.paused.is_some() {
                "held, until a Decision Resume"
            } else {
                "held by spec.paused, until somebody sets it to false"
            };
            return Some((Wait::Held, text.to_owned()));
        }
        let index = usize::try_from(change.step).ok()?;
        let step = self.spec.steps.get(index)?;
        let text = match step {
            Step::SetWeight(_) | Step::Route(_) | Step::Mirror(_) | Step::Scale(_) => return None,
            Step::Pause(None) => "pause, until a Decision Resume".to_owned(),
            Step::Approve { required: 1, .. } => format!("{step}: waits for an approval"),
            Step::Approve { .. } => format!("{step}: waits for approvals"),
            Step::Pause(Some(_)) | Step::Analyse { .. } | Step::Run { .. } => step.to_string(),
        };
        Some((Wait::Step(index), text))
    }

    fn drain(&self) -> String {
        let Spec {
            drain,
            keep_old_for,
            ..
        } = self.spec;
        if keep_old_for > drain {
            let time = span(*keep_old_for);
            format!("the revision before is kept for {time} (keepOldFor)")
        } else {
            let time = span(*drain);
            format!("the revision before goes on serving for {time} (drain)")
        }
    }

    fn end_wait(&mut self, at: Timestamp) {
        let Some((wait, row)) = self.waiting.take() else {
            return;
        };
        let is_timed = match wait {
            Wait::Held => false,
            Wait::Drain => true,
            Wait::Step(index) => !matches!(
                self.spec.steps.get(index),
                Some(Step::Pause(None) | Step::Approve { .. })
            ),
        };
        let elapsed = self.elapsed(at);
        if let Some(row) = self.rows.get_mut(row).filter(|_| is_timed) {
            row.until = Some(elapsed);
        }
    }

    fn elapsed(&self, at: Timestamp) -> Duration {
        at.duration_since(self.start).unsigned_abs()
    }

    fn push(&mut self, at: Timestamp, event: Event, what: String) {
        let Scene {
            stable,
            canary,
            weight,
        } = self.scene;
        self.rows.push(Row {
            elapsed: self.elapsed(at),
            event,
            step: self.step.and_then(number),
            of: self
                .step
                .and_then(|_| u32::try_from(self.spec.steps.len()).ok()),
            what,
            until: None,
            stable_pods: stable,
            canary_pods: canary,
            weight,
        });
    }
}

impl Witness for Script<'_> {
    fn note(&mut self, plan: &Plan<Memory>, world: &World, at: Timestamp) {
        self.take_note(plan, world, at);
    }

    fn may_fail(&self) -> bool {
        self.is_troubled
    }

    fn due(&mut self, now: Timestamp) -> Option<What> {
        let next = self.expected.front().filter(|(at, _)| *at <= now);
        let (at, what) = next.cloned()?;
        self.expected.pop_front();
        self.push(at, Event::Happens, what.to_string());
        Some(what)
    }

    fn next(&self) -> Option<Timestamp> {
        self.expected.front().map(|(at, _)| *at)
    }
}

/// A step as people count.
fn number(index: usize) -> Option<u32> {
    u32::try_from(index).ok()?.checked_add(1)
}

fn change_of(count: i32, whose: &str) -> Option<String> {
    let pods = if count.abs() == 1 { "pod" } else { "pods" };
    match count {
        1 => Some(format!("1 {pods} {whose} starts")),
        -1 => Some(format!("1 {pods} {whose} ends")),
        2.. => Some(format!("{count} {pods} {whose} start")),
        ..=-2 => Some(format!("{} {pods} {whose} end", count.abs())),
        0 => None,
    }
}
