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

use super::fate::{self, Fate};
use super::record::Ledger;
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
        let is_known = ledger.known_since().is_none_or(|known| known <= start);
        is_known.then(|| Self::of_known(&fate::of(ledger), window, end, since))
    }

    /// Counts in all windows that are known.
    pub fn of_all(ledger: &Ledger, end: Timestamp, since: Timestamp) -> Vec<(Window, Self)> {
        let (fates, known) = (fate::of(ledger), ledger.known_since());
        let is_known = |window: &&Window| known.is_none_or(|known| known <= window.start(end));
        let windows = Window::ALL.iter().filter(is_known).copied();
        windows
            .map(|window| (window, Self::of_known(&fates, window, end, since)))
            .collect()
    }

    fn of_known(fates: &[Fate<'_>], window: Window, end: Timestamp, since: Timestamp) -> Self {
        let start = window.start(end);
        let is_in =
            |fate: &&Fate<'_>| start < fate.line.finished_at && fate.line.finished_at <= end;
        let inside: Vec<&Fate<'_>> = fates.iter().filter(is_in).collect();
        // Records may be older than the object that they are of now.
        let first = inside.iter().map(|fate| fate.line.finished_at).min();
        let from = first.map_or(since, |first| first.min(since)).max(start);
        let mut tally = Self {
            seconds: end.duration_since(from).as_secs().max(DAY),
            ..Self::default()
        };
        for fate in &inside {
            tally.count(fate);
        }
        tally.count_changes(&inside);
        tally
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

    fn count(&mut self, fate: &Fate<'_>) {
        let line = fate.line;
        let is_back = line.kind == PromotionKind::Rollback;
        if line.phase == PromotionPhase::Succeeded {
            self.all += 1;
            self.unplanned += u32::from(is_back || line.is_hotfix);
            self.deployments += u32::from(!is_back);
            // What was taken back has not come to stay.
            if fate.taken_back.is_none() {
                self.leads
                    .extend(line.leads.iter().filter(|lead| **lead > 0));
            }
        }
        if !is_back && fate.has_failed() {
            for (began, over) in fate.failures() {
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
    fn count_changes(&mut self, inside: &[&Fate<'_>]) {
        let mut changes: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        for fate in inside {
            let line = fate.line;
            let key = match line.kind {
                PromotionKind::Promote => (line.pipeline.as_str(), line.release.as_str()),
                PromotionKind::Config => ("", line.uid.as_str()),
                PromotionKind::Rollback | PromotionKind::Migrate | PromotionKind::Contract => {
                    continue;
                }
            };
            *changes.entry(key).or_default() |= fate.has_failed();
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
    let fates = fate::of(ledger);
    let before = |days: u32| {
        let span = SignedDuration::from_secs(i64::from(days) * DAY);
        end.checked_sub(span).unwrap_or(Timestamp::MIN)
    };
    let days = (0..window.days()).rev().map(|ago| {
        let (start, end) = (before(ago + 1), before(ago));
        let mut day = Day::default();
        let is_in =
            |fate: &&Fate<'_>| start < fate.line.finished_at && fate.line.finished_at <= end;
        let forward = fates.iter().filter(is_in);
        for fate in forward.filter(|fate| fate.line.kind != PromotionKind::Rollback) {
            day.deployments += u32::from(fate.line.phase == PromotionPhase::Succeeded);
            day.failed += u32::from(fate.has_failed());
        }
        day
    });
    days.collect()
}
