//! What polling finds: refs at commits that nobody has told of, or whose delivery was lost. No I/O.
//!
//! Once, everything that triggers are about is noted as seen: what was there before them starts nothing. From then on, a ref
//! at a commit that was not seen is pending until there is a run of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{
    PendingRef, PipelineSpec, PipelineStatus, SourceError, SourceErrorKind, TriggerRule,
};
use super::event::{Event, What};
use super::{Verdict, judge, mark};
use crate::model::key::short_hash;
use crate::model::label;
use crate::pipeline_run::api::PullRequest;

/// Refs that triggers may be about.
const MOST: usize = 1000;
/// Marks that are kept: those of refs that are there, and the last ones of others.
pub const KEPT: usize = 1500;
/// Refs that are pending at the same time; others are found again with the next poll.
const PENDING: usize = 32;
/// Pull requests that are looked at, the newest ones: git providers keep the refs of those that are over.
const PULL_REQUESTS: usize = 300;
/// Digits of the hash of what marks are of.
const DIGITS: usize = 16;

/// Of which repository and triggers marks are.
pub fn observed_triggers(spec: &PipelineSpec) -> String {
    let triggers = serde_json::to_string(&spec.triggers).unwrap_or_default();
    let git = &spec.source.git;
    let whole = format!("{}\n{}\n{triggers}", git.url, git.branch);
    short_hash(whole.as_bytes(), DIGITS)
}

/// Whether triggers are about anything but the branch of the source.
pub fn looks_at_refs(spec: &PipelineSpec) -> bool {
    let is_more = |rule: &TriggerRule| {
        let push = rule.push.as_ref();
        rule.pull_request.is_some()
            || rule.tag.is_some()
            || push.is_some_and(|push| !push.branches.is_empty())
    };
    spec.triggers.iter().any(is_more)
}

/// What a ref at a commit is, as far as polling can tell.
pub fn event_of(git_ref: &str, sha: &str) -> Option<Event> {
    let number = |prefix: &str| {
        let rest = git_ref.strip_prefix(prefix)?;
        let number = rest.strip_suffix("/head")?.parse::<u64>().ok()?;
        (number > 0).then_some(number)
    };
    let pull_request = number("refs/pull/").or_else(|| number("refs/merge-requests/"));
    let what = if git_ref.starts_with("refs/heads/") {
        What::Push {
            files: None,
            before: None,
        }
    } else if git_ref.starts_with("refs/tags/") {
        What::Tag
    } else {
        // Where its commits are from is not told: it counts as from elsewhere.
        What::PullRequest {
            pull_request: PullRequest {
                number: pull_request?,
                base: None,
                fork: true,
            },
            draft: false,
        }
    };
    Some(Event {
        what,
        git_ref: git_ref.to_owned(),
        sha: Some(sha.to_owned()),
        actor: label::SLIPWAY.to_owned(),
        message: None,
        labels: None,
        at: None,
        renews: false,
    })
}

/// What a ref that was found is, with what the provider says of it; as long as it `may_be_told`, at its best.
pub fn event_of_found(found: &PendingRef, may_be_told: bool) -> Option<Event> {
    let mut event = event_of(&found.git_ref, &found.sha)?;
    if let What::PullRequest {
        pull_request,
        draft,
    } = &mut event.what
    {
        *draft = found.is_draft();
        match &found.pull_request {
            Some(told) => pull_request.clone_from(told),
            None => pull_request.fork = !may_be_told,
        }
    }
    Some(event)
}

/// Number of the pull request that the provider has to be asked about, before it is known what a ref that was found is: one that
/// it was not asked about, or that was a draft when it was.
pub fn to_be_told(found: &PendingRef) -> Option<u64> {
    let event = event_of(&found.git_ref, &found.sha)?;
    match event.what {
        What::PullRequest { pull_request, .. }
            if found.pull_request.is_none() || found.is_draft() =>
        {
            Some(pull_request.number)
        }
        What::PullRequest { .. }
        | What::Closed { .. }
        | What::Labels { .. }
        | What::Push { .. }
        | What::Tag
        | What::Release { .. } => None,
    }
}

/// Refs, with their commits, of which triggers are; without the branch of the source, which has its own way.
pub fn found<'a>(spec: &PipelineSpec, refs: &'a [(String, String)]) -> Vec<(&'a str, &'a str)> {
    let source = format!("refs/heads/{}", spec.source.git.branch);
    let mut pull_requests: Vec<(u64, &str, &str)> = Vec::new();
    let mut all = Vec::new();
    for (git_ref, sha) in refs.iter().filter(|(git_ref, _)| *git_ref != source) {
        let Some(mut event) = event_of(git_ref, sha) else {
            continue;
        };
        if let What::PullRequest { pull_request, .. } = &mut event.what {
            // The provider is asked before a run is started.
            pull_request.fork = spec.source.git.provider.is_none();
        }
        if !matches!(judge(spec, &event), Verdict::Start(_)) {
            continue;
        }
        match &event.what {
            What::PullRequest { pull_request, .. } => {
                pull_requests.push((pull_request.number, git_ref, sha));
            }
            What::Push { .. }
            | What::Tag
            | What::Release { .. }
            | What::Closed { .. }
            | What::Labels { .. } => all.push((git_ref.as_str(), sha.as_str())),
        }
    }
    pull_requests.sort_unstable_by(|one, other| other.cmp(one));
    let newest = pull_requests.into_iter().take(PULL_REQUESTS);
    all.extend(newest.map(|(_, git_ref, sha)| (git_ref, sha)));
    all
}

/// Takes in what a repository has.
///
/// # Errors
/// If triggers are about more refs than can be told apart.
pub fn take_in(
    status: &mut PipelineStatus,
    spec: &PipelineSpec,
    refs: &[(String, String)],
    now: Timestamp,
) -> Result<(), SourceError> {
    let found = found(spec, refs);
    if found.len() > MOST {
        return Err(SourceError {
            kind: SourceErrorKind::TooMany,
            message: format!(
                "triggers are about {} branches, tags and pull requests, more than the {MOST} that polling can follow; name fewer \
                 of them in spec.triggers",
                found.len()
            ),
        });
    }
    let of = observed_triggers(spec);
    let marks: BTreeSet<String> = found.iter().map(|(name, sha)| mark(name, sha)).collect();
    if status.observed_triggers.as_ref() == Some(&of) {
        let is_there =
            |known: &PendingRef| found.contains(&(known.git_ref.as_str(), known.sha.as_str()));
        let (there, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut status.pending)
            .into_iter()
            .partition(is_there);
        status.pending = there;
        for (git_ref, sha) in found {
            let is_seen = status.seen.contains(&mark(git_ref, sha));
            let is_known = |known: &PendingRef| known.git_ref == git_ref && known.sha == sha;
            let is_known = status.pending.iter().any(is_known);
            if !is_seen && !is_known && has_room(&mut status.pending) {
                status.pending.push(PendingRef {
                    git_ref: git_ref.to_owned(),
                    sha: sha.to_owned(),
                    at: waits_since(&gone, git_ref).unwrap_or(Time(now)),
                    pull_request: None,
                    draft: None,
                    looked_into: None,
                });
            }
        }
    } else {
        status.observed_triggers = Some(of);
        status.pending.clear();
        let news = marks.iter().filter(|mark| !status.seen.contains(mark));
        let news: Vec<String> = news.cloned().collect();
        status.seen.extend(news);
    }
    forget(&mut status.seen, &marks);
    Ok(())
}

/// Since when a branch has waited at a commit that it has left: who pushes again and again does not put off the end of that.
fn waits_since(gone: &[PendingRef], git_ref: &str) -> Option<Time> {
    let mut gone = gone.iter();
    let known = gone.find(|known| known.git_ref == git_ref)?;
    let is_branch = git_ref.starts_with("refs/heads/");
    is_branch.then(|| known.at.clone())
}

/// Whether there is room for one more. Drafts may wait for weeks, and give way; they are found again.
fn has_room(pending: &mut Vec<PendingRef>) -> bool {
    if pending.len() >= PENDING
        && let Some(draft) = pending.iter().position(PendingRef::is_draft)
    {
        pending.remove(draft);
    }
    pending.len() < PENDING
}

/// Adds a mark, unless it is there.
pub fn note(seen: &mut Vec<String>, mark: String) {
    if !seen.contains(&mark) {
        seen.push(mark);
    }
    forget(seen, &BTreeSet::new());
}

/// Drops the oldest marks beyond what is kept, but none of refs that are there. Where those are known they come last, so that
/// they also outlive what is noted until the next poll.
fn forget(seen: &mut Vec<String>, there: &BTreeSet<String>) {
    let left = seen.len().saturating_sub(KEPT);
    if left == 0 && there.is_empty() {
        return;
    }
    let (kept, mut gone): (Vec<String>, Vec<String>) = std::mem::take(seen)
        .into_iter()
        .partition(|mark| there.contains(mark));
    gone.drain(..left.min(gone.len()));
    gone.extend(kept);
    *seen = gone;
}
