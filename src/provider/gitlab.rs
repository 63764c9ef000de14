//! GitLab's REST API, version 4. No I/O.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::{
    Comment, CommitState, CommitStatus, NOBODY, PAGE, Provider, ProviderRelease, PullRequest,
    Refusal, encoded,
};
use crate::model::action::{Reply, Request};

pub(super) fn set_status(provider: &Provider, sha: &str, status: &CommitStatus) -> Request {
    let state = match status.state {
        CommitState::Pending => "running",
        CommitState::Success => "success",
        CommitState::Failure => "failed",
        CommitState::Error => "canceled",
    };
    let mut body = json!({
        "state": state, "name": status.context, "description": status.short(),
    });
    if let (Some(url), Some(fields)) = (&status.url, body.as_object_mut()) {
        fields.insert("target_url".to_owned(), Value::from(url.as_str()));
    }
    provider.post(&format!("statuses/{}", encoded(sha)), &body)
}

/// Whether GitLab refuses a status because it has it: it takes each one as a step of a machine, and none that leads
/// to where it is.
pub(super) fn is_there(refusal: &Refusal) -> bool {
    refusal.message.contains("Cannot transition status")
}

pub(super) fn statuses(provider: &Provider, sha: &str, page: u32) -> Request {
    let sha = encoded(sha);
    let path = format!("repository/commits/{sha}/statuses?per_page={PAGE}&page={page}");
    provider.get(&path)
}

#[derive(Deserialize)]
struct Said {
    name: String,
    status: String,
    description: Option<String>,
    target_url: Option<String>,
    #[serde(default)]
    allow_failure: bool,
}

pub(super) fn read_statuses(reply: &Result<Reply, String>) -> Result<Vec<CommitStatus>, Refusal> {
    let read: Vec<Said> = answer::json(reply)?;
    let read = read.into_iter().map(|status| CommitStatus {
        state: match status.status.as_str() {
            "success" | "skipped" => CommitState::Success,
            "failed" if status.allow_failure => CommitState::Success,
            "failed" => CommitState::Failure,
            "canceled" | "canceling" => CommitState::Error,
            // created, waiting_for_resource, preparing, pending, running, scheduled, manual
            _ => CommitState::Pending,
        },
        context: status.name,
        description: status.description.unwrap_or_default(),
        url: status.target_url,
    });
    Ok(read.collect())
}

pub(super) fn comments(provider: &Provider, pull: u64, page: u32) -> Request {
    let order = "sort=asc&order_by=created_at";
    let path = format!("merge_requests/{pull}/notes?{order}&per_page={PAGE}&page={page}");
    provider.get(&path)
}

#[derive(Deserialize)]
struct Who {
    username: String,
}

fn login(who: Option<Who>) -> String {
    who.map_or_else(|| NOBODY.to_owned(), |who| who.username)
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    body: String,
    author: Option<Who>,
}

impl From<Note> for Comment {
    fn from(read: Note) -> Self {
        Self {
            id: read.id,
            body: read.body,
            author: login(read.author),
        }
    }
}

pub(super) fn read_comments(reply: &Result<Reply, String>) -> Result<Vec<Comment>, Refusal> {
    answer::list::<Note, _>(reply)
}

pub(super) fn add_comment(provider: &Provider, pull: u64, body: &str) -> Request {
    let path = format!("merge_requests/{pull}/notes");
    provider.post(&path, &json!({ "body": body }))
}

pub(super) fn update_comment(provider: &Provider, pull: u64, id: u64, body: &str) -> Request {
    let path = format!("merge_requests/{pull}/notes/{id}");
    provider.request("PUT", &path, Some(&json!({ "body": body })))
}

pub(super) fn read_comment(reply: &Result<Reply, String>) -> Result<Comment, Refusal> {
    answer::json::<Note>(reply).map(Comment::from)
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    title: String,
    state: String,
    #[serde(default)]
    draft: bool,
    // Of one whose branch was just pushed there is none for a moment.
    sha: Option<String>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    author: Option<Who>,
    #[serde(default)]
    labels: Vec<String>,
    web_url: String,
}

impl From<MergeRequest> for PullRequest {
    fn from(read: MergeRequest) -> Self {
        Self {
            number: read.iid,
            title: read.title,
            is_open: read.state == "opened",
            is_merged: read.state == "merged",
            is_draft: read.draft,
            head_sha: read.sha.unwrap_or_default(),
            head_branch: read.source_branch,
            base_branch: read.target_branch,
            is_fork: read.source_project_id.is_none()
                || read.source_project_id != read.target_project_id,
            author: login(read.author),
            labels: read.labels,
            url: read.web_url,
        }
    }
}

pub(super) fn read_pull_request(
    reply: &Result<Reply, String>,
) -> Result<Option<PullRequest>, Refusal> {
    Ok(answer::found::<MergeRequest>(reply)?.map(PullRequest::from))
}

pub(super) fn pull_requests(provider: &Provider, page: u32) -> Request {
    let order = "sort=asc&order_by=created_at";
    let path = format!("merge_requests?state=opened&{order}&per_page={PAGE}&page={page}");
    provider.get(&path)
}

pub(super) fn read_pull_requests(
    reply: &Result<Reply, String>,
) -> Result<Vec<PullRequest>, Refusal> {
    answer::list::<MergeRequest, _>(reply)
}

#[derive(Deserialize)]
struct Tag {
    commit: Commit,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

pub(super) fn read_tag(reply: &Result<Reply, String>) -> Result<Option<String>, Refusal> {
    Ok(answer::found::<Tag>(reply)?.map(|tag| tag.commit.id))
}

pub(super) fn create_tag(provider: &Provider, name: &str, sha: &str) -> Request {
    let body = json!({ "tag_name": name, "ref": sha });
    provider.post("repository/tags", &body)
}

#[derive(Deserialize)]
struct Released {
    tag_name: String,
    name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    upcoming_release: bool,
    #[serde(rename = "_links")]
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Links {
    #[serde(rename = "self")]
    itself: Option<String>,
}

pub(super) fn read_release(
    reply: &Result<Reply, String>,
) -> Result<Option<ProviderRelease>, Refusal> {
    let found: Option<Released> = answer::found(reply)?;
    Ok(found.map(|read| ProviderRelease {
        tag: read.tag_name,
        name: read.name.unwrap_or_default(),
        notes: read.description.unwrap_or_default(),
        is_prerelease: read.upcoming_release,
        url: read.links.and_then(|links| links.itself),
    }))
}

/// GitLab knows no releases that are not meant for everybody.
pub(super) fn create_release(provider: &Provider, release: &ProviderRelease, sha: &str) -> Request {
    let body = json!({
        "tag_name": release.tag, "name": release.name, "description": release.notes, "ref": sha,
    });
    provider.post("releases", &body)
}

pub(super) fn file(provider: &Provider, path: &str, at: &str) -> Request {
    let (path, at) = (encoded(path), encoded(at));
    provider.get(&format!("repository/files/{path}/raw?ref={at}"))
}
