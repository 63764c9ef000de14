//! The phase and the sentence that people read. No I/O.

use jiff::SignedDuration;

use super::super::api::{Failure, FailureReason, Phase, StepStatus};
use super::super::observed::{Deletion, Set};
use super::super::spec::Step;
use super::change::step_of;
use super::restart::RESTARTING;
use super::{Draft, after, foreign};
use crate::model::condition;
use crate::model::plan::Why;
use crate::model::revision::Revision;
use crate::model::span::time_of_day;
use crate::model::weight::Weight;

/// How soon it is looked again whether another Rollout has let go of a Service.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl Draft<'_> {
    /// Fills in what is shown, and says why.
    pub(super) fn report(&mut self) -> Why {
        let canary = self.shown_canary();
        let share = canary
            .as_ref()
            .map_or(Weight::ZERO, |canary| self.live.share_of(canary));
        let step = self.shown_step();
        let (phase, mut why) = self.phase(share, step.as_ref());
        if let Some(restarting) = self
            .restarting
            .as_ref()
            .filter(|_| why.reason != RESTARTING)
        {
            why.message = format!("{}; {restarting}", why.message);
        }
        let is_routed = self.spec.routing.is_none() || self.live.arrangement.is_some();
        let shown = &mut self.memory.shown;
        shown.phase = phase;
        shown.step = step;
        shown.weight = is_routed.then_some((share, self.live.acknowledged));
        shown.canary = canary;
        why
    }

    fn shown_canary(&self) -> Option<Revision> {
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
        let position = step_of(change);
        let index = (position + 1).min(count);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let until = match self.spec.steps.get(position) {
            Some(Step::Pause(span)) => span.map(|span| after(change.step_started_at, span)),
            Some(Step::Analyse { for_at_least, .. }) => {
                Some(after(change.step_started_at, *for_at_least))
            }
            Some(
                Step::SetWeight(_)
                | Step::Route(_)
                | Step::Mirror(_)
                | Step::Scale(_)
                | Step::Approve { .. }
                | Step::Run { .. },
            )
            | None => None,
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
        if self.seen.deletion == Some(Deletion::GiveBack) {
            return self.phase_of_giving_back();
        }
        let routing = self.spec.routing.as_ref();
        if let Some(words) =
            routing.and_then(|routing| foreign::obstacle(self.seen, routing, self.backends))
        {
            let mut services = self.seen.services.iter().flatten();
            if services.any(|service| service.rival().is_some()) {
                // No event tells when the other one lets go of it.
                self.wake_at(self.now + LOOK_AGAIN);
            }
            return (Phase::Degraded, Why::warning("ForeignService", words));
        }
        if let Some(contested) = &self.contested {
            let why = Why::warning("FieldContested", contested.message());
            return (Phase::Degraded, why);
        }
        if self.change().is_some() {
            let (phase, why) = self.phase_of_change(share, step);
            return (phase, self.with_counts(why));
        }
        if let Some(failed) = self.memory.progress.failed.clone() {
            return self.phase_after_failure(share, &failed);
        }
        self.phase_at_rest()
    }

    fn phase_after_failure(&mut self, share: Weight, failed: &Failure) -> (Phase, Why) {
        let Failure {
            revision,
            reason,
            message,
            ..
        } = failed;
        if self.seen.ready(&self.stable) == 0 && self.spec.replicas > 0 {
            let text = format!(
                "{revision} failed ({reason}: {message}), and stable {} has no ready pod: \
                 traffic stays where it is; bring pods of stable up, or apply a fix",
                self.stable
            );
            return (Phase::Degraded, Why::warning("StableDown", text));
        }
        if share > Weight::ZERO || !self.live.acknowledged || !self.is_back_at_stable() {
            let waiting = self
                .waiting
                .clone()
                .unwrap_or_else(|| "moving traffic".to_owned());
            let text = format!("{revision} failed ({reason}: {message}); going back: {waiting}");
            return (Phase::RollingBack, Why::warning("RollingBack", text));
        }
        let text = format!(
            "{revision} was given up ({reason}: {message}); stable {} serves. \
             It is not tried again until another revision is asked for, or a Decision Retry asks for this one",
            self.stable
        );
        (Phase::RolledBack, Why::warning("RolledBack", text))
    }

    fn phase_of_change(&mut self, share: Weight, step: Option<&StepStatus>) -> (Phase, Why) {
        let position = step
            .map(|step| format!("step {}: ", step.position))
            .unwrap_or_default();
        if let Some(why) = self.why_it_is_held(&format!("{position}{share} to canary")) {
            return (Phase::Paused, why);
        }
        let waiting = self.waiting.clone();
        let until = self.words_of_end(step);
        match self.present_step() {
            Some(Step::Pause(None)) => {
                let text = format!("{position}{share} to canary, pausing until a Decision Resume");
                (Phase::Paused, Why::normal("PauseStep", text))
            }
            Some(Step::Pause(Some(_))) => {
                let text = format!("{position}{share} to canary, pausing{until}");
                (Phase::Paused, Why::normal("PauseStep", text))
            }
            Some(Step::Approve { .. }) => {
                let waiting = waiting.unwrap_or_default();
                let text = format!("{position}{share} to canary, {waiting}");
                (Phase::Paused, Why::normal("ApproveStep", text))
            }
            Some(Step::Run { .. }) => {
                let waiting = waiting.unwrap_or_default();
                let text = format!("{position}{share} to canary, {waiting}");
                (Phase::Analysing, Why::normal("RunStep", text))
            }
            Some(Step::Scale(_)) => {
                let waiting = waiting.unwrap_or_else(|| "starting pods".to_owned());
                let text = format!("{position}{waiting}");
                (Phase::Progressing, Why::normal("ScaleStep", text))
            }
            Some(Step::Analyse { .. }) => {
                let waiting = waiting.unwrap_or_default();
                let text = format!("{position}{share} to canary, {waiting}{until}");
                (Phase::Analysing, Why::normal("AnalyseStep", text))
            }
            Some(step @ (Step::SetWeight(_) | Step::Route(_) | Step::Mirror(_))) => {
                let is_weight = matches!(step, Step::SetWeight(_));
                let reason = if is_weight {
                    "SetWeightStep"
                } else {
                    "RouteStep"
                };
                let waiting = self.words_of_move("moving");
                let text = format!("{position}{waiting}");
                (Phase::Progressing, Why::normal(reason, text))
            }
            None => {
                let waiting = self.words_of_move("taking over");
                let text = format!("{share} to canary, all steps done: {waiting}");
                (Phase::Promoting, Why::normal("Promoting", text))
            }
        }
    }

    fn why_it_is_held(&self, place: &str) -> Option<Why> {
        if let Some(words) = self.words_of_failure() {
            return Some(Why::warning("FailureHeld", format!("{place}, {words}")));
        }
        self.is_held()
            .then(|| Why::normal("Paused", format!("{place}, held {}", self.held_by())))
    }

    /// The failure that holds the change, and what people can do.
    fn words_of_failure(&self) -> Option<String> {
        let stuck = self.stuck()?;
        let traffic = match (stuck.withdrawn, &self.waiting) {
            (false, _) => String::new(),
            (true, None) => "; its pods do not serve, so stable has the traffic".to_owned(),
            (true, Some(waiting)) => {
                format!("; its pods do not serve, so the traffic goes to stable: {waiting}")
            }
        };
        let (reason, message) = (&stuck.reason, &stuck.message);
        let is_of_pods = FailureReason::named(reason).is_some_and(FailureReason::is_of_pods);
        let what_goes_on = if is_of_pods {
            "Retry goes on once they serve"
        } else {
            "Retry tries again, Promote goes on with it"
        };
        Some(format!(
            "held ({reason}: {message}){traffic}; spec.rollback.on leaves this to people: a Decision {what_goes_on}, \
             Abort takes it back"
        ))
    }

    /// What a move of traffic waits for: which pods, where it is for them, and for how long.
    fn words_of_move(&self, otherwise: &str) -> String {
        let said = self.waiting.as_deref().unwrap_or(otherwise);
        let lacking = self.lacking.clone().or_else(|| self.pods_that_lack());
        let (Some(lacking), Some(change)) = (lacking, self.change()) else {
            return said.to_owned();
        };
        let which = if said.contains(lacking.as_str()) {
            String::new()
        } else {
            format!(": {lacking}")
        };
        let Some(deadline) = self.deadline(change) else {
            return format!("{said}{which}");
        };
        let until = time_of_day(deadline);
        format!("{said}{which}; without progress until {until} it is given up")
    }

    /// The pods that the step needs and that are not there yet.
    fn pods_that_lack(&self) -> Option<String> {
        let revision = &self.change()?.revision;
        let division = self.wanted_division();
        if self.has_pods_for(revision, &division) {
            return None;
        }
        let need = match self.spec.routing {
            Some(_) => division.need(self.spec.replicas),
            None => self.counts(division.weight).canary,
        };
        let set = self.seen.set(revision);
        let there = set.map_or(0, Set::lasting).min(self.seen.ready(revision));
        Some(format!(
            "{there} of {need} pods of {revision} are available"
        ))
    }

    fn held_by(&self) -> String {
        match &self.memory.progress.paused {
            Some(hold) => {
                let why = hold.reason.as_deref().unwrap_or("no reason given");
                format!("by {}: {why}; a Decision Resume ends that", hold.by)
            }
            None => "by spec.paused".to_owned(),
        }
    }

    fn phase_at_rest(&mut self) -> (Phase, Why) {
        let wanted = self.spec.replicas;
        let ready = self.seen.ready(&self.stable);
        let stable = &self.stable;
        if self.live.is_unclaimed.contains(&true) {
            let waiting = self.waiting.clone();
            let waiting = waiting.unwrap_or_else(|| format!("narrowing it to {stable}"));
            let text = format!("taking over what selects the pods: {waiting}");
            return (Phase::Progressing, Why::normal("TakingOver", text));
        }
        let is_routed = self.live.arrangement.is_some() || self.spec.routing.is_none();
        if is_routed && !self.has_everything(stable) {
            let waiting = self.waiting.clone();
            let waiting = waiting.unwrap_or_else(|| "the rest is going".to_owned());
            let text =
                format!("going back to {stable}, {ready} of {wanted} pods are ready: {waiting}");
            return (Phase::Progressing, Why::normal("GoingBack", text));
        }
        if let Some(restarting) = self.phase_of_restart() {
            return restarting;
        }
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
            return (Phase::Degraded, Why::warning(trouble.reason.as_str(), text));
        }
        let text = format!("{ready} of {wanted} pods of {stable} are ready");
        let unready = condition::false_since(&self.seen.status.conditions, "Ready");
        let since = unready.unwrap_or(self.now);
        let deadline = after(since, self.spec.progress_deadline);
        if deadline <= self.now {
            let text =
                format!("{text}, for longer than spec.progressDeadlineSeconds; look at its pods");
            return (Phase::Degraded, Why::warning("ProgressDeadline", text));
        }
        self.wake_at(deadline);
        (Phase::Progressing, Why::normal("WaitingForPods", text))
    }
}
