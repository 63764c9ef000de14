//! Doing the steps, and the phase and the sentence that people read. No I/O.

use jiff::Timestamp;

use super::super::api::{Phase, StepStatus};
use super::super::observed::Deletion;
use super::super::spec::Step;
use super::super::step::{Progress, analyse, pause, set_weight};
use super::change::step_of;
use super::{Draft, after};
use crate::model::plan::Why;
use crate::model::weight::Weight;

impl Draft<'_> {
    /// Goes on to the next step as long as the present one is done.
    pub(super) fn advance_steps(&mut self) {
        if self.spec.is_paused {
            return;
        }
        if self.is_stable_down() {
            self.skip_steps();
        }
        while let Some(progress) = self.current_step() {
            match progress {
                Progress::Done => self.next_step(),
                Progress::Failed { reason, message } => return self.give_up(reason, message),
                Progress::Wait { for_what, until } => {
                    if let Some(until) = until {
                        self.wake_at(until);
                    }
                    self.wait_for(for_what);
                    return;
                }
            }
        }
        self.watch_deadline();
    }

    /// After the last step only pods and data plane can be waited for, and not for ever.
    fn watch_deadline(&mut self) {
        let Some(change) = self.change() else { return };
        let deadline = self.deadline(change);
        let has_all = self.live.share_of(&change.revision) == Weight::FULL;
        if has_all {
            return;
        }
        if self.now >= deadline {
            let message = "all steps are done, but not all pods became ready in time".to_owned();
            return self.give_up("ProgressDeadline", message);
        }
        self.wake_at(deadline);
    }

    /// Whether all steps are done.
    pub(super) fn are_steps_done(&self) -> bool {
        self.change()
            .is_some_and(|change| step_of(change) >= self.spec.steps.len())
    }

    /// Nothing serves: whatever may fix it must not wait for an analysis of what is down.
    fn is_stable_down(&self) -> bool {
        self.change().is_some() && self.spec.replicas > 0 && self.seen.ready(&self.stable) == 0
    }

    fn skip_steps(&mut self) {
        let count = u32::try_from(self.spec.steps.len()).unwrap_or(u32::MAX);
        let now = self.now;
        if let Some(change) = &mut self.memory.progress.change
            && change.step < count
        {
            change.step = count;
            change.step_started_at = now;
        }
    }

    fn next_step(&mut self) {
        let now = self.now;
        if let Some(change) = &mut self.memory.progress.change {
            change.step += 1;
            change.step_started_at = now;
        }
        let next = self
            .change()
            .and_then(|change| self.spec.steps.get(step_of(change)));
        if let Some(Step::Analyse { metrics, .. }) = next {
            let metrics = metrics.clone();
            self.forget_samples(&metrics);
        }
    }

    fn current_step(&self) -> Option<Progress> {
        let change = self.change()?;
        let started_at = change.step_started_at;
        Some(match self.spec.steps.get(step_of(change))? {
            Step::SetWeight(weight) => {
                let seen = set_weight::Seen {
                    wanted: *weight,
                    has_pods: self.has_pods_for(&change.revision, *weight),
                    is_shifted: self.is_shifted(*weight),
                    is_acknowledged: self.live.acknowledged,
                };
                set_weight::advance(seen, self.deadline(change), self.now)
            }
            Step::Pause(span) => pause::advance(after(started_at, *span), self.now),
            Step::Analyse {
                metrics,
                for_at_least,
            } => {
                let earliest = after(started_at, *for_at_least);
                let seen = analyse::Seen {
                    are_good: self.are_good(metrics),
                    counts: self.counts_of(metrics),
                    earliest,
                    latest: self.end_of_patience(earliest),
                };
                analyse::advance(seen, self.now)
            }
        })
    }

    /// Whether traffic is divided as the weight asks: by the route, or by the numbers of pods.
    fn is_shifted(&self, weight: Weight) -> bool {
        let Some(change) = self.change() else {
            return false;
        };
        if self.spec.router.is_some() {
            let live = self.live.arrangement.as_ref();
            return live.is_some_and(|live| {
                live.canary == change.revision && live.share_of(&change.revision) == weight
            });
        }
        let counts = self.counts_at(weight);
        self.seen.sets.iter().all(|set| {
            let wanted = if set.revision == change.revision {
                counts.canary
            } else if set.revision == self.stable {
                counts.stable
            } else {
                0
            };
            set.replicas == wanted && set.current == wanted && set.available >= wanted
        })
    }

    /// Fills in what is shown, and says why.
    pub(super) fn report(&mut self) -> Why {
        let canary = self.shown_canary();
        let share = canary
            .as_ref()
            .map_or(Weight::ZERO, |canary| self.live.share_of(canary));
        let step = self.shown_step();
        let (phase, why) = self.phase(share, step.as_ref());
        let is_routed = self.spec.router.is_none() || self.live.arrangement.is_some();
        let shown = &mut self.memory.shown;
        shown.phase = phase;
        shown.step = step;
        shown.weight = is_routed.then_some((share, self.live.acknowledged));
        shown.canary = canary;
        why
    }

    fn shown_canary(&self) -> Option<crate::model::revision::Revision> {
        let progress = &self.memory.progress;
        let change = progress
            .change
            .as_ref()
            .map(|change| change.revision.clone());
        change.or_else(|| {
            progress
                .failed
                .as_ref()
                .map(|failed| failed.revision.clone())
        })
    }

    fn shown_step(&self) -> Option<StepStatus> {
        let change = self.change()?;
        let count = self.spec.steps.len();
        let index = (step_of(change) + 1).min(count);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let until = match self.spec.steps.get(step_of(change)) {
            Some(Step::Pause(span)) => Some(after(change.step_started_at, *span)),
            Some(Step::Analyse { for_at_least, .. }) => {
                Some(after(change.step_started_at, *for_at_least))
            }
            Some(Step::SetWeight(_)) | None => None,
        };
        (count > 0).then(|| StepStatus {
            position: format!("{index}/{count}"),
            index: number(index),
            of: number(count),
            started_at: change.step_started_at,
            until,
        })
    }

    fn phase(&mut self, share: Weight, step: Option<&StepStatus>) -> (Phase, Why) {
        if self.seen.deletion == Some(Deletion::Orphan) {
            let why = Why::normal(
                "Orphaning",
                "being deleted; the stable revision goes on serving",
            );
            return (Phase::Progressing, why);
        }
        if let Some(failed) = self.memory.progress.failed.clone() {
            return self.phase_after_failure(share, &failed);
        }
        if self.change().is_some() {
            return self.phase_of_change(share, step);
        }
        self.phase_at_rest()
    }

    fn phase_after_failure(
        &mut self,
        share: Weight,
        failed: &super::super::api::Failure,
    ) -> (Phase, Why) {
        let super::super::api::Failure {
            revision,
            reason,
            message,
            ..
        } = failed;
        if share > Weight::ZERO || !self.live.acknowledged {
            if self.seen.ready(&self.stable) == 0 && self.spec.replicas > 0 {
                let text = format!(
                    "{revision} failed ({reason}: {message}), and stable {} has no ready pod: \
                     traffic stays where it is; bring pods of stable up, or apply a fix",
                    self.stable
                );
                return (Phase::Degraded, Why::warning("StableDown", text));
            }
            let waiting = self
                .waiting
                .clone()
                .unwrap_or_else(|| "moving traffic".to_owned());
            let text = format!("{revision} failed ({reason}: {message}); going back: {waiting}");
            return (Phase::RollingBack, Why::warning("RollingBack", text));
        }
        let text = format!(
            "{revision} was given up ({reason}: {message}); stable {} serves. \
             It is not tried again until the spec changes",
            self.stable
        );
        (Phase::RolledBack, Why::warning("RolledBack", text))
    }

    fn phase_of_change(&mut self, share: Weight, step: Option<&StepStatus>) -> (Phase, Why) {
        let position = step
            .map(|step| format!("step {}: ", step.position))
            .unwrap_or_default();
        if self.spec.is_paused {
            let text = format!("{position}{share} to canary, held by spec.paused");
            return (Phase::Paused, Why::normal("Paused", text));
        }
        let waiting = self.waiting.clone();
        let until = step
            .and_then(|step| step.until)
            .filter(|until| *until > self.now);
        let until = until
            .map(|until| format!(" until {}", clock(until)))
            .unwrap_or_default();
        let current = self
            .change()
            .and_then(|change| self.spec.steps.get(step_of(change)));
        match current {
            Some(Step::Pause(_)) => {
                let text = format!("{position}{share} to canary, pausing{until}");
                (Phase::Paused, Why::normal("PauseStep", text))
            }
            Some(Step::Analyse { .. }) => {
                let waiting = waiting.unwrap_or_default();
                let text = format!("{position}{share} to canary, {waiting}{until}");
                (Phase::Analysing, Why::normal("AnalyseStep", text))
            }
            Some(Step::SetWeight(_)) => {
                let waiting = waiting.unwrap_or_else(|| "moving".to_owned());
                (
                    Phase::Progressing,
                    Why::normal("SetWeightStep", format!("{position}{waiting}")),
                )
            }
            None => {
                let waiting = waiting.unwrap_or_else(|| "taking over".to_owned());
                let text = format!("{share} to canary, all steps done: {waiting}");
                (Phase::Promoting, Why::normal("Promoting", text))
            }
        }
    }

    fn phase_at_rest(&mut self) -> (Phase, Why) {
        let wanted = self.spec.replicas;
        let ready = self.seen.ready(&self.stable);
        let stable = &self.stable;
        if ready >= wanted {
            let refusal = self.live.refusal.clone();
            if let Some(refusal) = refusal {
                return (Phase::Degraded, Why::warning("RouteRefused", refusal));
            }
            if !self.live.acknowledged {
                let text = self
                    .waiting
                    .clone()
                    .unwrap_or_else(|| "setting up the route".to_owned());
                return (Phase::Progressing, Why::normal("WaitingForRoute", text));
            }
            let text = format!("{stable} serves with {ready} of {wanted} pods");
            return (Phase::Healthy, Why::normal("Healthy", text));
        }
        if let Some(trouble) = self.seen.trouble(stable) {
            let text = format!(
                "{ready} of {wanted} pods of {stable} are ready; {}",
                trouble.message
            );
            return (Phase::Degraded, Why::warning(trouble.reason, text));
        }
        let text = format!("{ready} of {wanted} pods of {stable} are ready");
        (Phase::Progressing, Why::normal("WaitingForPods", text))
    }
}

/// Time of day, to the second, as people read it in a message.
fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
