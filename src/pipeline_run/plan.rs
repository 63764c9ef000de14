//! Decides what a run does next. Pure: everything it knows is in `Observed` and `now`.
//!
//! ```text
//! Queued ── snapshot of the Pipeline's spec ── head of the branch, where no commit is named
//!   │
//! Running ── stages, as their needs allow ── gates ── stages after the gates ── stages that run always ── Release ── Succeeded
//!   ├── a stage or an enforced gate fails: Failed or TimedOut, once every stage is over
//!   └── a person or the run's timeout stops it: what runs always is still done, then Cancelled or TimedOut
//! ```
//!
//! A phase that is over is final. What the next plan needs is the status itself: a stage or cell that is `Running`
//! without `startedAt` is one whose Job is being made, and only then may its Job be missing.
//!
//! The parts: `definition` takes in what the repository adds to its Pipeline, `begin` lists the stages, `stage` moves them, `cells` says what those of a matrix are together, `attempt`
//! makes and follows a single Job, `made` takes in what it has made, `turn` lets a run begin, `stop` ends one before its time, `conclude` judges, `retry` has a run tried again,
//! `tell` keeps the provider of the repository up to date, `notify` tells people, `report` says
//! how it stands in one sentence; this file does what comes before.

mod attempt;
mod begin;
mod cells;
mod conclude;
mod definition;
mod made;
mod notify;
mod preview;
pub(crate) mod report;
mod retry;
mod stage;
mod stop;
mod tell;
mod turn;
mod version;

pub use report::report;
pub(super) use version::uses_version;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{Failure, FailureKind, PipelineRunStatus, RunPhase, StagePhase, TriggerKind};
use super::observed::{Job, JobState, Observed, Snapshot, question};
use super::{outside, param, render};
use crate::git::object::{self, ObjectType};
use crate::git::refs;
use crate::model::action::Action;
use crate::model::invalid;
use crate::model::object::ObjectKind;
use crate::model::plan::{Plan, Why};
use crate::model::span::earliest;
use crate::pipeline::api::PipelineSpec;
use crate::pipeline::{secret, spec};

/// How far the cache may be behind what the leader before us has made.
const CACHE_LAG: SignedDuration = SignedDuration::from_secs(10);
/// How soon what is missing is looked for again, where no event tells of it.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// Time between two questions for the head of a branch.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// How long Secrets that are missing are waited for.
const GIVE_UP_SECRETS: SignedDuration = SignedDuration::from_mins(10);
/// How long a repository that does not answer is asked.
const GIVE_UP_ASKING: SignedDuration = SignedDuration::from_mins(10);

/// Decides what a run does next.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan<PipelineRunStatus> {
    let mut draft = Draft {
        seen,
        now,
        next: seen.status.clone(),
        actions: Vec::new(),
        wake: None,
        waiting: None,
    };
    let spec = if draft.is_over() || seen.is_deleted {
        None
    } else {
        draft.advance()
    };
    draft.stop_leftovers(spec.as_ref());
    draft.follow_retries();
    draft.tell();
    draft.notify();
    draft.finish()
}

/// A plan in the making.
struct Draft<'a> {
    seen: &'a Observed,
    now: Timestamp,
    next: PipelineRunStatus,
    actions: Vec<Action>,
    wake: Option<Timestamp>,
    /// What is being waited for.
    waiting: Option<Why>,
}

impl Draft<'_> {
    fn is_over(&self) -> bool {
        self.next.phase.unwrap_or_default().is_finished()
    }

    /// Goes as far as it can be gone. The spec that the run follows, if it is known.
    fn advance(&mut self) -> Option<PipelineSpec> {
        if self.cancel_unstarted() {
            return None;
        }
        if !self.may_begin() {
            return None;
        }
        let mut spec = self.settle_spec()?;
        if !self.seen.is_trusted() {
            let is_approved = self.seen.trigger().needs_approval == Some(true);
            spec = outside::without_secrets(spec, is_approved);
        }
        if self.settle_inputs(&spec) && self.settle_commit(&spec) {
            self.run_stages(&spec);
        }
        Some(spec)
    }

    fn run_stages(&mut self, spec: &PipelineSpec) {
        if self.next.stages.is_empty() {
            if !self.has_images(spec) {
                return;
            }
            self.begin(spec);
        }
        self.follow_stages(spec);
        self.stop_early(spec);
        let mut stages = self.next.stages.iter();
        let has_pending = stages.any(|stage| stage.phase == StagePhase::Pending);
        if has_pending && !self.has_images(spec) {
            return;
        }
        if self.start_stages(spec) {
            self.conclude(spec);
        }
    }

    /// The spec that the run follows, once the snapshot of it is there.
    fn settle_spec(&mut self) -> Option<PipelineSpec> {
        if self.next.revision.is_none() && !self.follow_origin() {
            return None;
        }
        if self.next.revision.is_some() {
            match &self.seen.snapshot {
                Snapshot::Taken(spec) => {
                    self.drop_definition();
                    return Some(spec.as_ref().clone());
                }
                Snapshot::Unreadable(error) => {
                    let message = format!("the snapshot of the Pipeline cannot be read: {error}");
                    self.fail(None, FailureKind::Infra, message);
                    return None;
                }
                Snapshot::Missing if !self.may_take_another() => return None,
                Snapshot::Missing => {}
            }
        }
        let name = self.seen.spec.pipeline_ref.name.clone();
        let Some(pipeline) = &self.seen.pipeline else {
            let message = format!("there is no Pipeline {name}; create it, or delete this run");
            self.wait(Why::warning("NoPipeline", message), Some(LOOK_AGAIN));
            return None;
        };
        if self.is_halted(pipeline) {
            return None;
        }
        let problems = spec::problems(&pipeline.spec);
        if !problems.is_empty() {
            let sentence = invalid::sentence(&problems);
            let message = format!("Pipeline {name} cannot be run: {sentence}");
            self.fail(None, FailureKind::Config, message);
            return None;
        }
        let spec = self.settle_definition(pipeline)?;
        let snapshot = render::snapshot_name(&name, &spec);
        let is_first = self.next.revision.replace(snapshot.clone()).is_none();
        if let (true, Snapshot::Taken(spec)) = (is_first, &self.seen.snapshot) {
            // Another run of the same spec has taken it.
            return Some(spec.as_ref().clone());
        }
        let manifest = render::snapshot(self.seen, snapshot, (pipeline, &spec));
        self.actions.push(Action::Create(manifest));
        self.wait(
            Why::normal("Queued", "taking a snapshot of the Pipeline"),
            None,
        );
        None
    }

    /// Whether a run whose snapshot is not there may follow another one: not if it has begun on it.
    fn may_take_another(&mut self) -> bool {
        let follows_another = self.seen.spec.retry_of.is_some();
        if self.next.started_at.is_none() && !follows_another {
            return true;
        }
        let known_at = self.next.started_at.as_ref();
        let known_at = known_at.map_or(self.seen.created_at, |Time(at)| *at);
        if !self.wait_for_cache(known_at) {
            let message = "the snapshot of the Pipeline that this run followed was deleted; \
                           make a new run";
            self.fail(None, FailureKind::Infra, message);
        }
        false
    }

    /// Whether a run that has not begun has all that it is given: parameters that fit, and Secrets that it may use.
    fn settle_inputs(&mut self, spec: &PipelineSpec) -> bool {
        if self.next.started_at.is_some() {
            return true;
        }
        let by_hand = self.seen.spec.trigger.kind == TriggerKind::Manual;
        if let Err(problems) = param::settle(&spec.params, &self.seen.spec.params, by_hand) {
            self.fail(None, FailureKind::Config, invalid::sentence(&problems));
            return false;
        }
        let mut selected = self.seen.spec.stages.iter();
        let is_known = |name: &&String| spec.stages.iter().any(|stage| stage.name == **name);
        if let Some(name) = selected.find(|name| !is_known(name)) {
            let names: Vec<&str> = spec.stages.iter().map(|s| s.name.as_str()).collect();
            let message = format!("no stage is called {name}; there are {}", names.join(", "));
            self.fail(None, FailureKind::Config, message);
            return false;
        }
        let Some(refusal) = secret::refusal(spec, &self.seen.secrets) else {
            return true;
        };
        // They are often made at the same time as the Pipeline.
        if self.seen.created_at + GIVE_UP_SECRETS < self.now {
            self.fail(None, FailureKind::Config, refusal.message);
        } else {
            let why = Why::warning(refusal.reason, refusal.message);
            self.wait(why, Some(LOOK_AGAIN));
        }
        false
    }

    /// Whether the commit is known. A run that does not name one takes the head of its branch.
    fn settle_commit(&mut self, spec: &PipelineSpec) -> bool {
        if self.next.sha.is_some() {
            return true;
        }
        if let Some(sha) = &self.seen.spec.sha {
            self.next.sha = Some(sha.clone());
            return true;
        }
        if self.may_ask_on() {
            let what = format!("the head of {}", self.seen.spec.git_ref);
            self.ask_repository(spec, &what, None);
        }
        false
    }

    /// Asks for an object of the repository, or for its refs.
    fn ask_repository(
        &mut self,
        spec: &PipelineSpec,
        what: &str,
        object: Option<(ObjectType, &str)>,
    ) {
        let bundle = match self.seen.authorities.bundle() {
            Ok(bundle) => bundle,
            Err(message) => {
                self.wait(Why::warning("NoCaBundle", message), Some(LOOK_AGAIN));
                return;
            }
        };
        let why = match &self.next.source_error {
            None => Why::normal("Queued", format!("asking for {what}")),
            Some(error) => {
                let until = self.seen.created_at + GIVE_UP_ASKING;
                let message = format!("{}; asked again until {until:.0}", error.message);
                Why::warning("SourceUnavailable", message)
            }
        };
        self.wait(why, None);
        match self.seen.asked_at.map(|at| at + ASK_AGAIN) {
            Some(due) if due > self.now => self.wake_at(due),
            _ => {
                let (git, namespace) = (&spec.source.git, &self.seen.key.namespace);
                let request = match object {
                    Some(wanted) => object::request(git, namespace, bundle, wanted),
                    None => refs::request(git, namespace, bundle),
                };
                let key = question(&self.next, &self.seen.spec.git_ref, spec);
                self.actions.push(Action::Fetch { key, request });
            }
        }
    }

    /// Jobs whose part is over, or that belong to a run that is over, are not left to run.
    fn stop_leftovers(&mut self, spec: Option<&PipelineSpec>) {
        let wanted = match spec {
            _ if self.is_over() => BTreeSet::new(),
            Some(spec) => self.wanted_jobs(spec),
            // Nobody can tell now; the next plan will.
            None => return,
        };
        // What was to be made and stopped in the same plan is not made at all.
        self.actions.retain(|action| {
            if let Action::Create(made) = action
                && made.kind == ObjectKind::Job
            {
                return wanted.contains(&made.key.name);
            }
            true
        });
        let is_leftover = |job: &&Job| {
            // One whose pod is over is over as soon as Kubernetes has counted that.
            let is_as_good_as_over = job.pod.as_ref().is_some_and(|pod| pod.has_succeeded);
            job.state == JobState::Active
                && !is_as_good_as_over
                && !job.is_ending
                && !wanted.contains(&job.target.key.name)
        };
        let leftovers = self.seen.jobs.values().filter(is_leftover);
        let deletions = leftovers.map(|job| Action::Delete {
            target: job.target.clone(),
            orphan: false,
        });
        let deletions: Vec<Action> = deletions.collect();
        self.actions.extend(deletions);
    }

    /// What was made a moment ago, by the leader before us even, may not be in the cache yet: then its
    /// absence means nothing.
    fn wait_for_cache(&mut self, made_at: Timestamp) -> bool {
        let until = made_at + CACHE_LAG;
        if until <= self.now {
            return false;
        }
        self.wake_at(until);
        true
    }

    fn wait(&mut self, why: Why, look_again: Option<SignedDuration>) {
        self.waiting.get_or_insert(why);
        if let Some(span) = look_again {
            self.wake_at(self.now + span);
        }
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = earliest(self.wake, at);
    }

    /// Notes the first failure. Later ones are most often its consequences.
    fn note_failure(&mut self, failure: Failure) {
        self.next.failure.get_or_insert(failure);
    }

    /// Ends the run at once.
    fn fail(&mut self, stage: Option<String>, kind: FailureKind, hint: impl Into<String>) {
        self.note_failure(Failure {
            stage,
            cell: None,
            kind,
            hint: Some(hint.into()),
            log_tail: None,
        });
        self.end(RunPhase::Failed);
    }

    fn end(&mut self, phase: RunPhase) {
        self.next.phase = Some(phase);
        self.next.finished_at.get_or_insert(Time(self.now));
    }

    fn finish(mut self) -> Plan<PipelineRunStatus> {
        if self.is_over() {
            self.drop_definition();
        }
        let mut next = self.next;
        next.phase.get_or_insert(RunPhase::Queued);
        let why = if self.seen.is_deleted {
            Why::normal("Deleting", "being deleted, with its Jobs")
        } else {
            self.waiting
                .filter(|_| !next.phase.unwrap_or_default().is_finished())
                .unwrap_or_else(|| report(&next))
        };
        Plan {
            actions: self.actions,
            wake: self.wake,
            ..Plan::idle(next, why)
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
