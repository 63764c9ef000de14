//! What a planner returns, the same for every kind. No I/O.

use jiff::Timestamp;
use serde::Serialize;

use super::action::Action;
use super::span::earliest;

/// Everything one reconcile intends. Comparable and serialisable, so that tests can hold it in hand.
///
/// # Guarantees
/// - `actions` run in order; a later one never runs if an earlier one failed.
/// - `progress` is written to status before the first action runs, so a crash replays the actions.
/// - A plan that waits has a `wake`, or its `why` names the event that it waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan<P> {
    /// What to do, in order.
    pub actions: Vec<Action>,
    /// What to remember.
    pub progress: P,
    /// The earliest time at which a plan could differ without any event.
    pub wake: Option<Timestamp>,
    /// The one reason for where the object is.
    pub why: Why,
    /// The object is being deleted and nothing holds it any longer.
    pub finished: bool,
}

impl<P> Plan<P> {
    /// A plan that does nothing but say why.
    pub fn idle(progress: P, why: Why) -> Self {
        Self {
            actions: Vec::new(),
            progress,
            wake: None,
            why,
            finished: false,
        }
    }

    /// Adds what another part of the same object wants, after what is there.
    pub fn add(&mut self, actions: impl IntoIterator<Item = Action>, wake: Option<Timestamp>) {
        self.actions.extend(actions);
        if let Some(at) = wake {
            self.wake_at(at);
        }
    }

    /// The earlier of the wake-up so far and `at`.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = earliest(self.wake, at);
    }
}

/// Reason and message: condition, event, log line and metric label all come from this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// A word from the kind's closed list of reasons ([`super::reason::EVENTS`]), in CamelCase.
    pub reason: &'static str,
    /// What happened, what it means, what to do next; with "until when" where there is a time.
    pub message: String,
    /// Whether people should look at it.
    pub severity: Severity,
}

/// How much attention a reason asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Severity {
    /// All is well.
    Normal,
    /// Something went wrong, or somebody has to act.
    Warning,
}

impl Why {
    /// A reason that needs no attention.
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            severity: Severity::Normal,
        }
    }

    /// A reason that people should look at.
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            severity: Severity::Warning,
        }
    }
}
