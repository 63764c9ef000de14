//! What is done with the digests of images that were built. No I/O.

use serde::{Deserialize, Serialize};

use super::Subject;

/// Give images their tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagTask {
    /// The images, in each repository that they are in.
    pub images: Vec<Subject>,
    /// The tags.
    pub names: Vec<String>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// Join the images of several platforms into one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexTask {
    /// The repositories that have all parts and get the index; their digests say nothing.
    pub repositories: Vec<Subject>,
    /// The parts, in the order of the index.
    pub parts: Vec<Joined>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The platform. Example: `linux/arm64`.
    pub platform: String,
    /// Digest of its image.
    pub digest: String,
}
