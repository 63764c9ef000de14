//! The state machine of migrations: pure, and without a memory but the record's. No I/O.
//!
//! ```text
//!             ┌────────────────────────── nothing is pending ───────────────────────────┐
//! Waiting ─► Validating ─► BackingUp ─► Running ─► Verifying ─────────────────────────► Done
//!    lock       │ Validate    │ Backup,    │ Run │     │ Verify
//!               │             │ RestoreTest│     │     │
//!               └──────┬──────┘            │     └──┬──┘ it failed, and that is known
//!                      ▼                   │        ├─ Manual ──► Stuck
//!                   Refused                │        └─ Down, Restore ─► RollingBack ─► RolledBack
//!             (nothing was changed)        │                                 │
//!                                          └─ its result is lost ─► Stuck ◄──┘ failed or lost
//! ```
//! Each phase is a Job that is made *suspended*, and let go only after the record says `Running`. So a phase whose record
//! says `Pending` has never run, one whose record says `Running` has begun, and one that has begun and whose Job is gone is
//! lost: it is never begun again. A result is known where the command ended by itself with an exit code; what was killed,
//! evicted or cut off by a deadline may have done anything.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{MigrationVariable, Migrations, OnMigrationFailure};
use super::observed::Check;
use crate::check::{GRACE, Outcome};
use crate::model::span::after;
use crate::model::text::truncate;
use crate::pipeline::secret::Named;
use crate::promotion::api::{
    BackupStatus, MigrationPhase, MigrationState, MigrationStatus, PhaseStatus, StepState,
};

mod told;

pub use told::Told;

/// How long what a command told is waited for after its Job has ended: it is in the pod, which comes by another watch.
const SETTLE: Duration = Duration::from_secs(20);
/// Longest message of a phase, in bytes.
const MAX_MESSAGE: usize = 500;

/// What is done to a database, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// To where a Release needs it.
    Forward,
    /// Back, after the traffic.
    Back,
    /// Without what the Release before needed.
    Contract,
}

impl Course {
    /// What is done when all goes well, in order.
    fn phases(self) -> &'static [MigrationPhase] {
        use MigrationPhase::{Backup, Contract, Down, RestoreTest, Run, Validate, Verify};
        match self {
            Self::Forward => &[Validate, Backup, RestoreTest, Run, Verify],
            Self::Back => &[Backup, RestoreTest, Down],
            Self::Contract => &[Backup, RestoreTest, Contract, Verify],
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The Job of a phase is made, suspended.
    Make(MigrationPhase),
    /// It is let go.
    Release(MigrationPhase),
    /// A phase runs; and when that turns into a failure by itself.
    Await(MigrationPhase, Timestamp),
    /// The record changed, and there is more to do at once.
    Again,
    /// The migrations are over.
    Over,
}

/// The migrations of one record, while it is thought about.
#[derive(Debug)]
pub struct Machine<'a> {
    /// What is done.
    pub course: Course,
    /// What people want.
    pub rules: &'a Migrations,
    /// The record so far, and what it becomes.
    pub status: MigrationStatus,
    /// Why it ended as it did, or what is waited for.
    pub message: String,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Machine<'a> {
    /// The machine as a record has it.
    pub fn new(
        course: Course,
        rules: &'a Migrations,
        known: Option<&MigrationStatus>,
        now: Timestamp,
    ) -> Self {
        let fresh = || MigrationStatus {
            database: rules.database.clone(),
            ..MigrationStatus::default()
        };
        let mut status = known.cloned().unwrap_or_else(fresh);
        // Until its lock is taken it is the database that the rules name now.
        if !status.has_lock() {
            status.database.clone_from(&rules.database);
        }
        Self {
            course,
            rules,
            status,
            message: String::new(),
            now,
        }
    }

    /// The phase that is next or under way; nothing, where all is done.
    pub fn current(&self) -> Option<MigrationPhase> {
        if self.status.state.is_over() {
            return None;
        }
        // What runs is waited for, whatever the rules have become.
        let mut begun = self.status.phases.iter();
        if let Some(running) = begun.find(|known| known.state == StepState::Running) {
            return Some(running.phase);
        }
        let mut usual = self.course.phases().iter().copied();
        let is_left = |phase: &MigrationPhase| {
            self.rules.command(*phase).is_some() && !self.status.has_passed(*phase)
        };
        if self.has_failed() {
            return self.way_back().filter(is_left);
        }
        usual.find(is_left)
    }

    /// Whether a phase has failed that is followed by the way back.
    fn has_failed(&self) -> bool {
        let mut phases = self.status.phases.iter();
        phases.any(|known| known.state == StepState::Failed)
    }

    /// What takes a failed change back.
    fn way_back(&self) -> Option<MigrationPhase> {
        match self.rules.rollback.on_failure {
            OnMigrationFailure::Manual => None,
            OnMigrationFailure::Down => Some(MigrationPhase::Down),
            OnMigrationFailure::Restore => Some(MigrationPhase::Restore),
        }
    }

    /// Goes one step on. `name` is the name of a phase's Job, `find` that Job.
    pub fn advance<'c>(
        &mut self,
        name: impl Fn(MigrationPhase) -> String,
        find: impl Fn(&str) -> Option<&'c Check>,
    ) -> Next {
        if self.status.state.is_over() {
            return Next::Over;
        }
        let Some(phase) = self.current() else {
            let state = if self.has_failed() {
                MigrationState::RolledBack
            } else {
                MigrationState::Done
            };
            return self.end(state);
        };
        let job = name(phase);
        let check = find(&job);
        self.status.state = state_in(phase);
        let known = self.status.phase(phase).map(|known| known.state);
        match (known, check) {
            (None | Some(StepState::Pending), None) => {
                self.put(phase, &job, StepState::Pending, "made");
                Next::Make(phase)
            }
            // It is on record as begun before it is let go; one that is let go already has lost its record.
            (None | Some(StepState::Pending), Some(check)) => {
                self.put(phase, &job, StepState::Running, "runs");
                if check.is_suspended {
                    Next::Release(phase)
                } else {
                    Next::Again
                }
            }
            (Some(StepState::Running), Some(check)) if check.is_suspended => Next::Release(phase),
            (Some(StepState::Running), Some(check)) => self.look(phase, check),
            (Some(StepState::Running), None) => {
                self.lose(phase, "its Job is gone, and nobody knows what it did")
            }
            (Some(StepState::Succeeded | StepState::Failed | StepState::Skipped), _) => {
                self.end(MigrationState::Stuck)
            }
        }
    }

    /// What the Job of a phase that runs has come to.
    fn look(&mut self, phase: MigrationPhase, check: &Check) -> Next {
        let is_settled = check
            .finished_at
            .is_none_or(|at| self.now >= after(at, SETTLE));
        let exit = check.ending.as_ref().map(|ending| ending.exit_code);
        let said = |check: &Check| {
            let text = check.ending.as_ref().map(|ending| Told::read(&ending.text));
            text.and_then(|told| told.said).unwrap_or_default()
        };
        match (&check.outcome, exit) {
            (Outcome::Running, _) => self.wait(phase),
            (Outcome::Stuck(why), _) if phase.changes() => {
                self.message = format!("{} cannot start: {why}", word(phase));
                self.wait(phase)
            }
            (Outcome::Stuck(why), _) => self.fail(phase, &why.clone()),
            // The pod says more in a moment.
            (Outcome::Passed | Outcome::Failed(_) | Outcome::Lost(_), None) if !is_settled => {
                let until = check.finished_at.unwrap_or(self.now);
                Next::Await(phase, after(until, SETTLE))
            }
            (Outcome::Passed, _) => {
                let ending = check.ending.as_ref();
                let told = ending.map(|ending| Told::read(&ending.text));
                self.pass(phase, told)
            }
            (Outcome::Failed(_), Some(code @ 1..128)) => {
                let text = format!("exit code {code}: {}", said(check));
                self.fail(phase, text.trim_end_matches([':', ' ']))
            }
            (Outcome::Failed(why) | Outcome::Lost(why), _) => {
                let why = format!("it did not end by itself: {why}");
                self.lose(phase, &why)
            }
        }
    }

    fn wait(&mut self, phase: MigrationPhase) -> Next {
        let known = self.status.phase(phase);
        let started = known.and_then(|known| known.started_at.as_ref());
        let started = started.map_or(self.now, |at| at.0);
        let timeout = self.rules.command(phase).map(|(_, timeout)| timeout);
        let deadline = after(started, timeout.unwrap_or_default().saturating_add(GRACE));
        if self.now >= deadline {
            return self.lose(phase, "its Job did not end in time, and may still run");
        }
        if self.message.is_empty() {
            self.message = format!("{} runs", word(phase));
        }
        Next::Await(phase, deadline)
    }

    /// A phase whose command ended well, and what it told; nothing, where its pod is gone.
    fn pass(&mut self, phase: MigrationPhase, told: Option<Told>) -> Next {
        let is_lost = told.is_none();
        let told = told.unwrap_or_default();
        let needs = matches!(phase, MigrationPhase::Validate | MigrationPhase::Backup);
        if is_lost && needs {
            return self.fail(phase, "its pod is gone, and with it what it told");
        }
        if let Err(problem) = self.take(phase, &told) {
            return self.fail(phase, &problem);
        }
        let job = self.job_of(phase);
        let said = told.said.as_deref().unwrap_or("passed");
        self.put(phase, &job, StepState::Succeeded, said);
        if phase == MigrationPhase::Validate && told.is_up_to_date {
            "nothing is pending".clone_into(&mut self.message);
            return self.end(MigrationState::Done);
        }
        if matches!(phase, MigrationPhase::Down | MigrationPhase::Restore)
            && self.course == Course::Forward
        {
            return self.end(MigrationState::RolledBack);
        }
        Next::Again
    }

    /// Takes what a command told into the record, and says what is wrong with it.
    fn take(&mut self, phase: MigrationPhase, told: &Told) -> Result<(), String> {
        match phase {
            MigrationPhase::Validate => {
                self.status.version_before.clone_from(&told.version);
                self.status.version.clone_from(&told.version);
                self.status.pending.clone_from(&told.pending);
                self.status.destructive.clone_from(&told.destructive);
                let Some(first) = told.destructive.first() else {
                    return Ok(());
                };
                if self.rules.allow_destructive {
                    return Ok(());
                }
                Err(format!(
                    "it is destructive ({first}): move that into contract, or set migrations.allowDestructive"
                ))
            }
            MigrationPhase::Backup => {
                let least = self.rules.backup.as_ref().map_or(1, |rule| rule.min_bytes);
                let (Some(reference), Some(bytes)) = (&told.backup, told.bytes) else {
                    return Err(
                        "it did not tell where the backup is (backup …), or how large (bytes …)"
                            .to_owned(),
                    );
                };
                self.status.backup = Some(BackupStatus {
                    reference: reference.clone(),
                    bytes,
                    tested_at: None,
                });
                if bytes < least {
                    return Err(format!(
                        "the backup has {bytes} bytes, and should have at least {least} (migrations.backup.minBytes)"
                    ));
                }
                Ok(())
            }
            MigrationPhase::RestoreTest => {
                if let Some(backup) = &mut self.status.backup {
                    backup.tested_at = Some(Time(self.now));
                }
                Ok(())
            }
            MigrationPhase::Run
            | MigrationPhase::Verify
            | MigrationPhase::Down
            | MigrationPhase::Restore
            | MigrationPhase::Contract => {
                if told.version.is_some() {
                    self.status.version.clone_from(&told.version);
                }
                Ok(())
            }
        }
    }

    /// A phase that failed, and that is known.
    fn fail(&mut self, phase: MigrationPhase, why: &str) -> Next {
        let was_harmless = self.status.is_harmless();
        let job = self.job_of(phase);
        self.put(phase, &job, StepState::Failed, why);
        self.message = format!("{} failed: {why} (Job {job})", word(phase));
        if was_harmless {
            return self.end(MigrationState::Refused);
        }
        let is_way_back = matches!(phase, MigrationPhase::Down | MigrationPhase::Restore);
        if is_way_back || self.course != Course::Forward || self.way_back().is_none() {
            return self.end(MigrationState::Stuck);
        }
        Next::Again
    }

    /// A phase of which nobody knows what it did.
    fn lose(&mut self, phase: MigrationPhase, why: &str) -> Next {
        let was_harmless = self.status.is_harmless();
        let job = self.job_of(phase);
        self.put(phase, &job, StepState::Failed, why);
        self.message = format!("{} is lost: {why} (Job {job})", word(phase));
        self.end(if was_harmless {
            MigrationState::Refused
        } else {
            MigrationState::Stuck
        })
    }

    fn end(&mut self, state: MigrationState) -> Next {
        self.status.state = state;
        Next::Over
    }

    fn job_of(&self, phase: MigrationPhase) -> String {
        let known = self.status.phase(phase);
        known.map(|known| known.job.clone()).unwrap_or_default()
    }

    fn put(&mut self, phase: MigrationPhase, job: &str, state: StepState, message: &str) {
        let phases = &mut self.status.phases;
        if !phases.iter().any(|known| known.phase == phase) {
            phases.push(PhaseStatus {
                phase,
                state: StepState::Pending,
                job: job.to_owned(),
                started_at: None,
                finished_at: None,
                message: None,
            });
        }
        let Some(known) = phases.iter_mut().find(|known| known.phase == phase) else {
            return;
        };
        if state == StepState::Running && known.started_at.is_none() {
            known.started_at = Some(Time(self.now));
        }
        let is_over = !matches!(state, StepState::Pending | StepState::Running);
        known.finished_at = is_over.then_some(Time(self.now));
        known.state = state;
        known.message = Some(truncate(message, MAX_MESSAGE).to_owned());
    }
}

/// Where migrations are while a phase is next or under way.
pub fn state_in(phase: MigrationPhase) -> MigrationState {
    match phase {
        MigrationPhase::Validate => MigrationState::Validating,
        MigrationPhase::Backup | MigrationPhase::RestoreTest => MigrationState::BackingUp,
        MigrationPhase::Run | MigrationPhase::Contract => MigrationState::Running,
        MigrationPhase::Verify => MigrationState::Verifying,
        MigrationPhase::Down | MigrationPhase::Restore => MigrationState::RollingBack,
    }
}

/// The Secrets that migrations name, and the keys that these have to have.
pub fn secrets(rules: &Migrations) -> BTreeMap<String, Named> {
    secrets_of("spec.migrations", &rules.env)
}

/// The Secrets that variables name.
pub fn secrets_of(path: &str, env: &[MigrationVariable]) -> BTreeMap<String, Named> {
    let mut all: BTreeMap<String, Named> = BTreeMap::new();
    for variable in env {
        let Some(secret) = &variable.secret_ref else {
            continue;
        };
        let named = all.entry(secret.name.clone()).or_insert_with(|| Named {
            path: format!("{path}.env[{}]", variable.name),
            ..Named::default()
        });
        named.keys.insert(secret.key.clone());
    }
    all
}

/// A phase, as people write it.
pub fn word(phase: MigrationPhase) -> &'static str {
    match phase {
        MigrationPhase::Validate => "validate",
        MigrationPhase::Backup => "backup",
        MigrationPhase::RestoreTest => "restore-test",
        MigrationPhase::Run => "run",
        MigrationPhase::Verify => "verify",
        MigrationPhase::Down => "down",
        MigrationPhase::Restore => "restore",
        MigrationPhase::Contract => "contract",
    }
}

#[cfg(test)]
mod tests;
