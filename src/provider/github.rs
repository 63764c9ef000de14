//! GitHub's REST API, version 2022-11-28, and what Gitea has taken over from it. No I/O.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::api::ProviderType;
use super::{CommitState, CommitStatus, KeptComment, PAGE, Provider, ProviderRelease, encoded};
use crate::model::action::Request;
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

pub(super) fn keep_comment(provider: &Provider, pull: u64, comment: &KeptComment<'_>) -> Kept {
    let body = json!({ "body": comment.body });
    let (size, page_size) = match provider.type_() {
        // It answers with all of them, whatever page is asked for.
        ProviderType::Gitea => ("limit", None),
        ProviderType::GitHub | ProviderType::GitLab => ("per_page", Some(PAGE)),
    };
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
