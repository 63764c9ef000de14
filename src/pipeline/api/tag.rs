//! Tags of images. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Tags of images, written once every other stage is over and every gate has passed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.names.all(n, n.matches('^([A-Za-z0-9_]|[{][{](branch|sha|shortSha)[}][}])([A-Za-z0-9_.-]|[{][{](branch|sha|shortSha)[}][}])*$'))",
     "a tag has letters, digits, _, . and - (not first), and {{branch}}, {{sha}} and {{shortSha}}, which stand for what is built"),
]))]
pub struct Tag {
    /// Names of the Build stages whose images get the tags, at most 8. Default: all Build stages of the Pipeline.
    /// Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub images: Vec<String>,
    /// The tags, 1 to 8. `{{branch}}` stands for the branch, with `-` for what a tag cannot have, `{{sha}}` for the
    /// commit, `{{shortSha}}` for its first 7 characters. Example: `["{{branch}}", "{{branch}}-{{shortSha}}"]`.
    #[schemars(length(min = 1), transform = schema::texts::<8, 128>)]
    pub names: Vec<String>,
}
