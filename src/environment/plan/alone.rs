//! The way of migrations that are asked for alone: by a person, or as a contract. No I/O.
//!
//! As long as nothing was changed they give way: to people who refuse or stop them, to going back, and, where it is a contract,
//! to what would have kept it from being asked for. `contract` says when they are asked for, `migrate` how they go.

use super::super::api::NotificationEvent;
use super::Draft;
use super::advance::set;
use super::gate::{APPROVALS, HOLD};
use super::history::Entry;
use super::overrule::Override;
use super::ruling::SLIPWAY;
use crate::model::action::Action;
use crate::promotion::api::{
    Approval, MigrationPhase, MigrationStatus, PromotionKind, PromotionPhase, StepState,
};
use crate::promotion::audit;

/// How a record ends before it changed anything: phase, reason, who, and what is said.
type End = (PromotionPhase, &'static str, String, String);

/// Reason of a record that something else took the place of before it changed anything.
pub(super) const SUPERSEDED: &str = "Superseded";

impl<'a> Draft<'a> {
    /// A record of migrations alone.
    pub(super) fn migrate_alone(&mut self, entry: &Entry<'a>) {
        let known = entry.record.status.migrations.as_ref();
        let is_harmless = known.is_none_or(MigrationStatus::is_harmless);
        let is_running = known.is_some_and(MigrationStatus::is_running);
        let has_begun = known.is_some_and(|known| {
            let mut phases = known.phases.iter();
            phases.any(|phase| phase.phase != MigrationPhase::Validate)
        });
        if is_harmless
            && !is_running
            && let Some((phase, reason, actor, text)) = self.end_alone(entry)
        {
            return self.leave(entry, (phase, reason, &actor, &text));
        }
        if is_harmless && self.wishes_back() {
            return self.give_way(entry);
        }
        let is_asked = entry.record.spec.kind == PromotionKind::Migrate;
        if is_asked && !has_begun && !is_running && self.waits_for_gates(entry) {
            return;
        }
        self.migrate(entry);
    }

    /// What ends a record that has not changed anything.
    fn end_alone(&self, entry: &Entry<'a>) -> Option<End> {
        let why = |reason: &Option<String>| {
            let reason = reason.as_deref();
            reason.unwrap_or("no reason given").to_owned()
        };
        if let Some(act) = self.rejection(entry) {
            let user = act.spec.user.clone();
            let text = format!("refused by {user}: {}", why(&act.spec.reason));
            return Some((PromotionPhase::Failed, "Rejected", user, text));
        }
        if let Some(act) = self.abortion(entry) {
            let user = act.spec.user.clone();
            let why = why(&act.spec.reason);
            let text = format!("stopped by {user}: {why}; nothing was changed");
            return Some((PromotionPhase::Failed, "Aborted", user, text));
        }
        if entry.record.spec.kind == PromotionKind::Contract {
            let text = self.said_against_contract(entry)?;
            let end = (
                PromotionPhase::Superseded,
                SUPERSEDED,
                SLIPWAY.to_owned(),
                text,
            );
            return Some(end);
        }
        let known = entry.record.status.migrations.as_ref();
        let is_asking = known.is_some_and(|known| {
            known.has_passed(MigrationPhase::Validate) && known.phases.len() == 1
        });
        let text = is_asking.then(|| self.approval_timeout(entry)).flatten()?;
        let phase = PromotionPhase::Failed;
        Some((phase, "ApprovalTimeout", SLIPWAY.to_owned(), text))
    }

    /// Whether something or somebody wants to go back.
    pub(super) fn wishes_back(&mut self) -> bool {
        let is_back = |kind| kind == PromotionKind::Rollback;
        self.way_back_wish().is_some() || self.pending_wish().is_some_and(|wish| is_back(wish.kind))
    }

    /// Ends what has changed nothing, because going back comes first. What runs meanwhile only looks, or makes a copy: it is
    /// given up.
    pub(super) fn give_way(&mut self, entry: &Entry<'a>) {
        let known = entry.record.status.migrations.iter();
        let phases = known.flat_map(|known| &known.phases);
        for phase in phases.filter(|phase| phase.state == StepState::Running) {
            let job = self.seen.checks.get(&phase.job);
            self.actions.extend(job.map(|job| Action::Delete {
                target: job.target.clone(),
                orphan: false,
            }));
        }
        let text = "going back comes first; nothing was changed";
        let end = (PromotionPhase::Superseded, SUPERSEDED, SLIPWAY, text);
        self.leave(entry, end);
    }

    /// Whether something stands against migrations that a person asked for. Holds do not: people mend with them what is held.
    /// Others are asked for their approval once it is known what is pending.
    fn waits_for_gates(&mut self, entry: &Entry<'a>) -> bool {
        let known = entry.record.status.migrations.as_ref();
        let has_looked = known.is_some_and(|known| known.has_passed(MigrationPhase::Validate));
        let gates = self.gates(entry);
        let counts = |name: &str| name != HOLD && (has_looked || name != APPROVALS);
        let open = gates.open().find(|gate| counts(&gate.name)).cloned();
        let (approvals, overrides) = (gates.approvals.clone(), gates.overrides.clone());
        let is_asking = !gates.questions.is_empty();
        self.gates = gates;
        if let Some(open) = open {
            let what = open.message.as_deref().unwrap_or("?");
            let until = open.until.as_ref().map(|at| at.0);
            if let Some(at) = until.filter(|at| *at > self.now) {
                self.wake_at(at);
            }
            if open.name == APPROVALS {
                self.ask_people(entry, what);
            } else {
                let message = format!("waits for {}: {what}", open.name);
                self.write(entry, |status| {
                    set(status, PromotionPhase::Pending, "GateClosed", &message);
                });
            }
            return true;
        }
        is_asking || self.tell_who_let_pass(entry, has_looked, approvals, &overrides)
    }

    /// Puts on record, and announces, who approved of it and who let it pass gates. Whether there was something new.
    fn tell_who_let_pass(
        &mut self,
        entry: &Entry<'a>,
        has_looked: bool,
        approvals: Vec<Approval>,
        overrides: &[Override],
    ) -> bool {
        let known = &entry.record.status;
        let is_new = |by: &&Override| !audit::has(&known.audit, &by.said);
        let overrides: Vec<&Override> = overrides.iter().filter(is_new).collect();
        // Before it is known what is pending nobody has approved of that.
        let are_new = has_looked && approvals != known.approvals;
        if overrides.is_empty() && !are_new {
            return false;
        }
        if !overrides.is_empty() {
            self.announce(NotificationEvent::GateOverridden, entry.name());
        }
        let now = self.now;
        self.write(entry, |status| {
            for approval in approvals.iter().filter(|_| are_new) {
                let text = format!("approved with Decision {}", approval.decision);
                audit::append(&mut status.audit, now, &approval.user, &text);
            }
            for by in overrides {
                audit::append(&mut status.audit, now, &by.user, &by.said);
            }
            if are_new {
                status.approvals = approvals;
            }
            let message = "nothing stands against it";
            set(status, PromotionPhase::Migrating, "Migrating", message);
        });
        true
    }

    /// What is pending is on record; people say whether it is done.
    fn ask_people(&mut self, entry: &Entry<'a>, what: &str) {
        let known = entry.record.status.migrations.as_ref();
        let pending = known.map(|known| known.pending.join(", "));
        let pending = pending.filter(|pending| !pending.is_empty());
        let pending = pending.unwrap_or_else(|| "what is pending was not told".to_owned());
        let is_news = entry.record.status.phase != Some(PromotionPhase::AwaitingApproval);
        let message = format!("waits for approvals: {what}; pending: {pending}");
        self.write(entry, |status| {
            let phase = PromotionPhase::AwaitingApproval;
            set(status, phase, "AwaitingApproval", &message);
        });
        if is_news {
            self.announce(NotificationEvent::ApprovalNeeded, entry.name());
        }
    }
}
