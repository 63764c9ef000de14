//! What is left in the repository of a version. No I/O.

use serde::{Deserialize, Serialize};

use super::SourceTask;
use crate::pipeline::api::{Author, VersionFile};

/// Give a commit its version in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseTask {
    /// The repository, who pushes, and the commit.
    pub source: SourceTask,
    /// Full ref of the branch that gets the commit with the version; nothing where the run is about a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The tag. Example: `v1.3.0`.
    pub tag: String,
    /// The version. Example: `1.3.0`.
    pub version: String,
    /// What is new, as Markdown.
    pub notes: String,
    /// Files in which the version stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<VersionFile>,
    /// File that gets the notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<String>,
    /// Full refs of branches that it is merged into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_into: Vec<String>,
    /// Who makes commits and tags.
    pub author: Author,
    /// How long it may take.
    pub timeout_seconds: u64,
}
