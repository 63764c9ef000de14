//! The way of one promotion, from its creation to its end. No I/O.
//!
//! ```text
//! Pending ─► AwaitingApproval ─► Migrating ─► Promoting ─► Verifying ─► Succeeded
//!    │              │        (see migrate)  │             │
//!    └──────────────┴─► Superseded          └──────┬──────┘
//!    └──────────────┴─► Failed (refused)           └─► RolledBack, followed by a Promotion of kind Rollback,
//!                                                      or Failed, where there is no way back
//! ```
//! The record is written first; `desired` is read off the records in the next plan.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{NotificationEvent, RollbackCause};
use super::freeze::FREEZE;
use super::gate::{APPROVALS, Gates};
use super::history::Entry;
use super::rollout::{Answer, rollout_steps};
use super::ruling::SLIPWAY;
use super::{Draft, after, shown};
use crate::model::action::Action;
use crate::model::text::truncate;
use crate::promotion::api::{
    PromotionKind, PromotionPhase, PromotionStatus, StepState, StepStatus,
};
use crate::promotion::{audit, status};

/// Longest message of a step, in bytes.
const MAX_STEP: usize = 500;

/// Why a promotion ends badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    By(RollbackCause),
    /// A person wants to go back.
    Person,
}

impl<'a> Draft<'a> {
    /// Takes the active promotion as far as it can go now.
    pub(super) fn advance(&mut self, entry: &Entry<'a>) {
        match entry.phase {
            PromotionPhase::Pending | PromotionPhase::AwaitingApproval => self.wait(entry),
            PromotionPhase::Migrating => self.migrate(entry),
            PromotionPhase::Promoting => self.bring_up(entry),
            PromotionPhase::Verifying => self.verify(entry),
            PromotionPhase::Succeeded
            | PromotionPhase::Failed
            | PromotionPhase::RolledBack
            | PromotionPhase::Superseded => {}
        }
    }

    fn wait(&mut self, entry: &Entry<'a>) {
        if entry.is_rollback() {
            return self.start(entry, &Gates::default());
        }
        if let Some((phase, reason, actor, message)) = self.end_before_start(entry) {
            let failed = phase == PromotionPhase::Failed;
            self.end(entry, phase, (reason, &actor, &message));
            if failed {
                self.announce(NotificationEvent::PromotionFailed, entry.name());
            }
            return;
        }
        let gates = self.gates(entry);
        if gates.have_passed() && gates.questions.is_empty() {
            self.start(entry, &gates);
        } else {
            self.keep_waiting(entry, &gates);
        }
        self.gates = gates;
    }

    pub(super) fn keep_waiting(&mut self, entry: &Entry<'a>, gates: &Gates) {
        let Some(open) = gates.first_open() else {
            return;
        };
        let asks_people = open.name == APPROVALS;
        let (phase, reason) = if asks_people {
            (PromotionPhase::AwaitingApproval, "AwaitingApproval")
        } else if open.name == FREEZE {
            (PromotionPhase::Pending, "Frozen")
        } else {
            (PromotionPhase::Pending, "GateClosed")
        };
        let ends = gates.all.iter().filter_map(|gate| gate.until.as_ref());
        if let Some(at) = ends.map(|at| at.0).filter(|at| *at > self.now).min() {
            self.wake_at(at);
        }
        let message = format!(
            "waits for {}: {}",
            open.name,
            open.message.as_deref().unwrap_or("?")
        );
        let is_news = entry.record.status.phase != Some(phase);
        let now = self.now;
        self.write(entry, |status| {
            if is_news {
                audit::append(&mut status.audit, now, SLIPWAY, &message);
            }
            set(status, phase, reason, &message);
            status.approvals.clone_from(&gates.approvals);
            // The database was left to others before anything was begun.
            status.migrations.take_if(|known| known.phases.is_empty());
        });
        if is_news && asks_people {
            self.announce(NotificationEvent::ApprovalNeeded, entry.name());
        } else if open.name == FREEZE && entry.record.status.reason.as_deref() != Some(reason) {
            self.announce(NotificationEvent::FreezeBlocked, entry.name());
        }
    }

    fn start(&mut self, entry: &Entry<'a>, gates: &Gates) {
        let now = self.now;
        if !gates.overrides.is_empty() {
            self.announce(NotificationEvent::GateOverridden, entry.name());
        }
        let release = entry.release();
        let migrates = self.needs_migrations(entry);
        self.write(entry, |status| {
            for approval in &gates.approvals {
                let text = format!("approved with Decision {}", approval.decision);
                audit::append(&mut status.audit, now, &approval.user, &text);
            }
            for by in &gates.overrides {
                audit::append(&mut status.audit, now, &by.user, &by.said);
            }
            for text in &gates.spared {
                audit::append(&mut status.audit, now, SLIPWAY, text);
            }
            status.approvals.clone_from(&gates.approvals);
            if migrates {
                let message = "the migrations of the database come first";
                set(status, PromotionPhase::Migrating, "Migrating", message);
            } else {
                begin(status, release, now);
            }
        });
    }

    fn bring_up(&mut self, entry: &Entry<'a>) {
        if self.must_leave(entry, RollbackCause::RolloutFailed) {
            return;
        }
        let answers = self.answers(entry);
        let failed = first_failed(&answers);
        let now = self.now;
        let steps = rollout_steps(&entry.record.status, &answers, now);
        if let Some(message) = failed {
            return self.fail(
                entry,
                steps,
                Cause::By(RollbackCause::RolloutFailed),
                &message,
            );
        }
        let waiting: Vec<&str> = answers
            .iter()
            .filter_map(|(_, answer)| match answer {
                Answer::Waiting(message, _) | Answer::Behind(message) => Some(message.as_str()),
                Answer::Unconcerned | Answer::Healthy | Answer::Failed(_) => None,
            })
            .collect();
        if let Some(first) = waiting.first() {
            let more = match waiting.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            let message = format!("waits for {first}{more}");
            for (_, answer) in &answers {
                if let Answer::Waiting(_, Some(deadline)) = answer {
                    self.wake_at(*deadline);
                }
            }
            return self.write(entry, |status| {
                status.steps = steps;
                set(
                    status,
                    PromotionPhase::Promoting,
                    "WaitingForRollouts",
                    &message,
                );
            });
        }
        if self.owes_way_back(entry) {
            return self.begin_way_back(entry, steps);
        }
        if self.seen.spec.smoke_tests.is_empty() {
            return self.succeed(entry, steps);
        }
        self.write(entry, |status| {
            status.steps = steps;
            let message = "every Rollout is healthy on these images; smoke tests run";
            audit::append(&mut status.audit, now, SLIPWAY, message);
            set(status, PromotionPhase::Verifying, "Verifying", message);
        });
    }

    pub(super) fn succeed(&mut self, entry: &Entry<'a>, steps: Vec<StepStatus>) {
        let now = self.now;
        let release = entry.release();
        self.write(entry, |status| {
            status.steps = steps;
            status.finished_at = Some(Time(now));
            let message = format!("{release} runs, and everything passed");
            audit::append(&mut status.audit, now, SLIPWAY, &message);
            set(status, PromotionPhase::Succeeded, "Succeeded", &message);
        });
        let event = if entry.is_rollback() {
            NotificationEvent::RolledBack
        } else {
            NotificationEvent::PromotionSucceeded
        };
        self.announce(event, entry.name());
    }

    /// Ends a promotion that is under way, where there is a reason to: a person, what it does to SLOs and alerts, another
    /// Environment, or its time. What it was at when its time ends is what has failed.
    pub(super) fn must_leave(&mut self, entry: &Entry<'a>, at: RollbackCause) -> bool {
        self.leave_if_asked(entry)
            || self.leave_for_burn(entry)
            || self.leave_for_alert(entry)
            || self.leave_if_revoked(entry)
            || self.leave_in_time(entry, at)
    }

    /// Ends a promotion that takes too long. Going back is not given up.
    fn leave_in_time(&mut self, entry: &Entry<'a>, at: RollbackCause) -> bool {
        let timeout = self.seen.spec.promotion.timeout;
        let Some((timeout, started)) = timeout.zip(entry.started_at) else {
            return false;
        };
        let deadline = after(started, timeout.into());
        if entry.is_rollback() {
            return false;
        }
        if self.now < deadline {
            self.wake_at(deadline);
            return false;
        }
        let timeout = shown(timeout.into());
        let was = entry.record.status.message.as_deref().unwrap_or("started");
        let message = format!("it took longer than {timeout} (spec.promotion.timeout): {was}");
        let steps = entry.record.status.steps.clone();
        self.fail(entry, steps, Cause::By(at), &message);
        true
    }

    /// Ends a promotion that a person wants to go back from.
    pub(super) fn leave_if_asked(&mut self, entry: &Entry<'a>) -> bool {
        if entry.is_rollback() {
            return false;
        }
        if let Some(act) = self.abortion(entry) {
            let why = act.spec.reason.as_deref().unwrap_or("no reason given");
            let message = format!("{} stopped it: {why}", act.spec.user);
            let steps = entry.record.status.steps.clone();
            self.fail(entry, steps, Cause::Person, &message);
            return true;
        }
        let Some(wish) = self.pending_wish() else {
            return false;
        };
        if wish.kind != PromotionKind::Rollback {
            let who = &wish.requested_by;
            self.notice(format!(
                "the promotion of {} that {who} asked for comes next",
                wish.release
            ));
            return false;
        }
        let message = format!("{} asked to go back", wish.requested_by);
        let steps = entry.record.status.steps.clone();
        self.fail(entry, steps, Cause::Person, &message);
        true
    }

    /// Ends a promotion badly: with a way back where there is one, else for people to look at.
    pub(super) fn fail(
        &mut self,
        entry: &Entry<'a>,
        steps: Vec<StepStatus>,
        cause: Cause,
        message: &str,
    ) {
        let reason = match cause {
            Cause::By(cause) => cause.as_str(),
            Cause::Person => "RollbackRequested",
        };
        let (phase, next) = match self.way_out(entry, cause) {
            Ok(release) => (
                PromotionPhase::RolledBack,
                format!("going back to {release}"),
            ),
            Err(why) => (PromotionPhase::Failed, why),
        };
        let text = format!("{}; {next}", truncate(message, 600));
        let now = self.now;
        let incidents = self.incidents_after(entry, cause, message, &next);
        self.write(entry, |status| {
            status.steps = steps;
            status.incidents = incidents;
            for step in &mut status.steps {
                if matches!(step.state, StepState::Pending | StepState::Running) {
                    step.state = StepState::Skipped;
                    step.finished_at = Some(Time(now));
                }
            }
            status.finished_at = Some(Time(now));
            audit::append(&mut status.audit, now, SLIPWAY, &text);
            set(status, phase, reason, &text);
        });
        self.announce(NotificationEvent::PromotionFailed, entry.name());
    }

    /// The Release to go back to, or why the Environment stays where it is.
    fn way_out(&self, entry: &Entry<'a>, cause: Cause) -> Result<String, String> {
        let rule = &self.seen.spec.rollback;
        if entry.is_rollback() {
            return Err(
                "a rollback is not rolled back: repair what is broken, then make a Decision Retry"
                    .to_owned(),
            );
        }
        let Some(good) = self.history.way_back(entry) else {
            return Err(self.said_of_no_way_back(entry));
        };
        let hint = "make a Decision Rollback, or promote a repaired Release";
        if let Cause::By(cause) = cause {
            if !rule.on.contains(&cause) {
                return Err(format!("spec.rollback.on does not list {cause}: {hint}"));
            }
            let started = entry.started_at.unwrap_or(self.now);
            let within = std::time::Duration::from(rule.within);
            // These count as long as the promotion takes.
            let counts_always = matches!(
                cause,
                RollbackCause::SLOBurn | RollbackCause::AlertFiring | RollbackCause::GateRevoked
            );
            if !counts_always && self.now > after(started, within) {
                let within = shown(within);
                return Err(format!(
                    "it is more than {within} (spec.rollback.within) since it started: {hint}"
                ));
            }
        }
        Ok(good.release().to_owned())
    }

    /// Why there is nothing to go back to, and what to do.
    fn said_of_no_way_back(&self, entry: &Entry<'a>) -> String {
        let what = match self.history.good_before(entry) {
            Some(good) => format!(
                "a contract has removed what {} needs of the database",
                good.release()
            ),
            None => "there is no earlier good Release to go back to".to_owned(),
        };
        format!("{what}: promote a repaired one, or make a Decision Retry")
    }

    fn end(&mut self, entry: &Entry<'a>, phase: PromotionPhase, why: (&str, &str, &str)) {
        let (reason, actor, message) = why;
        let now = self.now;
        self.write(entry, |status| {
            status.finished_at = Some(Time(now));
            audit::append(&mut status.audit, now, actor, message);
            set(status, phase, reason, message);
        });
    }

    /// Writes the status of a Promotion, if that changes anything. What has ended is never written again.
    pub(super) fn write(&mut self, entry: &Entry<'a>, change: impl FnOnce(&mut PromotionStatus)) {
        let record = entry.record;
        if record.status.phase.is_some_and(PromotionPhase::is_finished) {
            return;
        }
        let mut wanted = record.status.clone();
        if wanted.audit.is_empty() {
            let spec = &record.spec;
            let why = spec
                .reason
                .as_ref()
                .map_or(String::new(), |why| format!(": {why}"));
            let event = format!("{} of {} asked for{why}", spec.kind, spec.release);
            audit::append(
                &mut wanted.audit,
                record.created_at,
                &spec.requested_by,
                &event,
            );
        }
        change(&mut wanted);
        let wanted = status::complete(wanted, record.generation, self.now);
        if wanted != record.status {
            self.actions.push(Action::Status {
                target: record.target.clone(),
                status: serde_json::to_value(&wanted).unwrap_or_default(),
            });
        }
    }

    pub(super) fn commit_of(&self, entry: &Entry<'a>) -> Option<&str> {
        let known = entry.record.spec.commit.as_deref();
        let release = self.order.get(entry.release());
        known.or_else(|| release.map(|release| release.spec.commit.sha.as_str()))
    }
}

/// The promotion starts to change what runs.
pub(super) fn begin(status: &mut PromotionStatus, release: &str, now: Timestamp) {
    status.started_at = Some(Time(now));
    let message = format!("{release} is what should run from now on");
    audit::append(&mut status.audit, now, SLIPWAY, &message);
    set(status, PromotionPhase::Promoting, "Started", &message);
}

pub(super) fn set(
    status: &mut PromotionStatus,
    phase: PromotionPhase,
    reason: &str,
    message: &str,
) {
    status.phase = Some(phase);
    status.reason = Some(reason.to_owned());
    status.message = Some(message.to_owned());
}

pub(super) fn first_failed(answers: &[(&str, Answer)]) -> Option<String> {
    answers.iter().find_map(|(_, answer)| match answer {
        Answer::Failed(message) => Some(message.clone()),
        Answer::Unconcerned | Answer::Healthy | Answer::Waiting(..) | Answer::Behind(_) => None,
    })
}

/// Says how a step is; one that is new begins now.
#[expect(
    clippy::indexing_slicing,
    reason = "it was found there, or has just been put there"
)]
pub(super) fn put_step<'s>(
    steps: &'s mut Vec<StepStatus>,
    name: &str,
    state: StepState,
    what: (&str, Timestamp),
) -> &'s mut StepStatus {
    let (message, now) = what;
    let known = steps.iter().position(|step| step.name == name);
    let at = known.unwrap_or_else(|| {
        steps.push(StepStatus {
            name: name.to_owned(),
            started_at: Some(Time(now)),
            ..StepStatus::default()
        });
        steps.len() - 1
    });
    let step = &mut steps[at];
    if step.state != state {
        let is_over = !matches!(state, StepState::Pending | StepState::Running);
        step.finished_at = is_over.then_some(Time(now));
    }
    step.state = state;
    step.message = Some(truncate(message, MAX_STEP).to_owned());
    step
}
