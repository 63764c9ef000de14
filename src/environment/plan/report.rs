//! The phase and the sentences that people read. No I/O.

use super::super::api::{Candidate, EnvironmentPhase, RollbackCause};
use super::history::Entry;
use super::{Draft, Said, Shown, after};
use crate::model::plan::Why;
use crate::model::text::truncate;
use crate::promotion::api::PromotionPhase;

/// How long a reference may lead nowhere before it is a mistake: people apply things in any order.
pub(in super::super) const GRACE: std::time::Duration = std::time::Duration::from_mins(5);
/// Condition reason while a reference is awaited.
pub(in super::super) const WAITING: &str = "WaitingForReference";
/// Condition reason when it was awaited for too long.
pub(in super::super) const MISSING: &str = "MissingReference";
/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1000;

impl<'a> Draft<'a> {
    /// What is shown, and the one reason for where the Environment is.
    pub(super) fn report(&mut self) -> (Shown, Why) {
        let active = self.history.active();
        let active = active.or_else(|| self.history.active_migration());
        let waiting = active.filter(waits);
        let moving = active.filter(|entry| !waits(entry));
        let mut shown = Shown {
            pending: waiting.map(|entry| {
                if entry.record.spec.kind.is_of_database() {
                    said_of(&entry)
                } else {
                    self.said_of_waiting(&entry)
                }
            }),
            promoting: moving.map(|entry| said_of(&entry)),
            held: self.said_of_hold(),
            last: self.said_of_last(),
            health: self.said_of_health(),
            migrations: self.said_of_migrations(),
            incidents: self.said_of_incidents(),
            missing: self.missing_references(),
            phase: EnvironmentPhase::Steady,
            is_hidden: false,
        };
        let (phase, mut why) = self.phase(&shown, moving);
        shown.phase = phase;
        if let Some(hidden) = self.hidden().filter(|hidden| !hidden.takes_edit) {
            shown.is_hidden = true;
            why = Why::warning(
                hidden.reason,
                format!("{}; {}", hidden.message, why.message),
            );
        }
        if !shown.missing.is_empty() {
            why = self.missing(&shown.missing);
        }
        for notice in &self.notices {
            why.message.push_str("; ");
            why.message.push_str(notice);
        }
        why.message = truncate(&why.message, MAX_MESSAGE).to_owned();
        (shown, why)
    }

    /// The promotion that waits, with its gates.
    pub(super) fn shown_candidate(&self) -> Option<Candidate> {
        let active = self.history.active().filter(waits)?;
        Some(Candidate {
            release: active.release().to_owned(),
            members: active.record.spec.members.clone(),
            gates: self.gates.all.clone(),
        })
    }

    fn phase(&self, shown: &Shown, moving: Option<Entry<'a>>) -> (EnvironmentPhase, Why) {
        if let (Some(entry), Some(said)) = (moving, &shown.promoting) {
            return of_moving(&entry, said.message.clone());
        }
        if let Some(failed) = self.history.rollback_owed() {
            let message = said_of(&failed).message;
            return (
                EnvironmentPhase::RollingBack,
                Why::warning("RollingBack", message),
            );
        }
        if let Some(held) = &shown.held {
            return (
                EnvironmentPhase::Held,
                Why::warning("Held", held.message.clone()),
            );
        }
        if let Some(pending) = &shown.pending {
            let why = Why::normal("PromotionPending", pending.message.clone());
            return (EnvironmentPhase::Pending, why);
        }
        let current = self.history.current(&self.order);
        if current.is_empty() {
            let text = "no Release has succeeded here yet";
            return (EnvironmentPhase::Steady, Why::normal("NoRelease", text));
        }
        let names: Vec<&str> = current
            .iter()
            .map(|deployed| deployed.release.as_str())
            .collect();
        let text = format!("{} runs", names.join(" and "));
        let unwell = shown.health.as_ref().filter(|(is_well, _)| !is_well);
        match unwell {
            Some((_, said)) => {
                let text = format!("{text}, but {}", said.message);
                (EnvironmentPhase::Steady, Why::warning("Unhealthy", text))
            }
            None => match &shown.incidents {
                Some((_, said)) => {
                    let text = format!("{text}, but {}", said.message);
                    (EnvironmentPhase::Steady, Why::warning("IncidentOpen", text))
                }
                None => (EnvironmentPhase::Steady, Why::normal("Steady", text)),
            },
        }
    }

    /// A reference that leads nowhere is awaited for a while, then it takes an edit.
    fn missing(&mut self, missing: &[String]) -> Why {
        let conditions = &self.seen.status.conditions;
        let find = |type_: &str, reason: &str| {
            let found = conditions
                .iter()
                .find(|c| c.type_ == type_ && c.reason == reason);
            found.map(|condition| condition.last_transition_time.0)
        };
        let is_stalled = find("Stalled", MISSING).is_some();
        let until = after(find("Reconciling", WAITING).unwrap_or(self.now), GRACE);
        let text = missing.join("; ");
        if is_stalled || until <= self.now {
            return Why::warning(MISSING, text);
        }
        self.wake_at(until);
        Why::normal(WAITING, text)
    }

    fn said_of_waiting(&self, entry: &Entry) -> Said {
        let release = entry.release();
        match self.gates.first_open() {
            Some(gate) => {
                let reason = match gate.name.as_str() {
                    "hold" => "Held",
                    "source" => "NotAvailable",
                    "signature" => "NotSigned",
                    "evidence" => "EvidenceMissing",
                    "freeze" => "Frozen",
                    "error-budget" => "BudgetExhausted",
                    "soak" => "Soaking",
                    "approvals" => "AwaitingApproval",
                    _ => "GateClosed",
                };
                let problem = gate.message.as_deref().unwrap_or("?");
                Said::new(
                    reason,
                    format!("{release} waits for {}: {problem}", gate.name),
                )
            }
            None => Said::new("Starting", format!("{release} is about to start")),
        }
    }

    fn said_of_hold(&self) -> Option<Said> {
        if let Some(hold) = self.rulings.of_all() {
            let text = format!("{}; a Decision Resume lifts it", hold.reason);
            return Some(Said::new("EnvironmentHeld", text));
        }
        if let Some(pin) = self.rulings.shown_pins().last() {
            let text = format!("{}; a Decision Resume lifts it", pin.reason);
            return Some(Said::new("Pinned", text));
        }
        // What should run failed, and nothing took it back.
        let mut pipelines = self.history.desired(&self.order).into_iter();
        pipelines.find_map(|deployed| {
            let started = self.history.started(&deployed.pipeline)?;
            (started.phase == PromotionPhase::Failed)
                .then(|| Said::new("FailedReleaseStays", said_of(started).message))
        })
    }

    fn said_of_last(&self) -> Option<(bool, Said)> {
        let counts =
            |entry: &&Entry| entry.phase.is_finished() && entry.phase != PromotionPhase::Superseded;
        let last = self.history.entries.iter().rev().find(counts)?;
        // Going back well does not make the promotion before it a good one.
        if let Some(reason) = last
            .record
            .spec
            .reason
            .as_ref()
            .filter(|_| last.is_rollback())
        {
            let left = last.record.spec.previous.as_deref().unwrap_or_default();
            let mut causes = RollbackCause::ALL.iter().map(|cause| cause.as_str());
            let cause = causes.find(|cause| reason.starts_with(cause));
            let cause = cause.unwrap_or(RollbackCause::SLOBurn.as_str());
            return Some((
                false,
                Said::new(cause, format!("{left} was left: {reason}")),
            ));
        }
        let failed = last.is_rollback().then(|| {
            let before = self.history.entries.iter().rev();
            before
                .filter(counts)
                .find(|entry| entry.is_bad() && !entry.is_rollback())
        });
        let told = failed
            .flatten()
            .filter(|before| last.record.spec.previous.as_deref() == Some(before.release()));
        let told = told.unwrap_or(last);
        Some((told.phase == PromotionPhase::Succeeded, said_of(told)))
    }

    fn said_of_health(&self) -> Option<(bool, Said)> {
        self.health()
    }

    /// Whether every Rollout that runs something serves; nothing where none does.
    pub(super) fn health(&self) -> Option<(bool, Said)> {
        if self.hidden().is_some() {
            return self.health_on_record();
        }
        let followed = self.seen.rollouts.iter().filter_map(|bound| {
            let state = bound
                .state
                .as_ref()
                .filter(|state| state.images.is_some())?;
            (!state.stable.is_empty()).then_some((bound.name.as_str(), state))
        });
        let unwell: Vec<String> = followed
            .clone()
            .filter(|(_, state)| !state.is_healthy)
            .map(|(name, state)| format!("Rollout {name} is not healthy: {}", state.message))
            .collect();
        if followed.count() == 0 {
            return None;
        }
        Some(match unwell.first() {
            None => (true, Said::new("RolloutsHealthy", "every Rollout serves")),
            Some(_) => (false, Said::new("RolloutUnhealthy", unwell.join("; "))),
        })
    }
}

/// Where an Environment is whose promotion changes what runs.
fn of_moving(entry: &Entry, message: String) -> (EnvironmentPhase, Why) {
    if entry.is_rollback() {
        let why = Why::warning("RollingBack", message);
        return (EnvironmentPhase::RollingBack, why);
    }
    let (phase, reason) = if entry.phase == PromotionPhase::Migrating {
        (EnvironmentPhase::Migrating, "Migrating")
    } else if entry.phase == PromotionPhase::Verifying {
        (EnvironmentPhase::Verifying, "Verifying")
    } else {
        (EnvironmentPhase::Promoting, "Promoting")
    };
    (phase, Why::normal(reason, message))
}

/// Whether a promotion waits for what has to hold before it starts.
fn waits(entry: &Entry) -> bool {
    let is_migrating = entry.phase == PromotionPhase::Migrating;
    entry.started_at.is_none() && !entry.is_rollback() && !is_migrating
}

fn said_of(entry: &Entry) -> Said {
    let status = &entry.record.status;
    let reason = status.reason.as_deref().unwrap_or(entry.phase.as_str());
    let message = status.message.as_deref().unwrap_or("just created");
    let (name, release) = (entry.name(), entry.release());
    Said::new(reason, format!("{release} (Promotion {name}): {message}"))
}
