//! Gitea's and Forgejo's API, version 1, where it is not GitHub's. No I/O.

use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::{Provider, Refusal, encoded, encoded_path};
use crate::model::action::{Reply, Request};

/// What it calls the number of entries of a page.
pub(super) const SIZE_OF_PAGE: &str = "limit";
/// Its order of lists of pull requests.
pub(super) const OLDEST_FIRST: &str = "sort=oldest";

#[derive(Deserialize)]
struct Tag {
    commit: Commit,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

pub(super) fn read_tag(reply: &Result<Reply, String>) -> Result<Option<String>, Refusal> {
    Ok(answer::found::<Tag>(reply)?.map(|tag| tag.commit.sha))
}

pub(super) fn create_tag(provider: &Provider, name: &str, sha: &str) -> Request {
    provider.post("tags", &json!({ "tag_name": name, "target": sha }))
}

pub(super) fn file(provider: &Provider, path: &str, at: &str) -> Request {
    provider.get(&format!("raw/{}?ref={}", encoded_path(path), encoded(at)))
}
