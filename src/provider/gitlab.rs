//! GitLab's REST API, version 4. No I/O.

use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::{
    CommitState, CommitStatus, KeptComment, KeptPull, PAGE, Provider, ProviderRelease, PullRequest,
    Refusal, encoded,
};
use crate::model::action::{Reply, Request};
use crate::model::change::{Pull, PullPlaces};
use crate::model::kept::{ID, Kept};

pub(super) fn set_status(provider: &Provider, sha: &str, status: &CommitStatus) -> Request {
    let state = match status.state {
        CommitState::Pending => "running",
        CommitState::Success => "success",
        CommitState::Failure => "failed",
        CommitState::Error => "canceled",
    };
    let body = json!({
        "state": state, "name": status.context, "description": status.short(),
    });
    provider.post(&format!("statuses/{}", encoded(sha)), &status.linked(body))
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

#[derive(Deserialize)]
struct MergeRequest {
    #[serde(default)]
    state: String,
    #[serde(default)]
    draft: Option<bool>,
    // Of one whose branch was just pushed there is none for a moment.
    sha: Option<String>,
    source_branch: String,
    target_branch: String,
    source_project_id: Option<u64>,
    target_project_id: Option<u64>,
    #[serde(default)]
    labels: Vec<String>,
}

impl From<MergeRequest> for PullRequest {
    fn from(read: MergeRequest) -> Self {
        Self {
            head_sha: read.sha.unwrap_or_default(),
            head_branch: read.source_branch,
            base_branch: read.target_branch,
            is_fork: read.source_project_id.is_none()
                || read.source_project_id != read.target_project_id,
            is_open: read.state == "opened",
            is_draft: read.draft == Some(true),
            labels: read.labels,
        }
    }
}

pub(super) fn read_pull_request(
    reply: &Result<Reply, String>,
) -> Result<Option<PullRequest>, Refusal> {
    Ok(answer::found::<MergeRequest>(reply)?.map(PullRequest::from))
}

pub(super) fn keep_comment(provider: &Provider, pull: u64, comment: &KeptComment<'_>) -> Kept {
    let body = json!({ "body": comment.body });
    let all = format!("merge_requests/{pull}/notes");
    let order = "sort=asc&order_by=created_at";
    Kept {
        who: provider.who(),
        own_login: "/username",
        list: provider.get(&format!("{all}?{order}&per_page={PAGE}&page=")),
        page_size: Some(PAGE),
        login: "/author/username",
        marker: comment.marker.to_owned(),
        make: comment.is_made.then(|| provider.post(&all, &body)),
        change: provider.request("PUT", &format!("{all}/{ID}"), Some(&body)),
    }
}

pub(super) fn keep_pull(provider: &Provider, pull: &KeptPull<'_>) -> Pull {
    let (source, target) = (encoded(pull.branch), encoded(pull.base));
    let all = "merge_requests";
    let list =
        format!("{all}?state=opened&source_branch={source}&target_branch={target}&per_page={PAGE}");
    let text = json!({"title": pull.title, "description": pull.body});
    let made = json!({
        "title": pull.title, "description": pull.body,
        "source_branch": pull.branch, "target_branch": pull.base,
    });
    let one = format!("{all}/{ID}");
    Pull {
        branch: pull.branch.to_owned(),
        list: provider.get(&format!("{list}&page=")),
        page_size: PAGE,
        make: Some(provider.post(all, &made)),
        change: provider.request("PUT", &one, Some(&text)),
        close: provider.request("PUT", &one, Some(&json!({"state_event": "close"}))),
        title: pull.title.to_owned(),
        body: pull.body.to_owned(),
        places: PullPlaces {
            number: "/iid",
            url: "/web_url",
            head: "/source_branch",
            from: "/source_project_id",
            base: "/target_branch",
            into: "/target_project_id",
            title: "/title",
            body: "/description",
        },
    }
}

/// GitLab knows no releases that are not meant for everybody.
pub(super) fn create_release(provider: &Provider, release: &ProviderRelease, sha: &str) -> Request {
    let body = json!({
        "tag_name": release.tag, "name": release.name, "description": release.notes, "ref": sha,
    });
    provider.post("releases", &body)
}
