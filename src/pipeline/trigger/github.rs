//! What GitHub tells, and Gitea and Forgejo, whose payloads have the same fields. No I/O.

use serde_json::Value;

use super::event::{Event, Payload, Provider, Told, What};
use crate::pipeline_run::api::PullRequest;

/// Commits that GitHub tells of at most.
const MOST: u64 = 2048;
/// What GitHub, and Gitea, call a change of labels.
const LABELS: [&str; 4] = ["labeled", "unlabeled", "label_updated", "label_cleared"];

pub(super) fn read(provider: Provider, kind: &str, body: Payload<'_>) -> Result<Told, String> {
    match kind {
        "push" => push(provider, body),
        // Gitea calls new commits of a pull request an event of its own, and may do so with its labels.
        "pull_request" | "pull_request_sync" | "pull_request_label" => pull_request(provider, body),
        "release" => release(provider, body),
        "ping" => Ok(Told::Nothing("a greeting".to_owned())),
        _ => Ok(Told::Nothing("nothing that starts runs".to_owned())),
    }
}

fn push(provider: Provider, body: Payload<'_>) -> Result<Told, String> {
    let git_ref = body.text("/ref").ok_or("a push without ref")?.to_owned();
    if body.is("/deleted") || body.sha("/after").is_none() {
        return Ok(Told::Nothing("a branch or tag that is gone".to_owned()));
    }
    // `after` of a tag with a message is the tag itself.
    let sha = body.sha("/head_commit/id");
    let sha = if git_ref.starts_with("refs/tags/") {
        sha
    } else {
        body.sha("/after")
    };
    if sha.is_none() {
        return Ok(Told::Nothing("a tag whose commit is not told".to_owned()));
    }
    let what = if git_ref.starts_with("refs/heads/") {
        // Of a new or forced branch nobody knows what the commits before were.
        let is_whole = body.sha("/before").is_some() && !body.is("/created") && !body.is("/forced");
        let files = body.files(body.number("/total_commits"));
        let files = files.filter(|_| is_whole && !has_too_many(body));
        What::Push {
            files,
            before: body.sha("/before"),
        }
    } else if git_ref.starts_with("refs/tags/") {
        What::Tag
    } else {
        return Ok(Told::Nothing("neither a branch nor a tag".to_owned()));
    };
    Ok(Told::Event(Box::new(Event {
        what,
        git_ref,
        sha,
        actor: body.actor(provider, "/sender/login"),
        message: body.text("/head_commit/message").map(str::to_owned),
        labels: None,
        at: body.time("/repository/pushed_at"),
        renews: false,
    })))
}

fn has_too_many(body: Payload<'_>) -> bool {
    let commits = body.0.pointer("/commits").and_then(Value::as_array);
    commits.is_some_and(|commits| u64::try_from(commits.len()).is_ok_and(|told| told >= MOST))
}

fn pull_request(provider: Provider, body: Payload<'_>) -> Result<Told, String> {
    let action = body
        .text("/action")
        .ok_or("a pull request without action")?;
    let starts = [
        "opened",
        "synchronize",
        "synchronized",
        "reopened",
        "ready_for_review",
    ];
    let labels = body.labels("/pull_request/labels", "name");
    let is_labelled = LABELS.contains(&action) && labels.is_some();
    if action != "closed" && !starts.contains(&action) && !is_labelled {
        return Ok(Told::Nothing(
            "a pull request, and no new commits of it".to_owned(),
        ));
    }
    let number = body.number("/pull_request/number");
    let number = number.filter(|number| *number > 0);
    let number = number.ok_or("a pull request without number")?;
    let sha = body.sha("/pull_request/head/sha");
    let sha = sha.ok_or("a pull request without commit")?;
    let of = |side: &str| body.text(&format!("/pull_request/{side}/repo/full_name"));
    // One whose repository is gone is from elsewhere. So is one that was pushed to `refs/for/…` (AGit), which takes no right to
    // push: Gitea and Forgejo tell of no branch then, but of the ref of the pull request, in the repository itself.
    let branch = body.text("/pull_request/head/ref").unwrap_or_default();
    let has_branch = !branch.is_empty() && !branch.starts_with("refs/");
    let is_own = has_branch && of("head").is_some() && of("head") == of("base");
    Ok(Told::Event(Box::new(Event {
        what: if action == "closed" {
            What::Closed { number }
        } else if is_labelled {
            What::Labels { number }
        } else {
            What::PullRequest {
                pull_request: PullRequest {
                    number,
                    base: body.text("/pull_request/base/ref").map(str::to_owned),
                    fork: !is_own,
                },
                draft: body.is("/pull_request/draft"),
            }
        },
        git_ref: format!("refs/pull/{number}/head"),
        sha: Some(sha),
        actor: body.actor(provider, "/sender/login"),
        message: None,
        labels,
        at: body.time("/pull_request/updated_at"),
        renews: action == "ready_for_review",
    })))
}

fn release(provider: Provider, body: Payload<'_>) -> Result<Told, String> {
    if body.text("/action") != Some("published") || body.is("/release/draft") {
        return Ok(Told::Nothing("no release that is published".to_owned()));
    }
    let tag = body
        .text("/release/tag_name")
        .ok_or("a release without tag")?;
    let id = body.number("/release/id").ok_or("a release without id")?;
    Ok(Told::Event(Box::new(Event {
        what: What::Release {
            prerelease: body.is("/release/prerelease"),
            id: format!("release {id}"),
        },
        git_ref: format!("refs/tags/{tag}"),
        sha: None,
        actor: body.actor(provider, "/sender/login"),
        message: None,
        labels: None,
        at: body.time("/release/published_at"),
        renews: false,
    })))
}
