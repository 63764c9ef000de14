//! Moves the stages of a run: starts those whose turn has come, and takes in how they ended. No I/O.
//!
//! Stages run in three waves: the work; what waits for the gates; what runs always. Within a wave they start as their
//! needs allow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{
    Attestation, CellStatus, Failure, FailureKind, SkipReason, StagePhase, StageStatus, TriggerKind,
};
use super::super::param;
use super::super::verdict::{self, Ending};
use super::Draft;
use super::attempt::{Now, Part};
use super::cells;
use crate::pipeline::api::{Matrix, PipelineSpec, Stage};
use crate::pipeline::condition::{self, Facts};
use crate::pipeline::matrix::{self, Cell};
use crate::pipeline::spec::before;

/// Commits of a run's own that are on record: as many as a Release takes.
const MAX_PUBLISHED: usize = 8;

/// When a stage's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wave {
    /// At once, as its needs allow.
    Work,
    /// Once all work has succeeded, and no gate stands against it.
    AfterGates,
    /// After those: what cannot be taken back.
    Last,
    /// At the very end, whatever happened.
    Always,
}

impl Wave {
    /// When the turn of a stage comes.
    pub(super) fn of(stage: &Stage) -> Self {
        if stage.always() {
            Self::Always
        } else if stage.type_.is_last() {
            Self::Last
        } else if stage.type_.is_after_gates() {
            Self::AfterGates
        } else {
            Self::Work
        }
    }
}

impl Draft<'_> {
    /// Takes in how everything that runs fares.
    pub(super) fn follow_stages(&mut self, spec: &PipelineSpec) {
        self.for_each(spec, StagePhase::Running, |draft, stage, status| {
            draft.follow_stage(spec, stage, status);
        });
    }

    /// Starts what can start now. Tells whether every stage is over.
    pub(super) fn start_stages(&mut self, spec: &PipelineSpec) -> bool {
        for wave in [Wave::Work, Wave::AfterGates, Wave::Last, Wave::Always] {
            if wave == Wave::AfterGates {
                self.judge_gates(spec);
                if !self.settle_version(spec) {
                    return false;
                }
            }
            if matches!(wave, Wave::AfterGates | Wave::Last) {
                self.skip_unless_passed(spec);
            }
            // One that is skipped may be what another one waits for, wherever it stands in the list.
            for _ in &spec.stages {
                self.for_each(spec, StagePhase::Pending, |draft, stage, status| {
                    if Wave::of(stage) == wave {
                        draft.start_if_ready(spec, stage, status);
                    }
                });
            }
            if !self.is_wave_over(spec, wave) {
                return false;
            }
        }
        true
    }

    fn is_wave_over(&self, spec: &PipelineSpec, wave: Wave) -> bool {
        let mut of_wave = spec.stages.iter().filter(|stage| Wave::of(stage) == wave);
        of_wave.all(|stage| self.phase_of(&stage.name).is_some_and(StagePhase::is_over))
    }

    /// Whether something other than what runs always is still to be done.
    pub(super) fn has_work_left(&self, spec: &PipelineSpec) -> bool {
        let mut waves = [Wave::Work, Wave::AfterGates, Wave::Last].into_iter();
        waves.any(|wave| !self.is_wave_over(spec, wave))
    }

    fn for_each(
        &mut self,
        spec: &PipelineSpec,
        phase: StagePhase,
        mut change: impl FnMut(&mut Self, &Stage, &mut StageStatus),
    ) {
        for stage in &spec.stages {
            let found = self.stage(&stage.name).filter(|known| known.phase == phase);
            let Some(mut status) = found.cloned() else {
                continue;
            };
            change(self, stage, &mut status);
            let mut all = self.next.stages.iter_mut();
            if let Some(slot) = all.find(|slot| slot.name == status.name) {
                *slot = status;
            }
        }
    }

    fn stage(&self, name: &str) -> Option<&StageStatus> {
        self.next.stages.iter().find(|stage| stage.name == name)
    }

    fn phase_of(&self, name: &str) -> Option<StagePhase> {
        self.stage(name).map(|stage| stage.phase)
    }

    /// What waits for the gates never starts when something failed.
    fn skip_unless_passed(&mut self, spec: &PipelineSpec) {
        if self.has_passed() {
            return;
        }
        self.for_each(spec, StagePhase::Pending, |_, stage, status| {
            if stage.type_.is_after_gates() {
                let why = "not started, because a stage failed or a gate did not pass".to_owned();
                skip(status, SkipReason::Gates, why);
            }
        });
    }

    fn start_if_ready(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        let lost = stage.needs.iter().find(|name| self.is_lost(name));
        // What always runs comes after others of its kind, and does not depend on them.
        if let Some(lost) = lost.filter(|_| !stage.always()) {
            let why = format!("not started, because {lost} did not succeed");
            skip(status, SkipReason::Needs, why);
            return;
        }
        let mut needs = stage.needs.iter();
        if !needs.all(|name| self.phase_of(name).is_some_and(StagePhase::is_over)) {
            return;
        }
        if !self.is_selected(spec, stage) {
            let why = "not started, because the run is to do other stages only".to_owned();
            skip(status, SkipReason::NotSelected, why);
            return;
        }
        match self.is_wanted(spec, stage) {
            Ok(true) => self.start_stage(spec, stage, status),
            Ok(false) => {
                let why = "not started, because its condition (when) does not hold".to_owned();
                skip(status, SkipReason::When, why);
            }
            Err(problem) => {
                let message = format!("its condition (when) cannot be told: {problem}");
                let ending = verdict::ending(FailureKind::Config, message);
                let part = Part {
                    spec,
                    stage,
                    cell: None,
                };
                let mut whole = cells::of_stage(status);
                self.take_in(part, status, &mut whole, ending);
                cells::set(status, whole);
            }
        }
    }

    /// Starts a stage whose turn it is.
    fn start_stage(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        if let Some(why) = self.lacks(spec, stage) {
            skip(status, SkipReason::Nothing, why);
            return;
        }
        if stage.preview.is_some() {
            self.begin_preview(stage, status);
            return;
        }
        status.phase = StagePhase::Running;
        if stage.has_cells() {
            let known = matrix::cells(stage);
            if status.cells.is_empty() {
                status.cells = known.iter().map(cells::pending).collect();
            }
            self.start_cells(spec, stage, &known, status);
        } else {
            let part = Part {
                spec,
                stage,
                cell: None,
            };
            let mut whole = cells::of_stage(status);
            self.start(part, &mut whole);
            cells::set(status, whole);
            status.job = Some(part.job(&self.seen.key.name, 1));
            status.message = Some("its Job is being made".to_owned());
        }
    }

    /// Whether a stage that is needed will never have succeeded. One whose own condition does not hold is as good as done.
    fn is_lost(&self, name: &str) -> bool {
        self.stage(name).is_none_or(|stage| {
            stage.phase.is_over()
                && stage.phase != StagePhase::Succeeded
                && !matches!(
                    stage.skipped_because,
                    Some(
                        SkipReason::When
                            | SkipReason::Nothing
                            | SkipReason::Unchanged
                            | SkipReason::NotSelected
                    )
                )
        })
    }

    /// Whether a stage is one of those that the run is to do, or needed by one.
    fn is_selected(&self, spec: &PipelineSpec, stage: &Stage) -> bool {
        let selected = &self.seen.spec.stages;
        selected.is_empty()
            || selected.contains(&stage.name)
            || spec.stages.iter().any(|other| {
                selected.contains(&other.name) && before(spec, other).contains(stage.name.as_str())
            })
    }

    fn is_wanted(&self, spec: &PipelineSpec, stage: &Stage) -> Result<bool, String> {
        let Some(condition) = &stage.when else {
            return Ok(true);
        };
        let run = &self.seen.spec;
        let by_hand = run.trigger.kind == TriggerKind::Manual;
        // A run whose parameters are wrong has no stages.
        let params = param::settle(&spec.params, &run.params, by_hand).unwrap_or_default();
        let trigger = self.seen.trigger();
        let facts = Facts {
            event: trigger.kind,
            git_ref: &run.git_ref,
            sha: self.next.sha.as_deref().unwrap_or_default(),
            actor: &run.trigger.actor,
            pipeline: &run.pipeline_ref.name,
            trigger: trigger.name.as_deref().unwrap_or_default(),
            environment: run.environment.as_deref().unwrap_or_default(),
            base: trigger
                .pull_request
                .as_ref()
                .and_then(|pull_request| pull_request.base.as_deref())
                .unwrap_or_default(),
        };
        condition::holds(condition, facts, &spec.params, &params)
    }

    fn follow_stage(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        if stage.preview.is_some() {
            self.follow_preview(spec, stage, status);
            return;
        }
        if stage.has_cells() {
            self.follow_cells(spec, stage, status);
            return;
        }
        let part = Part {
            spec,
            stage,
            cell: None,
        };
        let mut whole = cells::of_stage(status);
        match self.follow(part, &mut whole) {
            Now::Waits(what) => whole.message = Some(what),
            Now::Over(ending) => self.take_in(part, status, &mut whole, *ending),
        }
        let attempt = whole.attempt.unwrap_or(1);
        cells::set(status, whole);
        status.job = Some(part.job(&self.seen.key.name, attempt));
    }

    fn follow_cells(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        let known = matrix::cells(stage);
        let mut waits = None;
        for cell in &known {
            let Some(mut own) = cells::running(status, cell) else {
                continue;
            };
            let part = Part {
                spec,
                stage,
                cell: Some(cell),
            };
            match self.follow(part, &mut own) {
                // What all of them do most of the time is not worth a word, or a write.
                Now::Waits(what) if what != "running" => {
                    waits.get_or_insert(format!("{}: {what}", cell.name));
                }
                Now::Waits(_) => {}
                Now::Over(ending) => self.take_in(part, status, &mut own, *ending),
            }
            cells::put(status, own);
        }
        let matrix = stage.matrix.as_ref();
        if matrix.is_none_or(Matrix::fail_fast) {
            cells::stop_after_failure(status, self.now);
        }
        // What joins the cells is told what they have made.
        let mut all = self.next.stages.iter_mut();
        if let Some(slot) = all.find(|slot| slot.name == status.name) {
            *slot = status.clone();
        }
        self.start_cells(spec, stage, &known, status);
        cells::sum_up(status, waits);
    }

    /// Starts as many cells as may run at the same time.
    fn start_cells(
        &mut self,
        spec: &PipelineSpec,
        stage: &Stage,
        known: &[Cell],
        status: &mut StageStatus,
    ) {
        let limit = stage.matrix.as_ref();
        let limit = limit.map_or(usize::MAX, Matrix::max_parallel);
        for cell in known {
            let joins = stage.matrix.is_none() && cell.platform().is_none();
            if joins && !cells::are_others_done(status, cell) {
                continue;
            }
            let running = status.cells.iter();
            let running = running.filter(|cell| cell.phase == StagePhase::Running);
            if running.count() >= limit {
                break;
            }
            let Some(mut own) = cells::waiting(status, cell) else {
                continue;
            };
            let part = Part {
                spec,
                stage,
                cell: Some(cell),
            };
            self.start(part, &mut own);
            cells::put(status, own);
        }
    }

    /// Takes in how a part ended, for good.
    pub(super) fn take_in(
        &mut self,
        part: Part<'_>,
        status: &mut StageStatus,
        own: &mut CellStatus,
        mut ending: Ending,
    ) {
        self.find_flaky(part, &mut ending);
        if let (Some(reports), Some(cell)) = (&mut ending.reports, part.cell) {
            reports.of_cell(&cell.name);
        }
        take_in_reports(status, &mut ending);
        let attempts = own.attempt.unwrap_or(1);
        own.phase = ending.phase;
        if ending.phase == StagePhase::Skipped && part.cell.is_none() {
            status.skipped_because = Some(SkipReason::Unchanged);
        }
        own.finished_at = Some(Time(self.now));
        own.retry_at = None;
        own.exit_code = ending.exit_code;
        own.tests = ending.tests;
        own.message = ending.message.map(|message| match attempts {
            1 => message,
            attempts => format!("{message} (attempt {attempts})"),
        });
        let room = cells::MAX_FAILED_TESTS.saturating_sub(status.failed_tests.len());
        let failed = ending.failed_tests.into_iter().take(room);
        status.failed_tests.extend(failed);
        let room = cells::MAX_FAILED_TESTS.saturating_sub(status.flaky_tests.len());
        let flaky = ending.flaky_tests.into_iter().take(room);
        status.flaky_tests.extend(flaky);
        if let Some(kind) = ending.failure {
            self.note_failure(Failure {
                stage: Some(part.stage.name.clone()),
                cell: part.cell.map(|cell| cell.name.clone()),
                kind,
                hint: own.message.clone(),
                log_tail: ending.log_tail,
            });
        }
        for said in ending.attestations {
            let is_other =
                |known: &Attestation| known.image != said.image || known.kind != said.kind;
            self.next.attestations.retain(is_other);
            self.next.attestations.push(said);
        }
        for sha in ending.published {
            if !self.next.published.contains(&sha) {
                self.next.published.push(sha);
            }
        }
        self.next.published.truncate(MAX_PUBLISHED);
        if ending.digest.is_some() || !ending.packages.is_empty() {
            self.note_build(part, attempts);
        }
        self.take_in_packages(part, ending.packages);
        if let Some(digest) = ending.digest {
            own.digest = part.cell.map(|_| digest.clone());
            self.take_in_image(part, digest, ending.size);
        }
    }
}

/// Notes why a stage never starts.
pub(super) fn skip(status: &mut StageStatus, reason: SkipReason, why: String) {
    status.phase = StagePhase::Skipped;
    status.skipped_because = Some(reason);
    status.message = Some(why);
    for cell in status.cells.iter_mut().filter(|cell| !cell.phase.is_over()) {
        cell.phase = StagePhase::Skipped;
    }
}

/// Adds the reports of a part to those of its stage. More than can be kept together is a failure, or something would go
/// unseen.
fn take_in_reports(status: &mut StageStatus, ending: &mut Ending) {
    let Some(reports) = ending.reports.take() else {
        return;
    };
    let merged = status.reports.get_or_insert_default().merge(reports);
    if let (Err(error), None) = (merged, ending.failure) {
        let message = format!("the reports of all cells together are {error}; write fewer");
        *ending = verdict::ending(FailureKind::Config, message);
    }
}
