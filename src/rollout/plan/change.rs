//! Which revision is stable, and which is on its way. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::super::api::{Change, Ending, EndingResult, Failure, Progress};
use super::super::observed::Observed;
use super::super::spec::{Spec, Step};
use super::super::step;
use super::{Draft, after};
use crate::model::label;
use crate::model::revision::Revision;
use crate::model::text::truncate;
use crate::model::weight::Weight;
use crate::traffic::division::Division;
use crate::traffic::replicas::{self, Counts};

/// Longest words of others (a kubelet, a metrics server) that are remembered, in bytes.
pub(super) const MAX_WORDS: usize = 512;

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
    pub(super) fn settle_change(&mut self, was_lost: bool) {
        let wanted = self.wanted.clone();
        self.memory.progress.stable = Some(self.stable.clone());
        if was_lost {
            self.recover_failure();
        }
        self.name_promotion_of_failure(&wanted);
        let asks_again = |failed: &Failure| {
            let (before, now) = (&failed.promotion, &self.seen.promotion);
            before.is_some() && now.is_some() && before != now
        };
        let failed = self.memory.progress.failed.as_ref();
        let asked_for = &self.spec.revision;
        // What serves, and is to, was given up once at most, as one that was undone and cannot be gone back from any more.
        let serves = |failed: &Failure| failed.revision == self.stable && wanted == self.stable;
        if failed.is_some_and(|failed| {
            failed.revision != *asked_for || asks_again(failed) || serves(failed)
        }) {
            self.memory.progress.failed = None;
        }
        self.end_superseded(&wanted);
        let failed = self.memory.progress.failed.as_ref();
        let is_failed = failed.is_some_and(|failed| failed.revision == wanted);
        let is_leaving = self.seen.deletion.is_some();
        if wanted == self.stable || is_failed || is_leaving {
            self.memory.progress.change = None;
            return;
        }
        if self.memory.progress.change.is_none() {
            self.memory.tallies.clear();
            self.forget_reverts();
            self.assess_risk();
            self.memory.progress.change = Some(self.new_change(was_lost));
        }
        if self.memory.risk.is_none() {
            // It began under another strategy.
            self.assess_risk();
        }
        if self.spec.is_sound {
            self.forget_other_metrics();
            self.follow_edits();
        }
        self.note_progress();
        self.judge_change();
    }

    /// The change that is under way, if one is.
    pub(super) fn change(&self) -> Option<&Change> {
        self.memory.progress.change.as_ref()
    }

    /// What the change's step asks for: nothing, while pods that do not serve hold it.
    pub(super) fn wanted_division(&self) -> Division {
        let change = self.change().filter(|_| !self.is_withdrawn());
        change.map_or(Division::NONE, |change| {
            let division = self.spec.division_at(step_of(change));
            if self.is_emergency(change) {
                self.in_emergency(division)
            } else {
                division
            }
        })
    }

    /// The share that the change's step asks for.
    pub(super) fn wanted_weight(&self) -> Weight {
        self.wanted_division().weight
    }

    /// The step that is being done; none when all are.
    pub(super) fn present_step(&self) -> Option<&Step> {
        let change = self.change()?;
        self.spec.steps.get(step_of(change))
    }

    /// Whether the change has everything, through the stable Service too, and all of its steps behind it: going on is all
    /// that is left.
    pub(super) fn is_past_return(&self, change: &Change) -> bool {
        let live = self.live.arrangement.as_ref();
        let has_all = live.is_some_and(|live| {
            live.stable == change.revision && live.share_of(&change.revision) == Weight::FULL
        });
        has_all && step_of(change) >= self.spec.steps.len()
    }

    /// Pods of both sides at a weight, without a router.
    pub(super) fn counts(&self, weight: Weight) -> Counts {
        replicas::counts(self.spec.replicas, weight, self.spec.max_surge > 0)
    }

    /// People may edit the steps meanwhile. What was done counts as far as the list is still the same; an
    /// analysis that has changed starts afresh.
    fn follow_edits(&mut self) {
        let steps = &self.spec.steps;
        let Some(change) = &mut self.memory.progress.change else {
            return;
        };
        let done = step_of(change);
        let trail = change.trail.as_bytes().chunks(Step::MARK);
        let same = trail
            .zip(steps)
            .take_while(|(old, new)| *old == new.mark().as_bytes());
        // The trail of an older operator is empty: its steps are taken as they are.
        let same = if change.trail.is_empty() {
            done
        } else {
            same.count()
        };
        let at = done.min(same).min(steps.len());
        let was_begun = change.trail.len() > done * Step::MARK;
        let is_other = was_begun && same == done;
        change.step = u32::try_from(at).unwrap_or(u32::MAX);
        let next = steps.get(at);
        let has_trail =
            same == (at + 1).min(steps.len()) && change.trail.len() == same * Step::MARK;
        if at < done || (is_other && matches!(next, Some(Step::Analyse { .. }))) {
            self.enter_step();
        }
        if !has_trail {
            self.leave_trail();
        }
    }

    /// Notes the steps up to the present one.
    pub(super) fn leave_trail(&mut self) {
        let steps = &self.spec.steps;
        if let Some(change) = &mut self.memory.progress.change {
            let begun = steps.iter().take(step_of(change).saturating_add(1));
            change.trail = begun.map(Step::mark).collect();
        }
    }

    /// The present step starts now.
    pub(super) fn enter_step(&mut self) {
        let now = self.now;
        let Some(change) = &mut self.memory.progress.change else {
            return;
        };
        change.step_started_at = now;
        change.approvals.clear();
        if let Some(Step::Analyse {
            metrics,
            is_fresh: true,
            ..
        }) = self.spec.steps.get(step_of(change))
        {
            self.forget_samples(metrics);
        }
    }

    /// What failed while nothing said which Promotion asks for it (the Environment, or its status, was gone) is the
    /// failure of the one that asks for the same now. Without a name, none would ever be a new one.
    fn name_promotion_of_failure(&mut self, wanted: &Revision) {
        let failed = self.memory.progress.failed.as_mut();
        if let Some(failed) = failed.filter(|failed| failed.revision == *wanted)
            && failed.promotion.is_none()
        {
            failed.promotion.clone_from(&self.seen.promotion);
        }
    }

    fn recover_failure(&mut self) {
        let wanted = &self.spec.revision;
        let set = self.seen.set(wanted);
        let Some(set) = set.filter(|set| set.revision != self.stable) else {
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

    /// Whether traffic may be where it is only because nothing of stable serves: no sign of how far the steps were. Without
    /// a router, pods of stable go as the weight says.
    fn is_all_there_is(&self) -> bool {
        self.spec.routing.is_some() && self.seen.ready(&self.stable) == 0
    }

    /// A new change begins with its first step. One whose record was lost goes on at the first step that
    /// asks for what is there, so that nothing is left out.
    fn new_change(&self, was_lost: bool) -> Change {
        let share = self.live.share_of(&self.wanted);
        let step = if self.is_known_good(&self.wanted) {
            self.spec.steps.len()
        } else if was_lost && share > Weight::ZERO && !self.is_all_there_is() {
            self.step_reached(share)
        } else {
            0
        };
        Change {
            revision: self.wanted.clone(),
            started_at: self.now,
            step: u32::try_from(step).unwrap_or(u32::MAX),
            step_started_at: self.now,
            ready: 0,
            progressed_at: self.now,
            peak_weight: share.percent(),
            unmade_since: None,
            measuring_since: None,
            trail: String::new(),
            held: false,
            approvals: Vec::new(),
            stuck: None,
            overruled: Vec::new(),
            retries: 0,
        }
    }

    /// Whether a revision is gone back to without steps: somebody said so, it was stable not long ago, or it still has
    /// all of its pods from when it was.
    fn is_known_good(&self, revision: &Revision) -> bool {
        let is_undo = self.memory.progress.undo.is_some();
        let Some(set) = self
            .seen
            .set(revision)
            .filter(|set| set.promoted_at.is_some())
        else {
            return false;
        };
        let others = self
            .earlier()
            .into_iter()
            .filter(|other| *other != self.stable);
        let is_in_window = others
            .take(self.spec.rollback_window)
            .any(|other| other == *revision);
        let is_kept = !self.spec.keep_old_for.is_zero() && set.lasting() >= self.spec.replicas;
        set.failed.is_none() && (is_undo || is_in_window || is_kept)
    }

    /// The first step of those that ask for the most of what is there.
    fn step_reached(&self, share: Weight) -> usize {
        let is_routed = self.spec.routing.is_some();
        let has = |revision| self.seen.set(revision).map_or(0, |set| set.replicas);
        let there = if is_routed {
            i32::from(share.percent())
        } else {
            has(&self.wanted) - has(&self.stable)
        };
        let asked = |step: usize| {
            let weight = self.spec.weight_at(step);
            if is_routed {
                return i32::from(weight.percent());
            }
            let counts = self.counts(weight);
            counts.canary - counts.stable
        };
        let steps = 0..=self.spec.steps.len();
        let most = steps
            .clone()
            .map(asked)
            .filter(|asked| *asked <= there)
            .max();
        let mut reached = steps.filter(|step| Some(asked(*step)) == most);
        reached.next().unwrap_or(0)
    }

    fn note_progress(&mut self) {
        let now = self.now;
        let share = self.live.share_of(&self.wanted).percent();
        let ready = self.seen.ready(&self.wanted);
        let is_held = self.is_held();
        if let Some(change) = &mut self.memory.progress.change {
            change.peak_weight = change.peak_weight.max(share);
            if is_held {
                change.held = true;
            } else if std::mem::take(&mut change.held) {
                change.progressed_at = now;
            }
            if ready > change.ready {
                change.ready = ready;
                change.progressed_at = now;
            }
        }
    }

    /// Gives the change up: from here on everything goes back to stable, until another revision is asked for.
    pub(super) fn give_up(&mut self, reason: &str, message: &str) {
        let Some(change) = self.memory.progress.change.take() else {
            return;
        };
        let message = truncate(message, MAX_WORDS).to_owned();
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
        self.stay_at_stable();
    }

    /// What somebody went back to was given up: stable stays, or it would be tried again and again, and what was undone
    /// is not tried again for it either.
    fn stay_at_stable(&mut self) {
        let Progress { undo, failed, .. } = &mut self.memory.progress;
        let (Some(back), Some(failed)) = (undo.as_mut(), failed) else {
            return;
        };
        if back.to != failed.revision {
            return;
        }
        failed.message = format!("{} does not do instead: {}", back.to, failed.message);
        failed.revision.clone_from(&back.from);
        back.to.clone_from(&self.stable);
        if back.from == self.stable {
            *undo = None;
        }
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

    pub(super) fn ending(&self, change: &Change, result: EndingResult, reason: String) -> Ending {
        Ending {
            revision: change.revision.to_string(),
            result,
            reason,
            started_at: change.started_at,
            finished_at: self.now,
            peak_weight: change.peak_weight,
        }
    }

    /// When the wait for pods or for the data plane turns into a failure; never while nothing else would serve in its place.
    pub(super) fn deadline(&self, change: &Change) -> Option<Timestamp> {
        let has_all = self.live.share_of(&change.revision) == Weight::FULL;
        if has_all && self.is_emergency(change) {
            return None;
        }
        let since = step::waits_since(&self.memory.progress, change, self.spec.drain);
        Some(after(since, self.spec.progress_deadline))
    }

    /// Puts on the ReplicaSets what has to survive the loss of the status.
    pub(super) fn record_on_sets(&mut self) {
        let seen = self.seen;
        let latest = seen.sets.iter().filter_map(|set| set.promoted_at).max();
        if let Some(set) = seen.set(&self.stable)
            && (set.promoted_at.is_none() || set.promoted_at < latest)
        {
            // A clock that went back a little must not make the new one look older than the one before.
            let next = latest.map(|latest| after(latest, Duration::from_secs(1)));
            let at = next
                .filter(|next| *next > self.now)
                .unwrap_or(self.now)
                .to_string();
            self.change_set(
                set,
                &json!({"metadata": {"annotations": {label::PROMOTED_AT: at}}}),
            );
        }
        // Of a revision from before an Environment decided that is not on record yet.
        let worn = self.spec.worn.as_ref();
        let set = seen.set(&self.spec.revision);
        let unnamed = set.filter(|set| set.template.is_none() && set.is_owned);
        if let Some((worn, set)) = worn.zip(unnamed) {
            let named = json!({"metadata": {"annotations": {label::TEMPLATE: worn}}});
            self.change_set(set, &named);
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
            let is_wanted = set.revision == self.wanted;
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
