//! GitHub's REST API, version 2022-11-28, and what Gitea has taken over from it. No I/O.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::api::ProviderType;
use super::{
    CommitState, CommitStatus, KeptComment, KeptPull, PAGE, Provider, ProviderRelease, PullRequest,
    Refusal, encoded,
};
use crate::model::action::{Reply, Request};
use crate::model::change::{self, PullPlaces};
use crate::model::kept::{ID, Kept};

/// The API of the server: github.com has one of its own, Enterprise Servers a path.
pub(super) fn default_api(server: &str) -> String {
    match server {
        "https://github.com" | "https://www.github.com" => "https://api.github.com".to_owned(),
        server => format!("{server}/api/v3"),
    }
}

pub(super) fn set_status(provider: &Provider, sha: &str, status: &CommitStatus) -> Request {
    let state = match status.state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    };
    let body = json!({
        "state": state, "context": status.context, "description": status.short(),
    });
    provider.post(&format!("statuses/{}", encoded(sha)), &status.linked(body))
}

/// What the parameter with the number of entries of a page is called.
fn size_of_page(provider: &Provider) -> &'static str {
    match provider.type_() {
        ProviderType::Gitea => "limit",
        ProviderType::GitHub | ProviderType::GitLab => "per_page",
    }
}

pub(super) fn statuses(provider: &Provider, sha: &str, page: u32) -> Request {
    let size = size_of_page(provider);
    provider.get(&format!(
        "commits/{}/status?{size}={PAGE}&page={page}",
        encoded(sha)
    ))
}

#[derive(Deserialize)]
struct Combined {
    // Gitea answers with null where there are none.
    statuses: Option<Vec<Said>>,
}

#[derive(Deserialize)]
struct Said {
    state: Option<String>,
    // Gitea's word for it.
    status: Option<String>,
    context: String,
    description: Option<String>,
    target_url: Option<String>,
}

pub(super) fn read_statuses(reply: &Result<Reply, String>) -> Result<Vec<CommitStatus>, Refusal> {
    let combined: Combined = answer::json(reply)?;
    let statuses = combined.statuses.unwrap_or_default();
    let read = statuses.into_iter().map(|status| CommitStatus {
        context: status.context,
        // Gitea's `warning` and `skipped` hold nobody back there either.
        state: match status.state.or(status.status).as_deref() {
            Some("success" | "warning" | "skipped") => CommitState::Success,
            Some("failure") => CommitState::Failure,
            Some("pending") => CommitState::Pending,
            _ => CommitState::Error,
        },
        description: status.description.unwrap_or_default(),
        url: status.target_url.filter(|url| !url.is_empty()),
    });
    Ok(read.collect())
}

#[derive(Deserialize)]
struct Pull {
    #[serde(default)]
    state: String,
    // Older servers do not tell.
    #[serde(default)]
    draft: Option<bool>,
    head: Side,
    base: Side,
    // Gitea may answer with null where there are none.
    labels: Option<Vec<Label>>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    // Of a fork that is gone there is none.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

impl From<Pull> for PullRequest {
    fn from(read: Pull) -> Self {
        let name = |side: &Side| side.repo.as_ref().map(|repo| repo.full_name.clone());
        let is_fork = name(&read.head).is_none() || name(&read.head) != name(&read.base);
        Self {
            head_sha: read.head.sha,
            head_branch: read.head.git_ref,
            base_branch: read.base.git_ref,
            is_fork,
            is_open: read.state == "open",
            is_draft: read.draft == Some(true),
            labels: read
                .labels
                .into_iter()
                .flatten()
                .map(|label| label.name)
                .collect(),
        }
    }
}

pub(super) fn read_pull_request(
    reply: &Result<Reply, String>,
) -> Result<Option<PullRequest>, Refusal> {
    Ok(answer::found::<Pull>(reply)?.map(PullRequest::from))
}

pub(super) fn keep_comment(provider: &Provider, pull: u64, comment: &KeptComment<'_>) -> Kept {
    let body = json!({ "body": comment.body });
    let size = size_of_page(provider);
    // Gitea answers with all of them, whatever page is asked for.
    let page_size = (provider.type_() != ProviderType::Gitea).then_some(PAGE);
    let all = format!("issues/{pull}/comments");
    let one = format!("issues/comments/{ID}");
    Kept {
        who: provider.who(),
        own_login: "/login",
        list: provider.get(&format!("{all}?{size}={PAGE}&page=")),
        page_size,
        login: "/user/login",
        marker: comment.marker.to_owned(),
        make: comment.is_made.then(|| provider.post(&all, &body)),
        change: provider.request("PATCH", &one, Some(&body)),
    }
}

pub(super) fn keep_pull(provider: &Provider, pull: &KeptPull<'_>) -> change::Pull {
    let size = size_of_page(provider);
    let mut list = format!("pulls?state=open&{size}={PAGE}");
    if provider.type_() == ProviderType::GitHub {
        let owner = provider.repository.split('/').next().unwrap_or_default();
        let head = format!("{owner}:{}", pull.branch);
        let (head, base) = (encoded(&head), encoded(pull.base));
        list = format!("{list}&head={head}&base={base}");
    }
    let text = json!({"title": pull.title, "body": pull.body});
    let made = json!({
        "title": pull.title, "body": pull.body, "head": pull.branch, "base": pull.base,
    });
    let one = format!("pulls/{ID}");
    change::Pull {
        branch: pull.branch.to_owned(),
        list: provider.get(&format!("{list}&page=")),
        page_size: PAGE,
        make: Some(provider.post("pulls", &made)),
        change: provider.request("PATCH", &one, Some(&text)),
        close: provider.request("PATCH", &one, Some(&json!({"state": "closed"}))),
        title: pull.title.to_owned(),
        body: pull.body.to_owned(),
        places: PullPlaces {
            number: "/number",
            url: "/html_url",
            head: "/head/ref",
            from: "/head/repo/full_name",
            base: "/base/ref",
            into: "/base/repo/full_name",
            title: "/title",
            body: "/body",
        },
    }
}

pub(super) fn create_release(provider: &Provider, release: &ProviderRelease, sha: &str) -> Request {
    let body = json!({
        "tag_name": release.tag, "target_commitish": sha, "name": release.name, "body": release.notes,
        "draft": false, "prerelease": release.is_prerelease,
    });
    provider.post("releases", &body)
}

pub(super) fn upload_sarif(
    provider: &Provider,
    sha: &str,
    git_ref: &str,
    sarif: &[u8],
) -> Option<Request> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    packed.write_all(sarif).ok()?;
    let body = json!({
        "commit_sha": sha, "ref": git_ref, "sarif": STANDARD.encode(packed.finish().ok()?),
    });
    Some(provider.post("code-scanning/sarifs", &body))
}
