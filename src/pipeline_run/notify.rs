//! What people are told of a run: messages made from its status. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::api::PipelineRunStatus;
use super::observed::{Observed, Snapshot};
use super::plan;
use crate::git::refs;
use crate::model::action::{Outcome, Request};
use crate::model::key::Key;
use crate::notification::api::Notification;
use crate::notification::{self, Message, Stage};
use crate::outbox::Outbox;
use crate::outbox::api::OutboxEntry;
use crate::pipeline::api::{PipelineSpec, RunEvent};

/// What every key begins with: others belong to what the provider of the repository is told.
const PREFIX: &str = "notify/";

/// The key of a message in the outbox.
pub fn key(receiver: &str, event: RunEvent) -> String {
    format!("{PREFIX}{receiver}/{event}")
}

/// Who is told: those of the spec that the run follows, and before it follows one those of its Pipeline as it is.
pub fn receivers(seen: &Observed) -> &[Notification<RunEvent>] {
    spec(seen).map_or(&[], |spec| &spec.notifications)
}

fn spec(seen: &Observed) -> Option<&PipelineSpec> {
    match &seen.snapshot {
        Snapshot::Taken(spec) => Some(spec),
        Snapshot::Missing | Snapshot::Unreadable(_) => {
            seen.pipeline.as_ref().map(|pipeline| &pipeline.spec)
        }
    }
}

/// Whether anybody may have to be told how the run ends.
pub fn may_tell(seen: &Observed) -> bool {
    !receivers(seen).is_empty()
}

/// The request that brings a message to its receiver.
///
/// # Errors
/// Why it cannot be made any more.
pub fn request(
    seen: &Observed,
    status: &PipelineRunStatus,
    entry: &OutboxEntry,
) -> Result<Request, String> {
    let mut receivers = receivers(seen).iter();
    let receiver = receivers.find(|receiver| receiver.name == entry.sink);
    let receiver = receiver.ok_or("the receiver is no longer in the Pipeline's notifications")?;
    let mut events = RunEvent::ALL.iter();
    let event = events.find(|event| key(&receiver.name, **event) == entry.key);
    let event = *event.ok_or("the event is not known here")?;
    if receiver.is_paged() && seen.branch.has_recovered && event == RunEvent::RunFailed {
        // Sent now, it would open again what a later run has closed.
        return Err("a later run has succeeded by now, and only that is told".to_owned());
    }
    let about = About {
        run: &seen.key,
        pipeline: &seen.spec.pipeline_ref.name,
        git_ref: &seen.spec.git_ref,
        created_at: seen.created_at,
        status,
        notes: notes(seen, status),
    };
    notification::request(receiver, &message(event, &about), &seen.key.namespace)
}

fn notes(seen: &Observed, status: &PipelineRunStatus) -> String {
    let release = status.release.as_deref();
    let release = release.and_then(|name| seen.release(name));
    let notes = release.and_then(|release| release.spec.changelog.clone());
    notes.unwrap_or_default()
}

/// What a message is about.
pub struct About<'a> {
    /// The run.
    pub run: &'a Key,
    /// Name of its Pipeline.
    pub pipeline: &'a str,
    /// Full ref.
    pub git_ref: &'a str,
    /// When it was made.
    pub created_at: Timestamp,
    /// What became of it.
    pub status: &'a PipelineRunStatus,
    /// What is new in its Release, as Markdown.
    pub notes: String,
}

/// What is told of an event.
pub fn message(event: RunEvent, about: &About) -> Message {
    let status = about.status;
    let branch = about.git_ref;
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    let branch = refs::tag_of(about.git_ref).unwrap_or(branch);
    let stage = match event {
        RunEvent::RunFailed => Stage::Begins,
        RunEvent::RunRecovered => Stage::Ends,
        RunEvent::RunSucceeded | RunEvent::ReleaseMade | RunEvent::ApprovalNeeded => Stage::News,
    };
    let finished = status.finished_at.as_ref();
    let at = finished.map_or(about.created_at, |at| at.0);
    let said = match event {
        RunEvent::ApprovalNeeded => approval(about),
        RunEvent::RunFailed
        | RunEvent::RunRecovered
        | RunEvent::RunSucceeded
        | RunEvent::ReleaseMade => plan::report(status).message,
    };
    let Key { namespace, name } = about.run;
    let key = format!("{namespace}/{name}/{event}");
    let notes = match event {
        RunEvent::ReleaseMade => about.notes.clone(),
        RunEvent::RunFailed
        | RunEvent::RunRecovered
        | RunEvent::RunSucceeded
        | RunEvent::ApprovalNeeded => String::new(),
    };
    let body = json!({
        "event": event,
        "severity": event.severity(),
        "namespace": namespace,
        "pipeline": about.pipeline,
        "run": name,
        "ref": about.git_ref,
        "commit": status.sha,
        "release": status.release,
        "message": said,
        "notes": notes,
        "at": at.to_string(),
        "key": key,
    });
    Message {
        event: event.as_str(),
        cloud_type: event.cloud_type(),
        severity: event.severity(),
        stage,
        subject: ("Pipeline", namespace.clone(), about.pipeline.to_owned()),
        title: title(event, about, branch),
        message: said,
        facts: facts(about, branch),
        notes,
        at,
        since: at,
        // A branch fails and recovers, whichever runs tell of it.
        thread: format!("{namespace}/{}/{}", about.pipeline, about.git_ref),
        key,
        body,
    }
}

fn approval(about: &About) -> String {
    let name = &about.run.name;
    format!(
        "its commit is from another repository, or may be: look at it, and approve the run if it may run here \
         (kubectl slipway run approve {name})"
    )
}

fn title(event: RunEvent, about: &About, branch: &str) -> String {
    let pipeline = about.pipeline;
    match event {
        RunEvent::RunFailed => format!("{pipeline} failed on {branch}"),
        RunEvent::RunRecovered => format!("{pipeline} succeeds again on {branch}"),
        RunEvent::RunSucceeded => format!("{pipeline} succeeded on {branch}"),
        RunEvent::ReleaseMade => {
            let release = about.status.release.as_deref().unwrap_or_default();
            format!("{pipeline} made Release {release}")
        }
        RunEvent::ApprovalNeeded => format!("a run of {pipeline} waits for approval"),
    }
}

fn facts(about: &About, branch: &str) -> BTreeMap<&'static str, String> {
    let status = about.status;
    let version = status.version.as_ref();
    let known = [
        ("pipeline", Some(about.pipeline.to_owned())),
        ("run", Some(about.run.name.clone())),
        ("branch", Some(branch.to_owned())),
        ("commit", status.sha.clone()),
        ("release", status.release.clone()),
        (
            "version",
            version.and_then(|version| version.number.clone()),
        ),
    ];
    let known = known.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Takes in what receivers answered.
pub fn answered(status: &mut PipelineRunStatus, outcome: &Outcome, now: Timestamp) {
    let mut outbox = Outbox::new(std::mem::take(&mut status.notifications));
    for (key, reply) in &outcome.replies {
        if key.starts_with(PREFIX) {
            outbox.record(key, reply, now);
        }
    }
    status.notifications = outbox.entries().to_vec();
}
