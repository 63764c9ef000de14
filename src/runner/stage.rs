//! Runs the script of a Test stage and reads the reports that it leaves. Talks to the operating system.
//!
//! The timeout is kept in here and not by Kubernetes, so that log and reports survive it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::junit::Summary;
use super::mask::Mask;
use super::process::{self, End, Finished, Stop};
use super::report::StageReport;
use super::task::{self, ScriptTask};
use super::{Folders, cache, glob, memory, say};
use crate::pipeline_run::api::FailureKind;

/// Largest report that is read.
const MAX_REPORT: u64 = 32 << 20;
/// Reports that are read.
const MAX_REPORTS: usize = 500;

/// Runs a script; its report and the container's exit code.
pub async fn run(task: &ScriptTask, folders: &Folders, stop: &mut Stop) -> (StageReport, u8) {
    let mask = match Mask::read(&task.secrets) {
        Ok(mask) => mask,
        Err(message) => return not_started(message),
    };
    let kills = memory::kills();
    let done = match execute(task, folders, &mask, stop).await {
        Ok(done) => done,
        Err(error) => return not_started(format!("the script could not be started: {error}")),
    };
    let mut report = judge(&done, task.timeout_seconds, kills < memory::kills());
    read_reports(task, folders, &mut report);
    report.log_tail.clone_from(&done.tail);
    let code = exit_code(&report);
    if code == 0 && task.saves_caches {
        cache::ask(folders).await;
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
    mask: &Mask,
    stop: &mut Stop,
) -> io::Result<Finished> {
    let script = script_file(folders);
    fs::write(&script, &task.script)?;
    let mut command = Command::new("/bin/sh");
    command
        .arg("-e")
        .arg(&script)
        .current_dir(folders.checkout());
    command.env_remove(task::VARIABLE);
    // The repository was fetched by another user; git refuses it otherwise.
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    let running = process::start(command, mask)?;
    let limit = Duration::from_secs(task.timeout_seconds);
    running.finish(limit, stop).await
}

fn script_file(folders: &Folders) -> std::path::PathBuf {
    folders.workspace.join("script.sh")
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

/// Adds what the reports say. One that cannot be read fails the stage: its tests may have failed.
fn read_reports(task: &ScriptTask, folders: &Folders, report: &mut StageReport) {
    if task.junit.is_empty() {
        return;
    }
    let since = modified(&script_file(folders));
    let mut summary = Summary::default();
    let files = glob::find(&folders.checkout(), &task.junit);
    // What the repository itself contains is not what this script has left.
    let fresh = files
        .into_iter()
        .filter(|file| modified(file) >= since)
        .take(MAX_REPORTS);
    let mut count = 0;
    for file in fresh {
        count += 1;
        let result = read(&file)
            .map_err(|error| error.to_string())
            .and_then(|xml| summary.add(&xml).map_err(|error| error.to_string()));
        if let Err(error) = result {
            let name = file.strip_prefix(folders.checkout()).unwrap_or(&file);
            let message = format!("report {} cannot be read: {error}", name.display());
            say(&format!("slipway: {message}"));
            report.failure.get_or_insert(FailureKind::Test);
            report.message.get_or_insert(message);
            return;
        }
    }
    if count == 0 {
        let globs = task.junit.join(", ");
        say(&format!("slipway: the script has left no file {globs}"));
        return;
    }
    let failed = summary.counts.failed;
    let total = summary.counts.total;
    say(&format!("slipway: {failed} of {total} tests failed"));
    if let (Some(FailureKind::Test), true) = (report.failure, failed > 0) {
        report.message = Some(format!("{failed} of {total} tests failed"));
    }
    report.tests = Some(summary.counts);
    report.failed_tests = summary.failed;
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut xml = Vec::new();
    File::open(file)?
        .take(MAX_REPORT + 1)
        .read_to_end(&mut xml)?;
    if u64::try_from(xml.len()).is_ok_and(|length| length > MAX_REPORT) {
        return Err(io::Error::other("it is larger than 32 MiB"));
    }
    Ok(xml)
}
