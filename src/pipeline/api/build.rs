//! Image builds. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// An image build.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Dockerfile, from the root of the repository. Default `Dockerfile`. Example: `services/api/Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub dockerfile: Option<String>,
    /// Folder that the build may read, from the root of the repository. Default `.`. Example: `services/api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::path)]
    pub context_dir: Option<String>,
    /// Build arguments by name, at most 64. They end in the image's history: no secrets here.
    /// Example: `{PYTHON_VERSION: "3.12"}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<64>)]
    pub args: BTreeMap<String, String>,
    /// Repository to which the image is pushed, without tag or digest. The Release names the digest.
    /// Example: `registry.example/shop/api`.
    #[schemars(transform = schema::repository)]
    pub image: String,
    /// Pushes over http, for a registry inside the cluster. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_registry: Option<bool>,
}

impl Build {
    /// The Dockerfile, from the root of the repository.
    pub fn dockerfile(&self) -> &str {
        self.dockerfile.as_deref().unwrap_or("Dockerfile")
    }

    /// The folder that the build may read, from the root of the repository.
    pub fn context_dir(&self) -> &str {
        self.context_dir.as_deref().unwrap_or(".")
    }

    /// Whether the image is pushed over http.
    pub fn insecure_registry(&self) -> bool {
        self.insecure_registry.unwrap_or(false)
    }
}
