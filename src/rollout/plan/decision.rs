//! What people decided about a Rollout, followed once each. No I/O.
//!
//! A Decision is an event: it says what is to happen now, and is followed in the order in which it was made. Which
//! ones were followed is remembered, and what they led to is part of what is remembered anyway: a step that is done, a
//! change that was given up. Where all memory was lost, only those are followed again that say what is to stay.

use jiff::SignedDuration;

use super::super::api::{
    Decided, DecisionOutcome, EndingResult, Failure, FailureReason, Hold, Undo,
};
use super::super::spec::Step;
use super::Draft;
use crate::decision::act::Act;
use crate::decision::api::DecisionAction;
use crate::model::revision::Revision;
use crate::model::span::whole_second;
use crate::model::text::truncate;

/// Decisions that are remembered at most, of the last minute.
const REMEMBERED: usize = 100;
/// How much older than the last one a Decision may be that arrives after it: the clocks of API servers differ.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// Longest reason of a person that is repeated, in bytes.
const MAX_REASON: usize = 256;
/// What a revision is marked with that somebody went back from.
const UNDONE: &str = "Undone";

impl Draft<'_> {
    /// Follows what is new.
    pub(super) fn follow_decisions(&mut self, was_lost: bool) {
        self.settle_undo();
        let seen = self.seen;
        if was_lost {
            return self.remember_lasting(&seen.decisions);
        }
        // What is new is told before any is followed: that would say that those of the same second are old.
        let new: Vec<&Act> = seen
            .decisions
            .iter()
            .filter(|act| self.is_new(act))
            .collect();
        for act in new {
            let result = self.follow(act);
            self.remember(act, result);
        }
    }

    /// An undo holds for one revision of the spec, and as long as there is something to run instead.
    fn settle_undo(&mut self) {
        let is_over = self.memory.progress.undo.as_ref().is_some_and(|undo| {
            undo.from != self.spec.revision || self.seen.set(&undo.to).is_none()
        });
        if is_over {
            self.memory.progress.undo = None;
        }
    }

    fn is_new(&self, act: &Act) -> bool {
        let decided = &self.memory.progress.decided;
        let mut known = decided.iter();
        let is_known = known.any(|decided| decided.name == act.name && decided.at == act.at);
        !is_known && !is_dealt_with(act, decided) && self.is_meant(act)
    }

    /// A namesake that was there before may have been meant.
    fn is_meant(&self, act: &Act) -> bool {
        let until = act.spec.expires_at.as_ref();
        act.at >= whole_second(self.seen.created_at) && until.is_none_or(|until| until.0 > self.now)
    }

    fn remember(&mut self, act: &Act, result: String) {
        let decided = &mut self.memory.progress.decided;
        decided.push(Decided {
            at: act.at,
            name: act.name.clone(),
        });
        forget_old(decided);
        self.memory.last_decision = Some(DecisionOutcome {
            name: act.name.clone(),
            action: act.spec.action,
            user: act.spec.user.clone(),
            at: act.at,
            result,
        });
    }

    /// Nothing is known of what was followed. A pause still holds, and so does an undo that was not done by then. A
    /// restart goes on with the pods that are older than it, unless it was ended.
    fn remember_lasting(&mut self, acts: &[Act]) {
        let set = self.seen.set(&self.stable);
        let promoted_at = set.and_then(|set| set.promoted_at);
        for act in acts {
            if !self.is_meant(act) {
                continue;
            }
            let is_open = promoted_at.is_none_or(|at| act.at > at);
            let action = act.spec.action;
            let is_restarting = self.memory.progress.restart.is_some();
            let lasts = matches!(
                action,
                DecisionAction::Pause | DecisionAction::Resume | DecisionAction::Restart
            ) || (action == DecisionAction::Undo && is_open)
                || (action == DecisionAction::Abort && is_restarting);
            let result = if lasts {
                self.follow(act)
            } else {
                "made before the status was lost; not followed again".to_owned()
            };
            self.remember(act, result);
        }
    }

    /// Does what was decided; says what that was.
    fn follow(&mut self, act: &Act) -> String {
        match act.spec.action {
            DecisionAction::Pause => self.pause(act),
            DecisionAction::Resume => self.resume(),
            DecisionAction::Skip => self.skip(),
            DecisionAction::Promote => self.promote_at_once(),
            DecisionAction::Abort => self.abort(act),
            DecisionAction::Reject => self.end_by(act, "Rejected"),
            DecisionAction::Approve => self.approve(act),
            DecisionAction::Retry => self.retry(),
            DecisionAction::Undo => self.undo(act),
            DecisionAction::Restart => self.begin_restart(act),
            DecisionAction::Rollback
            | DecisionAction::Hold
            | DecisionAction::Pin
            | DecisionAction::Veto
            | DecisionAction::Override
            | DecisionAction::Cancel
            | DecisionAction::Migrate
            | DecisionAction::LinkIncident => {
                "not followed: a Rollout takes no such Decision".to_owned()
            }
        }
    }

    fn pause(&mut self, act: &Act) -> String {
        let reason = act.spec.reason.as_deref();
        self.memory.progress.paused = Some(Hold {
            by: act.spec.user.clone(),
            reason: reason.map(|reason| truncate(reason, MAX_REASON).to_owned()),
        });
        match self.change() {
            Some(change) => format!("{} is held where it is", change.revision),
            None => "the next change is held at its beginning".to_owned(),
        }
    }

    fn resume(&mut self) -> String {
        let mut conditions = self.seen.status.conditions.iter();
        if conditions.any(|condition| condition.reason == "FieldContested") {
            self.forget_reverts();
            return "the weights are written again".to_owned();
        }
        if self.memory.progress.paused.take().is_some() {
            return "it goes on".to_owned();
        }
        if let Some(stuck) = self.stuck() {
            let reason = &stuck.reason;
            return format!(
                "no effect: {reason} holds it; a Decision Retry, Promote or Abort ends that"
            );
        }
        if matches!(self.present_step(), Some(Step::Pause(None))) {
            self.next_step();
            return "it goes on with the next step".to_owned();
        }
        "no effect: nobody holds it, and no step waits for it".to_owned()
    }

    fn skip(&mut self) -> String {
        if self.present_step().is_none() {
            return nothing_to("skip");
        }
        if let Some(words) = self.held_by_pods() {
            return words;
        }
        self.unstick();
        self.next_step();
        "the step is skipped".to_owned()
    }

    /// That pods do not serve cannot be decided away.
    fn held_by_pods(&self) -> Option<String> {
        let (change, stuck) = (self.change()?, self.stuck()?);
        let trouble = self.seen.faults(&change.revision).next()?;
        let is_of_pods = FailureReason::named(&stuck.reason).is_some_and(FailureReason::is_of_pods);
        let reason = trouble.reason;
        let words = format!("no effect: {reason} still holds it; its pods have to serve first");
        is_of_pods.then_some(words)
    }

    fn promote_at_once(&mut self) -> String {
        if let Some(words) = self.held_by_pods() {
            return words;
        }
        let count = u32::try_from(self.spec.steps.len()).unwrap_or(u32::MAX);
        let overruled = self.unstick().map(|stuck| stuck.reason);
        let Some(change) = &mut self.memory.progress.change else {
            return nothing_to("promote");
        };
        let mut text = format!("all steps of {} are skipped", change.revision);
        if let Some(reason) = overruled {
            text = format!("{text}, and {reason} does not hold it any more");
            change.overruled.push(reason);
        }
        change.step = count;
        self.memory.progress.paused = None;
        self.enter_step();
        self.leave_trail();
        text
    }

    /// Ends the change; where none is on its way, a restart.
    fn abort(&mut self, act: &Act) -> String {
        if self.change().is_none() && self.memory.progress.restart.take().is_some() {
            return "the restart ends where it is".to_owned();
        }
        self.end_by(act, "Aborted")
    }

    fn end_by(&mut self, act: &Act, reason: &'static str) -> String {
        let Some(change) = self.change() else {
            return nothing_to("end");
        };
        let text = format!("{} is given up", change.revision);
        let why = act.spec.reason.as_deref().unwrap_or("no reason given");
        let message = format!("by {}: {}", act.spec.user, truncate(why, MAX_REASON));
        self.give_up(reason, &message);
        self.memory.progress.paused = None;
        text
    }

    fn approve(&mut self, act: &Act) -> String {
        let Some(Step::Approve { groups, .. }) = self.present_step().cloned() else {
            return "no effect: no step waits for approval".to_owned();
        };
        let user = act.spec.user.clone();
        let is_entitled =
            groups.is_empty() || act.spec.groups.iter().any(|group| groups.contains(group));
        let Some(change) = &mut self.memory.progress.change else {
            return nothing_to("approve");
        };
        if act.at < whole_second(change.step_started_at) {
            return "no effect: made before the step began".to_owned();
        }
        if !is_entitled {
            return format!(
                "no effect: it takes an approval in the name of {}; name the group in spec.groups",
                groups.join(" or ")
            );
        }
        if change.approvals.contains(&user) {
            return format!("no effect: {user} has approved before");
        }
        change.approvals.push(user);
        "counted".to_owned()
    }

    fn retry(&mut self) -> String {
        if let Some(words) = self.held_by_pods() {
            return words;
        }
        if let Some(stuck) = self.unstick() {
            return format!("it goes on where {} held it", stuck.reason);
        }
        let failed = self.memory.progress.failed.take();
        let Some(failed) = failed.filter(|failed| failed.revision == self.spec.revision) else {
            return "no effect: nothing was given up that the spec still asks for".to_owned();
        };
        self.memory.progress.undo = None;
        format!("{} is tried again", failed.revision)
    }

    fn undo(&mut self, act: &Act) -> String {
        if let Some(environment) = &self.seen.environment {
            return format!(
                "not followed: Environment {environment} says what runs here; make a Decision Rollback on it"
            );
        }
        let Some(to) = self.undo_target(act) else {
            let earlier = self.earlier();
            let known: Vec<&str> = earlier.iter().map(Revision::as_str).collect();
            return format!(
                "no effect: no such earlier revision; there are: {}",
                known.join(", ")
            );
        };
        let from = self.spec.revision.clone();
        if to == from {
            return "no effect: that is what the spec asks for".to_owned();
        }
        if let Some(change) = self.memory.progress.change.take() {
            let ending = self.ending(
                &change,
                EndingResult::RolledBack,
                format!("undone by {}", act.spec.user),
            );
            self.remember_ending(ending);
        }
        let why = act.spec.reason.as_deref().unwrap_or("no reason given");
        self.memory.progress.failed = Some(Failure {
            revision: from.clone(),
            reason: UNDONE.to_owned(),
            message: format!("by {}: {}", act.spec.user, truncate(why, MAX_REASON)),
            at: self.now,
            promotion: None,
        });
        self.memory.progress.paused = None;
        self.memory.progress.undo = Some(Undo {
            from,
            to: to.clone(),
        });
        format!("going back to {to}")
    }

    fn undo_target(&self, act: &Act) -> Option<Revision> {
        let earlier = self.earlier();
        match act.spec.revision.as_deref() {
            Some(name) => earlier
                .into_iter()
                .find(|revision| revision.as_str() == name),
            // A change that is on its way has not replaced anything yet.
            None if self.change().is_some() => Some(self.stable.clone()),
            None => earlier
                .into_iter()
                .find(|revision| *revision != self.stable),
        }
    }

    /// Revisions that have been stable, latest first.
    pub(super) fn earlier(&self) -> Vec<Revision> {
        let mut sets: Vec<_> = self
            .seen
            .sets
            .iter()
            .filter(|set| set.promoted_at.is_some())
            .collect();
        sets.sort_by_key(|set| std::cmp::Reverse(set.promoted_at));
        sets.into_iter().map(|set| set.revision.clone()).collect()
    }
}

fn nothing_to(verb: &str) -> String {
    format!("no effect: there is nothing to {verb}, no change is on its way")
}

/// Whether a Decision that is not remembered is so old that it was dealt with: of a full memory, as old as the oldest in it,
/// because what was as old as that may have been forgotten.
fn is_dealt_with(act: &Act, decided: &[Decided]) -> bool {
    let times = || decided.iter().map(|decided| decided.at);
    let is_full = decided.len() >= REMEMBERED;
    let is_forgotten = is_full && times().min().is_some_and(|oldest| act.at <= oldest);
    is_forgotten || times().max().is_some_and(|latest| act.at < latest - LATE)
}

/// Leaves out what is so old that it is dealt with in any case, and of the rest the oldest.
fn forget_old(decided: &mut Vec<Decided>) {
    decided.sort_by_key(|decided| decided.at);
    if let Some(latest) = decided.last().map(|decided| decided.at) {
        decided.retain(|decided| decided.at >= latest - LATE);
    }
    let surplus = decided.len().saturating_sub(REMEMBERED);
    decided.drain(..surplus);
}
