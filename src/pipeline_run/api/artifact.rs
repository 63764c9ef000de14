//! What a run makes, images and packages, and which Jobs have made it. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// What a run makes.
    pub enum ArtifactKind {
        /// A container image.
        Image,
        /// Files in a registry.
        Package,
    }
}

/// One thing that a run made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Name of the artifact: that of the stage that built the image, or of the package.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What it is: `Image` or `Package`.
    pub kind: ArtifactKind,
    /// Where it is, without digest. Example: `registry.example/shop/api`.
    #[serde(rename = "ref")]
    #[schemars(transform = schema::text::<512>)]
    pub reference: String,
    /// Its digest. Example: `sha256:9b2c…`.
    #[schemars(transform = schema::digest)]
    pub digest: String,
    /// Its size in bytes, as the registry hands it out: that of the largest platform of an image, or of all files of a
    /// package together. Absent where the registry did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Version of a package, if its files tell it. Example: `1.2.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub version: Option<String>,
}

impl Artifact {
    /// Repository and digest, as a pod names an image.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.reference, self.digest)
    }
}

/// Jobs that have made something, and what ran in them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BuiltBy {
    /// The images that the containers of these Jobs ran, by name of the container, with the digests that the node has reported.
    /// Example: `{main: "registry.example/slipway/buildkit@sha256:9b2c…"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<32>)]
    pub images: BTreeMap<String, String>,
    /// The Jobs; at most 96 in a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<96>)]
    pub jobs: Vec<BuildJob>,
}

/// A Job that has made something.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BuildJob {
    /// The stage.
    #[schemars(transform = schema::name)]
    pub stage: String,
    /// The cell of the stage; of an image for several platforms, the platform, or `index`, which joins them. Example:
    /// `linux-arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<63>)]
    pub cell: Option<String>,
    /// Its name.
    #[schemars(transform = schema::text::<253>)]
    pub name: String,
    /// Its uid.
    #[schemars(transform = schema::text::<64>)]
    pub uid: String,
    /// Name of the run that it was of, where this one has taken over what that has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<253>)]
    pub run: Option<String>,
}
