//! That what a run has left in registries goes, as far as nothing needs it. No I/O.

use serde::Serialize;

use super::key::Key;

/// What a run has left in registries is to go, as far as nothing needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftoverQuestion {
    /// The run.
    pub run: Key,
    /// Which one of that name.
    pub uid: String,
    /// Registries that are not asked, by name.
    pub spared: Vec<String>,
}
