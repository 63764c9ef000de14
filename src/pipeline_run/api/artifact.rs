//! What a run makes: images and packages. No I/O.

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
