//! What the container that builds an image is asked to do. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::api::{Builder, CacheMode, Isolation};

/// Where the secrets of a build are: files named by their ids.
pub const SECRETS: &str = "/slipway-secrets";
/// Where the login for registries is: a folder with `config.json`, as docker has it.
pub const LOGIN: &str = "/slipway-registry";

/// Build an image and push it by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildTask {
    /// What builds.
    pub builder: Builder,
    /// What keeps it apart from its node; never `Auto`.
    pub isolation: Isolation,
    /// Dockerfile, from the root of the repository.
    pub dockerfile: String,
    /// Folder that the build may read, from the root of the repository.
    pub context: String,
    /// Build stage that is the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Ids of the secrets that are in [`SECRETS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Labels of the image; the time of the commit is added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where to push, the one that counts first.
    pub images: Vec<String>,
    /// Whether to push at all.
    pub pushes: bool,
    /// Whether registries are spoken to over http.
    #[serde(default)]
    pub insecure: bool,
    /// Whether times come from the commit.
    pub reproducible: bool,
    /// Where steps are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheTask>,
    /// Platform of the image. Example: `linux/arm64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// How long it may take.
    pub timeout_seconds: u64,
}

/// Where steps are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheTask {
    /// The repository.
    pub repository: String,
    /// Tags that are read, the nearest first. Buildah has none.
    pub from: Vec<String>,
    /// Tag that is written; none where nothing is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What is written.
    pub mode: CacheMode,
}

impl BuildTask {
    /// The repository that counts.
    pub fn image(&self) -> &str {
        self.images.first().map_or("", String::as_str)
    }

    /// Every registry that is spoken to.
    pub fn registries(&self) -> impl Iterator<Item = &str> {
        let cache = self.cache.iter().map(|cache| &cache.repository);
        let all = self.images.iter().chain(cache);
        all.filter_map(|image| Some(image.split_once('/')?.0))
    }
}
