//! Files that stages leave and gates judge. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Files that a script leaves.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// JUnit XML files; globs from the root of the repository, at most 16. Example: `["**/junit*.xml"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::paths::<16>)]
    pub junit: Vec<String>,
}
