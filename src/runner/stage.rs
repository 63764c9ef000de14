//! Runs the script of a stage and reads the reports that it leaves. Talks to the operating system.
//!
//! The timeout is kept in here and not by Kubernetes, so that log and reports survive it.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::left::{self, Bounds, Left};
use super::mask::Mask;
use super::process::{self, End, Finished, Stop};
use super::report::StageReport;
use super::task::{self, ScriptTask};
use super::{Folders, cache, changed, keep, memory, package, say, script_file};
use crate::pipeline_run::api::{FailureKind, ReportSummary};
use crate::report::Collected;
use crate::report::problem::Problems;

/// Runs a script; its report and the container's exit code.
pub async fn run(task: &ScriptTask, folders: &Folders, stop: &mut Stop) -> (StageReport, u8) {
    if folders.unchanged_file().exists() {
        say("slipway: nothing has changed that this stage is about");
        return (StageReport::default(), 0);
    }
    let mask = match Mask::read(&task.secrets) {
        Ok(mask) => mask,
        Err(message) => return not_started(message),
    };
    let kills = memory::kills();
    // Before the script can write there.
    let changed = changed::read(folders);
    let problems = Arc::new(Mutex::new(Problems::of(&task.problems)));
    let done = match execute(task, folders, (&mask, &problems), stop).await {
        Ok(done) => done,
        Err(error) => return not_started(format!("the script could not be started: {error}")),
    };
    let mut report = judge(&done, task.timeout_seconds, kills < memory::kills());
    let collected = Collected {
        quarantine: task.quarantine.clone(),
        changed,
        ..Collected::default()
    };
    let left = Left::find(task, folders);
    read_reports(&left, (collected, &problems), &mut report);
    keep::keep(&left, &mask);
    excuse(&mut report);
    report.log_tail.clone_from(&done.tail);
    // It is packed by the time that the rest is masked.
    report.reports = report.reports.map(|summary| masked(&mask, summary));
    let code = exit_code(&report);
    if code == 0 && task.saves_caches {
        cache::ask(folders).await;
    }
    if code == 0 && task.pushes_packages {
        package::ask(folders).await;
    }
    (mask.report(report), code)
}

fn not_started(message: String) -> (StageReport, u8) {
    say(&format!("slipway: {message}"));
    let report = StageReport {
        failure: Some(FailureKind::Config),
        message: Some(message),
        ..StageReport::default()
    };
    (report, 1)
}

async fn execute(
    task: &ScriptTask,
    folders: &Folders,
    (mask, problems): (&Mask, &Arc<Mutex<Problems>>),
    stop: &mut Stop,
) -> io::Result<Finished> {
    let script = script_file(folders);
    fs::write(&script, &task.script)?;
    // Where nothing was checked out there is no such folder yet.
    fs::create_dir_all(folders.checkout())?;
    let mut command = if let Some((program, rest)) = task.command.split_first() {
        let mut command = Command::new(program);
        command.args(rest);
        command
    } else {
        let mut command = Command::new("/bin/sh");
        command.arg("-e").arg(&script);
        command
    };
    command.current_dir(folders.checkout());
    command.env_remove(task::VARIABLE);
    // The repository was fetched by another user; git refuses it otherwise.
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    let watched = Arc::clone(problems);
    let watch = move |output: &[u8]| lock(&watched).take_in(output);
    let running = process::start_watched(command, mask, Box::new(watch))?;
    let limit = Duration::from_secs(task.timeout_seconds);
    running.finish(limit, stop).await
}

/// What the end of a program means. `out_of_memory`: the kernel has killed something meanwhile.
pub(super) fn judge(done: &Finished, timeout_seconds: u64, out_of_memory: bool) -> StageReport {
    let (failure, message, exit_code) = match done.end {
        End::Exited(0) => (None, None, Some(0)),
        End::Exited(_) | End::Killed(_) if out_of_memory => (
            Some(FailureKind::OutOfMemory),
            Some("it used more memory than its limit; raise resources.limits.memory".to_owned()),
            exit_code_of(done.end),
        ),
        End::Exited(code) => (
            Some(FailureKind::Test),
            Some(format!("it ended with exit code {code}")),
            Some(code),
        ),
        End::Killed(signal) => (
            Some(FailureKind::Test),
            Some(format!("it was killed by signal {signal}")),
            exit_code_of(done.end),
        ),
        End::TimedOut => (
            Some(FailureKind::Timeout),
            Some(format!(
                "it was stopped after {timeout_seconds} s; raise timeout, or make it faster"
            )),
            None,
        ),
        End::Stopped => (
            Some(FailureKind::Evicted),
            Some("its pod was asked to end".to_owned()),
            None,
        ),
    };
    StageReport {
        failure,
        message,
        exit_code,
        ..StageReport::default()
    }
}

/// As a shell tells it.
fn exit_code_of(end: End) -> Option<i32> {
    match end {
        End::Exited(code) => Some(code),
        End::Killed(signal) => Some(128 + signal),
        End::TimedOut | End::Stopped => None,
    }
}

/// The container's exit code: the script's own, so that 75 is transient, and never 0 after a failure.
fn exit_code(report: &StageReport) -> u8 {
    let code = report.exit_code.and_then(|code| u8::try_from(code).ok());
    match (report.failure, code) {
        (None, _) => 0,
        (Some(_), Some(code)) if code != 0 => code,
        (Some(_), _) => 1,
    }
}

fn masked(mask: &Mask, summary: ReportSummary) -> ReportSummary {
    let mut summary: ReportSummary = mask.report(summary);
    let licences = std::mem::take(&mut summary.licences).into_iter();
    let licences = licences.map(|(name, count)| (mask.text(&name), count));
    summary.licences = licences.collect();
    summary
}

/// Adds what the reports say. One that cannot be read fails the stage: its tests may have failed.
fn read_reports(
    left: &Result<Left<'_>, String>,
    (mut collected, problems): (Collected, &Mutex<Problems>),
    report: &mut StageReport,
) {
    let result = take_in_problems(&mut collected, problems)
        .and_then(|()| left.as_ref().map_err(String::clone))
        .and_then(|left| left::read(left, Bounds::ALL, &mut collected));
    if let Err(message) = result {
        say(&format!("slipway: {message}"));
        report.failure.get_or_insert(FailureKind::Test);
        report.message.get_or_insert(message);
        return;
    }
    if let Some(tests) = collected.tests {
        let (failed, total) = (tests.counts.failed, tests.counts.total);
        say(&format!("slipway: {failed} of {total} tests failed"));
        if let (Some(FailureKind::Test), true) = (report.failure, failed > 0) {
            report.message = Some(format!("{failed} of {total} tests failed"));
        }
        report.tests = Some(tests.counts);
        report.failed_tests = tests.failed;
        report.flaky_tests = tests.flaky;
    }
    let coverage = collected.summary.coverage;
    if let Some(changed) = coverage.and_then(|coverage| coverage.changed) {
        let (reached, all) = (changed.covered_lines, changed.lines);
        say(&format!(
            "slipway: of the lines that changed, reports list {all}, and {reached} of them are covered"
        ));
    }
    report.reports = Some(collected.summary).filter(|summary| !summary.is_empty());
}

fn take_in_problems(collected: &mut Collected, problems: &Mutex<Problems>) -> Result<(), String> {
    let problems = std::mem::replace(&mut *lock(problems), Problems::of(&[]));
    let Some(found) = problems.finish() else {
        return Ok(());
    };
    let summary = ReportSummary {
        findings: vec![found],
        ..ReportSummary::default()
    };
    let merged = collected.summary.merge(summary);
    merged.map_err(|error| error.to_string())
}

/// A script that failed for nothing but tests in quarantine has not failed.
fn excuse(report: &mut StageReport) {
    let Some(tests) = report.tests else {
        return;
    };
    let only_tests = report.failure == Some(FailureKind::Test) && report.exit_code == Some(1);
    if only_tests && tests.failed > 0 && tests.failed == tests.quarantined {
        let failed = tests.failed;
        report.failure = None;
        let message = format!("tests that failed are all in quarantine: {failed}");
        say(&format!("slipway: {message}"));
        report.message = Some(message);
    }
}

fn lock(problems: &Mutex<Problems>) -> MutexGuard<'_, Problems> {
    problems.lock().unwrap_or_else(PoisonError::into_inner)
}
