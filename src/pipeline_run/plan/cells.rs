//! What the cells of a stage are together, and a stage without matrix as the one cell that it is. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{CellStatus, StagePhase, StageStatus, TestCounts};
use crate::pipeline::matrix::Cell;

/// Failed tests that the status of a stage has at most.
pub(super) const MAX_FAILED_TESTS: usize = 10;

/// A stage without matrix, as if it were a cell.
pub(super) fn of_stage(stage: &StageStatus) -> CellStatus {
    CellStatus {
        name: String::new(),
        phase: stage.phase,
        attempt: stage.attempt,
        infra_retries: stage.infra_retries,
        app_retries: stage.app_retries,
        retry_at: stage.retry_at.clone(),
        started_at: stage.started_at.clone(),
        finished_at: stage.finished_at.clone(),
        message: stage.message.clone(),
        exit_code: stage.exit_code,
        tests: stage.tests,
        digest: None,
    }
}

/// The same, back again.
pub(super) fn set(stage: &mut StageStatus, own: CellStatus) {
    stage.phase = own.phase;
    stage.attempt = own.attempt;
    stage.infra_retries = own.infra_retries;
    stage.app_retries = own.app_retries;
    stage.retry_at = own.retry_at;
    stage.started_at = own.started_at;
    stage.finished_at = own.finished_at;
    stage.message = own.message;
    stage.exit_code = own.exit_code;
    stage.tests = own.tests;
}

/// A cell whose turn has not come.
pub(super) fn pending(cell: &Cell) -> CellStatus {
    CellStatus {
        name: cell.name.clone(),
        ..CellStatus::default()
    }
}

/// The cell, if it runs.
pub(super) fn running(stage: &StageStatus, cell: &Cell) -> Option<CellStatus> {
    find(stage, cell, StagePhase::Running)
}

/// The cell, if its turn has not come.
pub(super) fn waiting(stage: &StageStatus, cell: &Cell) -> Option<CellStatus> {
    find(stage, cell, StagePhase::Pending)
}

fn find(stage: &StageStatus, cell: &Cell, phase: StagePhase) -> Option<CellStatus> {
    let mut cells = stage.cells.iter();
    let found = cells.find(|own| own.name == cell.name && own.phase == phase);
    found.cloned()
}

/// Whether all cells but this one have succeeded.
pub(super) fn are_others_done(stage: &StageStatus, cell: &Cell) -> bool {
    let mut others = stage.cells.iter().filter(|own| own.name != cell.name);
    others.all(|own| own.phase == StagePhase::Succeeded)
}

/// Puts a cell back that has been moved on.
pub(super) fn put(stage: &mut StageStatus, mut own: CellStatus) {
    if own.exit_code == Some(0) {
        own.exit_code = None;
    }
    if own.phase == StagePhase::Succeeded {
        own.message = None;
    }
    if let Some(slot) = stage.cells.iter_mut().find(|slot| slot.name == own.name) {
        *slot = own;
    }
}

/// Once one cell has failed, the others are not needed any more.
pub(super) fn stop_after_failure(stage: &mut StageStatus, now: Timestamp) {
    let Some(failed) = failed(stage).map(|cell| cell.name.clone()) else {
        return;
    };
    let message = format!("stopped, because {failed} failed");
    stop_all(stage, StagePhase::Cancelled, &message, now);
}

/// Stops every cell that is not over; those that have not started are skipped.
pub(super) fn stop_all(stage: &mut StageStatus, phase: StagePhase, why: &str, now: Timestamp) {
    for cell in stage.cells.iter_mut().filter(|cell| !cell.phase.is_over()) {
        if cell.phase == StagePhase::Running {
            cell.phase = phase;
            cell.finished_at = Some(Time(now));
            cell.message = Some(why.to_owned());
        } else {
            cell.phase = StagePhase::Skipped;
        }
        cell.retry_at = None;
    }
}

fn failed(stage: &StageStatus) -> Option<&CellStatus> {
    let is_failed =
        |cell: &&CellStatus| matches!(cell.phase, StagePhase::Failed | StagePhase::TimedOut);
    stage.cells.iter().find(is_failed)
}

/// Says of the stage what its cells are together. `waits`: what one of them waits for.
pub(super) fn sum_up(stage: &mut StageStatus, waits: Option<String>) {
    let count = |phase: StagePhase| {
        stage
            .cells
            .iter()
            .filter(|cell| cell.phase == phase)
            .count()
    };
    let total = stage.cells.len();
    let running = count(StagePhase::Running);
    let open = running + count(StagePhase::Pending);
    let succeeded = count(StagePhase::Succeeded);
    stage.infra_retries = stage.cells.iter().map(|cell| cell.infra_retries).sum();
    stage.app_retries = stage.cells.iter().map(|cell| cell.app_retries).sum();
    stage.tests = sum(stage.cells.iter().filter_map(|cell| cell.tests));
    if stage.started_at.is_none() {
        let started = stage
            .cells
            .iter()
            .filter_map(|cell| cell.started_at.as_ref());
        stage.started_at = started.min_by_key(|Time(at)| *at).cloned();
    }
    if open > 0 {
        let waits = waits.map_or_else(String::new, |what| format!("; {what}"));
        let over = total - open;
        stage.message = Some(format!(
            "{over} of {total} cells are over, {running} run{waits}"
        ));
        return;
    }
    let finished = stage
        .cells
        .iter()
        .filter_map(|cell| cell.finished_at.as_ref());
    stage.finished_at = finished.max_by_key(|Time(at)| *at).cloned();
    let failed = failed(stage).map(|cell| {
        let why = cell.message.as_deref().unwrap_or("it failed");
        (cell.phase, format!("{}: {why}", cell.name))
    });
    (stage.phase, stage.message) = match failed {
        Some((phase, why)) => {
            let message = format!("{succeeded} of {total} cells succeeded; {why}");
            (phase, Some(message))
        }
        None if succeeded == total => (
            StagePhase::Succeeded,
            Some(format!("all {total} cells succeeded")),
        ),
        None => (StagePhase::Cancelled, stage.message.take()),
    };
}

/// Tests of several reports together.
pub(super) fn sum(counts: impl Iterator<Item = TestCounts>) -> Option<TestCounts> {
    counts.reduce(TestCounts::plus)
}
