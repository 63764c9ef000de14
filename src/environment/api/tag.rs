//! A tag for what an Environment has. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A tag that the images of what an Environment has get in their registry: whoever does not ask the cluster finds them by it. It
/// is written once a promotion has succeeded, also by one that goes back, and never before.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ImageTag {
    /// The tag. No other Environment and no Pipeline may write the same in these repositories. Example: `production`.
    #[schemars(transform = schema::tag)]
    pub name: String,
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson`, with the label `slipway.dev/use`, that has a login which may
    /// push. The operator must be allowed to read Secrets (`analysis.secrets.enabled` in the values of its chart).
    /// Default: none. Example: `registry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub registry_secret_name: Option<String>,
    /// Reaches the registry over http, for one inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
}

/// An image that is to have the tag.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TaggedImage {
    /// Repository and digest.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::pinned_image)]
    pub reference: String,
    /// The tag, once the registry has it at this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<128>)]
    pub tag: Option<String>,
    /// Why the registry does not have it, after the last try; it is tried again every minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
}
