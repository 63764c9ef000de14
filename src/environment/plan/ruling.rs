//! What people ruled, and what failures rule: which Releases are held, what is wished for. No I/O.
//!
//! Everything that holds a Release, and everything that lifts a hold, is put on one time line. Failures of
//! Promotions are on it too, so the loss of a status loses no hold. A hold that a later Promotion of the
//! same Release got past is over, even if the Decision that lifted it was deleted since.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::Hold;
use super::super::observed::{Act, Moment, Observed, Set};
use super::history::{Entry, History};
use super::migrated::STUCK;
use crate::decision::api::{DecisionAction, TargetKind};
use crate::model::span::later;
use crate::model::text::truncate;
use crate::promotion::api::{MigrationState, PromotionPhase};
use crate::release::api::ReleaseRef;
use crate::release::order::Order;

/// Who acts when nobody asked.
pub(super) const SLIPWAY: &str = "slipway";
/// Reason of a Promotion that ended because its Release was vetoed.
pub(super) const VETOED: &str = "Vetoed";
/// How long a wish counts that could not be fulfilled.
pub(super) const WISH_VALID_FOR: SignedDuration = SignedDuration::from_hours(168);
/// Holds that are shown.
const MAX_HOLDS: usize = 50;
/// Pins that are shown.
const MAX_PINS: usize = 32;

/// What is ruled now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rulings {
    pub(super) holds: Vec<Ruling>,
    /// Releases at which the Environment stays, each for its Pipeline.
    pub(super) pins: Vec<Pin>,
    /// When one of them ends by itself.
    pub(super) until: Option<Timestamp>,
    /// The sets that are known.
    sets: BTreeMap<String, Set>,
}

/// A Release at which the Environment stays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pin {
    /// Its Pipeline; nothing where nobody knows the Release, and then it is about all of them.
    pipeline: Option<String>,
    hold: Hold,
    until: Option<Timestamp>,
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
    pub(super) fn read(seen: &Observed, history: &History, order: &Order, now: Timestamp) -> Self {
        let mut line: Vec<(Moment, Event)> = Vec::new();
        line.extend(seen.status.holds.iter().filter_map(|hold| {
            let is_known = |release: &String| history.last_of(release).is_some();
            let is_lost = hold.by == SLIPWAY && !hold.release.as_ref().is_some_and(is_known);
            (is_lost && hold.release.is_some()).then(|| ((hold.at.0, 0), Event::Hold(kept(hold))))
        }));
        line.extend(history.entries.iter().filter_map(|entry| {
            failure(seen, history, entry).or_else(|| left(seen, history, order, entry))
        }));
        line.extend(
            history
                .all()
                .filter_map(|entry| stuck(seen, history, entry)),
        );
        line.extend(
            seen.decisions
                .iter()
                .map(|act| (act.moment(), Event::Act(act))),
        );
        line.sort_by_key(|(at, _)| *at);
        let mut rulings = Self {
            sets: seen.sets.known.clone(),
            ..Self::default()
        };
        for (_, event) in line {
            match event {
                Event::Hold(ruling) => rulings.add(ruling),
                Event::Act(act) => rulings.take(act, history, order),
            }
        }
        let ends = rulings.holds.iter().filter_map(|ruling| ruling.until);
        let ends = ends.chain(rulings.pins.iter().filter_map(|pin| pin.until));
        rulings.until = ends.filter(|until| *until > now).min();
        rulings
            .holds
            .retain(|ruling| ruling.until.is_none_or(|until| until > now));
        rulings
            .pins
            .retain(|pin| pin.until.is_none_or(|until| until > now));
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

    /// What holds one Release: itself, or one that is in it.
    pub(super) fn of(&self, release: &str) -> Option<&Ruling> {
        let of = |name: &str| {
            let mut holds = self.holds.iter();
            holds.find(|ruling| ruling.hold.release.as_deref() == Some(name))
        };
        let mut members = self.members(release);
        of(release).or_else(|| members.find_map(|member| of(&member.release)))
    }

    fn members(&self, release: &str) -> impl Iterator<Item = &ReleaseRef> {
        let set = self.sets.get(release);
        set.into_iter().flat_map(|set| &set.members)
    }

    /// The pin that keeps a Release away: another of its Pipeline is to stay.
    pub(super) fn pinned_against(&self, release: &str, pipeline: &str) -> Option<&Hold> {
        let is_pinned = |pin: &&Pin| {
            let pinned = pin.hold.release.as_deref();
            let mut members = self.members(release);
            pinned == Some(release) || members.any(|of| pinned == Some(of.release.as_str()))
        };
        if self.pins.iter().any(|pin| is_pinned(&pin)) {
            return None;
        }
        let is_against = |pin: &&Pin| {
            let is_of = |pinned: &str| {
                let mut members = self.members(release);
                pinned == pipeline || members.any(|of| of.pipeline == pinned)
            };
            pin.pipeline.as_deref().is_none_or(is_of)
        };
        self.pins.iter().find(is_against).map(|pin| &pin.hold)
    }

    /// Pins as people see them, oldest first.
    pub(super) fn shown_pins(&self) -> Vec<Hold> {
        let from = self.pins.len().saturating_sub(MAX_PINS);
        let pins = self.pins.iter().skip(from);
        pins.map(|pin| pin.hold.clone()).collect()
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

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is not general over the lifetime of the entry"
    )]
    fn take(&mut self, act: &Act, history: &History, order: &Order) {
        let release = act.spec.release.as_deref();
        match act.spec.action {
            DecisionAction::Hold | DecisionAction::Veto => self.add(asked(act)),
            DecisionAction::Resume => {
                self.holds
                    .retain(|ruling| ruling.hold.release.as_deref() != release);
                // Without a Release it is about the Environment, which then stays at none.
                self.pins
                    .retain(|pin| release.is_some() && pin.hold.release.as_deref() != release);
            }
            DecisionAction::Pin => self.pin(act, history, order),
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
            | DecisionAction::Override
            | DecisionAction::Cancel
            | DecisionAction::Migrate
            | DecisionAction::LinkIncident => {}
        }
    }

    /// Stays at a Release. Of a Pipeline the last pin counts.
    fn pin(&mut self, act: &Act, history: &History, order: &Order) {
        let Some(release) = act.spec.release.as_deref() else {
            return;
        };
        let known = order.part(release).map(|release| &release.spec.pipeline);
        let recorded = || {
            history
                .last_of(release)
                .map(|last| &last.record.spec.pipeline)
        };
        let pipeline = known.or_else(recorded).cloned();
        self.pins.retain(|pin| pin.pipeline != pipeline);
        self.pins.push(Pin {
            pipeline,
            hold: asked(act).hold,
            until: act.spec.expires_at.as_ref().map(|at| at.0),
        });
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
    let release = spec.release.as_deref().unwrap_or_default();
    let verb = if spec.action == DecisionAction::Veto {
        "vetoed".to_owned()
    } else if spec.action == DecisionAction::Pin {
        format!("stays at {release}, pinned")
    } else {
        "held".to_owned()
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

/// What a Promotion that failed holds: its Release; everything, when it was the way back.
fn failure<'a>(seen: &Observed, history: &History, entry: &Entry) -> Option<(Moment, Event<'a>)> {
    let was_vetoed = entry.record.status.reason.as_deref() == Some(VETOED);
    // Of other templates the Release is not to blame.
    if !entry.is_bad() || was_vetoed || entry.is_config() {
        return None;
    }
    let number = entry.record.spec.number;
    let at = entry.finished_at.unwrap_or(entry.record.created_at);
    let moment = entry
        .earliest_end()
        .unwrap_or_else(|| entry.record.moment(at));
    let reason = entry
        .record
        .status
        .reason
        .as_deref()
        .unwrap_or(entry.phase.as_str());
    let message = entry.record.status.message.as_deref().unwrap_or_default();
    let why = format!(
        "Promotion {}: {reason}: {}",
        entry.name(),
        truncate(message, 700)
    );
    if entry.is_rollback() {
        let later = |other: &Entry| other.record.spec.number > number;
        let got_past = |other: &Entry| later(other) && other.started_at.is_some();
        let is_over = history.entries.iter().any(got_past);
        let why = format!("the way back failed, and nothing goes on by itself; {why}");
        return (!is_over).then(|| (moment, Event::Hold(by_us(seen, None, why, at))));
    }
    let release = entry.release();
    let is_over = is_over(history, release, entry);
    (!is_over).then(|| (moment, Event::Hold(by_us(seen, Some(release), why, at))))
}

/// What a Promotion holds whose migrations are stuck: everything, until somebody has looked, or a later one is through.
fn stuck<'a>(seen: &Observed, history: &History, entry: &Entry) -> Option<(Moment, Event<'a>)> {
    // A rollback that fails holds everything anyway.
    let is_stuck = entry.record.status.reason.as_deref() == Some(STUCK);
    if !is_stuck || entry.is_rollback() {
        return None;
    }
    let number = entry.record.spec.number;
    let got_past = |other: &Entry| {
        let done = other.record.status.migrations.as_ref();
        let is_through = done.is_some_and(|done| {
            matches!(
                done.state,
                MigrationState::Done | MigrationState::RolledBack
            )
        });
        other.record.spec.number > number && is_through
    };
    if history.all().any(got_past) {
        return None;
    }
    let at = entry.finished_at.unwrap_or(entry.record.created_at);
    let message = entry.record.status.message.as_deref().unwrap_or_default();
    let why = format!(
        "Promotion {}: {STUCK}: {}",
        entry.name(),
        truncate(message, 700)
    );
    let moment = entry
        .earliest_end()
        .unwrap_or_else(|| entry.record.moment(at));
    Some((moment, Event::Hold(by_us(seen, None, why, at))))
}

/// What a Promotion holds that left a Release behind: going back must not be undone by the next plan.
fn left<'a>(
    seen: &Observed,
    history: &History,
    order: &Order,
    entry: &Entry,
) -> Option<(Moment, Event<'a>)> {
    let spec = &entry.record.spec;
    let left = spec
        .previous
        .as_deref()
        .filter(|left| *left != spec.release)?;
    let is_back = entry.is_rollback()
        || (entry.started_at.is_some()
            && spec.decision.is_some()
            && order.is_newer(left, &spec.release));
    // A Release that failed is held for a reason of its own; of other templates it is not to blame.
    let last = history.last_of(left);
    let has_own = last.is_some_and(|last| last.is_bad() && !last.is_config());
    if !is_back || has_own || is_over(history, left, entry) {
        return None;
    }
    let at = entry.record.created_at;
    let (name, asked_by) = (entry.name(), &spec.requested_by);
    let why = match &spec.reason {
        Some(reason) => format!("left by Promotion {name}: {reason}"),
        None => format!("left by Promotion {name}, which {asked_by} asked for"),
    };
    // It is written again until it ends; what is decided about it within its first second comes after.
    Some(((at, 0), Event::Hold(by_us(seen, Some(left), why, at))))
}

/// Whether a Release was promoted again after a Promotion: then whatever that held is over.
fn is_over(history: &History, release: &str, entry: &Entry) -> bool {
    let last = history.last_of(release);
    last.is_some_and(|last| last.record.spec.number > entry.record.spec.number)
}

fn by_us(seen: &Observed, release: Option<&str>, reason: String, at: Timestamp) -> Ruling {
    Ruling {
        hold: Hold {
            release: release.map(str::to_owned),
            reason,
            by: SLIPWAY.to_owned(),
            at: Time(at),
        },
        is_failure: release.is_some(),
        is_silent: release.is_some() && !seen.spec.rollback.hold_after,
        until: None,
    }
}

/// Until when a wish counts: as long as its Decision says, or for a week.
pub(super) fn wished_until(act: &Act) -> Timestamp {
    let expires_at = act.spec.expires_at.as_ref().map(|at| at.0);
    expires_at.unwrap_or_else(|| later(act.at, WISH_VALID_FOR))
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
    let ended = |entry: &&Entry| entry.earliest_end().is_some_and(|end| end <= act.moment());
    let mut meant = history.entries.iter().rev().filter(before).filter(is_meant);
    // After a rollback the failure is the one before it.
    let failed =
        meant.find(|entry| entry.phase != PromotionPhase::Succeeded || !entry.is_rollback());
    failed.filter(|entry| entry.is_bad()).filter(ended)
}
