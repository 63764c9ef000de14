//! What of registries goes with a run, and which registries keep it. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Retention;
use crate::schema::{self, closed_set};

/// What goes from registries with a run that retention deletes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryRetention {
    /// What becomes of images that the run has pushed, that were never released and have no tag: `Delete` deletes them with the run,
    /// with their signatures, SBOMs and provenance, once the registry has shown that no tag and nothing in this cluster needs them;
    /// `Keep` asks no registry. Only for images that a Tag stage without `when` gives a name with `{{sha}}` or `{{shortSha}}`.
    /// Default `Delete`. Example: `Keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untagged: Option<Untagged>,
}

closed_set! {
    /// What becomes of images without a tag that were never released.
    #[derive(Default)]
    pub enum Untagged {
        /// They go with the run.
        #[default]
        Delete,
        /// They stay.
        Keep,
    }
}

impl Retention {
    /// Whether images that were never released go with their run.
    pub fn deletes_untagged(&self) -> bool {
        let rule = self.registry.as_ref().and_then(|rule| rule.untagged);
        rule.unwrap_or_default() == Untagged::Delete
    }
}

closed_set! {
    /// Why what runs have left stays in a registry.
    pub enum LeftoverReason {
        /// It may not be deleted there, or may not be asked for.
        DeletionRefused,
        /// It could not be found out whether something needs it.
        LeftoversUnclear,
    }
}

/// A registry in which what runs have left stays.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeptLeftovers {
    /// The registry, as it stands in front of images. Example: `registry.example:5000`.
    #[schemars(transform = schema::text::<256>)]
    pub registry: String,
    /// `DeletionRefused`: it lets nobody delete, or not with the login of the build. `LeftoversUnclear`: it could not be found out
    /// whether something needs them.
    pub reason: LeftoverReason,
    /// What happened and what to do, in one sentence.
    #[schemars(transform = schema::text::<512>)]
    pub message: String,
    /// When it was asked last; within an hour it is not asked again.
    pub at: Time,
}

/// Registries, told apart by name.
pub(super) fn by_registry(schema: &mut schemars::Schema) {
    schema::by_key(schema, "registry", 8);
}
