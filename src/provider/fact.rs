//! What providers are told and tell, in words of ours. No I/O.

use serde_json::Value;

use crate::schema::closed_set;

/// Longest description of a status, in characters; GitHub takes no longer one.
pub const MAX_DESCRIPTION: usize = 140;

closed_set! {
    /// What a status says of a commit.
    pub enum CommitState {
        /// It is not known yet.
        Pending,
        /// It holds.
        Success,
        /// It does not hold.
        Failure,
        /// It could not be found out, or was stopped.
        Error,
    }
}

/// What somebody says of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// Who says it; a newer status of the same context takes the place of the older one. Example: `slipway/shop-api/unit`.
    pub context: String,
    /// What is said.
    pub state: CommitState,
    /// One sentence; cut to [`MAX_DESCRIPTION`] characters when it is sent.
    pub description: String,
    /// Where people can read more.
    pub url: Option<String>,
}

/// A comment of ours on a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptComment<'a> {
    /// What its text begins with, and no other text of ours.
    pub marker: &'a str,
    /// Its text, in Markdown.
    pub body: &'a str,
    /// Whether it is made where it is not there.
    pub is_made: bool,
}

/// A pull request of ours, which is made where it is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPull<'a> {
    /// Name of its branch, in the same repository.
    pub branch: &'a str,
    /// Name of the branch that it is to be merged into.
    pub base: &'a str,
    /// Its title.
    pub title: &'a str,
    /// Its text, in Markdown.
    pub body: &'a str,
}

/// A pull request; GitLab calls it a merge request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Newest commit of its branch.
    pub head_sha: String,
    /// Name of its branch, in the repository where that is.
    pub head_branch: String,
    /// Name of the branch that it is to be merged into.
    pub base_branch: String,
    /// Whether its branch is in another repository, or in one that is gone.
    pub is_fork: bool,
    /// Whether it is neither merged nor closed.
    pub is_open: bool,
    /// Whether its author says that it is not ready.
    pub is_draft: bool,
    /// Its labels.
    pub labels: Vec<String>,
}

/// A release at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRelease {
    /// The tag that it is about.
    pub tag: String,
    /// What it is called.
    pub name: String,
    /// What people read, in Markdown.
    pub notes: String,
    /// Whether it is not meant for everybody yet.
    pub is_prerelease: bool,
}

impl CommitStatus {
    /// The body of a message about it, with the link where there is one.
    pub(super) fn linked(&self, mut body: Value) -> Value {
        if let (Some(url), Some(fields)) = (&self.url, body.as_object_mut()) {
            fields.insert("target_url".to_owned(), Value::from(url.as_str()));
        }
        body
    }

    /// As short as every provider takes it.
    pub(super) fn short(&self) -> String {
        let mut chars = self.description.chars();
        let short: String = chars.by_ref().take(MAX_DESCRIPTION - 1).collect();
        let rest = chars.as_str();
        match rest.chars().count() {
            0 => short,
            1 => format!("{short}{rest}"),
            _ => format!("{short}…"),
        }
    }
}
