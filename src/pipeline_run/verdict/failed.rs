//! Whose fault it is that a Job has failed. Pure.

use super::super::api::FailureKind;
use super::super::observed::{Ended, Pod};
use super::super::render::{CLAIM, FETCH, MAIN, SOURCE, TOOLS};
use super::service::about_services;
use super::{Ending, MAX_WORDS, ending, log_tail, lost, main_report, published};
use crate::pipeline::api::StageType;
use crate::runner::report::{SourceReport, StageReport, clean};
use crate::runner::task;

/// What the kubelet says of a pod that it evicts for what the pod itself has used, not for what the node lacks.
const OWN_LIMITS: [&str; 3] = [
    "ephemeral local storage usage exceeds",
    "exceeded its local ephemeral storage limit",
    "Usage of EmptyDir volume",
];
/// Exit code of a process that was killed and could say nothing.
const KILLED: i32 = 128 + 9;

/// How a stage ended whose Job has failed.
pub(super) fn failed(type_: StageType, pod: Option<&Pod>, reason: &str, message: &str) -> Ending {
    let words = clean(message, MAX_WORDS);
    let Some(pod) = pod else {
        let message = format!("the pod is gone and took its verdict along ({reason}: {words})");
        return lost(FailureKind::Infra, message);
    };
    if let Some(kind) = taken_away(pod) {
        if kind == FailureKind::Timeout && !pod.has_main {
            let message = format!("its time was over before it was begun: {}", pod.message);
            return lost(FailureKind::Infra, clean(&message, MAX_WORDS));
        }
        let message = clean(&format!("{}: {}", pod.reason, pod.message), MAX_WORDS);
        let report = main_report(Some(pod));
        let is_own = OWN_LIMITS.iter().any(|words| pod.message.contains(words));
        return Ending {
            log_tail: log_tail(&report.log_tail),
            is_transient: kind != FailureKind::Timeout && !is_own,
            ..ending(kind, message)
        };
    }
    for name in [TOOLS, SOURCE] {
        if let Some(ended) = pod.ended.get(name).filter(|ended| ended.exit_code != 0) {
            return failed_to_start(name, ended);
        }
    }
    if let Some(ended) = pod.ended.get(FETCH).filter(|ended| ended.exit_code != 0) {
        let report = StageReport::parse(&ended.message).unwrap_or_default();
        let message = report
            .message
            .unwrap_or_else(|| format!("packages were not fetched: exit code {}", ended.exit_code));
        return ending(report.failure.unwrap_or(FailureKind::Infra), message);
    }
    if let Some(ended) = pod.ended.get(CLAIM).filter(|ended| ended.exit_code != 0) {
        let report = StageReport::parse(&ended.message).unwrap_or_default();
        let message = report.message.unwrap_or_else(|| {
            format!("the attempt was not claimed: exit code {}", ended.exit_code)
        });
        return ending(FailureKind::Infra, message);
    }
    match pod.ended.get(MAIN) {
        Some(ended) => {
            let mut ending = failed_in_main(type_, ended);
            let left = StageReport::parse(&ended.message);
            ending.published = left.map_or_else(Vec::new, |left| published(type_, &left));
            if let (Some(message), Some(more)) = (&mut ending.message, about_services(pod)) {
                message.push_str("; ");
                message.push_str(&more);
            }
            ending
        }
        None => lost(
            FailureKind::Infra,
            format!("the pod failed without running the stage ({reason}: {words})"),
        ),
    }
}

/// Whether Kubernetes took the pod away, and why.
fn taken_away(pod: &Pod) -> Option<FailureKind> {
    match pod.reason.as_str() {
        "Evicted" | "Preempting" => Some(FailureKind::Evicted),
        "DeadlineExceeded" => Some(FailureKind::Timeout),
        "NodeLost" | "NodeShutdown" | "Terminated" => Some(FailureKind::Infra),
        _ if pod.is_disrupted => Some(FailureKind::Evicted),
        _ => None,
    }
}

fn failed_to_start(name: &str, ended: &Ended) -> Ending {
    if name == TOOLS {
        let message = "the runner could not be copied into the pod; check --runner-image";
        return ending(FailureKind::Infra, message);
    }
    let error = SourceReport::parse(&ended.message).and_then(|report| report.error);
    let message = error.map_or_else(
        || {
            format!(
                "fetching the commit ended with exit code {}",
                ended.exit_code
            )
        },
        |error| error.message,
    );
    Ending {
        is_transient: is_transient(ended),
        ..ending(FailureKind::Clone, message)
    }
}

/// Whether a container says itself that it may work the next time.
pub(super) fn is_transient(ended: &Ended) -> bool {
    ended.exit_code == i32::from(task::TRANSIENT)
}

fn failed_in_main(type_: StageType, ended: &Ended) -> Ending {
    let own = own_failure(type_);
    let left = StageReport::parse(&ended.message);
    // Nothing in a container can kill its first process. (The kernel can, for its memory, and says so.)
    let is_killed = left.is_none() && ended.exit_code == KILLED && ended.reason != "OOMKilled";
    let report = left.unwrap_or_else(|| StageReport {
        // With FallbackToLogsOnError, the message is the end of the log where the runner left none.
        log_tail: ended.message.clone(),
        ..StageReport::default()
    });
    let kind = match report.failure {
        // The runner does not know what the stage is for.
        Some(FailureKind::Test) => own,
        Some(kind) => kind,
        None if is_killed => FailureKind::Infra,
        None if ended.reason == "OOMKilled" => FailureKind::OutOfMemory,
        None => own,
    };
    let told_message = report.message.clone();
    let message = told_message.unwrap_or_else(|| {
        if kind == FailureKind::OutOfMemory {
            return "it used more memory than its limit".to_owned();
        }
        if is_killed {
            return "it was killed from outside of its container, so there is no verdict"
                .to_owned();
        }
        format!("it ended with exit code {}", ended.exit_code)
    });
    Ending {
        // Of a pod that was asked to end, without Kubernetes saying why, there is no verdict either.
        is_transient: is_transient(ended) || is_killed || kind == FailureKind::Evicted,
        exit_code: report.exit_code,
        log_tail: log_tail(&report.log_tail),
        tests: report.tests,
        failed_tests: report.failed_tests,
        flaky_tests: report.flaky_tests,
        reports: report.reports,
        ..ending(kind, message)
    }
}

/// What a failure of the stage's own doing is called.
const fn own_failure(type_: StageType) -> FailureKind {
    match type_ {
        StageType::Test => FailureKind::Test,
        StageType::Lint => FailureKind::Lint,
        StageType::Scan => FailureKind::Scan,
        StageType::Benchmark => FailureKind::Benchmark,
        StageType::Smoke => FailureKind::Smoke,
        StageType::Migrate => FailureKind::Migrate,
        StageType::Custom => FailureKind::Script,
        StageType::Build => FailureKind::Build,
        StageType::Tag => FailureKind::Registry,
        StageType::Publish | StageType::Release => FailureKind::Publish,
        StageType::Preview => FailureKind::Preview,
        // Nothing of people's runs in them.
        StageType::SBOM | StageType::Sign => FailureKind::Infra,
    }
}
