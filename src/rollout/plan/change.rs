//! Which revision is stable, which is on its way, and whether it has to be given up. No I/O.

use jiff::Timestamp;
use serde_json::json;

use super::super::api::{Change, Ending, EndingResult, Failure, Progress};
use super::super::observed::Observed;
use super::super::spec::Spec;
use super::{Draft, after};
use crate::metric::judge::{self, Verdict};
use crate::model::label;
use crate::model::revision::Revision;
use crate::model::weight::Weight;

/// The revision that serves.
///
/// It is in status; where that was lost, it is the ReplicaSet that was promoted last. The first
/// revision of all is stable from its beginning: there is nothing else that could serve.
pub(super) fn stable(seen: &Observed, spec: &Spec) -> Revision {
    let known = seen
        .status
        .progress
        .as_ref()
        .and_then(|progress| progress.stable.clone());
    known
        .or_else(|| promoted_last(seen))
        .unwrap_or_else(|| spec.revision.clone())
}

fn promoted_last(seen: &Observed) -> Option<Revision> {
    let promoted = seen.sets.iter().filter(|set| set.promoted_at.is_some());
    promoted
        .max_by_key(|set| set.promoted_at)
        .map(|set| set.revision.clone())
}

impl Draft<'_> {
    /// Makes `progress.change` and `progress.failed` say what is true now.
    pub(super) fn settle_change(&mut self) {
        let wanted = self.spec.revision.clone();
        let was_lost = self.seen.status.progress.is_none();
        self.memory.progress.stable = Some(self.stable.clone());
        if was_lost {
            self.recover_failure(&wanted);
        }
        let asks_again = |failed: &Failure| {
            let (before, now) = (&failed.promotion, &self.seen.promotion);
            before.is_some() && now.is_some() && before != now
        };
        let failed = self.memory.progress.failed.as_ref();
        if failed.is_some_and(|failed| failed.revision != wanted || asks_again(failed)) {
            self.memory.progress.failed = None;
        }
        self.end_superseded(&wanted);
        let is_failed = self.memory.progress.failed.is_some();
        let is_leaving = self.seen.deletion.is_some();
        if wanted == self.stable || is_failed || is_leaving {
            self.memory.progress.change = None;
            return;
        }
        if self.memory.progress.change.is_none() {
            self.memory.tallies.clear();
            self.memory.progress.change = Some(self.new_change(was_lost));
        }
        self.note_progress();
        if let Some((reason, message)) = self.reason_to_give_up() {
            self.give_up(reason, message);
        }
    }

    /// The change that is under way, if one is.
    pub(super) fn change(&self) -> Option<&Change> {
        self.memory.progress.change.as_ref()
    }

    /// The share that the change's step asks for.
    pub(super) fn wanted_weight(&self) -> Weight {
        self.change()
            .map_or(Weight::ZERO, |change| self.spec.weight_at(step_of(change)))
    }

    fn recover_failure(&mut self, wanted: &Revision) {
        let Some(set) = self.seen.set(wanted) else {
            return;
        };
        let Some(reason) = &set.failed else { return };
        self.memory.progress.failed = Some(Failure {
            revision: wanted.clone(),
            reason: reason.clone(),
            message: format!("given up earlier: {reason}"),
            at: self.now,
            promotion: self.seen.promotion.clone(),
        });
    }

    fn end_superseded(&mut self, wanted: &Revision) {
        let Some(change) = self.change().filter(|change| change.revision != *wanted) else {
            return;
        };
        let message = format!("superseded by {wanted}");
        let ending = self.ending(change, EndingResult::Superseded, message);
        self.remember_ending(ending);
        self.memory.progress.change = None;
    }

    /// A new change begins with its first step. One whose record was lost goes on at the first step that
    /// has the weight which the route still shows.
    fn new_change(&self, was_lost: bool) -> Change {
        let share = self.live.share_of(&self.spec.revision);
        let at_share = |step: &usize| self.spec.weight_at(*step) >= share;
        let step = if was_lost && share > Weight::ZERO {
            (0..=self.spec.steps.len())
                .find(at_share)
                .unwrap_or(self.spec.steps.len())
        } else {
            0
        };
        Change {
            revision: self.spec.revision.clone(),
            started_at: self.now,
            step: u32::try_from(step).unwrap_or(u32::MAX),
            step_started_at: self.now,
            ready: 0,
            progressed_at: self.now,
            peak_weight: share.percent(),
            measuring_since: None,
        }
    }

    fn note_progress(&mut self) {
        let now = self.now;
        let share = self.live.share_of(&self.spec.revision).percent();
        let ready = self.seen.ready(&self.spec.revision);
        if let Some(change) = &mut self.memory.progress.change {
            change.peak_weight = change.peak_weight.max(share);
            if ready > change.ready {
                change.ready = ready;
                change.progressed_at = now;
            }
        }
    }

    fn reason_to_give_up(&self) -> Option<(&'static str, String)> {
        let change = self.change()?;
        if let Some(trouble) = self.seen.trouble(&change.revision) {
            return Some((trouble.reason, trouble.message.clone()));
        }
        self.failed_analysis()
            .map(|message| ("AnalysisFailed", message))
    }

    fn failed_analysis(&self) -> Option<String> {
        let analysis = self.spec.analysis.as_ref()?;
        let verdicts = analysis.metrics.iter().filter_map(|(metric, _)| {
            let tally = self
                .memory
                .tallies
                .iter()
                .find(|tally| tally.name == metric.name)?;
            match judge::verdict(metric, tally) {
                Verdict::Bad(message) => Some(message),
                Verdict::Good | Verdict::Undecided => None,
            }
        });
        verdicts.into_iter().next()
    }

    /// Gives the change up: from here on everything goes back to stable, until the spec changes.
    pub(super) fn give_up(&mut self, reason: &str, message: String) {
        let Some(change) = self.memory.progress.change.take() else {
            return;
        };
        let ending = self.ending(&change, EndingResult::RolledBack, message.clone());
        self.remember_ending(Ending {
            reason: format!("{reason}: {message}"),
            ..ending
        });
        self.memory.progress.failed = Some(Failure {
            revision: change.revision,
            reason: reason.to_owned(),
            message,
            at: self.now,
            promotion: self.seen.promotion.clone(),
        });
    }

    /// The revision that was on its way is stable now.
    pub(super) fn promote(&mut self) {
        let Some(change) = self.memory.progress.change.take() else {
            return;
        };
        let ending = self.ending(&change, EndingResult::Promoted, "all steps done".to_owned());
        self.remember_ending(Ending {
            peak_weight: 100,
            ..ending
        });
        self.stable = change.revision;
        self.memory.progress.stable = Some(self.stable.clone());
    }

    fn ending(&self, change: &Change, result: EndingResult, reason: String) -> Ending {
        Ending {
            revision: change.revision.to_string(),
            result,
            reason,
            started_at: change.started_at,
            finished_at: self.now,
            peak_weight: change.peak_weight,
        }
    }

    /// When the wait for pods or for the data plane turns into a failure.
    pub(super) fn deadline(&self, change: &Change) -> Timestamp {
        after(
            change.progressed_at.max(change.step_started_at),
            self.spec.progress_deadline,
        )
    }

    /// Puts on the ReplicaSets what has to survive the loss of the status.
    pub(super) fn record_on_sets(&mut self) {
        let seen = self.seen;
        let latest = seen.sets.iter().filter_map(|set| set.promoted_at).max();
        if let Some(set) = seen.set(&self.stable)
            && (set.promoted_at.is_none() || set.promoted_at < latest)
        {
            let at = self.now.to_string();
            self.change_set(
                set,
                &json!({"metadata": {"annotations": {label::PROMOTED_AT: at}}}),
            );
        }
        let Progress { failed, .. } = &self.memory.progress;
        let failed = failed
            .as_ref()
            .map(|failed| (failed.revision.clone(), failed.reason.clone()));
        for set in &seen.sets {
            let reason = failed
                .as_ref()
                .filter(|(revision, _)| *revision == set.revision);
            let reason = reason.map(|(_, reason)| reason.as_str());
            let is_wanted = set.revision == self.spec.revision;
            if reason != set.failed.as_deref() && (reason.is_some() || is_wanted) {
                self.change_set(
                    set,
                    &json!({"metadata": {"annotations": {label::FAILED: reason}}}),
                );
            }
        }
    }
}

/// The step of a change as an index into the spec's steps.
pub(super) fn step_of(change: &Change) -> usize {
    usize::try_from(change.step).unwrap_or(usize::MAX)
}
