//! What the Promotions say: which one is active, what runs, what is good. No I/O.
//!
//! The records are the truth; `desired`, `current` and `lastGood` in the Environment's status are read off
//! them each time. A Promotion whose own status was lost is understood from what else is known, in this
//! order: what the Environment's status says of it, what later Promotions say of it in their specs, and,
//! where no status is left at all, what the Rollouts run. What cannot be known is never taken for good.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{Deployed, Hold};
use super::super::observed::{Act, Followed, Moment, Observed, Record};
use super::ruling::SLIPWAY;
use crate::decision::api::DecisionAction;
use crate::promotion::api::{PromotionKind, PromotionPhase, TemplateRef};
use crate::release::api::ImageRef;
use crate::release::order::Order;

/// The Promotions of an Environment, in their order.
#[derive(Clone, Debug)]
pub(super) struct History<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    /// Records of migrations alone.
    pub(super) migrations: Vec<Entry<'a>>,
}

/// A Promotion, understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) record: &'a Record,
    pub(super) phase: PromotionPhase,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    /// Its status was lost, and this is what it must have been.
    pub(super) is_recovered: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.record.name()
    }

    pub(super) fn release(&self) -> &'a str {
        &self.record.spec.release
    }

    pub(super) fn images(&self) -> &'a [ImageRef] {
        &self.record.spec.images
    }

    /// The templates that it brings.
    pub(super) fn templates(&self) -> &'a [TemplateRef] {
        &self.record.spec.templates
    }

    /// Whether it brings other images or templates than another promotion.
    pub(super) fn differs_from(&self, other: &Entry) -> bool {
        self.record.spec.differs_from(&other.record.spec)
    }

    /// Whether it brings another template of some Rollout than another promotion. Of a Rollout that one of them brings none
    /// for, as before templates were brought, nothing is known.
    pub(super) fn has_other_templates(&self, other: &Entry) -> bool {
        let other = &other.record.spec;
        self.record.spec.has_other_templates(other)
    }

    /// Whether it brings templates alone.
    pub(super) fn is_config(&self) -> bool {
        self.record.spec.kind == PromotionKind::Config
    }

    pub(super) fn is_rollback(&self) -> bool {
        self.record.spec.kind == PromotionKind::Rollback
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Option<Moment> {
        self.finished_at.map(|at| self.record.moment(at))
    }

    /// The same, where a person's word is to count that may have been said after it: incidents are written into a record that
    /// has ended, and its version is that of the last write then, so whatever was said within its last second comes after. One
    /// that also began in that second may be what was said there: it must not be followed twice.
    pub(super) fn earliest_end(&self) -> Option<Moment> {
        let mut incidents = self.record.status.incidents.iter();
        let was_written_since = incidents.any(|incident| {
            let was_told = incident.linked_by.is_some() || !incident.alerts.is_empty();
            was_told || incident.resolved_at.is_some()
        });
        let end = self.ended()?;
        let is_older = self.record.created_at < end.0;
        Some(if was_written_since && is_older {
            (end.0, 0)
        } else {
            end
        })
    }

    /// Whether its migrations removed what Releases before its own needed. What is not known of a contract may have been done.
    pub(super) fn has_contracted(&self) -> bool {
        let Record { spec, status, .. } = self.record;
        let was_lost = self.is_recovered && spec.kind == PromotionKind::Contract;
        was_lost || spec.has_contracted(status)
    }

    /// Whether it ended badly: it failed or was refused, or the Environment went back from it.
    pub(super) fn is_bad(&self) -> bool {
        matches!(
            self.phase,
            PromotionPhase::Failed | PromotionPhase::RolledBack
        )
    }

    pub(super) fn deployed(&self, images: Vec<ImageRef>) -> Deployed {
        let spec = &self.record.spec;
        let since = self.started_at.unwrap_or(self.record.created_at);
        let has_failed = self.phase == PromotionPhase::Failed;
        Deployed {
            pipeline: spec.pipeline.clone(),
            release: spec.release.clone(),
            promotion: self.name().to_owned(),
            members: spec.members.clone(),
            images,
            since: Time(since),
            healthy_since: None,
            healthy_seconds: None,
            failed_at: self.finished_at.filter(|_| has_failed).map(Time),
            waiting: Vec::new(),
        }
    }
}

impl<'a> History<'a> {
    pub(super) fn read(seen: &'a Observed, order: &Order) -> Self {
        let entries = seen.promotions.iter().enumerate();
        Self {
            entries: entries
                .map(|(index, record)| understand(seen, order, index, record))
                .collect(),
            migrations: alone(seen),
        }
    }

    /// All records: promotions, and then those of migrations alone.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().chain(&self.migrations)
    }

    /// The record of migrations alone that is under way.
    pub(super) fn active_migration(&self) -> Option<Entry<'a>> {
        let mut all = self.migrations.iter();
        all.find(|entry| !entry.phase.is_finished()).copied()
    }

    pub(super) fn last(&self) -> Option<&Entry<'a>> {
        self.entries.last()
    }

    /// The Promotion that is under way. There is at most one; should there be more, the first goes first.
    pub(super) fn active(&self) -> Option<Entry<'a>> {
        let active = |entry: &&Entry<'a>| !entry.phase.is_finished();
        self.entries.iter().find(active).copied()
    }

    /// A promotion that went back has to be followed by the one that takes it back.
    pub(super) fn rollback_owed(&self) -> Option<Entry<'a>> {
        let last = self.last()?;
        (last.phase == PromotionPhase::RolledBack && self.way_back(last).is_some()).then_some(*last)
    }

    /// The last Promotion of a Pipeline that succeeded.
    pub(super) fn good(&self, pipeline: &str) -> Option<&Entry<'a>> {
        let good = |entry: &&Entry<'a>| {
            entry.record.spec.pipeline == pipeline && entry.phase == PromotionPhase::Succeeded
        };
        self.entries.iter().rev().find(good)
    }

    /// The last Promotion of a Pipeline that began to change what runs.
    pub(super) fn started(&self, pipeline: &str) -> Option<&Entry<'a>> {
        let started = |entry: &&Entry<'a>| {
            entry.record.spec.pipeline == pipeline && entry.started_at.is_some()
        };
        self.entries.iter().rev().find(started)
    }

    /// What an Environment goes back to from a Promotion: what was good before it, unless its database has been contracted.
    pub(super) fn way_back(&self, from: &Entry<'a>) -> Option<&Entry<'a>> {
        let good = self.good_before(from);
        good.filter(|good| !self.was_contracted_since(good))
    }

    /// The same with other images, whatever the templates.
    pub(super) fn way_back_to_images(&self, from: &Entry<'a>) -> Option<&Entry<'a>> {
        let good = self.before(from, |entry| entry.images() != from.images());
        good.filter(|good| !self.was_contracted_since(good))
    }

    /// Whether what a Promotion needs of the database was removed since, by the contract of another Release.
    pub(super) fn was_contracted_since(&self, to: &Entry<'a>) -> bool {
        self.migrations.iter().any(|other| {
            let is_later = other.record.spec.number > to.record.spec.number;
            is_later && other.release() != to.release() && other.has_contracted()
        })
    }

    /// The last Promotion before another one that succeeded with other images or templates.
    pub(super) fn good_before(&self, from: &Entry<'a>) -> Option<&Entry<'a>> {
        self.before(from, |entry| entry.differs_from(from))
    }

    fn before(
        &self,
        from: &Entry<'a>,
        is_other: impl Fn(&Entry<'a>) -> bool,
    ) -> Option<&Entry<'a>> {
        let good = |entry: &&Entry<'a>| {
            entry.record.spec.pipeline == from.record.spec.pipeline
                && entry.phase == PromotionPhase::Succeeded
                && is_other(entry)
        };
        let earlier = self.entries.iter().rev();
        let mut earlier = earlier.skip_while(|entry| entry.name() != from.name());
        let good = earlier.find(good)?;
        (!self.has_moved_since(good, from)).then_some(good)
    }

    /// The last Promotion of a Release that succeeded.
    pub(super) fn good_release(&self, release: &str) -> Option<&Entry<'a>> {
        let good = |entry: &&Entry<'a>| {
            entry.release() == release && entry.phase == PromotionPhase::Succeeded
        };
        self.entries.iter().rev().find(good)
    }

    /// The last Promotion of a Release.
    pub(super) fn last_of(&self, release: &str) -> Option<&Entry<'a>> {
        let of = |entry: &&Entry<'a>| entry.release() == release;
        self.entries.iter().rev().find(of)
    }
}

/// Records of migrations alone. One without a status begins anew, and finds what it has done in its Jobs; one that others came
/// after must have ended.
fn alone(seen: &Observed) -> Vec<Entry<'_>> {
    let last = seen.next_number().saturating_sub(1);
    let all = seen.migrations.iter().map(|record| {
        let status = &record.status;
        let is_last = record.spec.number.is_none_or(|number| number >= last);
        let without = if is_last {
            PromotionPhase::Pending
        } else {
            PromotionPhase::Superseded
        };
        let ended = status.finished_at.as_ref().map(|at| at.0);
        Entry {
            record,
            phase: status.phase.unwrap_or(without),
            started_at: None,
            finished_at: ended,
            is_recovered: status.phase.is_none() && !is_last,
        }
    });
    all.collect()
}

fn understand<'a>(
    seen: &'a Observed,
    order: &Order,
    index: usize,
    record: &'a Record,
) -> Entry<'a> {
    let status = &record.status;
    if let Some(phase) = status.phase {
        return Entry {
            record,
            phase,
            started_at: status.started_at.as_ref().map(|at| at.0),
            finished_at: status.finished_at.as_ref().map(|at| at.0),
            is_recovered: false,
        };
    }
    let later = seen.promotions.get(index + 1..).unwrap_or_default();
    let Recovered {
        phase,
        since,
        ended_at,
    } = recover(seen, order, record, later);
    let has_started = match phase {
        PromotionPhase::Pending | PromotionPhase::Migrating => false,
        // Before it started, unless its images are what should run, or what was left.
        PromotionPhase::Failed | PromotionPhase::Superseded => since.is_some(),
        PromotionPhase::AwaitingApproval
        | PromotionPhase::Promoting
        | PromotionPhase::Verifying
        | PromotionPhase::Succeeded
        | PromotionPhase::RolledBack => true,
    };
    let next = later.first().map(|next| next.created_at);
    let ended = ended_at.or(since).or(next).unwrap_or(record.created_at);
    Entry {
        record,
        phase,
        started_at: has_started.then_some(since.unwrap_or(record.created_at)),
        finished_at: phase.is_finished().then_some(ended),
        is_recovered: phase != PromotionPhase::Pending,
    }
}

/// What a Promotion without a status must have been.
struct Recovered {
    phase: PromotionPhase,
    /// When it started, where that is known.
    since: Option<Timestamp>,
    /// When it ended, where that is known. What people decided before does not count against it, what they decided
    /// after does.
    ended_at: Option<Timestamp>,
}

fn recover(seen: &Observed, order: &Order, record: &Record, later: &[Record]) -> Recovered {
    let status = &seen.status;
    let told = told_by(record, later);
    let of = |phase, since, ended_at| Recovered {
        phase,
        since,
        ended_at,
    };
    if let Some(good) = named(&status.current, record).or_else(|| named(&status.last_good, record))
    {
        return of(PromotionPhase::Succeeded, Some(good.since.0), None);
    }
    if let Some(deployed) = named(&status.desired, record) {
        let failed_at = deployed.failed_at.as_ref().map(|at| at.0);
        let phase = match told {
            Some(PromotionPhase::RolledBack) => PromotionPhase::RolledBack,
            // At most one is active at a time, so only the last of all can be.
            _ if is_last(seen, record, later) && failed_at.is_none() => PromotionPhase::Promoting,
            _ => PromotionPhase::Failed,
        };
        return of(phase, Some(deployed.since.0), failed_at);
    }
    if was_retried(seen, record, later) {
        return of(PromotionPhase::Failed, None, None);
    }
    let held_at = held_since(seen, record, later);
    match told {
        Some(PromotionPhase::RolledBack) => match asked_to_leave(record, later, held_at) {
            Some(at) => of(
                PromotionPhase::Superseded,
                Some(record.created_at),
                Some(at),
            ),
            None => of(PromotionPhase::RolledBack, None, held_at),
        },
        _ if held_at.is_some() => of(PromotionPhase::Failed, None, held_at),
        Some(PromotionPhase::Superseded) if may_have_failed(seen, order, record, later) => {
            of(PromotionPhase::Failed, None, None)
        }
        Some(phase) => of(phase, None, None),
        None => of(told_by_rollouts(seen, record, later), None, None),
    }
}

/// Whether the next Promotion of the same Release is what a Decision Retry asked for: then this one had failed, and what
/// was said about it is not about the next.
fn was_retried(seen: &Observed, record: &Record, later: &[Record]) -> bool {
    let mut again = later
        .iter()
        .filter(|next| next.spec.release == record.spec.release);
    let asked = again.next().and_then(|next| next.spec.decision.as_ref());
    let is_retry = |act: &Act| act.spec.action == DecisionAction::Retry && Some(&act.name) == asked;
    asked.is_some() && seen.decisions.iter().any(is_retry)
}

fn named<'d>(list: &'d [Deployed], record: &Record) -> Option<&'d Deployed> {
    list.iter().find(|entry| entry.promotion == record.name())
}

/// Since when the Environment's status says that the Release is held because this Promotion of it failed. A rollback that
/// fails holds everything, never its Release: one that is new must not be taken for one that failed.
fn held_since(seen: &Observed, record: &Record, later: &[Record]) -> Option<Timestamp> {
    let release = &record.spec.release;
    let is_repeated = later.iter().any(|next| next.spec.release == *release);
    let same = |hold: &&Hold| hold.by == SLIPWAY && hold.release.as_ref() == Some(release);
    let hold = seen.status.holds.iter().find(same);
    let may_be_this = !is_repeated && record.spec.kind == PromotionKind::Promote;
    hold.filter(|_| may_be_this).map(|hold| hold.at.0)
}

/// Whether a Promotion that an older Release took the place of may have failed. Only people promote something older,
/// most often because what was newer is no good: where nothing tells, it does not come again by itself.
fn may_have_failed(seen: &Observed, order: &Order, record: &Record, later: &[Record]) -> bool {
    let (release, pipeline) = (&record.spec.release, &record.spec.pipeline);
    let mut next = later
        .iter()
        .filter(|next| next.spec.pipeline == *pipeline)
        .map(|next| &next.spec.release)
        .peekable();
    let is_left = next
        .peek()
        .is_some_and(|next| order.is_newer(release, next));
    // Failures that hold nothing are in the statuses of Promotions only.
    let is_unknown = seen.is_blank() || !seen.spec.rollback.hold_after;
    is_unknown && is_left && !next.any(|next| next == release)
}

/// When somebody or something asked for the way back from a Promotion that may have been good until then: its Release was
/// not held before. It is taken neither for good nor for failed: its Release is held as one that was left, and a Retry that
/// had nothing to try again still has nothing.
fn asked_to_leave(
    record: &Record,
    later: &[Record],
    held_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let pipeline = &record.spec.pipeline;
    let back = later.iter().find(|next| next.spec.pipeline == *pipeline)?;
    let was_asked = back.spec.decision.is_some() || back.spec.reason.is_some();
    let may_have_been_good = held_at.is_none_or(|at| at >= back.created_at);
    (was_asked && may_have_been_good).then_some(back.created_at)
}

/// Whether nothing came after a Promotion, migrations alone included: then it may be under way.
fn is_last(seen: &Observed, record: &Record, later: &[Record]) -> bool {
    let number = record.spec.number;
    let mut alone = seen.migrations.iter();
    later.is_empty() && !alone.any(|other| other.spec.number > number)
}

/// What is left to go by where no record says anything about a Promotion: what the Rollouts run.
fn told_by_rollouts(seen: &Observed, record: &Record, later: &[Record]) -> PromotionPhase {
    let runs = |pick: fn(&Followed) -> &BTreeMap<String, String>| {
        let rollouts = seen
            .rollouts
            .iter()
            .filter_map(|rollout| rollout.state.as_ref());
        let mut answers = rollouts.map(|state| state.runs(pick(state), &record.spec.images));
        seen.is_blank() && answers.any(|answer| answer == Some(true))
    };
    let is_stable = runs(|state| &state.stable);
    match (
        is_last(seen, record, later),
        is_stable || runs(|state| &state.canary),
    ) {
        // Whether it was verified is not known, so it is verified again.
        (true, true) => PromotionPhase::Promoting,
        // With any other status left it is simply new.
        (true, false) => PromotionPhase::Pending,
        (false, _) if is_stable => PromotionPhase::Succeeded,
        (false, _) => PromotionPhase::Superseded,
    }
}

/// What the next Promotions of the same Pipeline tell about one, if there are any: going forward replaces
/// what is good, and going back leads to it.
fn told_by(record: &Record, later: &[Record]) -> Option<PromotionPhase> {
    let release = &record.spec.release;
    let mut next = later
        .iter()
        .filter(|next| next.spec.pipeline == record.spec.pipeline)
        .peekable();
    let first = next.peek()?;
    let replaces = |next: &Record| next.spec.previous.as_ref() == Some(release);
    if first.spec.kind == PromotionKind::Rollback && replaces(first) {
        return Some(PromotionPhase::RolledBack);
    }
    let was_good = |next: &Record| match next.spec.kind {
        PromotionKind::Promote | PromotionKind::Config => replaces(next),
        PromotionKind::Rollback => next.spec.release == *release,
        PromotionKind::Migrate | PromotionKind::Contract => false,
    };
    Some(if next.any(was_good) {
        PromotionPhase::Succeeded
    } else {
        PromotionPhase::Superseded
    })
}
