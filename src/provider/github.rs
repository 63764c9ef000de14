//! GitHub's REST API, version 2022-11-28, and what Gitea has taken over from it. No I/O.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::api::ProviderType;
use super::{
    Comment, CommitState, CommitStatus, NOBODY, PAGE, Provider, ProviderRelease, PullRequest,
    Refusal, encoded, encoded_path, gitea,
};
use crate::model::action::{Reply, Request};

/// The API of the server: github.com has one of its own, Enterprise Servers a path.
pub(super) fn default_api(server: &str) -> String {
    match server {
        "https://github.com" | "https://www.github.com" => "https://api.github.com".to_owned(),
        server => format!("{server}/api/v3"),
    }
}

fn page_of(provider: &Provider, page: u32) -> String {
    let size = match provider.type_() {
        ProviderType::Gitea => gitea::SIZE_OF_PAGE,
        ProviderType::GitHub | ProviderType::GitLab => "per_page",
    };
    format!("{size}={PAGE}&page={page}")
}

pub(super) fn set_status(provider: &Provider, sha: &str, status: &CommitStatus) -> Request {
    let state = match status.state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failure",
        CommitState::Error => "error",
    };
    let mut body = json!({
        "state": state, "context": status.context, "description": status.short(),
    });
    if let (Some(url), Some(fields)) = (&status.url, body.as_object_mut()) {
        fields.insert("target_url".to_owned(), Value::from(url.as_str()));
    }
    provider.post(&format!("statuses/{}", encoded(sha)), &body)
}

pub(super) fn statuses(provider: &Provider, sha: &str, page: u32) -> Request {
    let page = page_of(provider, page);
    provider.get(&format!("commits/{}/status?{page}", encoded(sha)))
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

pub(super) fn comments(provider: &Provider, pull: u64, page: u32) -> Request {
    let page = page_of(provider, page);
    provider.get(&format!("issues/{pull}/comments?{page}"))
}

#[derive(Deserialize)]
struct Who {
    login: String,
}

fn login(who: Option<Who>) -> String {
    who.map_or_else(|| NOBODY.to_owned(), |who| who.login)
}

#[derive(Deserialize)]
struct Commented {
    id: u64,
    body: Option<String>,
    user: Option<Who>,
}

impl From<Commented> for Comment {
    fn from(read: Commented) -> Self {
        Self {
            id: read.id,
            body: read.body.unwrap_or_default(),
            author: login(read.user),
        }
    }
}

pub(super) fn read_comments(reply: &Result<Reply, String>) -> Result<Vec<Comment>, Refusal> {
    answer::list::<Commented, _>(reply)
}

pub(super) fn add_comment(provider: &Provider, pull: u64, body: &str) -> Request {
    let path = format!("issues/{pull}/comments");
    provider.post(&path, &json!({ "body": body }))
}

pub(super) fn update_comment(provider: &Provider, id: u64, body: &str) -> Request {
    let path = format!("issues/comments/{id}");
    provider.request("PATCH", &path, Some(&json!({ "body": body })))
}

pub(super) fn read_comment(reply: &Result<Reply, String>) -> Result<Comment, Refusal> {
    answer::json::<Commented>(reply).map(Comment::from)
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    title: String,
    state: String,
    // Not in GitHub's lists.
    #[serde(default)]
    merged: bool,
    merged_at: Option<String>,
    #[serde(default)]
    draft: bool,
    head: Side,
    base: Side,
    user: Option<Who>,
    labels: Option<Vec<Label>>,
    html_url: String,
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

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl From<Pull> for PullRequest {
    fn from(read: Pull) -> Self {
        let name = |side: &Side| side.repo.as_ref().map(|repo| repo.full_name.clone());
        let is_fork = name(&read.head).is_none() || name(&read.head) != name(&read.base);
        let labels = read.labels.unwrap_or_default();
        Self {
            number: read.number,
            title: read.title,
            is_open: read.state == "open",
            is_merged: read.merged || read.merged_at.is_some(),
            is_draft: read.draft,
            head_sha: read.head.sha,
            head_branch: read.head.git_ref,
            base_branch: read.base.git_ref,
            is_fork,
            author: login(read.user),
            labels: labels.into_iter().map(|label| label.name).collect(),
            url: read.html_url,
        }
    }
}

pub(super) fn read_pull_request(
    reply: &Result<Reply, String>,
) -> Result<Option<PullRequest>, Refusal> {
    Ok(answer::found::<Pull>(reply)?.map(PullRequest::from))
}

pub(super) fn pull_requests(provider: &Provider, page: u32) -> Request {
    let page = page_of(provider, page);
    let order = match provider.type_() {
        ProviderType::Gitea => gitea::OLDEST_FIRST,
        ProviderType::GitHub | ProviderType::GitLab => "sort=created&direction=asc",
    };
    provider.get(&format!("pulls?state=open&{order}&{page}"))
}

pub(super) fn read_pull_requests(
    reply: &Result<Reply, String>,
) -> Result<Vec<PullRequest>, Refusal> {
    answer::list::<Pull, _>(reply)
}

pub(super) fn tag(provider: &Provider, name: &str) -> Request {
    provider.get(&format!("git/ref/tags/{}", encoded_path(name)))
}

#[derive(Deserialize)]
struct Ref {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: String,
}

pub(super) fn read_tag(reply: &Result<Reply, String>) -> Result<Option<String>, Refusal> {
    Ok(answer::found::<Ref>(reply)?.map(|found| found.object.sha))
}

pub(super) fn create_tag(provider: &Provider, name: &str, sha: &str) -> Request {
    let body = json!({ "ref": format!("refs/tags/{name}"), "sha": sha });
    provider.post("git/refs", &body)
}

#[derive(Deserialize)]
struct Released {
    tag_name: String,
    name: Option<String>,
    body: Option<String>,
    #[serde(default)]
    prerelease: bool,
    html_url: Option<String>,
}

pub(super) fn read_release(
    reply: &Result<Reply, String>,
) -> Result<Option<ProviderRelease>, Refusal> {
    let found: Option<Released> = answer::found(reply)?;
    Ok(found.map(|read| ProviderRelease {
        tag: read.tag_name,
        name: read.name.unwrap_or_default(),
        notes: read.body.unwrap_or_default(),
        is_prerelease: read.prerelease,
        url: read.html_url,
    }))
}

pub(super) fn create_release(provider: &Provider, release: &ProviderRelease, sha: &str) -> Request {
    let body = json!({
        "tag_name": release.tag, "target_commitish": sha, "name": release.name, "body": release.notes,
        "draft": false, "prerelease": release.is_prerelease,
    });
    provider.post("releases", &body)
}

pub(super) fn file(provider: &Provider, path: &str, at: &str) -> Request {
    let path = format!("contents/{}?ref={}", encoded_path(path), encoded(at));
    let mut request = provider.get(&path);
    let raw = "application/vnd.github.raw+json".to_owned();
    request.headers.insert("accept".to_owned(), raw);
    request
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
