//! The migrations of a promotion: before its traffic moves, or after it has moved back; and those that are asked for alone. No I/O.
//!
//! The machine is in `environment/migration.rs`. Here is what stands around it: the lock of the database, what may still end it,
//! and what its end means for the promotion. A promotion that migrates has not started, as `desired` sees it: traffic cannot
//! move before the database is where it has to be.

use std::time::Duration;

use super::super::api::{Migrations, OnRollback};
use super::super::migration::{Course, Machine, Next, secrets, state_in, word};
use super::super::observed::Check;
use super::super::render;
use super::advance::set;
use super::history::Entry;
use super::ruling::SLIPWAY;
use super::{Draft, after};
use crate::model::action::Action;
use crate::pipeline::secret;
use crate::promotion::api::{
    MigrationPhase, MigrationState, MigrationStatus, PromotionKind, PromotionPhase, StepState,
    StepStatus,
};
use crate::promotion::audit;

/// How often it is looked again whether somebody else's lock, or a missing Secret, is still in the way.
const AGAIN: Duration = Duration::from_secs(10);

/// Reason of a promotion that waits for its turn at the database.
const WAITING: &str = "WaitingForDatabase";

/// What is in the way of a phase.
pub(super) struct Waits {
    reason: &'static str,
    pub(super) message: String,
}

impl<'a> Draft<'a> {
    /// Whether a promotion waits for migrations before its traffic moves.
    pub(super) fn needs_migrations(&self, entry: &Entry<'a>) -> bool {
        !entry.is_rollback() && !entry.is_config() && self.rules_for(entry).is_some()
    }

    /// What is to be done for a promotion, and the image that has the commands.
    fn rules_for(&self, entry: &Entry<'a>) -> Option<(&'a Migrations, &'a str)> {
        let rules = self.seen.spec.migrations.as_ref()?;
        let images = match self.left_by(entry) {
            Some(left) => left.images(),
            None => entry.images(),
        };
        Some((rules, render::image(rules, images)?))
    }

    /// The promotion that a rollback leaves behind.
    fn left_by(&self, entry: &Entry<'a>) -> Option<&Entry<'a>> {
        let left = entry.record.spec.previous.as_ref();
        let left = left.filter(|left| entry.is_rollback() && *left != entry.release())?;
        let number = entry.record.spec.number;
        let mut earlier = self.history.entries.iter().rev();
        earlier.find(|other| {
            other.record.spec.number < number
                && other.release() == left
                && other.started_at.is_some()
                && !other.is_config()
        })
    }

    /// Whether the database goes back too, once a rollback has the traffic.
    pub(super) fn owes_way_back(&self, entry: &Entry<'a>) -> bool {
        let is_over = |status: &MigrationStatus| status.state.is_over();
        let known = entry.record.status.migrations.as_ref();
        let Some((rules, _)) = self.rules_for(entry).filter(|_| entry.is_rollback()) else {
            return false;
        };
        let Some(left) = self.left_by(entry) else {
            return false;
        };
        let was_changed = left.record.status.migrations.as_ref().is_some_and(|done| {
            done.state == MigrationState::Done && done.has_passed(MigrationPhase::Run)
        });
        let mut alone = self.history.migrations.iter();
        let was_contracted =
            alone.any(|other| other.release() == left.release() && other.has_contracted());
        let is_wanted = rules.rollback.on_rollback == OnRollback::Down;
        let is_known = was_changed && !was_contracted && !self.waits_for_eyes(entry);
        is_wanted && is_known && !known.is_some_and(is_over)
    }

    /// Whether the last migrations before this rollback are stuck, so that nothing touches the database until a person has
    /// looked. Who asks for a way back again that got stuck itself has.
    fn waits_for_eyes(&self, entry: &Entry<'a>) -> bool {
        let spec = &entry.record.spec;
        let all = self.history.all();
        let earlier = all.filter(|other| other.record.spec.number < spec.number);
        let migrated = earlier.filter(|other| other.record.status.migrations.is_some());
        let Some(last) = migrated.max_by_key(|other| other.record.spec.number) else {
            return false;
        };
        let known = last.record.status.migrations.as_ref();
        let is_stuck = known.is_some_and(|known| known.state == MigrationState::Stuck);
        let is_again = last.is_rollback()
            && spec.decision.is_some()
            && last.record.spec.previous == spec.previous;
        is_stuck && !is_again
    }

    /// Sends a promotion whose Rollouts are back to its database.
    pub(super) fn begin_way_back(&mut self, entry: &Entry<'a>, steps: Vec<StepStatus>) {
        let now = self.now;
        self.write(entry, |status| {
            status.steps = steps;
            let text = "every Rollout is back; the database goes back too";
            audit::append(&mut status.audit, now, SLIPWAY, text);
            set(status, PromotionPhase::Migrating, "Migrating", text);
        });
    }

    /// One step on.
    pub(super) fn migrate(&mut self, entry: &Entry<'a>) {
        let known = entry.record.status.migrations.as_ref();
        let Some((rules, image)) = self.rules_for(entry) else {
            return self.without_rules(entry);
        };
        let course = match entry.record.spec.kind {
            PromotionKind::Promote | PromotionKind::Config | PromotionKind::Migrate => {
                Course::Forward
            }
            PromotionKind::Rollback => Course::Back,
            PromotionKind::Contract => Course::Contract,
        };
        let mut machine = Machine::new(course, rules, known, self.now);
        if known.is_none() {
            self.tell_where_it_was(entry, &mut machine);
        }
        if entry.record.spec.kind == PromotionKind::Promote && self.has_stopped(entry, &machine) {
            return;
        }
        let (seen, record) = (self.seen, entry.record);
        if machine.current().is_some() && self.is_kept_waiting(entry, rules, &machine) {
            return;
        }
        let is_its = |check: &&Check| check.promotion == record.target.uid;
        let next = machine.advance(
            |phase| render::phase_job_name(record, phase),
            |name| seen.checks.get(name).filter(is_its),
        );
        self.carry_out(entry, machine, next, image);
    }

    /// Whether a promotion whose traffic waits for its migrations does not go on with them: it has ended, or waits for its gates
    /// again.
    fn has_stopped(&mut self, entry: &Entry<'a>, machine: &Machine<'a>) -> bool {
        let is_harmless = machine.status.is_harmless();
        if is_harmless
            && !machine.status.is_running()
            && let Some((phase, reason, actor, text)) = self.end_before_start(entry)
        {
            self.leave(entry, (phase, reason, &actor, &text));
            return true;
        }
        if is_harmless && self.wishes_back() {
            self.give_way(entry);
            return true;
        }
        // As long as somebody else has the database, what stands against it makes no difference.
        let has_turn = self.held_by_another(entry).is_none();
        machine.status.phases.is_empty() && has_turn && self.is_stopped(entry)
    }

    /// Whether something stands against a promotion again when it is its turn at the database. It goes back to waiting for
    /// that, and leaves the database to others.
    fn is_stopped(&mut self, entry: &Entry<'a>) -> bool {
        let gates = self.gates(entry);
        let is_closed = !gates.have_passed();
        let is_asking = !gates.questions.is_empty();
        if is_closed {
            self.free(entry);
            self.keep_waiting(entry, &gates);
        }
        self.gates = gates;
        is_closed || is_asking
    }

    /// Whether the lock of the database, or a Secret, comes first.
    fn is_kept_waiting(
        &mut self,
        entry: &Entry<'a>,
        rules: &Migrations,
        machine: &Machine<'a>,
    ) -> bool {
        if self.takes_lock(entry, machine) {
            return true;
        }
        let is_idle = !machine.status.is_running();
        let waits = self.held_by_another(entry);
        let waits = waits.or_else(|| self.lacks_secret(rules).filter(|_| is_idle));
        let Some(waits) = waits else {
            return false;
        };
        if is_idle && !machine.status.is_harmless() && self.wishes_back() {
            self.leave_unfinished(entry, machine, &waits);
        } else {
            self.wait_for_guard(entry, machine, &waits);
        }
        true
    }

    /// What is next, on record and then done.
    fn carry_out(&mut self, entry: &Entry<'a>, machine: Machine<'a>, next: Next, image: &str) {
        let (seen, record) = (self.seen, entry.record);
        match next {
            Next::Over => self.after_migrations(entry, machine),
            Next::Again => self.note(entry, machine, None),
            Next::Await(_, until) => {
                self.wake_at(until);
                self.note(entry, machine, None);
            }
            Next::Make(phase) => {
                let status = machine.status.clone();
                let telling = render::Telling {
                    status: &status,
                    image,
                    commit: self.commit_of(entry),
                };
                let job = render::phase_job(seen, record, (machine.rules, phase), telling);
                self.note(entry, machine, None);
                self.actions.extend(job.map(Action::Create));
            }
            Next::Release(phase) => {
                let name = render::phase_job_name(record, phase);
                let job = seen.checks.get(&name);
                let job = job.map(|job| render::let_go(&job.target));
                self.note(entry, machine, Some(phase));
                self.actions.extend(job);
            }
        }
    }

    /// The way back leads to where the database was before the promotion that is left.
    fn tell_where_it_was(&self, entry: &Entry<'a>, machine: &mut Machine<'a>) {
        let left = self.left_by(entry);
        if let Some(done) = left.and_then(|left| left.record.status.migrations.as_ref()) {
            machine
                .status
                .version_before
                .clone_from(&done.version_before);
            machine.status.version.clone_from(&done.version);
        }
    }

    /// Takes the lock of the database, or frees it of a record of this Environment that has ended without freeing it: only
    /// somebody who has looked can have asked for this one. True: that comes first.
    fn takes_lock(&mut self, entry: &Entry<'a>, machine: &Machine<'a>) -> bool {
        let seen = self.seen;
        let lock = &seen.lock;
        match &lock.held {
            None => {
                // Which database it is goes on record first: the spec may name another one by the time it is freed.
                let mut migrations = machine.status.clone();
                migrations.state = machine.current().map_or(migrations.state, state_in);
                let message = format!("takes the lock of database {}", migrations.database);
                self.write(entry, |status| {
                    status.migrations = Some(migrations);
                    set(status, PromotionPhase::Migrating, "Migrating", &message);
                });
                let lease = render::lock(seen, entry.record, self.now);
                self.actions.push(Action::Create(lease));
                true
            }
            Some((holder, target)) => {
                if !self.has_left(holder) {
                    return false;
                }
                self.actions.push(Action::Delete {
                    target: target.clone(),
                    orphan: false,
                });
                true
            }
        }
    }

    /// Whether who holds the lock is a record of this Environment that is on record to have ended its migrations.
    fn has_left(&self, holder: &str) -> bool {
        let records = self.seen.promotions.iter().chain(&self.seen.migrations);
        let mut holders = records.filter(|record| render::holder(self.seen, record) == holder);
        holders.any(|record| {
            let known = record.status.migrations.as_ref();
            known.is_some_and(|known| known.state.is_over())
        })
    }

    fn held_by_another(&self, entry: &Entry<'a>) -> Option<Waits> {
        let lock = &self.seen.lock;
        let (holder, _) = lock.held.as_ref()?;
        let is_own = *holder == render::holder(self.seen, entry.record);
        (!is_own).then(|| Waits {
            reason: WAITING,
            message: format!(
                "Promotion {holder} migrates the database; if it is gone, look at the database, then delete Lease {}",
                lock.key
            ),
        })
    }

    fn lacks_secret(&self, rules: &Migrations) -> Option<Waits> {
        let refusal = secret::refusal_of(&secrets(rules), &self.seen.secrets)?;
        Some(Waits {
            reason: refusal.reason,
            message: refusal.message,
        })
    }

    fn wait_for_guard(&mut self, entry: &Entry<'a>, machine: &Machine<'a>, waits: &Waits) {
        self.wake_at(after(self.now, AGAIN));
        let mut migrations = machine.status.clone();
        if waits.reason == WAITING && migrations.phases.is_empty() {
            migrations.state = MigrationState::Waiting;
        }
        self.write(entry, |status| {
            status.migrations = Some(migrations);
            let message = format!("waits: {}", waits.message);
            set(status, PromotionPhase::Migrating, waits.reason, &message);
        });
    }

    /// Puts on record how far it is. A phase that changes the database is told of when it is let go.
    fn note(&mut self, entry: &Entry<'a>, machine: Machine<'a>, begun: Option<MigrationPhase>) {
        let now = self.now;
        let known = entry.record.status.migrations.as_ref();
        let was_running = |phase: MigrationPhase| {
            let phase = known.and_then(|known| known.phase(phase));
            phase.is_some_and(|phase| phase.state == StepState::Running)
        };
        let begun = begun.filter(|phase| !was_running(*phase));
        let Machine {
            status: migrations,
            message,
            ..
        } = machine;
        let message = if message.is_empty() {
            format!("{}: database {}", migrations.state, migrations.database)
        } else {
            format!("database {}: {message}", migrations.database)
        };
        self.write(entry, |status| {
            if let Some(phase) = begun {
                let text = format!("{} begins on database {}", word(phase), migrations.database);
                audit::append(&mut status.audit, now, SLIPWAY, &text);
            }
            status.migrations = Some(migrations);
            set(status, PromotionPhase::Migrating, "Migrating", &message);
        });
    }
}
