//! Whether the change has failed, and what follows from that: it goes back, or it stays where it is until people decide.
//! No I/O.
//!
//! A change that stays must lose no request. Its weight stays with it as long as its pods serve; when they do not, the
//! traffic goes back to stable, and only the pods stay.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::super::api::{FailureReason, Stuck};
use super::super::observed::{SloBurn, Trouble};
use super::Draft;
use super::change::MAX_WORDS;
use crate::model::revision::Revision;
use crate::model::span::{later, time_of_day};
use crate::model::text::truncate;
use crate::model::weight::Weight;

/// How long it may take until a container can be made: the kubelet tries again after 10 to 15 seconds, and a runtime that
/// did not answer, or a ConfigMap that is applied after what reads it, is no failure of a revision.
const TRIED_AGAIN: SignedDuration = SignedDuration::from_secs(20);

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consequence {
    /// The change is given up.
    GoesBack,
    /// It stays where it is until people decide.
    Stays,
    /// It goes on all the same.
    GoesOn,
}

/// What follows from a failure: `on` are those that take a change back, `overruled` those that people have decided to go
/// on with. That pods do not serve cannot be decided away, and a change that has everything can only go on.
fn consequence(
    reason: FailureReason,
    on: &BTreeSet<FailureReason>,
    overruled: &[String],
    is_past_return: bool,
) -> Consequence {
    let is_overruled = overruled.iter().any(|known| known == reason.as_str());
    if on.contains(&reason) {
        Consequence::GoesBack
    } else if is_past_return || (is_overruled && !reason.is_of_pods()) {
        Consequence::GoesOn
    } else {
        Consequence::Stays
    }
}

impl Draft<'_> {
    /// Gives the change up, or holds it, for what can be seen of it at any time.
    pub(super) fn judge_change(&mut self) {
        self.note_unmade();
        let failures = self.failures();
        let first = |follows| {
            let mut failures = failures.iter();
            failures.find(|(reason, _)| self.consequence(*reason) == follows)
        };
        let worst = first(Consequence::GoesBack).or_else(|| first(Consequence::Stays));
        if let Some((reason, message)) = worst {
            self.fail(*reason, message);
        }
        // People may have changed their minds about what holds it.
        let stuck = self.stuck().cloned();
        if let Some(stuck) = stuck
            && let Some(reason) = FailureReason::named(&stuck.reason)
            && self.consequence(reason) == Consequence::GoesBack
        {
            self.give_up(reason.as_str(), &stuck.message);
        }
    }

    /// What can be seen of the change at any time, pods first: they are the quickest to tell.
    fn failures(&self) -> Vec<(FailureReason, String)> {
        let Some(change) = self.change() else {
            return Vec::new();
        };
        let faults = self.seen.faults(&change.revision);
        let faults = faults.filter(|trouble| {
            let may_pass = trouble.reason == FailureReason::ContainerConfig;
            !(may_pass && self.may_be_made_yet())
        });
        let of_pods = faults.map(|trouble| (trouble.reason, trouble.message.clone()));
        let of_metrics = self.failed_analysis();
        let of_metrics = of_metrics.map(|message| (FailureReason::AnalysisFailed, message));
        // One that began before the change is not of it.
        let burns = self.seen.burns.iter();
        let of_slos = burns.filter(|burn| burn.since >= change.started_at);
        let of_slos = of_slos.map(|burn| {
            let SloBurn { slo, message, .. } = burn;
            (FailureReason::SLOBurn, format!("SLO {slo} {message}"))
        });
        of_pods.chain(of_metrics).chain(of_slos).collect()
    }

    /// Notes since when a container of the change cannot be made, and says until when that may pass.
    fn note_unmade(&mut self) {
        let (seen, now) = (self.seen, self.now);
        let Some(change) = &mut self.memory.progress.change else {
            return;
        };
        let unmade = seen
            .faults(&change.revision)
            .find(|trouble| trouble.reason == FailureReason::ContainerConfig);
        let Some(Trouble { reason, message }) = unmade else {
            change.unmade_since = None;
            return;
        };
        let since = *change.unmade_since.get_or_insert(now);
        if self.may_be_made_yet() {
            let until = later(since, TRIED_AGAIN);
            self.wake_at(until);
            let (message, until) = (truncate(message, MAX_WORDS), time_of_day(until));
            self.wait_for(format!(
                "{message}; if that does not pass until {until}, it has failed ({reason})"
            ));
        }
    }

    /// Whether the kubelet has not had the time yet to try a second time, and no request waits for that.
    fn may_be_made_yet(&self) -> bool {
        let Some(change) = self.change() else {
            return false;
        };
        let since = change.unmade_since.unwrap_or(self.now);
        let live = self.live.arrangement.as_ref();
        let has_requests = live.is_some_and(|live| {
            let is_beside = live.canary == change.revision && live.division.reaches_canary();
            is_beside || live.share_of(&change.revision) > Weight::ZERO
        });
        !has_requests && later(since, TRIED_AGAIN) > self.now
    }

    fn failed_analysis(&self) -> Option<String> {
        let analysis = self.spec.analysis.as_ref()?;
        analysis.failure(&self.memory.tallies)
    }

    fn consequence(&self, reason: FailureReason) -> Consequence {
        let Some(change) = self.change() else {
            return Consequence::GoesOn;
        };
        let is_past_return = self.is_past_return(change);
        consequence(
            reason,
            &self.spec.rollback_on,
            &change.overruled,
            is_past_return,
        )
    }

    /// The change has failed by itself.
    pub(super) fn fail(&mut self, reason: FailureReason, message: &str) {
        match self.consequence(reason) {
            Consequence::GoesBack => self.give_up(reason.as_str(), message),
            Consequence::Stays => self.stay(reason, message),
            Consequence::GoesOn => self.wait_for(message),
        }
    }

    /// The first failure is what people are told; others that come to it change nothing.
    fn stay(&mut self, reason: FailureReason, message: &str) {
        let since = self.now;
        if let Some(change) = &mut self.memory.progress.change {
            change.stuck.get_or_insert_with(|| Stuck {
                reason: reason.as_str().to_owned(),
                message: truncate(message, MAX_WORDS).to_owned(),
                since,
                withdrawn: false,
            });
        }
    }

    /// The failure that holds the change.
    pub(super) fn stuck(&self) -> Option<&Stuck> {
        self.change()?.stuck.as_ref()
    }

    /// Whether the change is held without traffic, because its pods do not serve.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.stuck().is_some_and(|stuck| stuck.withdrawn)
    }

    /// Takes the traffic from a change that stays although its pods do not serve it. It gets it back when people say so:
    /// pods that come and go must not take it along.
    pub(super) fn withdraw(&mut self) {
        let Some(change) = self.change().filter(|change| change.stuck.is_some()) else {
            return;
        };
        let serves = self.serves_its_share(&change.revision) || self.is_past_return(change);
        let change = self.memory.progress.change.as_mut();
        let stuck = change.and_then(|change| change.stuck.as_mut());
        if let Some(stuck) = stuck.filter(|_| !serves) {
            stuck.withdrawn = true;
        }
    }

    /// Whether the pods of a revision serve what they get. Some that are missing for a moment, as when a node goes, are
    /// missed in a pause as well, and are no reason.
    fn serves_its_share(&self, revision: &Revision) -> bool {
        let need = match &self.live.arrangement {
            Some(live) if live.canary == *revision => live.division.need(self.spec.replicas),
            Some(_) => 0,
            None => self.seen.set(revision).map_or(0, |set| set.replicas),
        };
        let ready = self.seen.ready(revision);
        let is_troubled = ready == 0 || self.seen.faults(revision).next().is_some();
        ready >= need || !is_troubled
    }

    /// People decide that the change goes on: what was measured so far does not count any more. The failure that held it.
    pub(super) fn unstick(&mut self) -> Option<Stuck> {
        let now = self.now;
        let change = self.memory.progress.change.as_mut()?;
        let stuck = change.stuck.take()?;
        change.retries = change.retries.saturating_add(1);
        change.measuring_since = change.measuring_since.map(|_| now);
        change.step_started_at = now;
        for tally in &mut self.memory.tallies {
            *tally = tally.afresh();
        }
        Some(stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_failure_is_one_table() {
        use Consequence::{GoesBack, GoesOn, Stays};
        let all: BTreeSet<FailureReason> = FailureReason::ALL.iter().copied().collect();
        let none = BTreeSet::new();
        for reason in FailureReason::ALL {
            let overruled = [reason.as_str().to_owned()];
            let mut others = all.clone();
            others.remove(reason);
            let only = BTreeSet::from([*reason]);
            let cases = [
                (&all, &[][..], false, GoesBack),
                (&all, &[][..], true, GoesBack),
                (&only, &overruled[..], false, GoesBack),
                (&others, &[][..], false, Stays),
                (&none, &[][..], false, Stays),
                (&none, &[][..], true, GoesOn),
                (
                    &none,
                    &overruled[..],
                    false,
                    if reason.is_of_pods() { Stays } else { GoesOn },
                ),
            ];
            for (on, overruled, is_past_return, follows) in cases {
                let found = consequence(*reason, on, overruled, is_past_return);
                assert_eq!(
                    found, follows,
                    "{reason}: {on:?} {overruled:?} {is_past_return}"
                );
            }
        }
    }
}
