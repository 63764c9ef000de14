//! What a Job says about its stage: how it ended and whose fault it is. Pure.
//!
//! Kubernetes' own words come before the runner's where a pod was taken away, because the runner may not
//! have lived to tell; otherwise the runner's report is the verdict.

use jiff::{SignedDuration, Timestamp};

use super::api::{Attestation, FailedTest, FailureKind, ReportSummary, StagePhase, TestCounts};
use super::observed::{Job, JobState, Pod};
use super::render::{MAIN, PACKAGES, SOURCE};
use crate::model::span::after;
use crate::pipeline::api::{Stage, StageType};
use crate::runner::report::{PackageReport, SourceReport, StageReport, clean, tail};

mod commit;
mod failed;
mod service;
mod start;
pub use commit::{Told, commits};
use failed::{failed, is_transient};
use service::failed_service;
use start::cannot_start;

/// How long a pod that is not in the cache is waited for once its Job is over: the watches of Jobs and
/// pods are not in step.
const LATE_POD: SignedDuration = SignedDuration::from_secs(10);
/// How long a pod that was asked to go may be there beyond its grace. A node that is gone, or cannot be reached, tells
/// nobody that what ran on it has ended.
const LATE_END: SignedDuration = SignedDuration::from_mins(1);
/// Longest part of a message that comes from Kubernetes.
const MAX_WORDS: usize = 700;
/// Longest end of a log that a status keeps.
const MAX_TAIL: usize = 2000;

/// What a Job says about its stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing yet; what is being waited for, and until when where there is a time.
    Wait(String, Option<Timestamp>),
    /// It ended.
    Over(Box<Ending>),
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// `Succeeded`, `Failed` or `TimedOut`.
    pub phase: StagePhase,
    /// Whose fault it is; nothing when it went well.
    pub failure: Option<FailureKind>,
    /// Whether that was no verdict, so that another attempt may give one.
    pub is_transient: bool,
    /// What happened.
    pub message: Option<String>,
    /// Exit code of the script.
    pub exit_code: Option<i32>,
    /// Digest of the image.
    pub digest: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Packages that were pushed.
    pub packages: Vec<PackageReport>,
    /// Commits that were pushed.
    pub published: Vec<String>,
    /// What was said about images.
    pub attestations: Vec<Attestation>,
    /// Tests of the reports.
    pub tests: Option<TestCounts>,
    /// The first of the tests that failed.
    pub failed_tests: Vec<FailedTest>,
    /// The first of the tests that failed and then passed.
    pub flaky_tests: Vec<String>,
    /// What its other reports say.
    pub reports: Option<ReportSummary>,
    /// The last lines of the log.
    pub log_tail: Option<String>,
}

/// What a Job says about its stage.
pub fn judge(stage: &Stage, job: &Job, now: Timestamp) -> Verdict {
    let type_ = stage.type_;
    let pod = job.pod.as_ref();
    // That it is counted at its Job takes Kubernetes a second, and what comes next need not wait for that. Nor does it count what
    // becomes of the Job in that second: one whose deadline passes then fails, though its work is done.
    if pod.is_some_and(|pod| pod.has_succeeded) {
        return Verdict::Over(Box::new(completed(stage, pod)));
    }
    let over_at = match &job.state {
        JobState::Active => return judge_active(stage, job, now),
        JobState::Complete(at) | JobState::Failed(at, ..) => *at,
    };
    let has_settled = pod.is_some_and(|pod| pod.is_over);
    let patience = over_at + LATE_POD;
    if !has_settled && now < patience {
        let message = "its Job is over, reading what the pod left".to_owned();
        return Verdict::Wait(message, Some(patience));
    }
    Verdict::Over(Box::new(match &job.state {
        JobState::Failed(_, reason, message) => failed(type_, pod, reason, message),
        JobState::Active | JobState::Complete(_) => completed(stage, pod),
    }))
}

fn judge_active(stage: &Stage, job: &Job, now: Timestamp) -> Verdict {
    let Some(pod) = job.pod.as_ref().filter(|pod| pod.has_node || pod.is_over) else {
        return judge_pending(stage, job, now);
    };
    if let Some(at) = pod.leaving_at.filter(|_| !pod.is_over) {
        return judge_leaving(at + LATE_END, now);
    }
    if let Some(trouble) = &pod.trouble {
        return Verdict::Over(Box::new(cannot_start(trouble)));
    }
    if let Some(ending) = failed_service(pod) {
        return Verdict::Over(Box::new(ending));
    }
    let has_fetched = pod.ended.contains_key(SOURCE) || !stage.type_.has_source();
    let mut services = pod.services.iter();
    let waiting = match services.find(|(_, service)| !service.is_ready) {
        _ if pod.is_over => "its pod is over, its Job is not".to_owned(),
        _ if pod.has_main => "running".to_owned(),
        Some((name, _)) if has_fetched => format!("waiting for service {name} to be ready"),
        None if has_fetched => "running".to_owned(),
        _ => "its pod is starting".to_owned(),
    };
    Verdict::Wait(waiting, None)
}

/// A pod that was asked to go, and has not told that it has.
fn judge_leaving(until: Timestamp, now: Timestamp) -> Verdict {
    if now < until {
        let message = "its pod was asked to go, waiting for its end".to_owned();
        return Verdict::Wait(message, Some(until));
    }
    let message = "its pod was asked to go, and its node does not tell that it has: the node is gone, or cannot be reached";
    Verdict::Over(Box::new(lost(FailureKind::Infra, message)))
}

/// A Job whose pod no node has: how long that may last is a limit of its own.
fn judge_pending(stage: &Stage, job: &Job, now: Timestamp) -> Verdict {
    let unschedulable = job.pod.as_ref().and_then(|pod| pod.unschedulable.as_ref());
    let waiting = match (&job.pod, unschedulable) {
        (_, Some(words)) => format!("no node takes its pod: {}", clean(words, MAX_WORDS)),
        (Some(_), None) => "its pod waits for a node".to_owned(),
        (None, None) => "its pod is being made".to_owned(),
    };
    let limit = stage.pending_timeout();
    let until = after(job.created_at, limit);
    if now < until {
        return Verdict::Wait(waiting, Some(until));
    }
    let message = format!(
        "no node had its pod after {limit:?} (pendingTimeout); add nodes, or lower \
         resources.requests: {waiting}"
    );
    Verdict::Over(Box::new(ending(FailureKind::Infra, message)))
}

fn completed(stage: &Stage, pod: Option<&Pod>) -> Ending {
    let type_ = stage.type_;
    if !stage.changes.is_empty() && source_report(pod).is_some_and(|report| report.unchanged) {
        return Ending {
            phase: StagePhase::Skipped,
            failure: None,
            ..ending(FailureKind::Infra, "nothing has changed that it is about")
        };
    }
    let report = main_report(pod);
    let pushed = match packages(stage, pod) {
        Ok(pushed) => pushed,
        // The script has its verdict, and it does not count.
        Err(ending) => return *ending,
    };
    let digest = report.digest.clone();
    let attests = matches!(type_, StageType::SBOM | StageType::Sign);
    if attests && report.attestations.is_empty() {
        let message = "what it has stored is lost with the pod; make a new run";
        return lost(FailureKind::Infra, message);
    }
    // A build that pushes nothing has no digest, and says so.
    if type_ == StageType::Build && report == StageReport::default() {
        let message = "the image was built, but its digest is lost with the pod; run it again";
        return lost(FailureKind::Infra, message);
    }
    Ending {
        phase: StagePhase::Succeeded,
        failure: None,
        message: report.message.clone(),
        digest,
        size: report.size,
        packages: pushed,
        published: published(type_, &report),
        attestations: report
            .attestations
            .iter()
            .cloned()
            .map(Into::into)
            .collect(),
        log_tail: None,
        ..told(&report)
    }
}

/// What the container beside a script has pushed. What the script says of it does not count.
fn packages(stage: &Stage, pod: Option<&Pod>) -> Result<Vec<PackageReport>, Box<Ending>> {
    if stage.packages.is_empty() {
        return Ok(Vec::new());
    }
    let ended = pod.and_then(|pod| pod.ended.get(PACKAGES));
    let Some(ended) = ended else {
        let was_there = pod.is_some_and(|pod| pod.images.contains_key(PACKAGES));
        if pod.is_some() && !was_there {
            // Nothing was to be pushed in this run.
            return Ok(Vec::new());
        }
        let message = "what it has pushed is lost with the pod; run it again";
        return Err(Box::new(lost(FailureKind::Infra, message)));
    };
    let report = StageReport::parse(&ended.message).unwrap_or_else(|| StageReport {
        failure: Some(FailureKind::Infra),
        message: Some(format!(
            "pushing packages ended with exit code {}",
            ended.exit_code
        )),
        ..StageReport::default()
    });
    match report.failure {
        None => Ok(report.packages),
        Some(kind) => Err(Box::new(Ending {
            is_transient: is_transient(ended),
            ..ending(kind, report.message.unwrap_or_default())
        })),
    }
}

/// The commits that a Release stage has pushed. What a script says of it does not count.
fn published(type_: StageType, report: &StageReport) -> Vec<String> {
    if type_ == StageType::Release {
        report.published.clone()
    } else {
        Vec::new()
    }
}

/// The end of an attempt that gave no verdict.
fn lost(kind: FailureKind, message: impl Into<String>) -> Ending {
    Ending {
        is_transient: true,
        ..ending(kind, message)
    }
}

/// The end of an attempt that failed.
pub fn ending(kind: FailureKind, message: impl Into<String>) -> Ending {
    let phase = if kind == FailureKind::Timeout {
        StagePhase::TimedOut
    } else {
        StagePhase::Failed
    };
    Ending {
        phase,
        failure: Some(kind),
        is_transient: false,
        message: Some(message.into()),
        exit_code: None,
        digest: None,
        size: None,
        packages: Vec::new(),
        published: Vec::new(),
        attestations: Vec::new(),
        tests: None,
        failed_tests: Vec::new(),
        flaky_tests: Vec::new(),
        reports: None,
        log_tail: None,
    }
}

/// The end of something that went well and has nothing to tell.
pub fn success() -> Ending {
    Ending {
        phase: StagePhase::Succeeded,
        failure: None,
        message: None,
        ..ending(FailureKind::Infra, "")
    }
}

fn told(report: &StageReport) -> Ending {
    Ending {
        exit_code: report.exit_code,
        tests: report.tests,
        failed_tests: report.failed_tests.clone(),
        flaky_tests: report.flaky_tests.clone(),
        reports: report.reports.clone(),
        ..ending(FailureKind::Infra, "")
    }
}

fn log_tail(text: &str) -> Option<String> {
    Some(tail(text, MAX_TAIL)).filter(|text| !text.trim().is_empty())
}

fn main_report(pod: Option<&Pod>) -> StageReport {
    let ended = pod.and_then(|pod| pod.ended.get(MAIN));
    ended
        .and_then(|ended| StageReport::parse(&ended.message))
        .unwrap_or_default()
}

fn source_report(pod: Option<&Pod>) -> Option<SourceReport> {
    SourceReport::parse(&pod?.ended.get(SOURCE)?.message)
}

#[cfg(test)]
mod tests;
