//! What people ruled, and what failures rule: which Releases are held, what is wished for. No I/O.
//!
//! Everything that holds a Release, and everything that lifts a hold, is put on one time line. Failures of
//! Promotions are on it too, so the loss of a status loses no hold. A hold that a later Promotion of the
//! same Release got past is over, even if the Decision that lifted it was deleted since.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::Hold;
use super::super::observed::{Act, Observed};
use super::history::{Entry, History};
use crate::decision::api::{DecisionAction, TargetKind};
use crate::model::condition::truncate;
use crate::promotion::api::PromotionPhase;

/// Who acts when nobody asked.
pub(super) const SLIPWAY: &str = "slipway";
/// Reason of a Promotion that ended because its Release was vetoed.
pub(super) const VETOED: &str = "Vetoed";
/// How long a wish counts that could not be fulfilled.
pub(super) const WISH_VALID_FOR: SignedDuration = SignedDuration::from_hours(168);
/// Holds that are shown.
const MAX_HOLDS: usize = 50;

/// What is ruled now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rulings {
    pub(super) holds: Vec<Ruling>,
    /// When one of them ends by itself.
    pub(super) until: Option<Timestamp>,
}

/// One thing that is ruled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ruling {
    pub(super) hold: Hold,
    /// Whether it follows from a failure. Then newer Releases only are candidates.
    pub(super) is_failure: bool,
    /// Whether it is not a hold for people: `rollback.holdAfter` is off.
    pub(super) is_silent: bool,
    until: Option<Timestamp>,
}

impl Rulings {
    pub(super) fn read(seen: &Observed, history: &History, now: Timestamp) -> Self {
        let mut line: Vec<(Timestamp, Event)> = Vec::new();
        line.extend(seen.status.holds.iter().filter_map(|hold| {
            let is_known = |release: &String| history.last_of(release).is_some();
            let is_lost = hold.by == SLIPWAY && !hold.release.as_ref().is_some_and(is_known);
            (is_lost && hold.release.is_some()).then(|| (hold.at.0, Event::Hold(kept(hold))))
        }));
        line.extend(
            history
                .entries
                .iter()
                .filter_map(|entry| failure(seen, history, entry)),
        );
        line.extend(seen.decisions.iter().map(|act| (act.at, Event::Act(act))));
        // Stable: within a second failures come before Decisions, which are in their own order.
        line.sort_by_key(|(at, _)| *at);
        let mut rulings = Self::default();
        for (_, event) in line {
            match event {
                Event::Hold(ruling) => rulings.add(ruling),
                Event::Act(act) => rulings.take(act, history),
            }
        }
        let ends = rulings.holds.iter().filter_map(|ruling| ruling.until);
        rulings.until = ends.filter(|until| *until > now).min();
        rulings
            .holds
            .retain(|ruling| ruling.until.is_none_or(|until| until > now));
        rulings
    }

    /// What holds every Release.
    pub(super) fn of_all(&self) -> Option<&Hold> {
        let all = self
            .holds
            .iter()
            .find(|ruling| ruling.hold.release.is_none());
        all.map(|ruling| &ruling.hold)
    }

    /// What holds one Release.
    pub(super) fn of(&self, release: &str) -> Option<&Ruling> {
        let of = |ruling: &&Ruling| ruling.hold.release.as_deref() == Some(release);
        self.holds.iter().find(of)
    }

    /// Releases that failed and that nobody gave another chance.
    pub(super) fn failures(&self) -> impl Iterator<Item = &str> {
        let failed = self.holds.iter().filter(|ruling| ruling.is_failure);
        failed.filter_map(|ruling| ruling.hold.release.as_deref())
    }

    /// As people see them, oldest first.
    pub(super) fn shown(&self) -> Vec<Hold> {
        let shown = self.holds.iter().filter(|ruling| !ruling.is_silent);
        let all: Vec<Hold> = shown.map(|ruling| ruling.hold.clone()).collect();
        let from = all.len().saturating_sub(MAX_HOLDS);
        all.into_iter().skip(from).collect()
    }

    fn add(&mut self, ruling: Ruling) {
        self.holds
            .retain(|known| known.hold.release != ruling.hold.release);
        self.holds.push(ruling);
    }

    fn take(&mut self, act: &Act, history: &History) {
        let release = act.spec.release.as_deref();
        match act.spec.action {
            DecisionAction::Hold | DecisionAction::Veto => self.add(asked(act)),
            DecisionAction::Resume => self
                .holds
                .retain(|ruling| ruling.hold.release.as_deref() != release),
            DecisionAction::Retry => {
                let again = retried(act, history).map(|entry| entry.release());
                self.holds.retain(|ruling| {
                    let release = ruling.hold.release.as_deref();
                    ruling.hold.by != SLIPWAY || !(release.is_none() || release == again)
                });
            }
            DecisionAction::Approve
            | DecisionAction::Reject
            | DecisionAction::Promote
            | DecisionAction::Skip
            | DecisionAction::Pause
            | DecisionAction::Abort
            | DecisionAction::Rollback
            | DecisionAction::Undo
            | DecisionAction::Restart
            | DecisionAction::Pin
            | DecisionAction::Override
            | DecisionAction::Cancel
            | DecisionAction::Migrate
            | DecisionAction::LinkIncident => {}
        }
    }
}

enum Event<'a> {
    Hold(Ruling),
    Act(&'a Act),
}

/// A hold whose Promotions are gone.
fn kept(hold: &Hold) -> Ruling {
    Ruling {
        hold: hold.clone(),
        is_failure: true,
        is_silent: false,
        until: None,
    }
}

fn asked(act: &Act) -> Ruling {
    let spec = &act.spec;
    let verb = if spec.action == DecisionAction::Veto {
        "vetoed"
    } else {
        "held"
    };
    let reason = spec.reason.as_deref().unwrap_or("no reason given");
    Ruling {
        hold: Hold {
            release: spec.release.clone(),
            reason: format!("{verb} by {}: {}", spec.user, truncate(reason, 600)),
            by: spec.user.clone(),
            at: Time(act.at),
        },
        is_failure: false,
        is_silent: false,
        until: spec.expires_at.as_ref().map(|at| at.0),
    }
}

/// What a Promotion holds: the Release that failed, the one that was left, or everything after a rollback
/// that failed. A later Promotion of the same Release shows that it is over.
fn failure<'a>(
    seen: &Observed,
    history: &History,
    entry: &Entry,
) -> Option<(Timestamp, Event<'a>)> {
    let spec = &entry.record.spec;
    let is_over = |release: &str| {
        let last = history.last_of(release);
        last.is_some_and(|last| last.record.spec.number > spec.number)
    };
    let why = || {
        let reason = entry.record.status.reason.clone().unwrap_or_default();
        let message = entry.record.status.message.as_deref().unwrap_or_default();
        format!(
            "Promotion {}: {reason}: {}",
            entry.name(),
            truncate(message, 700)
        )
    };
    let hold = |release: Option<&str>, reason: String, at: Timestamp| {
        let ruling = Ruling {
            hold: Hold {
                release: release.map(str::to_owned),
                reason,
                by: SLIPWAY.to_owned(),
                at: Time(at),
            },
            is_failure: release.is_some(),
            is_silent: release.is_some() && !seen.spec.rollback.hold_after,
            until: None,
        };
        Some((at, Event::Hold(ruling)))
    };
    if entry.is_rollback() {
        let is_last = history
            .last()
            .is_some_and(|last| last.name() == entry.name());
        if entry.phase == PromotionPhase::Failed && is_last {
            let at = entry.finished_at.unwrap_or(entry.record.created_at);
            let reason = format!(
                "the way back failed, and nothing goes on by itself; {}",
                why()
            );
            return hold(None, reason, at);
        }
        let left = spec.previous.as_deref()?;
        let is_left = left != spec.release && !is_over(left);
        // A Release that failed has a reason of its own.
        let has_own = history
            .last_of(left)
            .is_some_and(|last| last.is_bad() && last.record.status.reason.is_some());
        let by = &spec.requested_by;
        let reason = format!("left by Promotion {}, which {by} asked for", entry.name());
        return (is_left && !has_own)
            .then(|| hold(Some(left), reason, entry.record.created_at))
            .flatten();
    }
    let was_vetoed = entry.record.status.reason.as_deref() == Some(VETOED);
    if !entry.is_bad() || was_vetoed || is_over(entry.release()) {
        return None;
    }
    let at = entry.finished_at.unwrap_or(entry.record.created_at);
    hold(Some(entry.release()), why(), at)
}

/// The Promotion that a Decision Retry is about: the one that it names, the last of the Release that it
/// names, or the last of all; if it had failed by then.
pub(super) fn retried<'h, 'a>(act: &Act, history: &'h History<'a>) -> Option<&'h Entry<'a>> {
    let before = |entry: &&Entry| entry.record.created_at <= act.at;
    let is_meant = |entry: &&Entry| match (&act.spec.target.kind, &act.spec.release) {
        (TargetKind::Promotion, _) => entry.name() == act.spec.target.name,
        (_, Some(release)) => entry.release() == release,
        (_, None) => true,
    };
    let ended = |entry: &&Entry| entry.finished_at.is_some_and(|at| at <= act.at);
    let mut meant = history.entries.iter().rev().filter(before).filter(is_meant);
    // After a rollback the failure is the one before it.
    let failed =
        meant.find(|entry| entry.phase != PromotionPhase::Succeeded || !entry.is_rollback());
    failed.filter(|entry| entry.is_bad()).filter(ended)
}
