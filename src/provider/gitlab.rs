//! GitLab's REST API, version 4. No I/O.

use serde_json::json;

use super::{
    CommitState, CommitStatus, KeptComment, PAGE, Provider, ProviderRelease, Refusal, encoded,
};
use crate::model::action::Request;
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

/// GitLab knows no releases that are not meant for everybody.
pub(super) fn create_release(provider: &Provider, release: &ProviderRelease, sha: &str) -> Request {
    let body = json!({
        "tag_name": release.tag, "name": release.name, "description": release.notes, "ref": sha,
    });
    provider.post("releases", &body)
}
