//! What a run finds out about the version that it makes. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// What commits ask of the next version. The later word is the larger step.
    #[derive(Default)]
    pub enum Bump {
        /// Nothing.
        #[default]
        None,
        /// 1.2.3 becomes 1.2.4.
        Patch,
        /// 1.2.3 becomes 1.3.0.
        Minor,
        /// 1.2.3 becomes 2.0.0.
        Major,
    }
}

/// The version that a run makes, or why it makes none.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunVersion {
    /// The version; absent where there is none. Example: `1.3.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub number: Option<String>,
    /// Where it comes from, or why there is none, in one sentence.
    #[schemars(transform = schema::text::<256>)]
    pub message: String,
}

/// What differs between the commit of a run and that of the Release before it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Lines that were added or taken out, together; a binary file counts as one. Example: `412`.
    pub lines: u64,
    /// Files that differ, by their paths in the repository; absent where there are more than 64 of them or 1 KiB of paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::texts::<64, 256>)]
    pub files: Option<Vec<String>>,
}

impl Difference {
    /// Files that are listed at most.
    pub const MAX_FILES: usize = 64;
    /// Longest path that is listed, in bytes.
    pub const MAX_PATH: usize = 256;
}

/// A change that breaks what was there, in the words of its commit.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Breaking {
    /// The commit, 40 characters.
    #[schemars(transform = schema::commit_sha)]
    pub sha: String,
    /// What follows `BREAKING CHANGE:` in its message; at most 256 characters, cut off.
    #[schemars(transform = schema::text::<256>)]
    pub text: String,
}
