//! Decides what a Pipeline does next: ask for its refs, start runs, let old ones go. Pure.
//!
//! The head of the branch has a run of a name that follows from the commit, or it has a Release; where it has neither, the run
//! is created. A push that is seen twice, and a crash at any point, make the same run. Of other refs, and of what is delivered,
//! a mark is kept once the run is there (`trigger`): they would come again when old runs are gone.

mod begin;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::api::{
    ClosedPullRequest, ImageStatus, LabelledPullRequest, PendingRef, RunSummary, ScheduleStatus,
};
use super::observed::{Observed, Run};
use super::trigger::{closed, labelled, mark, turn};
use super::{leftover, render, spec};
use crate::git::refs;
use crate::model::action::Action;
use crate::model::invalid;
use crate::model::key::Key;
use crate::model::plan::{Plan, Why};
use crate::model::span::later;
use crate::pipeline_run::api::RunPhase;
use crate::pipeline_run::render::snapshot_name;

/// Shortest time between two questions, whatever the spec says.
const MIN_INTERVAL: SignedDuration = SignedDuration::from_secs(1);
/// Objects that one plan deletes at most, so that a long history does not keep a worker busy.
const DELETIONS: usize = 20;
/// Branches whose last failure is kept at most, those that failed last: others may be gone.
const UNRECOVERED: usize = 20;
/// How soon a ConfigMap that is missing is looked for again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// What is shown of the runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// The newest run.
    pub last_run: Option<RunSummary>,
    /// The newest run that succeeded, which may be pruned by now.
    pub last_successful: Option<String>,
    /// Marks of refs and commits for which nothing is to be done any more.
    pub seen: Vec<String>,
    /// Refs at new commits that have no run yet.
    pub pending: Vec<PendingRef>,
    /// Since when the head of the branch waits, or the first of several; nothing while nobody looks at what waits.
    pub head_found_at: Option<Time>,
    /// Pull requests that were closed.
    pub closed: Vec<ClosedPullRequest>,
    /// Which labels pull requests have.
    pub labelled: Vec<LabelledPullRequest>,
    /// Triggers by the clock.
    pub schedules: Vec<ScheduleStatus>,
    /// Triggers by images.
    pub images: Vec<ImageStatus>,
    /// Runs whose turn it is.
    pub admitted: Vec<String>,
    /// Who has paused it.
    pub paused_by: Option<String>,
}

/// Decides what a Pipeline does next.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan<Memory> {
    let memory = remember(seen);
    if seen.is_deleted {
        let why = Why::normal(
            "Deleting",
            "being deleted, with its runs; Releases are kept",
        );
        return Plan::idle(memory, why);
    }
    let problems = spec::problems(&seen.spec);
    if !problems.is_empty() {
        let why = Why::warning("InvalidSpec", invalid::sentence(&problems));
        return Plan::idle(memory, why);
    }
    if seen.spec.suspend {
        let why = Why::normal("Suspended", "no run is started until suspend is false");
        return Plan {
            actions: prune(seen, now),
            ..Plan::idle(noted(seen, memory, now), why)
        };
    }
    if let Some(pause) = seen.pause.as_ref().filter(|pause| pause.counts(now)) {
        let mut memory = noted(seen, memory, now);
        memory.paused_by = Some(pause.by.clone());
        let until = pause
            .until
            .map_or_else(String::new, |until| format!(", or until {until:.0}"));
        let message = format!(
            "paused by {}: no run is started until somebody resumes it{until}",
            pause.by
        );
        let mut plan = Plan {
            actions: prune(seen, now),
            ..Plan::idle(memory, Why::normal("Paused", message))
        };
        if let Some(until) = pause.until {
            plan.wake_at(until);
        }
        return plan;
    }
    watch(seen, memory, now)
}

/// That a pull request is over, and its labels, are noted even where no run is started: its preview goes or comes with them.
fn noted(seen: &Observed, mut memory: Memory, now: Timestamp) -> Memory {
    let events = seen.events.iter();
    for event in events.filter(|event| event.is_noted_only()) {
        memory.closed = closed::taken_in(&memory.closed, event, now);
        memory.labelled = labelled::taken_in(&memory.labelled, event, &seen.wanted_labels, now);
    }
    memory
}

/// The usual case: the branch is watched.
fn watch(seen: &Observed, memory: Memory, now: Timestamp) -> Plan<Memory> {
    let bundle = match seen.authorities.bundle() {
        Ok(bundle) => bundle,
        Err(message) => {
            let mut plan = Plan::idle(memory, Why::warning("NoCaBundle", message));
            plan.wake_at(now + LOOK_AGAIN);
            return plan;
        }
    };
    let mut begin = begin::Begin::new(seen, memory, now);
    begin.look();
    begin.head();
    begin.told();
    begin.pending();
    begin.shown();
    begin.schedules();
    begin.images();
    let begin::Begin {
        memory,
        mut actions,
        wake,
        ..
    } = begin;
    actions.extend(prune(seen, now));
    let why = report(seen, &memory);
    let mut plan = Plan {
        actions,
        wake,
        ..Plan::idle(memory, why)
    };
    let due = seen.polled_at.map(|at| later(at, interval(seen)));
    match due {
        Some(due) if due > now => plan.wake_at(due),
        _ => plan.actions.push(Action::Fetch {
            key: seen.question(),
            request: refs::request(&seen.spec.source.git, &seen.key.namespace, bundle),
        }),
    }
    plan
}

fn interval(seen: &Observed) -> SignedDuration {
    let interval: std::time::Duration = seen.spec.polling.interval.into();
    SignedDuration::try_from(interval)
        .unwrap_or(SignedDuration::MAX)
        .max(MIN_INTERVAL)
}

/// Runs beyond the retention, and snapshots that no run follows. The run of the head stays: without it the head would be run
/// again. So do the failures whose end is still to be told, and those of Releases that somebody has or is to get, with their logs, those that previews need, and the snapshot of the spec as it is now, which the
/// next run follows. What a run has left in registries is asked about before the run goes.
fn prune(seen: &Observed, now: Timestamp) -> Vec<Action> {
    let mut asked = Vec::new();
    let mut targets = Vec::new();
    for run in beyond(seen, now) {
        // One after the other: what two of them have left is needed until one of them is gone.
        match leftover::ask(seen, run, now) {
            Some(question) => asked.push(question),
            None => targets.push(&run.target),
        }
    }
    asked.truncate(1);
    let current = snapshot_name(&seen.key.name, &seen.spec);
    let followed = seen.runs.iter().filter_map(|run| run.revision.as_ref());
    let followed: BTreeSet<&String> = followed.chain([&current]).collect();
    // A run that follows none yet may be about to follow one that was the newest when it looked.
    let mut runs_now = seen.runs.iter();
    let are_settled = runs_now.all(|run| run.revision.is_some() || run.phase.is_finished());
    let revisions = seen
        .revisions
        .iter()
        .filter(|revision| are_settled && !followed.contains(&revision.key.name));
    let deletions = targets.into_iter().chain(revisions).take(DELETIONS);
    let deletions = deletions.map(|target| Action::Delete {
        target: target.clone(),
        orphan: false,
    });
    deletions.chain(asked).collect()
}

/// Runs beyond the retention that nobody needs.
fn beyond(seen: &Observed, now: Timestamp) -> Vec<&Run> {
    let retention = &seen.spec.retention;
    let head = seen.head().map(|sha| render::run_key(seen, sha));
    let oldest = retention.max_age.and_then(|age| {
        let age: std::time::Duration = age.into();
        now.checked_sub(SignedDuration::try_from(age).ok()?).ok()
    });
    let unrecovered = unrecovered(seen);
    let (mut succeeded, mut failed) = (0, 0);
    let is_beyond = |run: &&Run| {
        let (count, kept) = match run.phase {
            RunPhase::Succeeded => (&mut succeeded, retention.succeeded),
            RunPhase::Failed | RunPhase::Cancelled | RunPhase::TimedOut => {
                (&mut failed, retention.failed)
            }
            RunPhase::Queued | RunPhase::Running => return false,
        };
        *count += 1;
        let is_old = run
            .finished_at
            .zip(oldest)
            .is_some_and(|(at, oldest)| at < oldest);
        *count > kept || is_old
    };
    let runs = seen.runs.iter().filter(is_beyond);
    runs.filter(|run| Some(&run.target.key) != head.as_ref())
        .filter(|run| !unrecovered.contains(&run.target.key))
        .filter(|run| {
            run.release
                .as_ref()
                .is_none_or(|name| !seen.in_use.contains(name))
        })
        .filter(|run| !seen.previewed.contains(&run.target.key.name))
        .collect()
}

/// The last failures of branches on which no run has succeeded since, where people are told of that: the next success looks
/// back at them.
fn unrecovered(seen: &Observed) -> BTreeSet<&Key> {
    if seen.spec.notifications.is_empty() {
        return BTreeSet::new();
    }
    let mut judged = BTreeSet::new();
    let is_verdict = |run: &&Run| {
        let is_said = match run.phase {
            RunPhase::Succeeded | RunPhase::Failed | RunPhase::TimedOut => run.is_whole,
            RunPhase::Queued | RunPhase::Running | RunPhase::Cancelled => false,
        };
        is_said && run.git_ref.starts_with("refs/heads/")
    };
    let verdicts = seen.runs.iter().filter(is_verdict);
    let last = verdicts.filter(|run| judged.insert(&run.git_ref));
    let failed = last.filter(|run| run.phase != RunPhase::Succeeded);
    failed
        .take(UNRECOVERED)
        .map(|run| &run.target.key)
        .collect()
}

fn remember(seen: &Observed) -> Memory {
    let succeeded = seen
        .runs
        .iter()
        .find(|run| run.phase == RunPhase::Succeeded);
    Memory {
        last_run: seen.runs.first().map(summary),
        last_successful: succeeded
            .map(|run| run.target.key.name.clone())
            .or_else(|| seen.status.last_successful.clone()),
        seen: seen.status.seen.clone(),
        pending: seen.status.pending.clone(),
        head_found_at: seen
            .status
            .head_found_at
            .clone()
            .filter(|_| !seen.has_waiting()),
        closed: seen.status.closed.clone(),
        labelled: seen.status.labelled.clone(),
        schedules: seen.status.schedules.clone(),
        images: seen.status.images.clone(),
        admitted: admitted(seen),
        paused_by: None,
    }
}

/// Runs whose turn it is, where only so many may be under way.
fn admitted(seen: &Observed) -> Vec<String> {
    let rule = seen.spec.concurrency.as_ref();
    rule.map_or_else(Vec::new, |rule| {
        turn::admitted(rule, &seen.runs, &seen.status.admitted)
    })
}

fn summary(run: &Run) -> RunSummary {
    RunSummary {
        name: run.target.key.name.clone(),
        sha: run.sha.clone(),
        phase: run.phase,
    }
}

/// What people read. Says nothing that changes from poll to poll.
fn report(seen: &Observed, memory: &Memory) -> Why {
    let branch = &seen.spec.source.git.branch;
    let interval = seen.spec.polling.interval;
    if let Some(error) = &seen.status.source_error {
        let message = format!("{}; asked again every {interval:?}", error.message);
        let reason = if error.kind.is_transient() {
            "SourceUnavailable"
        } else {
            "SourceRefused"
        };
        return Why::warning(reason, message);
    }
    let Some(head) = seen.head() else {
        let message = format!("asking for the head of {branch}");
        return Why::normal("Resolving", message);
    };
    let head: String = head.chars().take(12).collect();
    let last = memory.last_run.as_ref().map_or_else(String::new, |run| {
        format!("; newest run {} is {}", run.name, run.phase)
    });
    let left_out = if is_left_out(seen, memory) {
        ", which is left out by its message or the files that it changes"
    } else {
        ""
    };
    let message = format!("{branch} is at {head}{left_out}, asked every {interval:?}{last}");
    Why::normal("Watching", message)
}

/// Whether the head of the branch is noted as done without any run of it.
fn is_left_out(seen: &Observed, memory: &Memory) -> bool {
    let Some(head) = seen.head() else {
        return false;
    };
    let mut runs = seen.runs.iter();
    let is_noted = memory.seen.contains(&mark(&seen.git_ref(), head));
    is_noted && !runs.any(|run| run.sha.as_deref() == Some(head))
}

#[cfg(test)]
mod tests;
