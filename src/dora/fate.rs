//! What became of deployments afterwards: what took each of them back, and when something good came after it. Read off all lines
//! in one go from the last to the first, since an Environment has thousands of them and looks at them often. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::{Ledger, Line};
use crate::promotion::api::{PromotionKind, PromotionPhase};

/// A deployment, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fate<'l> {
    /// What is on record of it.
    pub line: &'l Line,
    /// The rollback that took it back: it leaves its Release, and no other deployment of that came in between.
    pub taken_back: Option<&'l Line>,
    /// When the first that succeeded after it ended.
    pub good_at: Option<Timestamp>,
}

impl Fate<'_> {
    /// Whether the deployment failed: it ended so, it has an incident, or the Environment went back from it.
    pub fn has_failed(&self) -> bool {
        let ended_so = match self.line.phase {
            PromotionPhase::Failed | PromotionPhase::RolledBack => true,
            PromotionPhase::Succeeded
            | PromotionPhase::Superseded
            | PromotionPhase::Pending
            | PromotionPhase::AwaitingApproval
            | PromotionPhase::Migrating
            | PromotionPhase::Promoting
            | PromotionPhase::Verifying => false,
        };
        ended_so || !self.line.incidents.is_empty() || self.taken_back.is_some()
    }

    /// When each failure of it began, and when it was over. Its incidents tell; where there are none, it began when the
    /// deployment failed, or the rollback was asked for, and was over with the next that succeeded.
    pub fn failures(&self) -> Vec<(Timestamp, Option<Timestamp>)> {
        let line = self.line;
        if !line.incidents.is_empty() {
            let incidents = line.incidents.iter();
            let known = incidents.map(|incident| (incident.started_at, incident.resolved_at));
            return known.collect();
        }
        let back = self
            .taken_back
            .filter(|_| line.phase == PromotionPhase::Succeeded);
        let began = back.map_or(line.finished_at, |back| back.asked_at);
        vec![(began, self.good_at)]
    }
}

/// All that is on record, each with what came of it, in the order of the promotions.
pub fn of(ledger: &Ledger) -> Vec<Fate<'_>> {
    let lines = ledger.lines();
    let mut later: BTreeMap<&str, Later<'_>> = BTreeMap::new();
    let mut fates = Vec::with_capacity(lines.len());
    let at_once = |one: &&Line, other: &&Line| one.number == other.number;
    for group in lines.chunk_by(at_once).rev() {
        for line in group.iter().copied().rev() {
            fates.push(later.entry(&line.pipeline).or_default().fate(line));
        }
        for line in group.iter().copied().rev() {
            later.entry(&line.pipeline).or_default().take_in(line);
        }
    }
    fates.reverse();
    fates
}

/// What comes after a deployment, of its Pipeline. What was taken in last is the nearest, and has the highest number.
#[derive(Default)]
struct Later<'l> {
    count: usize,
    /// The nearest that went forward and succeeded.
    good: Option<usize>,
    /// The nearest that went forward, of each Release.
    again: BTreeMap<&'l str, usize>,
    /// The nearest rollback from each Release.
    left: BTreeMap<&'l str, (usize, &'l Line)>,
    /// The nearest rollback, and the nearest of those to another Release than that.
    back: [Option<(usize, &'l str)>; 2],
    good_at: Option<Timestamp>,
}

impl<'l> Later<'l> {
    fn take_in(&mut self, line: &'l Line) {
        self.count += 1;
        let at = self.count;
        let is_good = line.phase == PromotionPhase::Succeeded;
        if is_good {
            let good_at = self.good_at.into_iter().chain([line.finished_at]);
            self.good_at = good_at.min();
        }
        if line.kind == PromotionKind::Rollback {
            if let Some(previous) = &line.previous {
                self.left.insert(previous, (at, line));
            }
            let [nearest, other] = &mut self.back;
            if nearest.is_none_or(|(_, to)| to != line.release) {
                *other = *nearest;
            }
            *nearest = Some((at, line.release.as_str()));
            return;
        }
        self.again.insert(&line.release, at);
        if is_good {
            self.good = Some(at);
        }
    }

    /// A way back to the Release takes nothing of it back, and what failed in between did not take its place.
    fn fate(&self, line: &'l Line) -> Fate<'l> {
        let release = line.release.as_str();
        let mut back = self.back.iter().flatten();
        let elsewhere = back.find(|(_, to)| *to != release).map(|(at, _)| *at);
        let again = self.again.get(release).copied();
        let over = [self.good, again, elsewhere].into_iter().flatten().max();
        let left = self.left.get(release).copied();
        let left = left.filter(|(at, _)| over.is_none_or(|over| over <= *at));
        let is_forward = line.kind != PromotionKind::Rollback;
        Fate {
            line,
            taken_back: left.filter(|_| is_forward).map(|(_, by)| by),
            good_at: self.good_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::promoted;
    use super::*;

    /// The same, looked for from each deployment on.
    fn looked_for<'l>(line: &Line, all: &[&'l Line]) -> Option<&'l Line> {
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

    fn any_line() -> impl Strategy<Value = Line> {
        let release = || prop::sample::select(vec!["r1", "r2", "r3"]);
        let phase = prop::sample::select(vec![
            PromotionPhase::Succeeded,
            PromotionPhase::Failed,
            PromotionPhase::RolledBack,
        ]);
        let parts = (
            0..12_u32,
            0..2_u8,
            any::<bool>(),
            release(),
            release(),
            phase,
            10..24_u32,
        );
        parts.prop_map(
            |(number, pipeline, is_back, release, previous, phase, hour)| {
                let at = format!("2026-11-02T{hour}:00:00Z");
                let mut line = promoted(number, release, &at).ended(phase);
                if is_back {
                    line = line.back_from(previous, &at);
                }
                line.pipeline = format!("p{pipeline}");
                line.uid = format!("{number}-{pipeline}-{is_back}-{release}-{previous}-{hour}");
                line
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_read_off_in_one_go_is_what_is_found_from_each_deployment_on(
            lines in prop::collection::vec(any_line(), 0..24),
        ) {
            let ledger = Ledger::of(&lines);
            let all = ledger.lines();
            let fates = of(&ledger);
            prop_assert_eq!(fates.len(), all.len());
            for (fate, line) in fates.iter().zip(&all) {
                prop_assert_eq!(fate.line, *line);
                prop_assert_eq!(fate.taken_back, looked_for(line, &all));
                let later = all.iter().filter(|other| {
                    let is_later = other.pipeline == line.pipeline && other.number > line.number;
                    is_later && other.phase == PromotionPhase::Succeeded
                });
                prop_assert_eq!(fate.good_at, later.map(|other| other.finished_at).min());
            }
        }
    }
}
