//! One Job of a stage: made, followed to its verdict, and replaced by another attempt where it may be. No I/O.
//!
//! A stage without matrix is a single Job, and one with a matrix is a Job per cell; both are a [`Part`] here. The status
//! of a part without cell is the stage's own. Every attempt is a Job of its own: lost ones and failed ones are counted
//! apart, and what was the last word of each stays to be read.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{CellStatus, FailureKind, StagePhase, Suspect};
use super::super::observed::Job;
use super::super::render::{self, At};
use super::super::verdict::{self, Ending, Verdict};
use super::Draft;
use crate::model::action::Action;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline::matrix::Cell;

/// How long the first replacement of a lost attempt waits; the next one twice as long, and so on.
const FIRST_DELAY: SignedDuration = SignedDuration::from_secs(5);
/// The longest that one waits.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_mins(5);

/// Tests that failed in attempts that were replaced, of a whole run.
const MAX_SUSPECTS: usize = 40;

/// What one Job is for.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// The spec that the run follows.
    pub(super) spec: &'a PipelineSpec,
    /// The stage.
    pub(super) stage: &'a Stage,
    /// The cell of its matrix.
    pub(super) cell: Option<&'a Cell>,
}

/// Where a part is that has been looked at.
pub(super) enum Now {
    /// It waits, for that.
    Waits(String),
    /// It has come to its end; no other attempt follows.
    Over(Box<Ending>),
}

impl Part<'_> {
    /// Tells it apart from the other parts of a run.
    fn id(&self) -> String {
        match self.cell {
            None => self.stage.name.clone(),
            Some(cell) => format!("{}/{}", self.stage.name, cell.name),
        }
    }

    /// Name of the Job of an attempt.
    pub(super) fn job(&self, run: &str, attempt: u32) -> String {
        render::job_name(run, &self.stage.name, self.cell, attempt)
    }
}

impl Draft<'_> {
    /// Makes the Job of the first attempt.
    pub(super) fn start(&mut self, part: Part<'_>, status: &mut CellStatus) {
        status.phase = StagePhase::Running;
        status.attempt = Some(1);
        status.message = None;
        self.create_job(part, 1);
    }

    fn create_job(&mut self, part: Part<'_>, attempt: u32) {
        if self.next.commit.is_none() && render::has_source(part.stage, part.cell) {
            self.next.commit_from.get_or_insert_with(|| part.id());
        }
        let previous = self.next.previous.as_deref();
        let previous = previous.and_then(|name| self.seen.release(name));
        let at = At {
            sha: self.next.sha.as_deref().unwrap_or_default(),
            since: previous.map(|release| release.spec.commit.sha.as_str()),
            // Once is enough.
            reports_changes: self.next.commit_from.as_ref() == Some(&part.id()),
            cell: part.cell,
            attempt,
            result: part.stage.always().then(|| self.result()),
            run: &self.next,
        };
        let job = render::job(self.seen, part.spec, part.stage, at);
        self.actions.push(Action::Create(job));
    }

    /// Takes in how the Job of a running part fares.
    pub(super) fn follow(&mut self, part: Part<'_>, status: &mut CellStatus) -> Now {
        if let Some(Time(at)) = status.retry_at {
            if at > self.now {
                self.wake_at(at);
                return Now::Waits(status.message.clone().unwrap_or_default());
            }
            status.retry_at = None;
        }
        let attempt = status.attempt.unwrap_or(1);
        let seen = self.seen;
        let name = part.job(&seen.key.name, attempt);
        let Some(job) = seen.jobs.get(&name) else {
            // It was there, and that is not on record yet.
            if let Some(at) = seen.gone.get(&name) {
                status.started_at.get_or_insert(Time(*at));
            }
            return self.job_is_missing(part, status, attempt);
        };
        status.started_at.get_or_insert(Time(job.created_at));
        self.take_in_commit(part, job);
        match verdict::judge(part.stage, job, self.now) {
            Verdict::Wait(what, until) => {
                if let Some(until) = until {
                    self.wake_at(until);
                }
                Now::Waits(what)
            }
            Verdict::Over(ending) => {
                self.commit_is_lost(part);
                self.replace(part, status, &ending)
                    .map_or(Now::Over(ending), Now::Waits)
            }
        }
    }

    /// Before the Job was seen, it is made (again). Afterwards somebody has deleted it: whether it had
    /// done its work cannot be told, so it is never run blindly again.
    fn job_is_missing(&mut self, part: Part<'_>, status: &CellStatus, attempt: u32) -> Now {
        let Some(Time(started_at)) = status.started_at else {
            self.create_job(part, attempt);
            return Now::Waits("its Job is being made".to_owned());
        };
        if self.wait_for_cache(started_at) {
            return Now::Waits(status.message.clone().unwrap_or_default());
        }
        let message = "its Job was deleted before its verdict was read; make a new run";
        Now::Over(Box::new(verdict::ending(FailureKind::Infra, message)))
    }

    /// Begins the next attempt, if there is to be one after this ending: what it waits for.
    fn replace(
        &mut self,
        part: Part<'_>,
        status: &mut CellStatus,
        ending: &Ending,
    ) -> Option<String> {
        let kind = ending.failure?;
        if self.next.stopping.is_some() && !part.stage.always() {
            return None;
        }
        let limits = part.spec.retry(part.stage);
        let attempt = status.attempt.unwrap_or(1);
        let why = ending.message.as_deref().unwrap_or("it failed");
        let next = if ending.is_transient && status.infra_retries < limits.infra {
            let at = self.now + delay(status.infra_retries);
            status.infra_retries += 1;
            status.retry_at = Some(Time(at));
            self.wake_at(at);
            format!("attempt {attempt} was lost, the next one starts at {at:.0}: {why}")
        } else if is_own(kind) && !ending.is_transient && status.app_retries < limits.app {
            status.app_retries += 1;
            self.note_suspects(part, ending);
            format!("attempt {attempt} failed, the next one is being started: {why}")
        } else {
            return None;
        };
        let attempt = attempt.saturating_add(1);
        status.attempt = Some(attempt);
        status.started_at = None;
        if status.retry_at.is_none() {
            self.create_job(part, attempt);
        }
        Some(next)
    }

    /// Remembers which tests failed in an attempt that is replaced.
    fn note_suspects(&mut self, part: Part<'_>, ending: &Ending) {
        for test in &ending.failed_tests {
            let suspect = Suspect {
                part: part.id(),
                test: test.name.clone(),
            };
            if self.next.suspects.len() < MAX_SUSPECTS && !self.next.suspects.contains(&suspect) {
                self.next.suspects.push(suspect);
            }
        }
    }

    /// A test that failed in an earlier attempt and not in this one is flaky: the commit is the same.
    pub(super) fn find_flaky(&mut self, part: Part<'_>, ending: &mut Ending) {
        let id = part.id();
        let is_own = |suspect: &Suspect| suspect.part == id;
        let (own, others) = std::mem::take(&mut self.next.suspects)
            .into_iter()
            .partition::<Vec<_>, _>(is_own);
        self.next.suspects = others;
        let Some(tests) = &mut ending.tests else {
            return;
        };
        // Where not all that failed are listed, one that is not listed may have.
        let listed = u32::try_from(ending.failed_tests.len());
        if listed.is_ok_and(|listed| listed < tests.failed) {
            return;
        }
        for Suspect { test, .. } in own {
            let fails = ending.failed_tests.iter().any(|failed| failed.name == test);
            if !fails && !ending.flaky_tests.contains(&test) {
                tests.flaky = tests.flaky.saturating_add(1);
                ending.flaky_tests.push(test);
            }
        }
    }

    fn take_in_commit(&mut self, part: Part<'_>, job: &Job) {
        if self.next.commit_from.as_ref() != Some(&part.id()) {
            return;
        }
        let Some(told) = verdict::commits(job) else {
            return;
        };
        // A report can be forged by nobody but us; still, another commit is not the one that was asked for.
        if Some(&told.commit.sha) != self.next.sha.as_ref() {
            return;
        }
        self.next.commit.get_or_insert(told.commit);
        if self.next.changes.is_empty() {
            self.next.changes = told.changes;
            self.next.difference = told.difference;
            self.next.bump = told.bump;
            self.next.breaking = told.breaking;
        }
    }

    /// A pod that is over and has not told of the commit never will: the next Job that is made is asked.
    fn commit_is_lost(&mut self, part: Part<'_>) {
        if self.next.commit.is_none() && self.next.commit_from.as_ref() == Some(&part.id()) {
            self.next.commit_from = None;
        }
    }
}

fn delay(lost: u32) -> SignedDuration {
    let factor = 1i32.checked_shl(lost).unwrap_or(i32::MAX);
    let delay = FIRST_DELAY.checked_mul(factor);
    delay.unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY)
}

/// Whether the failure is the stage's own doing, so that trying again may be worth it.
const fn is_own(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Test
        | FailureKind::Lint
        | FailureKind::Scan
        | FailureKind::Benchmark
        | FailureKind::Smoke
        | FailureKind::Migrate
        | FailureKind::Script
        | FailureKind::Build
        | FailureKind::Timeout
        | FailureKind::OutOfMemory
        | FailureKind::Service => true,
        FailureKind::Gate
        | FailureKind::Infra
        | FailureKind::Evicted
        | FailureKind::Clone
        | FailureKind::Registry
        | FailureKind::Publish
        | FailureKind::Preview
        | FailureKind::Isolation
        | FailureKind::Platform
        | FailureKind::Config
        | FailureKind::Definition => false,
    }
}
