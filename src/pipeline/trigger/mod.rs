//! What starts a run, and what does not: pure, from what a git provider tells, what polling finds, and the clock.
//!
//! ```text
//! a delivery ── event::read ──┐
//!                             ├── judge ── Start: a run of a name that follows from it
//! refs ── poll::found ── look ─┘       └── Skip or Irrelevant: why not
//! the clock ── schedule::due
//! a registry ── image::learn
//! ```
//!
//! Whatever brings it, the same commit of the same ref is the same run.

pub mod closed;
pub mod event;
mod github;
mod gitlab;
pub mod image;
pub mod labelled;
pub mod look;
pub mod poll;
pub mod schedule;
pub mod turn;

use super::api::{
    ForkPolicy, PipelineSpec, PullRequestTrigger, PushTrigger, ReleaseTrigger, TagTrigger,
};
use crate::model::glob;
use crate::model::key::short_hash;
use crate::pipeline_run::api::{PullRequest, TriggerKind};
use event::{Event, What};

/// Digits of a mark: 40 bits.
const DIGITS: usize = 10;

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It starts this run.
    Start(Box<Start>),
    /// A trigger is about it, and says that it starts none.
    Skip(String),
    /// No trigger is about it.
    Irrelevant(String),
}

/// A run that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What starts it.
    pub kind: TriggerKind,
    /// Name of the trigger.
    pub trigger: String,
    /// Full ref.
    pub git_ref: String,
    /// The commit; without one, the head of the ref when the run starts.
    pub sha: Option<String>,
    /// What tells it from other runs of the ref: the commit, most often.
    pub identity: String,
    /// Who it was.
    pub actor: String,
    /// The pull request.
    pub pull_request: Option<PullRequest>,
    /// Whether somebody has to approve it first.
    pub needs_approval: bool,
}

/// The mark of a ref at a commit, for which nothing is to be done any more.
pub fn mark(git_ref: &str, identity: &str) -> String {
    short_hash(format!("{git_ref}@{identity}").as_bytes(), DIGITS)
}

/// Decides what becomes of an event. The first trigger that is about it counts.
pub fn judge(spec: &PipelineSpec, event: &Event) -> Verdict {
    if !is_usable(&event.git_ref) {
        let why = "its name has characters that a run cannot be about".to_owned();
        return Verdict::Irrelevant(why);
    }
    if event.is_noted_only() {
        let why = "a pull request that is over, or its labels: they start nothing".to_owned();
        return Verdict::Irrelevant(why);
    }
    for rule in spec.triggers() {
        let found = match (&event.what, &rule) {
            (What::Push { files, .. }, rule) => rule
                .push
                .as_ref()
                .and_then(|push| judge_push(spec, push, event, files.as_deref())),
            (What::Tag, rule) => rule.tag.as_ref().and_then(|tag| judge_tag(tag, event)),
            (What::Release { prerelease, .. }, rule) => rule
                .release
                .as_ref()
                .and_then(|release| judge_release(release, event, *prerelease)),
            (
                What::PullRequest {
                    pull_request,
                    draft,
                },
                rule,
            ) => rule
                .pull_request
                .as_ref()
                .and_then(|trigger| judge_pull_request(trigger, pull_request, *draft)),
            (What::Closed { .. } | What::Labels { .. }, _) => None,
        };
        let Some(found) = found else { continue };
        if let Err(why) = found {
            return Verdict::Skip(why);
        }
        if let Some(message) = event.message.as_deref()
            && spec.is_skipped(message)
        {
            let why = "the message of the commit says that it is to be skipped".to_owned();
            return Verdict::Skip(why);
        }
        return Verdict::Start(Box::new(start(&rule.name, event, found == Ok(Asks::Yes))));
    }
    Verdict::Irrelevant(format!("no trigger is about {}", event.git_ref))
}

/// What a push came on top of, and the run of that, where nothing but the files that it changes keeps the push from one. As long as
/// that is not dealt with, a delivery before it was lost, and what that one changes counts too.
pub fn beneath(spec: &PipelineSpec, event: &Event) -> Option<(Event, Box<Start>)> {
    let What::Push {
        before: Some(before),
        ..
    } = &event.what
    else {
        return None;
    };
    let whatever_it_changes = Event {
        what: What::Push {
            files: None,
            before: None,
        },
        ..event.clone()
    };
    let before = poll::event_of(&event.git_ref, before)?;
    let (Verdict::Skip(_), Verdict::Start(_)) =
        (judge(spec, event), judge(spec, &whatever_it_changes))
    else {
        return None;
    };
    let Verdict::Start(start) = judge(spec, &before) else {
        return None;
    };
    Some((before, start))
}

/// Whether somebody has to approve a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    No,
    Yes,
}

/// What a trigger says of an event that it is about: that it starts a run, or why it does not.
type Said = Option<Result<Asks, String>>;

fn judge_push(
    spec: &PipelineSpec,
    push: &PushTrigger,
    event: &Event,
    files: Option<&[String]>,
) -> Said {
    let branch = event.git_ref.strip_prefix("refs/heads/")?;
    let is_meant = if push.branches.is_empty() {
        branch == spec.source.git.branch
    } else {
        fits(&push.branches, branch)
    };
    if !is_meant {
        return None;
    }
    let counts = |file: &&String| {
        (push.paths.is_empty() || fits(&push.paths, file)) && !fits(&push.ignore_paths, file)
    };
    // Of an empty list nobody knows whether nothing was changed or nothing was told.
    let known = files.filter(|files| push.looks_at_files() && !files.is_empty());
    if known.is_some_and(|files| !files.iter().any(|file| counts(&file))) {
        return Some(Err("it changes none of the files of the trigger".to_owned()));
    }
    Some(Ok(Asks::No))
}

fn judge_tag(tag: &TagTrigger, event: &Event) -> Said {
    let name = event.git_ref.strip_prefix("refs/tags/")?;
    let pattern = tag.pattern.as_deref().unwrap_or("**");
    glob::matches(pattern, name).then_some(Ok(Asks::No))
}

fn judge_release(release: &ReleaseTrigger, event: &Event, prerelease: bool) -> Said {
    let name = event.git_ref.strip_prefix("refs/tags/")?;
    let pattern = release.pattern.as_deref().unwrap_or("**");
    if !glob::matches(pattern, name) {
        return None;
    }
    if prerelease && !release.prereleases.unwrap_or(false) {
        return Some(Err("it is a prerelease".to_owned()));
    }
    Some(Ok(Asks::No))
}

fn judge_pull_request(
    trigger: &PullRequestTrigger,
    pull_request: &PullRequest,
    draft: bool,
) -> Said {
    let base = pull_request.base.as_deref();
    // Polling does not learn what it is to be merged into: a run too many is better than one too few.
    if !trigger.branches.is_empty() && base.is_some_and(|base| !fits(&trigger.branches, base)) {
        return None;
    }
    if draft && !trigger.drafts.unwrap_or(false) {
        return Some(Err("it is a draft".to_owned()));
    }
    Some(match (pull_request.fork, trigger.forks()) {
        (false, _) | (true, ForkPolicy::Always) => Ok(Asks::No),
        (true, ForkPolicy::RequireApproval) => Ok(Asks::Yes),
        (true, ForkPolicy::Never) => Err("it is from another repository, or may be".to_owned()),
    })
}

fn fits(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| glob::matches(glob, name))
}

fn start(trigger: &str, event: &Event, needs_approval: bool) -> Start {
    let (kind, pull_request) = match &event.what {
        What::Push { .. } => (TriggerKind::Push, None),
        What::Tag => (TriggerKind::Tag, None),
        What::Release { .. } => (TriggerKind::Release, None),
        What::Closed { .. } | What::Labels { .. } => (TriggerKind::PullRequest, None),
        What::PullRequest { pull_request, .. } => {
            (TriggerKind::PullRequest, Some(pull_request.clone()))
        }
    };
    Start {
        kind,
        trigger: trigger.to_owned(),
        git_ref: event.git_ref.clone(),
        sha: event.sha.clone(),
        identity: event.identity().to_owned(),
        actor: event.actor.clone(),
        pull_request,
        needs_approval,
    }
}

/// Whether a run can be about a ref: the same as its schema says.
fn is_usable(git_ref: &str) -> bool {
    let is_name = |name: &str| {
        let is_first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(is_first) && name.chars().all(|c| is_first(c) || "./+-".contains(c))
    };
    let is_number = |rest: &str| {
        let number = rest.strip_suffix("/head").unwrap_or_default();
        !number.starts_with('0') && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let after = |prefix: &str| git_ref.strip_prefix(prefix);
    git_ref.len() <= 256
        && (after("refs/heads/").is_some_and(is_name)
            || after("refs/tags/").is_some_and(is_name)
            || after("refs/pull/").is_some_and(is_number)
            || after("refs/merge-requests/").is_some_and(is_number))
}

#[cfg(test)]
mod tests;
