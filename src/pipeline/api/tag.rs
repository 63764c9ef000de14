//! Tags of images. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Tags of images, written once every other stage is over and every gate has passed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("self.names.all(n, n.matches('^([A-Za-z0-9_]|[{][{](branch|sha|shortSha|version|minor|major|latest)[}][}])([A-Za-z0-9_.-]|[{][{](branch|sha|shortSha|version|minor|major|latest)[}][}])*$'))",
     "a tag has letters, digits, _, . and - (not first), and {{branch}}, {{sha}}, {{shortSha}}, {{version}}, {{minor}}, {{major}} and {{latest}}, which stand for what is built"),
]))]
pub struct Tag {
    /// Names of the Build stages whose images get the tags, at most 8. Default: all Build stages of the Pipeline.
    /// Example: `[api]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::names::<8>)]
    pub images: Vec<String>,
    /// The tags, 1 to 8. `{{branch}}` stands for the branch, with `-` for what a tag cannot have, `{{sha}}` for the
    /// commit, `{{shortSha}}` for its first 7 characters. In runs with a version, or of a tag such as `v1.2.3`, `{{version}}` stands for
    /// `1.2.3`, `{{minor}}` for `1.2`, `{{major}}` for `1` and `{{latest}}` for `latest`; the last three are left where a newer
    /// version has them, are not written for versions such as `1.2.3-rc.1`, and need `{{version}}` beside them. Names with one
    /// of the four are left out in other runs. Example: `["{{branch}}", "{{branch}}-{{shortSha}}", "{{version}}", "{{minor}}"]`.
    #[schemars(length(min = 1), transform = schema::texts::<8, 128>)]
    pub names: Vec<String>,
}
