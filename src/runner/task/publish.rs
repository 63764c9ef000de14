//! What is done with the digests of images that were built. No I/O.

use serde::{Deserialize, Serialize};

use super::Subject;

/// Give images their tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TagTask {
    /// The images, in each repository that they are in.
    pub images: Vec<Subject>,
    /// Tags that are written whatever they name now.
    pub names: Vec<String>,
    /// Tags that are left where a newer version has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioned: Option<Versioned>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// Tags that move from version to version, and never back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versioned {
    /// The version that is built.
    pub version: String,
    /// The tags.
    pub names: Vec<Moving>,
}

/// A tag that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moving {
    /// The tag.
    pub name: String,
    /// What stands before the version in the tags of whole versions.
    pub before: String,
    /// What stands behind it.
    pub after: String,
    /// How many numbers of a version have to be the same for it to count here.
    pub depth: usize,
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
