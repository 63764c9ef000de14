//! What a repository may define itself, in `.slipway/pipeline.yaml`. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StageType;
use crate::schema::{self, closed_set};

/// What the repository may add to this Pipeline with a file of its own, `.slipway/pipeline.yaml`: stages, gates, params and caches.
/// What stands in the Pipeline stays as it is; names of its stages and gates cannot be taken.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!has(self.stageTypes) || self.stageTypes.all(t, t in ['Test', 'Lint', 'Scan', 'Benchmark', 'Smoke', 'Migrate', 'Custom', 'Build', 'SBOM'])",
     "stages that sign, tag, publish or release stand in the Pipeline: take them out of definition.stageTypes"),
]))]
pub struct DefinitionRule {
    /// Where the file is read: `DefaultBranch`, at the head of `source.git.branch`, or at the commit that is run if it was pushed
    /// there; `Commit`, at the commit that is run, a pull request's too. Commits from other repositories never bring their own.
    /// Default `DefaultBranch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DefinitionSource>,
    /// Types of the stages that the file may have. Default: `[Test, Lint, Scan, Benchmark, Smoke, Custom]`. Example:
    /// `[Test, Lint, Build]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::words::<9>)]
    pub stage_types: Vec<StageType>,
    /// Globs of the images that its stages and their services may run, at most 32; `**` crosses slashes. Default: any. Example:
    /// `["registry.example/ci/*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<32, 256>)]
    pub images: Vec<String>,
    /// Globs of the repositories to which its stages may push images, packages and caches, at most 16. Default: none. Example:
    /// `["registry.example/shop/*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 256>)]
    pub repositories: Vec<String>,
    /// Names of the Secrets that its stages may use, at most 16. Default: none. Example: `[package-index]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::record_names::<16>)]
    pub secrets: Vec<String>,
    /// Names of the service accounts that its stages may name, at most 8. Default: none. Example: `[ci]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::record_names::<8>)]
    pub service_accounts: Vec<String>,
    /// The most that a container of its stages may request or be limited to, by name of the resource, at most 16; others cannot be
    /// named then. Default: no bound. Example: `{cpu: "2", memory: 4Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<16>)]
    pub max_resources: BTreeMap<String, String>,
    /// Whether its stages may choose where they run: `nodeSelector`, `tolerations`, `priorityClassName`, `runtimeClassName` and
    /// `hostUsers` of `pod`. Default `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<bool>,
}

closed_set! {
    /// Where a repository's own definition is read.
    #[derive(Default)]
    pub enum DefinitionSource {
        /// At the branch of the source.
        #[default]
        DefaultBranch,
        /// At the commit that is run.
        Commit,
    }
}

/// What a file may have in a Pipeline that does not say.
const USUAL: [StageType; 6] = [
    StageType::Test,
    StageType::Lint,
    StageType::Scan,
    StageType::Benchmark,
    StageType::Smoke,
    StageType::Custom,
];

impl DefinitionRule {
    /// Where the file is read.
    pub fn from(&self) -> DefinitionSource {
        self.from.unwrap_or_default()
    }

    /// Types of stages that the file may have.
    pub fn stage_types(&self) -> &[StageType] {
        if self.stage_types.is_empty() {
            return &USUAL;
        }
        &self.stage_types
    }
}
