//! What the migrations of a database look like in YAML. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::promotion::api::MigrationPhase;
use crate::schema::{self, closed_set};

/// How the database of an Environment is brought to where a Release needs it, before any traffic moves. Each command is a
/// Job; what it writes to `/dev/termination-log`, a word and a text a line, is what it tells.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.image) != has(self.imageFrom)",
     "migrations run in one image: set image, or imageFrom (an image of the Release)"),
    ("has(self.backup) || has(self.withoutBackup) && self.withoutBackup",
     "say how the database is backed up (backup), or that it need not be (withoutBackup: true)"),
    ("!has(self.rollback) || !('Down' in [self.rollback.onFailure, self.rollback.onRollback]) || has(self.rollback.down)",
     "rollback.down is needed: Down runs it"),
    ("!has(self.rollback) || self.rollback.onFailure != 'Restore' || has(self.rollback.restore) && has(self.backup)",
     "rollback.restore and backup are needed: Restore brings the backup back"),
]))]
pub struct Migrations {
    /// Name of the database, for people and for the lock: Environments of a namespace that give the same name never migrate
    /// at the same time. Example: `shop-db`.
    #[schemars(transform = schema::name)]
    pub database: String,
    /// Image of every command. Default: none; then `imageFrom` says which. Example: `registry.example/tools/flyway:11`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::image)]
    pub image: Option<String>,
    /// Name of the image of the Release that has the commands, by its digest. A Release without that image has no
    /// migrations. Default: none; then `image` says which. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::name)]
    pub image_from: Option<String>,
    /// Environment variables of every command, at most 32. Default: none.
    /// Example: `[{name: PGPASSWORD, secretRef: {name: shop-db, key: password}}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_name::<32>)]
    pub env: Vec<MigrationVariable>,
    /// How long a command may take that does not say so itself. A duration; default `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// Says what is pending, changes nothing, and fails where something is wrong. It tells `version`, `pending` and
    /// `destructive` lines, or `uptodate`.
    pub validate: MigrationCommand,
    /// Goes on although `validate` tells of something destructive. Default `false`: then the promotion is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_destructive: bool,
    /// Makes a backup before anything is changed, and proves that it can be restored. Default: none, which
    /// `withoutBackup: true` has to confirm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Confirms that there is no backup. Default `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_backup: bool,
    /// Changes the database. It runs at most once in a promotion, whatever becomes of it.
    pub run: MigrationCommand,
    /// Says whether the database is as it should be; changes nothing. It may tell `version`.
    pub verify: MigrationCommand,
    /// What happens to the database when something goes wrong.
    #[serde(default)]
    pub rollback: MigrationRollback,
    /// What the Release before still needed, removed later. Default: nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
}

/// A command of migrations.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MigrationCommand {
    /// The command and its arguments, 1 to 64; no shell is involved. Example: `[migrate, up]`.
    #[schemars(length(min = 1), transform = schema::texts::<64, 1024>)]
    pub command: Vec<String>,
    /// How long it may take. A duration; default: `timeout` of the migrations. Example: `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

/// One environment variable of migrations.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("!(has(self.value) && has(self.secretRef))",
     "a variable has one value: set value or secretRef"),
]))]
pub struct MigrationVariable {
    /// Name of the variable. Example: `PGPASSWORD`.
    #[schemars(transform = schema::variable_name)]
    pub name: String,
    /// Its value, taken as it stands. Default: empty. Example: `db.shop.svc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<4096>)]
    pub value: Option<String>,
    /// A key of a Secret that is its value; the Secret carries the label `slipway.dev/use`. Default: none.
    /// Example: `{name: shop-db, key: password}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
}

/// A backup, and the proof that it is one.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Makes the backup. It tells `backup` (where it is) and `bytes` (its size). Example: `[/db/backup]`.
    #[schemars(length(min = 1), transform = schema::texts::<64, 1024>)]
    pub command: Vec<String>,
    /// How long it may take. A duration; default: `timeout` of the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
    /// A smaller one is no backup. Bytes; default `1`. Example: `1048576`.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_bytes: i64,
    /// Restores it into a scratch database and looks at that; `SLIPWAY_BACKUP` says where the backup is.
    pub restore_test: MigrationCommand,
}

closed_set! {
    /// What happens to a database whose migration failed.
    #[derive(Default)]
    pub enum OnMigrationFailure {
        /// People look at it.
        #[default]
        Manual,
        /// `down` is run.
        Down,
        /// `restore` brings the backup back.
        Restore,
    }
}

closed_set! {
    /// What happens to the database when the Environment goes back.
    #[derive(Default)]
    pub enum OnRollback {
        /// It stays as it is: the version before runs on it.
        #[default]
        Keep,
        /// `down` is run, once the version before has the traffic.
        Down,
    }
}

/// What happens to the database when something goes wrong.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MigrationRollback {
    /// After `run` or `verify` failed, before any traffic moved: `Manual` leaves it to people, `Down` runs `down`, `Restore`
    /// runs `restore`, which loses what was written since the backup. Default `Manual`. Example: `Down`.
    #[serde(default)]
    pub on_failure: OnMigrationFailure,
    /// When the Environment goes back from a Release whose migrations were done: `Keep`, or `Down`, after a new backup and
    /// once the traffic is back. Default `Keep`. Example: `Down`.
    #[serde(default)]
    pub on_rollback: OnRollback,
    /// Takes the migrations of the Release back; `SLIPWAY_VERSION_BEFORE` says to where. Default: none.
    /// Example: `{command: [migrate, down]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<MigrationCommand>,
    /// Brings the backup `SLIPWAY_BACKUP` back. Default: none. Example: `{command: [/db/restore]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<MigrationCommand>,
}

/// What the Release before still needed, removed later.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// How long after the end of a promotion, if its Release still runs then and no incident is open. A duration, at least
    /// `rollback.within`; default `24h`. There is no way back to the Release before after that.
    #[serde(default = "contract_after")]
    #[schemars(transform = schema::duration)]
    pub after: Duration,
    /// Removes it. Example: `[migrate, contract]`.
    #[schemars(length(min = 1), transform = schema::texts::<64, 1024>)]
    pub command: Vec<String>,
    /// How long it may take. A duration; default: `timeout` of the migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub timeout: Option<Duration>,
}

fn one() -> i64 {
    1
}

fn contract_after() -> Duration {
    time::Duration::from_hours(24).into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Migrations {
    /// The command of a phase and how long it may take; nothing where the phase is not asked for.
    pub fn command(&self, phase: MigrationPhase) -> Option<(&[String], time::Duration)> {
        let (command, timeout) = match phase {
            MigrationPhase::Validate => (&self.validate.command, self.validate.timeout),
            MigrationPhase::Backup => {
                let backup = self.backup.as_ref()?;
                (&backup.command, backup.timeout)
            }
            MigrationPhase::RestoreTest => {
                let test = &self.backup.as_ref()?.restore_test;
                (&test.command, test.timeout)
            }
            MigrationPhase::Run => (&self.run.command, self.run.timeout),
            MigrationPhase::Verify => (&self.verify.command, self.verify.timeout),
            MigrationPhase::Down => {
                let down = self.rollback.down.as_ref()?;
                (&down.command, down.timeout)
            }
            MigrationPhase::Restore => {
                let restore = self.rollback.restore.as_ref()?;
                (&restore.command, restore.timeout)
            }
            MigrationPhase::Contract => {
                let contract = self.contract.as_ref()?;
                (&contract.command, contract.timeout)
            }
        };
        let usual = self
            .timeout
            .map_or(time::Duration::from_mins(30), Into::into);
        Some((command, timeout.map_or(usual, Into::into)))
    }
}
