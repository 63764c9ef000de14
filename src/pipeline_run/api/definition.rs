//! What a run knows of the definition that its repository brings. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

/// Where the repository's own part of the definition, `.slipway/pipeline.yaml`, was read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunDefinition {
    /// Commit at which it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub sha: Option<String>,
    /// How far that has come: `Commit`, `Root`, `Folder` and `File` are read one after the other; then it is `Read`, or `Absent`
    /// where there is no such file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<DefinitionStep>,
    /// The object of the repository that is read next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub object: Option<String>,
    /// The file, until it has become part of what the run follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<32768>)]
    pub text: Option<String>,
}

closed_set! {
    /// How far the reading of a file has come.
    #[derive(Default)]
    pub enum DefinitionStep {
        /// The commit is read next.
        #[default]
        Commit,
        /// Then its root folder.
        Root,
        /// Then the folder of the file.
        Folder,
        /// Then the file.
        File,
        /// It was read.
        Read,
        /// There is none.
        Absent,
    }
}

impl RunDefinition {
    /// How far it has come.
    pub fn step(&self) -> DefinitionStep {
        self.step.unwrap_or_default()
    }
}
