//! What the end of migrations means: for the promotion, for the lock, and for people. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::NotificationEvent;
use super::super::migration::{Machine, word};
use super::super::render;
use super::advance::{begin, set};
use super::history::Entry;
use super::migrate::Waits;
use super::ruling::SLIPWAY;
use super::{Draft, Said};
use crate::model::action::Action;
use crate::model::text::truncate;
use crate::promotion::api::{
    MigrationPhase, MigrationState, MigrationStatus, PromotionPhase, StepState,
};
use crate::promotion::audit;

/// Reason of a promotion of whose database nobody knows what became.
pub(super) const STUCK: &str = "MigrationStuck";
/// Reason of a promotion whose migrations failed after they had changed something.
pub(super) const FAILED: &str = "MigrationFailed";
/// Longest cause that is told, in bytes.
const MAX_CAUSE: usize = 600;

impl<'a> Draft<'a> {
    /// Ends a record before anything was changed, and frees the database.
    pub(super) fn leave(
        &mut self,
        entry: &Entry<'a>,
        end: (PromotionPhase, &'static str, &str, &str),
    ) {
        self.free(entry);
        let (phase, reason, actor, text) = end;
        self.conclude(entry, phase, (reason, actor, text), None);
    }

    pub(super) fn free(&mut self, entry: &Entry<'a>) {
        if let Some((holder, target)) = &self.seen.lock.held
            && *holder == render::holder(self.seen, entry.record)
        {
            self.actions.push(Action::Delete {
                target: target.clone(),
                orphan: false,
            });
        }
    }

    /// What the end of the migrations means. The lock goes before the record says so, unless people have to look.
    pub(super) fn after_migrations(&mut self, entry: &Entry<'a>, machine: Machine<'a>) {
        let state = machine.status.state;
        let message = told_of(&machine);
        let migrations = Some(machine.status);
        if state != MigrationState::Stuck {
            self.free(entry);
        }
        let is_alone = entry.record.spec.kind.is_of_database();
        let said = |reason: &'static str| (reason, SLIPWAY, message.as_str());
        if entry.is_rollback() && state != MigrationState::Stuck {
            return self.go_on_back(entry, &message, migrations);
        }
        match state {
            MigrationState::Stuck => {
                self.conclude(entry, PromotionPhase::Failed, said(STUCK), migrations);
            }
            MigrationState::Done if is_alone => {
                let end = said("Succeeded");
                self.conclude(entry, PromotionPhase::Succeeded, end, migrations);
            }
            MigrationState::Done => match self.stopped_meanwhile(entry) {
                Some((reason, actor, text)) => {
                    let end = (reason, &*actor, &*text);
                    self.conclude(entry, PromotionPhase::Failed, end, migrations);
                }
                None => self.go_on(entry, &message, migrations),
            },
            MigrationState::Refused => {
                let end = said("MigrationRefused");
                self.conclude(entry, PromotionPhase::Failed, end, migrations);
            }
            MigrationState::RolledBack
            | MigrationState::Waiting
            | MigrationState::Validating
            | MigrationState::BackingUp
            | MigrationState::Running
            | MigrationState::Verifying
            | MigrationState::RollingBack => {
                let end = said(FAILED);
                self.conclude(entry, PromotionPhase::Failed, end, migrations);
            }
        }
    }

    /// What people said against the Release while its migrations ran: reason, who, and what is said. Nothing moves then; the
    /// database stays as it has become.
    fn stopped_meanwhile(&self, entry: &Entry<'a>) -> Option<(&'static str, String, String)> {
        let (_, reason, actor, text) = self.said_against(entry)?;
        let text = format!("{text}; the database has been migrated for it");
        Some((reason, actor, text))
    }

    /// The rules were taken out of the spec, or the Release has no such image.
    pub(super) fn without_rules(&mut self, entry: &Entry<'a>) {
        let known = entry.record.status.migrations.clone();
        let begun = known.as_ref().is_some_and(|known| {
            let mut phases = known.phases.iter();
            phases.any(|phase| phase.phase != MigrationPhase::Validate)
        });
        let text = "spec.migrations was taken out";
        if begun {
            let text = format!("{text} while they ran: look at the database");
            let stuck = known.map(|known| MigrationStatus {
                state: MigrationState::Stuck,
                ..known
            });
            let end = (STUCK, SLIPWAY, &*text);
            return self.conclude(entry, PromotionPhase::Failed, end, stuck);
        }
        if entry.record.spec.kind.is_of_database() {
            let end = (PromotionPhase::Superseded, "Superseded", SLIPWAY, text);
            return self.leave(entry, end);
        }
        self.free(entry);
        if entry.is_rollback() {
            return self.go_on_back(entry, text, known);
        }
        self.go_on(entry, text, known);
    }

    /// Ends a record that has changed the database and waits for somebody to go on, because going back comes first.
    pub(super) fn leave_unfinished(
        &mut self,
        entry: &Entry<'a>,
        machine: &Machine<'a>,
        waits: &Waits,
    ) {
        let why = &waits.message;
        let text = format!(
            "going back comes first, and what is left of the migrations waits: {why}; look at the database, then make a Decision Migrate or Retry"
        );
        let stuck = MigrationStatus {
            state: MigrationState::Stuck,
            ..machine.status.clone()
        };
        let end = (STUCK, SLIPWAY, &*text);
        self.conclude(entry, PromotionPhase::Failed, end, Some(stuck));
    }

    /// The traffic may move.
    fn go_on(&mut self, entry: &Entry<'a>, why: &str, migrations: Option<MigrationStatus>) {
        let now = self.now;
        let release = entry.release();
        self.write(entry, |status| {
            status.migrations = migrations;
            audit::append(&mut status.audit, now, SLIPWAY, why);
            begin(status, release, now);
        });
    }

    /// The tests of a way back come next.
    fn go_on_back(&mut self, entry: &Entry<'a>, why: &str, migrations: Option<MigrationStatus>) {
        let now = self.now;
        self.write(entry, |status| {
            status.migrations = migrations;
            audit::append(&mut status.audit, now, SLIPWAY, why);
            set(status, PromotionPhase::Verifying, "Verifying", why);
        });
    }

    pub(super) fn conclude(
        &mut self,
        entry: &Entry<'a>,
        phase: PromotionPhase,
        (reason, actor, text): (&str, &str, &str),
        migrations: Option<MigrationStatus>,
    ) {
        let now = self.now;
        let incidents = self.incidents_of_database(entry, (reason, text), migrations.as_ref());
        self.write(entry, |status| {
            if migrations.is_some() {
                status.migrations = migrations;
            }
            status.incidents = incidents;
            status.finished_at = Some(Time(now));
            audit::append(&mut status.audit, now, actor, text);
            set(status, phase, reason, text);
        });
        if phase == PromotionPhase::Failed {
            self.announce(NotificationEvent::PromotionFailed, entry.name());
        }
    }

    /// How the database was left by the last record that migrated it.
    pub(super) fn said_of_migrations(&self) -> Option<(bool, Said)> {
        self.seen.spec.migrations.as_ref()?;
        let all = self
            .history
            .all()
            .filter_map(|entry| Some((entry, entry.record.status.migrations.as_ref()?)));
        let (last, left) = all.max_by_key(|(entry, _)| entry.record.spec.number)?;
        let is_good = left.state != MigrationState::Stuck;
        let reason = if is_good { left.state.as_str() } else { STUCK };
        let version = left.version.as_ref();
        let at = version.map_or(String::new(), |version| format!(" at version {version}"));
        let name = last.name();
        let mut text = format!(
            "database {}{at}: {} (Promotion {name})",
            left.database, left.state
        );
        if !is_good {
            text.push_str("; look at the database, then make a Decision Migrate, or Retry");
        }
        Some((is_good, Said::new(reason, text)))
    }
}

/// How the migrations ended, what that means and what to do.
fn told_of(machine: &Machine<'_>) -> String {
    let Machine {
        status, message, ..
    } = machine;
    let database = &status.database;
    let cause = truncate(message, MAX_CAUSE);
    let failed = status.phases.iter().rev().find_map(|phase| {
        let why = phase.message.as_deref().unwrap_or("?");
        (phase.state == StepState::Failed).then(|| format!("{} failed: {why}", word(phase.phase)))
    });
    let cause = match failed {
        Some(failed) if cause.is_empty() => failed,
        _ => cause.to_owned(),
    };
    match status.state {
        MigrationState::Done => match (&status.version, cause.is_empty()) {
            (Some(version), true) => format!("database {database} is at version {version}"),
            (Some(version), false) => {
                format!("database {database} is at version {version}: {cause}")
            }
            (None, true) => format!("the migrations of database {database} are done"),
            (None, false) => format!("database {database}: {cause}"),
        },
        MigrationState::Refused => {
            format!(
                "{cause}; database {database} was not changed; mend it, then make a Decision Retry"
            )
        }
        MigrationState::RolledBack => {
            format!(
                "{cause}; database {database} was taken back; mend it, then make a Decision Retry"
            )
        }
        MigrationState::Stuck
        | MigrationState::Waiting
        | MigrationState::Validating
        | MigrationState::BackingUp
        | MigrationState::Running
        | MigrationState::Verifying
        | MigrationState::RollingBack => format!(
            "{cause}; nobody touches database {database} until somebody has looked at it and made a Decision Migrate or Retry"
        ),
    }
}
