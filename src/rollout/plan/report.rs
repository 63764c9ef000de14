//! Doing the steps, and the phase and the sentence that people read. No I/O.

use jiff::{SignedDuration, Timestamp};

use super::super::api::{Change, FailureReason, Phase, StepStatus};
use super::super::observed::{Deletion, Set};
use super::super::spec::Step;
use super::super::step::{Progress, analyse, approve, divide, pause, run, scale};
use super::restart::RESTARTING;
use super::{Draft, after, foreign};
use crate::model::condition;
use crate::model::plan::Why;
use crate::model::weight::Weight;
use crate::traffic::Side;
use crate::traffic::division::Division;

/// How soon it is looked again whether another Rollout has let go of a Service.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);

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

    /// What the data plane has against the route, or people's objects against the step, to be added to a sentence.
    fn words_of_data_plane(&self) -> String {
        let refusal = self.live.refusal.clone();
        refusal
            .or_else(|| self.obstacle(&self.wanted_division()))
            .map(|words| format!(" ({words})"))
            .unwrap_or_default()
    }

    /// After the last step only pods and data plane can be waited for, and not for ever.
    fn watch_deadline(&mut self) {
        let Some(change) = self.change() else { return };
        let deadline = self.deadline(change);
        let has_all = self.live.share_of(&change.revision) == Weight::FULL;
        if has_all && (self.is_past_return(change) || self.is_stable_down(change)) {
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
            .is_some_and(|change| self.position(change) >= self.spec.steps.len())
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
        Some(match self.spec.steps.get(self.position(change))? {
            Step::SetWeight(weight) => self.divide(change, format!("{weight} to canary")),
            Step::Mirror(share) => self.divide(change, format!("copies of {share} to canary")),
            step @ Step::Route(_) => self.divide(change, format!("{step} to canary")),
            Step::Scale(wanted) => {
                let answering = self.seen.answering(Side::Canary, &change.revision);
                scale::advance(answering, *wanted, self.deadline(change), self.now)
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
        let position = self.position(change);
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
        let until = clock(self.deadline(change));
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

/// Time of day, to the second, as people read it in a message.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}
