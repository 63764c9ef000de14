//! What GitLab tells. No I/O.

use super::event::{Event, Payload, Provider, Told, What};
use crate::pipeline_run::api::PullRequest;

const GITLAB: Provider = Provider::GitLab;

pub(super) fn read(kind: &str, body: Payload<'_>) -> Result<Told, String> {
    match kind {
        "Push Hook" | "Tag Push Hook" => push(body),
        "Merge Request Hook" => merge_request(body),
        "Release Hook" => release(body),
        _ => Ok(Told::Nothing("nothing that starts runs".to_owned())),
    }
}

fn push(body: Payload<'_>) -> Result<Told, String> {
    let git_ref = body.text("/ref").ok_or("a push without ref")?.to_owned();
    let Some(sha) = body.sha("/checkout_sha") else {
        return Ok(Told::Nothing("a branch or tag that is gone".to_owned()));
    };
    let what = if git_ref.starts_with("refs/tags/") {
        What::Tag
    } else if git_ref.starts_with("refs/heads/") {
        let total = body.number("/total_commits_count");
        let before = body.sha("/before");
        // It does not say that a push was forced, and tells of the commits that were not there before.
        let files = total.and_then(|total| body.files(Some(total)));
        What::Push {
            files: files.filter(|_| before.is_some()),
            before,
        }
    } else {
        return Ok(Told::Nothing("neither a branch nor a tag".to_owned()));
    };
    Ok(Told::Event(Box::new(Event {
        what,
        git_ref,
        message: message_of(body, &sha),
        sha: Some(sha),
        actor: body.actor(GITLAB, "/user_username"),
        labels: None,
        at: None,
        renews: false,
    })))
}

fn message_of(body: Payload<'_>, sha: &str) -> Option<String> {
    let commits = body.0.pointer("/commits")?.as_array()?;
    let commit = commits
        .iter()
        .find(|commit| Payload(commit).text("/id") == Some(sha))?;
    Payload(commit).text("/message").map(str::to_owned)
}

fn merge_request(body: Payload<'_>) -> Result<Told, String> {
    let of = |field: &str| format!("/object_attributes/{field}");
    let action = body.text(&of("action")).unwrap_or_default();
    let becomes_ready = action == "update"
        && ["draft", "work_in_progress"]
            .iter()
            .any(|field| body.is(&format!("/changes/{field}/previous")));
    let has_commits = action == "update" && body.has(&of("oldrev"));
    let is_over = ["close", "merge"].contains(&action);
    let labels = body.labels("/labels", "title");
    let starts = ["open", "reopen"].contains(&action) || has_commits || becomes_ready;
    let is_labelled = !starts && body.has("/changes/labels") && labels.is_some();
    if !(starts || is_over || is_labelled) {
        return Ok(Told::Nothing(
            "a merge request, and no new commits of it".to_owned(),
        ));
    }
    let number = body.number(&of("iid")).filter(|number| *number > 0);
    let number = number.ok_or("a merge request without iid")?;
    let sha = body.sha(&of("last_commit/id"));
    let sha = sha.ok_or("a merge request without commit")?;
    let id = |side: &str| body.number(&of(&format!("{side}_project_id")));
    let is_own = id("source").is_some() && id("source") == id("target");
    Ok(Told::Event(Box::new(Event {
        what: if is_over {
            What::Closed { number }
        } else if is_labelled {
            What::Labels { number }
        } else {
            What::PullRequest {
                pull_request: PullRequest {
                    number,
                    base: body.text(&of("target_branch")).map(str::to_owned),
                    fork: !is_own,
                },
                draft: body.is(&of("draft")) || body.is(&of("work_in_progress")),
            }
        },
        git_ref: format!("refs/merge-requests/{number}/head"),
        sha: Some(sha),
        actor: body.actor(GITLAB, "/user/username"),
        message: body.text(&of("last_commit/message")).map(str::to_owned),
        labels,
        at: body.time(&of("updated_at")),
        renews: becomes_ready,
    })))
}

fn release(body: Payload<'_>) -> Result<Told, String> {
    if body.text("/action") != Some("create") {
        return Ok(Told::Nothing("no release that is published".to_owned()));
    }
    let tag = body.text("/tag").ok_or("a release without tag")?;
    let id = body.number("/id").ok_or("a release without id")?;
    Ok(Told::Event(Box::new(Event {
        what: What::Release {
            prerelease: false,
            id: format!("release {id}"),
        },
        git_ref: format!("refs/tags/{tag}"),
        sha: body.sha("/commit/id"),
        actor: "gitlab:unknown".to_owned(),
        message: None,
        labels: None,
        at: body.time("/released_at"),
        renews: false,
    })))
}
