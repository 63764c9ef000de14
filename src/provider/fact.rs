//! What providers are told and tell, in words of ours. No I/O.

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

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// How the provider tells it from others.
    pub id: u64,
    /// Its text, in Markdown.
    pub body: String,
    /// Login of who wrote it.
    pub author: String,
}

/// A pull request; GitLab calls it a merge request.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact that providers tell, and any of them can hold with any other"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// What it is called.
    pub title: String,
    /// Whether it is neither merged nor closed.
    pub is_open: bool,
    /// Whether it was merged.
    pub is_merged: bool,
    /// Whether its author says that it is not ready.
    pub is_draft: bool,
    /// Newest commit of its branch.
    pub head_sha: String,
    /// Name of its branch, in the repository where that is.
    pub head_branch: String,
    /// Name of the branch that it is to be merged into.
    pub base_branch: String,
    /// Whether its branch is in another repository, or in one that is gone.
    pub is_fork: bool,
    /// Login of who opened it.
    pub author: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Where people can read it.
    pub url: String,
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
    /// Where people can read it; of one that is to be made nothing.
    pub url: Option<String>,
}

impl CommitStatus {
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
