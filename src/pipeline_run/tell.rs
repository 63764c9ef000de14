//! What a run tells the provider of its repository: a status of the commit for the run, and one for each stage. No I/O.
//!
//! What is told follows from the status of the run alone, so a message is made anew whenever it is sent, and the outbox only
//! says what of it the provider has. A status that is sent twice is there once: the newest of its context counts.

use jiff::Timestamp;

use super::api::{PipelineRunStatus, RunPhase, SkipReason, StagePhase, StageStatus};
use super::observed::{Observed, Snapshot};
use super::plan;
use crate::model::action::{Outcome, Request};
use crate::model::key::short_hash;
use crate::outbox::Outbox;
use crate::outbox::api::OutboxState;
use crate::pipeline::api::{PipelineSpec, StatusesOf};
use crate::pipeline::observed::Authorities;
use crate::provider::{CommitState, CommitStatus, Provider};

/// Name of the receiver in the outbox.
pub const SINK: &str = "provider";
/// Key of the status of the run; those of stages follow after a slash.
const STATUS: &str = "status";

/// What the commit is to be said of, by the key in the outbox. Nothing while the commit is not known.
pub fn statuses(
    spec: &PipelineSpec,
    status: &PipelineRunStatus,
    pipeline: &str,
) -> Vec<(String, CommitStatus)> {
    let report = spec.report.as_ref();
    let of = report.and_then(|report| report.commit_status);
    let stages: &[StageStatus] = match of.unwrap_or_default() {
        StatusesOf::Off => return Vec::new(),
        StatusesOf::Run => &[],
        StatusesOf::Stages => &status.stages,
    };
    if status.sha.is_none() {
        return Vec::new();
    }
    let context = format!("slipway/{pipeline}");
    let of_stages = stages.iter().map(|stage| {
        let key = format!("{STATUS}/{}", stage.name);
        (key, of_stage(stage, format!("{context}/{}", stage.name)))
    });
    let mut all = vec![(STATUS.to_owned(), of_run(status, context.clone()))];
    all.extend(of_stages);
    all
}

fn of_run(status: &PipelineRunStatus, context: String) -> CommitStatus {
    let state = match status.phase.unwrap_or_default() {
        RunPhase::Queued | RunPhase::Running => CommitState::Pending,
        RunPhase::Succeeded => CommitState::Success,
        RunPhase::Failed | RunPhase::TimedOut => CommitState::Failure,
        RunPhase::Cancelled => CommitState::Error,
    };
    // What is going on changes with every pod, and each change would be a message.
    let description = match state {
        CommitState::Pending => "in progress".to_owned(),
        CommitState::Success | CommitState::Failure | CommitState::Error => {
            plan::report(status).message
        }
    };
    told(context, state, description)
}

fn of_stage(stage: &StageStatus, context: String) -> CommitStatus {
    let verdict = match stage.phase {
        StagePhase::Pending | StagePhase::Running => CommitState::Pending,
        StagePhase::Succeeded => CommitState::Success,
        StagePhase::Skipped if holds_nobody_back(stage) => CommitState::Success,
        StagePhase::Failed | StagePhase::TimedOut => CommitState::Failure,
        StagePhase::Cancelled | StagePhase::Skipped => CommitState::Error,
    };
    let said = stage.message.clone().filter(|said| !said.is_empty());
    let description = match verdict {
        CommitState::Pending => "in progress".to_owned(),
        CommitState::Success if stage.phase == StagePhase::Skipped => {
            "there was nothing to do".to_owned()
        }
        CommitState::Success => stage.tests.map_or_else(
            || "passed".to_owned(),
            |tests| match tests.flaky {
                0 => format!("{} of {} tests passed", tests.passed, tests.total),
                flaky => format!(
                    "{} of {} tests passed, {flaky} of them flaky",
                    tests.passed, tests.total
                ),
            },
        ),
        CommitState::Failure => said.unwrap_or_else(|| "failed".to_owned()),
        CommitState::Error => said.unwrap_or_else(|| "did not run to its end".to_owned()),
    };
    told(context, verdict, description)
}

/// A stage that had nothing to do is no reason not to merge: a status that is required has to be there for all that.
fn holds_nobody_back(stage: &StageStatus) -> bool {
    stage.skipped_because.is_some_and(|reason| match reason {
        SkipReason::When | SkipReason::Nothing | SkipReason::Unchanged => true,
        SkipReason::Needs | SkipReason::Gates | SkipReason::Stopped | SkipReason::NotSelected => {
            false
        }
    })
}

fn told(context: String, state: CommitState, description: String) -> CommitStatus {
    CommitStatus {
        context,
        state,
        description,
        url: None,
    }
}

/// By what a status is told from another one of the same context.
pub fn content(status: &CommitStatus) -> String {
    let text = format!("{} {}", status.state, status.description);
    short_hash(text.as_bytes(), 16)
}

/// The provider of the repository; nothing where there is none, or where it is not known what to check its certificate
/// against.
fn provider(seen: &Observed) -> Option<Provider> {
    let Snapshot::Taken(spec) = &seen.snapshot else {
        return None;
    };
    let bundle = match &seen.authorities {
        Authorities::System => None,
        Authorities::Bundle(pem) => Some(pem.clone()),
        Authorities::Missing(_) => return None,
    };
    Provider::of(&spec.source.git, &seen.key.namespace, bundle)
}

/// Whether a run has anything to tell. One of a few stages only has not: that they passed says nothing of the commit, and must
/// not take the place of a whole run's failure.
pub fn tells(seen: &Observed, spec: &PipelineSpec) -> bool {
    spec.source.git.provider.is_some() && seen.spec.stages.is_empty()
}

/// The request that brings the message of that key to the provider.
pub fn request(seen: &Observed, status: &PipelineRunStatus, key: &str) -> Option<Request> {
    let Snapshot::Taken(spec) = &seen.snapshot else {
        return None;
    };
    if !tells(seen, spec) {
        return None;
    }
    let pipeline = &seen.spec.pipeline_ref.name;
    let mut all = statuses(spec, status, pipeline).into_iter();
    let (_, message) = all.find(|(known, _)| known == key)?;
    Some(provider(seen)?.set_status(status.sha.as_deref()?, &message))
}

/// Whether the provider may have to be told something.
pub fn has_news(seen: &Observed, spec: &PipelineSpec) -> bool {
    let phase = seen.status.phase.unwrap_or_default();
    let mut outbox = seen.status.outbox.iter();
    let is_pending = outbox.any(|entry| entry.state == OutboxState::Pending);
    tells(seen, spec) && (!phase.is_finished() || is_pending)
}

/// Takes in what the provider answered.
pub fn answered(
    seen: &Observed,
    status: &mut PipelineRunStatus,
    outcome: &Outcome,
    now: Timestamp,
) {
    if status.outbox.is_empty() || outcome.replies.is_empty() {
        return;
    }
    let Some(provider) = provider(seen) else {
        return;
    };
    let mut outbox = Outbox::new(std::mem::take(&mut status.outbox));
    for (key, reply) in &outcome.replies {
        let read = provider.read_set_status(reply);
        outbox.settle(key, read.map_err(|refusal| refusal.message), now);
    }
    status.outbox = outbox.entries().to_vec();
}
