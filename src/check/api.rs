//! What a check looks like in YAML. Types only. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The container of a check.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CheckJob {
    /// Image to run. Example: `registry.example/shop/smoke:1`.
    #[schemars(transform = schema::image)]
    pub image: String,
    /// Command and its arguments, at most 64; no shell is involved. Default: that of the image.
    /// Example: `[smoke, --url, "http://api"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<64, 1024>)]
    pub command: Vec<String>,
    /// Environment variables, at most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<64>)]
    pub env: Vec<Variable>,
}

/// One environment variable of a check or a service; no secret.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Name of the variable. Example: `TARGET`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// Its value, taken as it stands. Default: empty. Example: `"1"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<4096>)]
    pub value: Option<String>,
}
