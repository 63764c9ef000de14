//! Doing the steps: whether the present one is done, and which comes next. What each kind of step asks is in `step/`. No I/O.

use super::super::api::{Change, FailureReason};
use super::super::spec::Step;
use super::super::step::{Progress, analyse, approve, divide, pause, run, scale};
use super::change::{MAX_WORDS, step_of};
use super::{Draft, after};
use crate::model::text::truncate;
use crate::model::weight::Weight;
use crate::traffic::Side;
use crate::traffic::division::Division;

impl Draft<'_> {
    /// Goes on to the next step as long as the present one is done.
    pub(super) fn advance_steps(&mut self) {
        if self.is_held() {
            return;
        }
        while let Some(progress) = self.current_step() {
            match progress {
                Progress::Done => self.next_step(),
                Progress::Failed { reason, message } => {
                    let words = self.words_of_data_plane();
                    return self.fail(reason, &format!("{message}{words}"));
                }
                Progress::Wait { for_what, until } => {
                    if let Some(until) = until {
                        self.wake_at(until);
                    }
                    let words = self.words_of_data_plane();
                    self.wait_for(format!("{for_what}{words}"));
                    return;
                }
            }
        }
        self.watch_deadline();
    }

    /// What the data plane has against the route, people's objects against the step, or a node against a pod, to be added
    /// to a sentence.
    fn words_of_data_plane(&self) -> String {
        let refusal = self.live.refusal.clone();
        refusal
            .or_else(|| self.obstacle(&self.wanted_division()))
            .or_else(|| self.words_of_pod())
            .map(|words| format!(" ({words})"))
            .unwrap_or_default()
    }

    /// What keeps a single pod of the change from running, where the step waits for pods.
    fn words_of_pod(&self) -> Option<String> {
        let step = self.present_step();
        let waits_for_pods = step.is_none_or(|step| match step {
            Step::SetWeight(_) | Step::Route(_) | Step::Mirror(_) | Step::Scale(_) => true,
            Step::Pause(_) | Step::Run { .. } | Step::Approve { .. } | Step::Analyse { .. } => {
                false
            }
        });
        let trouble = self.seen.trouble(&self.change()?.revision)?;
        waits_for_pods.then(|| truncate(&trouble.message, MAX_WORDS).to_owned())
    }

    /// After the last step only pods and data plane can be waited for, and not for ever.
    fn watch_deadline(&mut self) {
        let Some(change) = self.change() else { return };
        let Some(deadline) = self.deadline(change) else {
            return;
        };
        let has_all = self.live.share_of(&change.revision) == Weight::FULL;
        if has_all && (self.is_past_return(change) || self.seen.ready(&self.stable) == 0) {
            // Nothing else would serve in its place.
            return;
        }
        if self.now >= deadline {
            let waiting = self.words_of_data_plane();
            let message = format!("all steps are done, but it did not take over in time{waiting}");
            return self.fail(FailureReason::ProgressDeadline, &message);
        }
        self.wake_at(deadline);
    }

    /// Whether all steps are done.
    pub(super) fn are_steps_done(&self) -> bool {
        self.change()
            .is_some_and(|change| step_of(change) >= self.spec.steps.len())
    }

    pub(super) fn next_step(&mut self) {
        if let Some(change) = &mut self.memory.progress.change {
            change.step += 1;
        }
        self.enter_step();
        self.leave_trail();
    }

    fn current_step(&self) -> Option<Progress> {
        let change = self.change()?;
        let started_at = change.step_started_at;
        Some(match self.spec.steps.get(step_of(change))? {
            Step::SetWeight(weight) => self.divide(change, format!("{weight} to canary")),
            Step::Mirror(share) => self.divide(change, format!("copies of {share} to canary")),
            step @ Step::Route(_) => self.divide(change, format!("{step} to canary")),
            Step::Scale(wanted) => {
                let answering = self.seen.answering(Side::Canary, &change.revision);
                // Nobody gets more pods than serve, and where none are to, none are waited for.
                let wanted = (*wanted).min(self.spec.replicas);
                scale::advance(answering, wanted, self.deadline(change), self.now)
            }
            Step::Pause(span) => {
                let until = span.map(|span| after(started_at, span));
                pause::advance(until, self.now)
            }
            Step::Run { name, timeout, .. } => {
                let (outcome, deadline) = self.hook_state(started_at, *timeout);
                run::advance(name, outcome, deadline, self.now)
            }
            Step::Approve { required, groups } => {
                approve::advance(&change.approvals, *required, groups, &self.seen.key.name)
            }
            Step::Analyse {
                metrics,
                for_at_least,
                ..
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

    fn divide(&self, change: &Change, wanted: String) -> Progress {
        let division = self.wanted_division();
        let seen = divide::Seen {
            wanted,
            has_pods: self.has_pods_for(&change.revision, &division),
            is_shifted: self.is_shifted(&division),
            is_acknowledged: self.live.acknowledged,
        };
        divide::advance(&seen, self.deadline(change), self.now)
    }

    /// Whether traffic is divided as the step asks: by the routes, or by the numbers of pods.
    fn is_shifted(&self, division: &Division) -> bool {
        let Some(change) = self.change() else {
            return false;
        };
        if self.spec.routing.is_some() {
            let live = self.live.arrangement.as_ref();
            return live.is_some_and(|live| {
                let on_top = (&live.division.route, live.division.mirror);
                live.canary == change.revision
                    && live.share_of(&change.revision) == division.weight
                    && on_top == (&division.route, division.mirror)
            });
        }
        let counts = self.counts(division.weight);
        self.seen.sets.iter().all(|set| {
            let is_canary = set.revision == change.revision;
            let wanted = if is_canary {
                counts.canary
            } else if set.revision == self.stable {
                counts.stable
            } else {
                0
            };
            // Sick pods of stable are what the change may be there to cure.
            let is_there = !is_canary || set.available >= wanted;
            set.replicas == wanted && set.current == wanted && is_there
        })
    }
}
