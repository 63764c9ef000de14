//! What is counted over a window. Pure.
//!
//! | figure | what counts | source |
//! |---|---|---|
//! | deployment frequency | promotions forward that succeeded | DORA, "Four keys"; `dora-team/fourkeys`, METRICS.md |
//! | lead time for changes | per commit, from the commit to the end of the promotion that brought it; the median | the same |
//! | change failure rate | changes of which a deployment failed, of all that were deployed | the same |
//! | failed deployment recovery time | from the first sign of a failure until something good serves again | DORA, Accelerate State of DevOps Report 2023, which renamed "time to restore service" |
//! | deployment rework rate | deployments that nobody had planned, of all | DORA, Accelerate State of DevOps Report 2024 |
//!
//! What is counted otherwise than there, and why, is in `docs/dora.md`: a change counts once, however often it was tried and
//! however many incidents it had; and commits of a deployment that was taken back are counted when they come to stay.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::record::{Ledger, Line};
use super::{DAY, Window};
use crate::promotion::api::{PromotionKind, PromotionPhase};

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seconds of the window in which the Environment was there, a day at least.
    pub seconds: i64,
    /// Promotions forward that succeeded.
    pub deployments: u32,
    /// Per commit that came to stay, how long it took, in seconds.
    pub leads: Vec<i64>,
    /// Changes that were deployed, or tried.
    pub changes: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Per failure that is over, how long it took, in seconds.
    pub recoveries: Vec<i64>,
    /// Failures that are not over.
    pub unrecovered: u32,
    /// Deployments that nobody had planned.
    pub unplanned: u32,
    /// Deployments, rollbacks included.
    pub all: u32,
}

impl Tally {
    /// Counts the promotions of an Environment that ended in a window; `since` is when the Environment came to be. Nothing where
    /// that is not known any more.
    pub fn of(ledger: &Ledger, window: Window, end: Timestamp, since: Timestamp) -> Option<Self> {
        let start = window.start(end);
        if ledger.known_since().is_some_and(|known| known > start) {
            return None;
        }
        let lines = ledger.lines();
        let is_in = |line: &&&Line| start < line.finished_at && line.finished_at <= end;
        let inside: Vec<&Line> = lines.iter().filter(is_in).copied().collect();
        // Records may be older than the object that they are of now.
        let first = inside.iter().map(|line| line.finished_at).min();
        let from = first.map_or(since, |first| first.min(since)).max(start);
        let mut tally = Self {
            seconds: end.duration_since(from).as_secs().max(DAY),
            ..Self::default()
        };
        for line in &inside {
            tally.count(line, &lines);
        }
        tally.count_changes(&inside, &lines);
        Some(tally)
    }

    /// Adds what was counted of another Environment.
    pub fn add(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.deployments += other.deployments;
        self.leads.extend(&other.leads);
        self.changes += other.changes;
        self.failed += other.failed;
        self.recoveries.extend(&other.recoveries);
        self.unrecovered += other.unrecovered;
        self.unplanned += other.unplanned;
        self.all += other.all;
    }

    fn count(&mut self, line: &Line, all: &[&Line]) {
        let is_back = line.kind == PromotionKind::Rollback;
        if line.phase == PromotionPhase::Succeeded {
            self.all += 1;
            self.unplanned += u32::from(is_back || line.is_hotfix);
            self.deployments += u32::from(!is_back);
            // What was taken back has not come to stay.
            if taken_back(line, all).is_none() {
                self.leads
                    .extend(line.leads.iter().filter(|lead| **lead > 0));
            }
        }
        if !is_back && has_failed(line, all) {
            for (began, over) in failures(line, all) {
                match over {
                    Some(over) => {
                        let took = over.duration_since(began).as_secs();
                        self.recoveries.push(took.max(0));
                    }
                    None => self.unrecovered += 1,
                }
            }
        }
    }

    /// Counts changes: a Release is one, however often it was tried; new templates of the same Release are one of their own.
    fn count_changes(&mut self, inside: &[&Line], all: &[&Line]) {
        let mut changes: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        for line in inside {
            let key = match line.kind {
                PromotionKind::Promote => (line.pipeline.as_str(), line.release.as_str()),
                PromotionKind::Config => ("", line.uid.as_str()),
                PromotionKind::Rollback | PromotionKind::Migrate | PromotionKind::Contract => {
                    continue;
                }
            };
            *changes.entry(key).or_default() |= has_failed(line, all);
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.changes = count(changes.len());
        self.failed = count(changes.values().filter(|failed| **failed).count());
    }
}

/// What happened on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Promotions forward that succeeded.
    pub deployments: u32,
    /// Deployments that failed, or were found to have failed.
    pub failed: u32,
}

/// The days of a window, the oldest first; a day ends when the window does.
pub fn days(ledger: &Ledger, window: Window, end: Timestamp) -> Vec<Day> {
    let lines = ledger.lines();
    let before = |days: u32| {
        let span = SignedDuration::from_secs(i64::from(days) * DAY);
        end.checked_sub(span).unwrap_or(Timestamp::MIN)
    };
    let days = (0..window.days()).rev().map(|ago| {
        let (start, end) = (before(ago + 1), before(ago));
        let mut day = Day::default();
        let is_in = |line: &&&Line| start < line.finished_at && line.finished_at <= end;
        let forward = lines.iter().filter(is_in);
        for line in forward.filter(|line| line.kind != PromotionKind::Rollback) {
            day.deployments += u32::from(line.phase == PromotionPhase::Succeeded);
            day.failed += u32::from(has_failed(line, &lines));
        }
        day
    });
    days.collect()
}

/// Whether a deployment failed: it ended so, it has an incident, or the Environment went back from it.
fn has_failed(line: &Line, all: &[&Line]) -> bool {
    let ended_so = match line.phase {
        PromotionPhase::Failed | PromotionPhase::RolledBack => true,
        PromotionPhase::Succeeded
        | PromotionPhase::Superseded
        | PromotionPhase::Pending
        | PromotionPhase::AwaitingApproval
        | PromotionPhase::Migrating
        | PromotionPhase::Promoting
        | PromotionPhase::Verifying => false,
    };
    ended_so || !line.incidents.is_empty() || taken_back(line, all).is_some()
}

/// The rollback that took a deployment back: it leaves its Release, and no other deployment of that came in between.
fn taken_back<'l>(line: &Line, all: &[&'l Line]) -> Option<&'l Line> {
    if line.kind == PromotionKind::Rollback {
        return None;
    }
    let later = all.iter().copied().filter(|other| {
        let is_same = other.pipeline == line.pipeline;
        is_same && other.number > line.number
    });
    for other in later {
        let is_back = other.kind == PromotionKind::Rollback;
        if is_back && other.previous.as_deref() == Some(line.release.as_str()) {
            return Some(other);
        }
        let is_same = other.release == line.release;
        // A way back to it takes nothing of it back, and what failed in between did not take its place.
        let is_over = if is_back {
            !is_same
        } else {
            is_same || other.phase == PromotionPhase::Succeeded
        };
        if is_over {
            return None;
        }
    }
    None
}

/// When each failure of a deployment began, and when it was over. Its incidents tell; where there are none, it began when the
/// deployment failed, or the rollback was asked for, and was over with the next that succeeded.
fn failures(line: &Line, all: &[&Line]) -> Vec<(Timestamp, Option<Timestamp>)> {
    if !line.incidents.is_empty() {
        let incidents = line.incidents.iter();
        let known = incidents.map(|incident| (incident.started_at, incident.resolved_at));
        return known.collect();
    }
    let back = taken_back(line, all).filter(|_| line.phase == PromotionPhase::Succeeded);
    let began = back.map_or(line.finished_at, |back| back.asked_at);
    let good = all.iter().filter(|other| {
        let is_later = other.pipeline == line.pipeline && other.number > line.number;
        is_later && other.phase == PromotionPhase::Succeeded
    });
    let over = good.map(|other| other.finished_at).min();
    vec![(began, over)]
}
