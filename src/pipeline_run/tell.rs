//! What a run tells the provider of its repository: a status of the commit for the run and one for each stage, the comment on its
//! pull request, what it has found, and the release of its tag. No I/O.
//!
//! What is told follows from the status of the run alone, so a message is made anew whenever it is sent, and the outbox only
//! says what of it the provider has. What is sent twice is there once: of statuses the newest of a context counts, a comment is
//! looked for before it is made, findings take the place of older ones, and a tag has one release.

use jiff::Timestamp;

use super::api::{FailureKind, PipelineRunStatus, RunPhase, SkipReason, StagePhase, StageStatus};
use super::observed::{Observed, Snapshot};
use super::{comment, plan, scan, version};
use crate::model::action::{Outcome, Request};
use crate::model::key::short_hash;
use crate::outbox::Outbox;
use crate::outbox::api::OutboxState;
use crate::pipeline::api::{CommentOn, PipelineSpec, Stage, StatusesOf};
use crate::provider::{
    CommitState, CommitStatus, KeptComment, Provider, ProviderRelease, RefusalKind,
};

/// Name of the receiver in the outbox.
pub const SINK: &str = "provider";
/// Key of the status of the run; those of stages follow after a slash.
const STATUS: &str = "status";
/// Key of the comment on the pull request.
pub const COMMENT: &str = "comment";
/// Key of the findings.
const FINDINGS: &str = "findings";
/// Key of the release of the tag.
const RELEASE: &str = "release";

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
    let (verdict, description) = said_of(stage);
    told(context, verdict, description)
}

/// What there is to say of a stage. What goes on in it is not told.
pub fn said_of(stage: &StageStatus) -> (CommitState, String) {
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
    (verdict, description)
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
fn provider(seen: &Observed, status: &PipelineRunStatus) -> Option<Provider> {
    let spec = spec_of(seen, status)?;
    let bundle = seen.authorities.bundle().ok()?;
    Provider::of(&spec.source.git, &seen.key.namespace, bundle)
}

/// The spec that says who is told: that which the run follows; that of the Pipeline for a run that was to follow more, and ended
/// because what its repository adds could not be read or taken.
pub fn spec_of<'a>(seen: &'a Observed, status: &PipelineRunStatus) -> Option<&'a PipelineSpec> {
    if let Snapshot::Taken(spec) = &seen.snapshot {
        return Some(spec);
    }
    let kind = status.failure.as_ref().map(|failure| failure.kind);
    let is_about_it = matches!(kind, Some(FailureKind::Definition | FailureKind::Clone));
    let pipeline = seen.pipeline.as_ref().filter(|_| is_about_it)?;
    pipeline.spec.definition.is_some().then_some(&pipeline.spec)
}

/// Whether a run has anything to tell. One of a few stages only has not: that they passed says nothing of the commit, and must
/// not take the place of a whole run's failure.
pub fn tells(seen: &Observed, spec: &PipelineSpec) -> bool {
    spec.source.git.provider.is_some() && seen.spec.stages.is_empty()
}

/// All that the provider is to know, by the key in the outbox: each with what tells it from another one of the same key.
pub fn news(
    seen: &Observed,
    spec: &PipelineSpec,
    status: &PipelineRunStatus,
) -> Vec<(String, String)> {
    let pipeline = &seen.spec.pipeline_ref.name;
    let statuses = statuses(spec, status, pipeline).into_iter();
    let mut all: Vec<(String, String)> = statuses
        .map(|(key, status)| (key, content(&status)))
        .collect();
    if let Some(is_made) = comments(seen, spec, status) {
        let text = format!("{is_made} {}", comment::body(seen, spec, status));
        all.push((COMMENT.to_owned(), short_hash(text.as_bytes(), 16)));
    }
    if let Some(sarif) = findings(seen, spec, status) {
        all.push((FINDINGS.to_owned(), short_hash(sarif.as_bytes(), 16)));
    }
    if let Some((release, _)) = release(seen, spec, status) {
        all.push((RELEASE.to_owned(), release.tag));
    }
    all
}

/// Whether the run leaves a comment, and if so, whether it makes one where there is none.
fn comments(seen: &Observed, spec: &PipelineSpec, status: &PipelineRunStatus) -> Option<bool> {
    let report = spec.report.as_ref();
    let on = report.and_then(|report| report.comment).unwrap_or_default();
    if on == CommentOn::Never || !comment::is_spoken_for(seen) || is_late(seen, COMMENT) {
        return None;
    }
    status.sha.as_ref()?;
    let phase = status.phase.unwrap_or_default();
    match on {
        CommentOn::Always => Some(true),
        CommentOn::OnFailure if phase.is_finished() => {
            Some(matches!(phase, RunPhase::Failed | RunPhase::TimedOut))
        }
        CommentOn::OnFailure | CommentOn::Never => None,
    }
}

/// Whether it is too late to begin with a message: the run was over before, and another one may have told more since.
fn is_late(seen: &Observed, key: &str) -> bool {
    let mut outbox = seen.status.outbox.iter();
    seen.status.phase.is_some_and(RunPhase::is_finished) && !outbox.any(|entry| entry.key == key)
}

/// What the run has found, once it is over.
fn findings(seen: &Observed, spec: &PipelineSpec, status: &PipelineRunStatus) -> Option<String> {
    let is_asked = spec.report.as_ref()?.code_scanning?;
    let is_over = status.phase.is_some_and(RunPhase::is_finished);
    if !is_asked || !is_over || status.sha.is_none() || is_late(seen, FINDINGS) {
        return None;
    }
    scan::sarif(&seen.spec.pipeline_ref.name, status)
}

/// The release of the tag that a Release stage has left, and the commit, once the run has made its Release.
fn release(
    seen: &Observed,
    spec: &PipelineSpec,
    status: &PipelineRunStatus,
) -> Option<(ProviderRelease, String)> {
    if status.phase != Some(RunPhase::Succeeded) {
        return None;
    }
    let is_asked = |stage: &&Stage| {
        let publication = stage.release.as_ref();
        publication.and_then(|publication| publication.provider_release) == Some(true)
    };
    let stage = spec.stages.iter().find(is_asked)?;
    let mut stages = status.stages.iter();
    let is_done = stages.any(|own| own.name == stage.name && own.phase == StagePhase::Succeeded);
    let record = seen.release(status.release.as_deref()?)?;
    let number = version::of_run(spec, &seen.spec.git_ref, status).filter(|_| is_done)?;
    let release = ProviderRelease {
        tag: version::tag_of_run(spec, &seen.spec.git_ref, status),
        name: number.to_string(),
        notes: record.spec.changelog.clone().unwrap_or_default(),
        is_prerelease: !number.pre.is_empty(),
    };
    let pushed = status.published.first().or(status.sha.as_ref())?;
    Some((release, pushed.clone()))
}

/// The request that brings the message of that key to the provider.
pub fn request(seen: &Observed, status: &PipelineRunStatus, key: &str) -> Option<Request> {
    let spec = spec_of(seen, status)?;
    if !tells(seen, spec) {
        return None;
    }
    let provider = provider(seen, status)?;
    let sha = status.sha.as_deref()?;
    match key {
        COMMENT => {
            let kept = KeptComment {
                marker: &comment::marker(seen),
                body: &comment::body(seen, spec, status),
                is_made: comments(seen, spec, status)?,
            };
            Some(provider.keep_comment(seen.spec.pull_number()?, &kept))
        }
        FINDINGS => {
            let sarif = findings(seen, spec, status)?;
            provider.upload_sarif(sha, &seen.spec.git_ref, sarif.as_bytes())
        }
        RELEASE => {
            let (release, pushed) = release(seen, spec, status)?;
            Some(provider.create_release(&release, &pushed))
        }
        _ => {
            let pipeline = &seen.spec.pipeline_ref.name;
            let mut all = statuses(spec, status, pipeline).into_iter();
            let (_, message) = all.find(|(known, _)| known == key)?;
            Some(provider.set_status(sha, &message))
        }
    }
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
    let Some(provider) = provider(seen, status) else {
        return;
    };
    let mut outbox = Outbox::new(std::mem::take(&mut status.outbox));
    for (key, reply) in &outcome.replies {
        let read = match key.as_str() {
            COMMENT | FINDINGS => provider.read_done(reply),
            RELEASE => match provider.read_done(reply) {
                Err(refusal) if refusal.kind == RefusalKind::Conflict => Ok(()),
                read => read,
            },
            _ => provider.read_set_status(reply),
        };
        outbox.settle(key, read.map_err(|refusal| refusal.message), now);
    }
    status.outbox = outbox.entries().to_vec();
}
