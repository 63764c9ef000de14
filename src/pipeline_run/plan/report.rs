//! Says how a run stands, in one word and one sentence. No I/O.

use super::super::api::{FailureKind, PipelineRunStatus, RunPhase, StagePhase, StopKind};
use super::turn;
use crate::model::plan::Why;

/// What people read of a run that waits for nothing, or is over. Follows from the status alone, so that
/// it never changes once the run is over.
pub fn report(status: &PipelineRunStatus) -> Why {
    let phase = status.phase.unwrap_or_default();
    match phase {
        RunPhase::Queued | RunPhase::Running => running(status),
        RunPhase::Succeeded => {
            let message = status.release.as_ref().map_or_else(
                || "every stage and gate passed; no Release was to be made".to_owned(),
                |release| format!("every stage and gate passed; made Release {release}"),
            );
            Why::normal("Succeeded", message)
        }
        RunPhase::Cancelled => {
            let stop = status.stopping.as_ref();
            let said = stop.map_or_else(|| "stopped by a person".to_owned(), turn::said);
            let message = format!("{said}; make a new run");
            Why::warning("Cancelled", message)
        }
        RunPhase::Failed | RunPhase::TimedOut => {
            let Some(failure) = &status.failure else {
                return Why::warning("Failed", "failed");
            };
            let hint = failure.hint.as_deref().unwrap_or("failed");
            let message = match (&failure.stage, &failure.cell) {
                (Some(stage), Some(cell)) => format!("stage {stage}, {cell}: {hint}"),
                (Some(stage), None) => format!("stage {stage}: {hint}"),
                (None, _) => hint.to_owned(),
            };
            Why::warning(reason(failure.kind), message)
        }
    }
}

fn running(status: &PipelineRunStatus) -> Why {
    let parts: Vec<String> = status
        .stages
        .iter()
        .filter_map(|stage| match stage.phase {
            StagePhase::Running => {
                let what = stage.message.as_deref().unwrap_or("running");
                Some(format!("{}: {what}", stage.name))
            }
            StagePhase::Pending
            | StagePhase::Succeeded
            | StagePhase::Failed
            | StagePhase::Skipped
            | StagePhase::Cancelled
            | StagePhase::TimedOut => None,
        })
        .collect();
    let left = status
        .stages
        .iter()
        .filter(|stage| stage.phase == StagePhase::Pending)
        .count();
    let message = match (parts.is_empty(), left) {
        (true, _) => "starting".to_owned(),
        (false, 0) => parts.join("; "),
        (false, left) => format!("{}; {left} more after that", parts.join("; ")),
    };
    let message = match &status.stopping {
        None => message,
        Some(stop) if stop.kind == StopKind::TimedOut => {
            format!("taking too long, stopping; {message}")
        }
        Some(stop) if stop.kind == StopKind::Cancelled => {
            let by = stop.by.as_deref().unwrap_or("a person");
            format!("being stopped by {by}; {message}")
        }
        Some(stop) => format!("{}, stopping; {message}", turn::said(stop)),
    };
    Why::normal("Running", message)
}

pub(crate) const fn reason(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Test => "TestFailed",
        FailureKind::Lint => "LintFailed",
        FailureKind::Scan => "ScanFailed",
        FailureKind::Benchmark => "BenchmarkFailed",
        FailureKind::Smoke => "SmokeFailed",
        FailureKind::Migrate => "MigrateFailed",
        FailureKind::Script => "ScriptFailed",
        FailureKind::Build => "BuildFailed",
        FailureKind::Gate => "GateFailed",
        FailureKind::Infra => "InfrastructureFailed",
        FailureKind::Timeout => "TimedOut",
        FailureKind::OutOfMemory => "OutOfMemory",
        FailureKind::Evicted => "Evicted",
        FailureKind::Clone => "CloneFailed",
        FailureKind::Service => "ServiceFailed",
        FailureKind::Registry => "RegistryFailed",
        FailureKind::Publish => "PublishFailed",
        FailureKind::Preview => "PreviewFailed",
        FailureKind::Isolation => "IsolationRefused",
        FailureKind::Platform => "PlatformUnsupported",
        FailureKind::Config => "ConfigurationFailed",
        FailureKind::Definition => "DefinitionFailed",
    }
}
