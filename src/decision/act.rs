//! A Decision as planners see it. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use super::api::{Decision, DecisionSpec};

/// When something was written: the second, and the version that it got. Times in objects are whole seconds;
/// within one, versions tell what came first.
pub type Moment = (Timestamp, u64);

/// A Decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub at: Timestamp,
    /// Its version, which tells apart what was decided in the same second.
    pub version: u64,
    /// What was decided.
    pub spec: DecisionSpec,
}

impl Act {
    /// What an object says.
    pub fn read(decision: &Decision) -> Self {
        let version = decision.resource_version();
        let created_at = decision.metadata.creation_timestamp.as_ref();
        Self {
            name: decision.name_any(),
            at: created_at.map_or(Timestamp::UNIX_EPOCH, |at| at.0),
            version: version
                .and_then(|version| version.parse().ok())
                .unwrap_or(0),
            spec: decision.spec.clone(),
        }
    }

    /// What objects say, in the order in which they were made.
    pub fn read_all<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Vec<Self> {
        let mut acts: Vec<Self> = decisions.into_iter().map(Self::read).collect();
        acts.sort_by_key(|act| (act.at, act.version, act.name.clone()));
        acts
    }

    /// When it was made.
    pub fn moment(&self) -> Moment {
        (self.at, self.version)
    }
}
