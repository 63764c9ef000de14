//! What was said about the images of a run. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// What is said about an image.
    pub enum AttestationKind {
        /// What is in it: its software bill of materials.
        SBOM,
        /// How it was built.
        Provenance,
        /// That somebody stands for it.
        Signature,
    }
}

/// Something that is said about an image, stored in the registry beside it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// Name of the image. Example: `api`.
    #[schemars(transform = schema::name)]
    pub image: String,
    /// What it says: `SBOM`, what is in the image; `Provenance`, how it was built; `Signature`, that somebody stands for it.
    /// Provenances and signatures are signed, and were checked after they were stored.
    pub kind: AttestationKind,
    /// Digest of the artifact, which refers to the image. Example: `sha256:9b2c…`.
    #[schemars(transform = schema::digest)]
    pub digest: String,
}
