//! The whole status, from scratch. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::api::{PipelineStatus, SourceError};
use super::leftover;
use super::observed::Observed;
use super::plan::Memory;
use super::trigger::event::Event;
use super::trigger::{Verdict, closed, image, judge, labelled, look, mark, poll};
use crate::git::{changes, refs};
use crate::model::action::{Outcome, Reply};
use crate::model::condition::Conditions;
use crate::model::plan::Plan;
use crate::model::text::truncate;
use crate::pipeline_run::api::PullRequest;

/// Longest message of a status.
const MAX_MESSAGE: usize = 1024;

/// Everything that a Pipeline says about itself.
pub fn status(
    seen: &Observed,
    plan: &Plan<Memory>,
    outcome: &Outcome,
    now: Timestamp,
) -> PipelineStatus {
    let message = outcome.told_after(&plan.why.message);
    let reason = plan.why.reason;
    let is_ready = matches!(reason, "Watching" | "Suspended" | "Paused");
    let is_stalled = matches!(reason, "InvalidSpec" | "NoCaBundle" | "SourceRefused");
    let is_moving = !is_ready && !is_stalled;
    let conditions = Conditions::new(&seen.status.conditions, seen.generation, now)
        .set("Ready", is_ready, reason, &message)
        .set_if("Reconciling", is_moving, reason, &message)
        .set_if("Stalled", is_stalled, reason, &message)
        .set_failure(outcome)
        .build();
    let status = PipelineStatus {
        observed_generation: Some(seen.generation),
        conditions,
        last_run: plan.progress.last_run.clone(),
        last_successful: plan.progress.last_successful.clone(),
        latest_release: seen.latest_release.clone(),
        last_observed_sha: seen.status.last_observed_sha.clone(),
        last_observed_url: seen.status.last_observed_url.clone(),
        last_observed_ref: seen.status.last_observed_ref.clone(),
        looked_into: seen.status.looked_into.clone(),
        last_polled_at: seen.status.last_polled_at.clone(),
        head_found_at: plan.progress.head_found_at.clone(),
        source_error: seen.status.source_error.clone(),
        observed_triggers: seen.status.observed_triggers.clone(),
        seen: plan.progress.seen.clone(),
        pending: plan.progress.pending.clone(),
        closed: plan.progress.closed.clone(),
        labelled: plan.progress.labelled.clone(),
        schedules: plan.progress.schedules.clone(),
        images: plan.progress.images.clone(),
        admitted: plan.progress.admitted.clone(),
        paused_by: plan.progress.paused_by.clone(),
        leftovers: leftover::status(seen, outcome, now),
        message: Some(truncate(&message, MAX_MESSAGE).to_owned()),
    };
    let mut status = answered(seen, status, outcome, now);
    tell_apart(seen, &mut status, outcome, now);
    look_at_shown(seen, &mut status, outcome, now);
    look_into(seen, &mut status, outcome);
    for record in &mut status.images {
        let question = image::question(&seen.spec, record);
        if let Some(reply) = outcome.replies.get(&question) {
            image::learn(record, reply);
        }
    }
    status
}

/// Of a status, what may not wait: all but the sentences, and which runs and Release are the last ones. Every run of a crowd
/// changes those several times, and nothing stands on them.
pub fn essence(status: &Value) -> Value {
    let mut status = status.clone();
    let Some(fields) = status.as_object_mut() else {
        return status;
    };
    for field in ["message", "lastRun", "lastSuccessful", "latestRelease"] {
        fields.remove(field);
    }
    let conditions = fields.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("message");
        }
    }
    status
}

/// Takes in what was found out about commits that polling found: one that is not to be run is noted, or polling would find it again.
fn look_into(seen: &Observed, status: &mut PipelineStatus, outcome: &Outcome) {
    if let Some(sha) = seen.head() {
        let git_ref = seen.git_ref();
        match is_left_out(seen, (&git_ref, sha), outcome) {
            Some(true) => poll::note(&mut status.seen, mark(&git_ref, sha)),
            Some(false) => status.looked_into = Some(sha.to_owned()),
            None => {}
        }
    }
    for mut found in std::mem::take(&mut status.pending) {
        match is_left_out(seen, (&found.git_ref, &found.sha), outcome) {
            Some(true) => {
                poll::note(&mut status.seen, mark(&found.git_ref, &found.sha));
                continue;
            }
            Some(false) => found.looked_into = Some(true),
            None => {}
        }
        status.pending.push(found);
    }
}

/// Whether a commit starts no run, by its message and what it changes; nothing where there is no answer, or another try may have
/// one. Where nobody can tell it starts one: a run too many is better than one too few.
fn is_left_out(seen: &Observed, (git_ref, sha): (&str, &str), outcome: &Outcome) -> Option<bool> {
    let event = poll::event_of(git_ref, sha)?;
    let Verdict::Start(start) = judge(&seen.spec, &event) else {
        return None;
    };
    let look = seen.look(&event, &start.trigger)?;
    let reply = outcome
        .replies
        .get(&look.question(&seen.spec.source.git.url))?;
    match changes::read(reply) {
        Ok(told) => {
            let event = look::told(event, told);
            Some(matches!(judge(&seen.spec, &event), Verdict::Skip(_)))
        }
        Err(error) if error.kind.is_transient() => None,
        Err(_) => Some(false),
    }
}

/// Takes in what the provider says of pull requests that have previews. One that it does not know is left as it is.
fn look_at_shown(seen: &Observed, status: &mut PipelineStatus, outcome: &Outcome, now: Timestamp) {
    let replies = seen.shown.iter();
    let mut replies = replies
        .filter_map(|number| Some((*number, outcome.replies.get(&seen.question_of(*number))?)));
    let Some(first) = replies.next() else { return };
    let Some(provider) = seen.provider() else {
        return;
    };
    for (number, reply) in std::iter::once(first).chain(replies) {
        let Ok(Some(told)) = provider.read_pull_request(reply) else {
            continue;
        };
        if told.is_open {
            let labels = (told.labels.as_slice(), &seen.wanted_labels);
            labelled::told(&mut status.labelled, number, labels, now);
        } else {
            let over = Event::over(number);
            status.closed = closed::taken_in(&status.closed, &over, now);
            status.labelled = labelled::taken_in(&status.labelled, &over, &seen.wanted_labels, now);
        }
    }
}

/// Takes in what the provider says of pull requests that polling found. One that it does not know, or knows at another commit,
/// counts as from another repository. A draft waits until it is none, or over.
fn tell_apart(seen: &Observed, status: &mut PipelineStatus, outcome: &Outcome, now: Timestamp) {
    let Some(provider) = seen.provider() else {
        return;
    };
    for mut found in std::mem::take(&mut status.pending) {
        let told = poll::to_be_told(&found).and_then(|number| {
            let reply = outcome.replies.get(&seen.question_about(&found))?;
            let told = provider.read_pull_request(reply).ok()?;
            Some((number, told.filter(|told| told.head_sha == found.sha)))
        });
        let Some((number, told)) = told else {
            status.pending.push(found);
            continue;
        };
        let open = told.as_ref().filter(|told| told.is_open);
        if let Some(open) = open {
            closed::opened(&mut status.closed, number, found.at.0);
            let labels = (open.labels.as_slice(), &seen.wanted_labels);
            labelled::told(&mut status.labelled, number, labels, now);
        } else if found.is_draft() {
            poll::note(&mut status.seen, mark(&found.git_ref, &found.sha));
            continue;
        }
        found.draft = open.is_some_and(|told| told.is_draft).then_some(true);
        found.pull_request = Some(PullRequest {
            number,
            base: told.as_ref().map(|told| told.base_branch.clone()),
            fork: told.is_none_or(|told| told.is_fork || !has_branch(&told.head_branch)),
        });
        status.pending.push(found);
    }
}

/// Whether the head of a pull request is a branch. One that was pushed to `refs/for/…` (AGit) has none, and takes no right to
/// push.
fn has_branch(head: &str) -> bool {
    !head.is_empty() && !head.starts_with("refs/")
}

/// Takes in the answer to the question for the refs. The time is written only with something new.
fn answered(
    seen: &Observed,
    before: PipelineStatus,
    outcome: &Outcome,
    now: Timestamp,
) -> PipelineStatus {
    let Some(reply) = outcome.replies.get(&seen.question()) else {
        return before;
    };
    let mut after = before.clone();
    after.source_error = learn(seen, &mut after, reply, now).err();
    if after != before {
        after.last_polled_at = Some(Time(now));
    }
    after
}

fn learn(
    seen: &Observed,
    status: &mut PipelineStatus,
    reply: &Result<Reply, String>,
    now: Timestamp,
) -> Result<(), SourceError> {
    let refs = refs::all(reply)?;
    if poll::looks_at_refs(&seen.spec) {
        poll::take_in(status, &seen.spec, &refs, now)?;
    }
    let sha = refs::head_of(&refs, &seen.git_ref())?;
    let is_behind = seen.head().is_some_and(|head| !seen.is_dealt_with(head));
    if seen.head() != Some(sha.as_str()) && !is_behind {
        status.head_found_at = Some(Time(now));
    }
    status.last_observed_sha = Some(sha);
    status.last_observed_url = Some(seen.spec.source.git.url.clone());
    status.last_observed_ref = Some(seen.git_ref());
    Ok(())
}
