//! What became of the migrations of a promotion. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StepState;
use crate::schema::{self, closed_set};

closed_set! {
    /// One thing that is done to a database, each of them a Job.
    pub enum MigrationPhase {
        /// Looks at what is pending.
        Validate,
        /// Makes a backup.
        Backup,
        /// Proves that it can be restored.
        RestoreTest,
        /// Changes the database.
        Run,
        /// Looks whether it is as it should be.
        Verify,
        /// Takes the change back.
        Down,
        /// Brings the backup back.
        Restore,
        /// Removes what the Release before needed.
        Contract,
    }
}

closed_set! {
    /// Where the migrations of a promotion are.
    #[derive(Default)]
    pub enum MigrationState {
        /// Somebody else has the database.
        #[default]
        Waiting,
        /// It is looked at what is pending.
        Validating,
        /// The backup is made and proven.
        BackingUp,
        /// The database is being changed.
        Running,
        /// It is looked at what came of it.
        Verifying,
        /// The change is being taken back.
        RollingBack,
        /// All is done.
        Done,
        /// The change was taken back.
        RolledBack,
        /// It did not begin: nothing was changed.
        Refused,
        /// What became of the database is not known, or it is not as it should be: people have to look.
        Stuck,
    }
}

impl MigrationPhase {
    /// Whether the database may be another one once it has begun.
    pub const fn changes(self) -> bool {
        matches!(
            self,
            Self::Run | Self::Down | Self::Restore | Self::Contract
        )
    }
}

impl MigrationState {
    /// Whether nothing more is done.
    pub const fn is_over(self) -> bool {
        matches!(
            self,
            Self::Done | Self::RolledBack | Self::Refused | Self::Stuck
        )
    }
}

/// What became of the migrations of a promotion.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    /// `Waiting`, `Validating`, `BackingUp`, `Running`, `Verifying`, `RollingBack`, or how they ended: `Done`,
    /// `RolledBack`, `Refused`, `Stuck`.
    pub state: MigrationState,
    /// Name of the database.
    #[schemars(transform = schema::name)]
    pub database: String,
    /// The version that it was at before, as the tool told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<128>)]
    pub version_before: Option<String>,
    /// The version that it is at since, as the tool told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<128>)]
    pub version: Option<String>,
    /// What was pending before, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<32, 200>)]
    pub pending: Vec<String>,
    /// What of it is destructive, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<16, 200>)]
    pub destructive: Vec<String>,
    /// The backup that was made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// What was done, in order; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_phase)]
    pub phases: Vec<PhaseStatus>,
}

fn by_phase(schema: &mut schemars::Schema) {
    schema::by_key(schema, "phase", 8);
}

/// A backup.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// Where it is, as the tool told.
    #[schemars(transform = schema::text::<512>)]
    pub reference: String,
    /// Its size in bytes, as the tool told.
    pub bytes: i64,
    /// When it was proven that it can be restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested_at: Option<Time>,
}

/// One thing that was done to a database.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// `Validate`, `Backup`, `RestoreTest`, `Run`, `Verify`, `Down`, `Restore` or `Contract`.
    pub phase: MigrationPhase,
    /// `Pending` while its Job is made and not started, `Running`, `Succeeded` or `Failed`.
    pub state: StepState,
    /// Name of its Job.
    #[schemars(transform = schema::record_name)]
    pub job: String,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What happened, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub message: Option<String>,
}

impl MigrationStatus {
    /// What is known of a phase.
    pub fn phase(&self, phase: MigrationPhase) -> Option<&PhaseStatus> {
        self.phases.iter().find(|known| known.phase == phase)
    }

    /// Whether the lock of the database is, or was, its own.
    pub fn has_lock(&self) -> bool {
        self.state != MigrationState::Waiting || !self.phases.is_empty()
    }

    /// Whether nothing was changed so far, and nothing is being changed.
    pub fn is_harmless(&self) -> bool {
        let mut phases = self.phases.iter();
        !phases.any(|known| known.phase.changes() && known.state != StepState::Pending)
    }

    /// Whether a phase runs now.
    pub fn is_running(&self) -> bool {
        let mut phases = self.phases.iter();
        phases.any(|known| known.state == StepState::Running)
    }

    /// Whether a phase has done what it should.
    pub fn has_passed(&self, phase: MigrationPhase) -> bool {
        let known = self.phase(phase);
        known.is_some_and(|known| known.state == StepState::Succeeded)
    }
}
