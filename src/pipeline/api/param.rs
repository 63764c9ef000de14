//! What people may ask of a run: parameters. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A value that who starts a run by hand may choose. It reaches scripts as an environment variable, and nothing else.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!self.name.startsWith('SLIPWAY_')",
     "names that begin with SLIPWAY_ are the operator's own: call the parameter otherwise"),
]))]
pub struct Param {
    /// Name of the parameter, and of the variable. Example: `LOG_LEVEL`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// What it is for, in one sentence. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub description: Option<String>,
    /// Its value in runs that do not give one. Default: none; then a run by hand has to give one, and in other runs
    /// the variable is not set. Example: `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub default: Option<String>,
    /// Regular expression (RE2) that the whole value has to match. Default: anything on one line.
    /// Example: `debug|info|warn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::some_text::<256>)]
    pub pattern: Option<String>,
}
