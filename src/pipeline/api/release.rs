//! Whether and when a run that passed makes a Release. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Whether and when a run that passed makes a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRule {
    /// Makes Releases. Default `true`; `false` only tests and builds.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What the run must have been for. Default: the branch of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ReleaseWhen>,
}

/// Runs that make a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseWhen {
    /// Branch whose runs make a Release. Default: the branch of the source. Example: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::branch)]
    pub branch: Option<String>,
    /// Glob of tags whose runs make a Release too; one that is there already for the same commit and content is not made
    /// again. Default: none. Example: `v*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<128>)]
    pub tags: Option<String>,
}

fn yes() -> bool {
    true
}

impl Default for ReleaseRule {
    fn default() -> Self {
        Self {
            enabled: yes(),
            when: None,
        }
    }
}
