//! Replacing pods by new ones of the same revision, because a person asked for it. No I/O.
//!
//! Which pods have to go follows from their age alone: those in use that are older than the Decision. So nothing is
//! counted, a lost status loses nothing, and a restart is over when no such pod is left. They are evicted, which leaves
//! the last word to the budgets of disruption, and the next one goes when all others serve.
//!
//! A change goes first, and so does the way back: pods are evicted while nothing moves, that is at rest and where a
//! change waits in a pause, for an approval or because it is held. Nothing ever waits for a restart.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::super::api::{Phase, Progress, Refusal, Restart};
use super::super::observed::{Pod, Set};
use super::super::spec::Step;
use super::{Draft, after};
use crate::decision::act::Act;
use crate::decision::api::DecisionAction;
use crate::model::action::{Action, Eviction, Outcome};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::plan::Why;
use crate::model::revision::Revision;
use crate::model::span::time_of_day;
use crate::model::text::truncate;
use crate::model::weight::Weight;
use crate::traffic::Side;

/// After how long an eviction that was refused is tried again, at first and at most.
const RETRY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(10), SignedDuration::from_mins(1));
/// Longest words of the API server that are remembered, in bytes.
const MAX_WORDS: usize = 512;
/// Reason while a restart is all that goes on.
pub(super) const RESTARTING: &str = "Restarting";

/// How far a restart is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Restarting {
    by: String,
    /// New pods that are ready.
    done: i32,
    /// Pods that there should be.
    total: i32,
    waiting: Option<String>,
}

impl fmt::Display for Restarting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            by, done, total, ..
        } = self;
        write!(f, "restarting: {done} of {total} pods, as {by} asked")?;
        match &self.waiting {
            Some(waiting) => write!(f, "; {waiting}"),
            None => Ok(()),
        }
    }
}

impl<'a> Draft<'a> {
    /// Follows a Decision. Who asks for another restart asks for those pods too that the one before made.
    pub(super) fn begin_restart(&mut self, act: &Act) -> String {
        self.memory.progress.restart = Some(Restart {
            since: act.at,
            by: act.spec.user.clone(),
            refused: None,
        });
        "older pods are replaced one after the other".to_owned()
    }

    /// Evicts the next pod, if one may go now.
    pub(super) fn restart(&mut self) {
        let Some(restart) = self.memory.progress.restart.clone() else {
            return;
        };
        let older = self.older(&restart);
        if older.is_empty() {
            return self.end_restart(&restart);
        }
        if self.seen.deletion.is_some() {
            return;
        }
        let mut waiting = self.obstacle_to_restart();
        if waiting.is_none() {
            waiting = restart.refused.as_ref().map(words_of);
            let retry_at = restart.refused.as_ref().map(|refused| refused.until);
            match retry_at.filter(|at| *at > self.now) {
                Some(at) => self.wake_at(at),
                None => self.evict_next(&older),
            }
        }
        self.restarting = Some(Restarting {
            by: restart.by.clone(),
            done: self.renewed(&restart),
            total: self.sets_in_use().map(|set| set.replicas).sum(),
            waiting,
        });
    }

    fn end_restart(&mut self, restart: &Restart) {
        self.memory.progress.restart = None;
        let last = self.memory.last_decision.as_mut();
        let is_this = last.filter(|last| {
            last.action == DecisionAction::Restart
                && (last.at, &last.user) == (restart.since, &restart.by)
        });
        if let Some(last) = is_this {
            "done: every pod in use is newer".clone_into(&mut last.result);
        }
    }

    /// Pods that are needed so that the only one that a revision needs can be replaced: one more, or requests would go
    /// to nobody meanwhile.
    pub(super) fn spare_for_restart(&self, revision: &Revision, need: i32) -> i32 {
        let Some(restart) = &self.memory.progress.restart else {
            return 0;
        };
        let mut older = self.older(restart).into_iter();
        let is_alone = need == 1 && older.any(|pod| pod.revision == *revision);
        if is_alone && self.obstacle_to_restart().is_none() {
            2
        } else {
            0
        }
    }

    /// What is said while a restart is all that goes on. None where pods are missing that it did not take: that is more
    /// urgent for people to know.
    pub(super) fn phase_of_restart(&mut self) -> Option<(Phase, Why)> {
        let text = self.restarting.as_ref()?.to_string();
        let short = self.spec.replicas - self.seen.ready(&self.stable);
        let is_well = short <= self.allowed() && self.seen.trouble(&self.stable).is_none();
        if !is_well || !self.live.acknowledged || self.live.refusal.is_some() {
            return None;
        }
        let starting = self.pods_in_use().filter(|pod| !pod.is_ready);
        let deadline = starting
            .map(|pod| after(pod.created_at, self.spec.progress_deadline))
            .min();
        if let Some(deadline) = deadline {
            if deadline <= self.now {
                return None;
            }
            self.wake_at(deadline);
        }
        Some((Phase::Progressing, Why::normal(RESTARTING, text)))
    }

    fn is_in_use(&self, revision: &Revision) -> bool {
        *revision == self.stable || self.change().is_some_and(|c| c.revision == *revision)
    }

    /// ReplicaSets of the stable revision, and of the one that is on its way.
    fn sets_in_use(&self) -> impl Iterator<Item = &'a Set> {
        let seen = self.seen;
        seen.sets.iter().filter(|set| self.is_in_use(&set.revision))
    }

    /// Their pods, without those that are going.
    fn pods_in_use(&self) -> impl Iterator<Item = &'a Pod> {
        let seen = self.seen;
        seen.pods
            .iter()
            .filter(|pod| !pod.is_ending && self.is_in_use(&pod.revision))
    }

    /// Pods that have to go, the oldest first.
    fn older(&self, restart: &Restart) -> Vec<&'a Pod> {
        let older = self
            .pods_in_use()
            .filter(|pod| pod.created_at < restart.since);
        let mut older: Vec<&Pod> = older.collect();
        older.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        older
    }

    fn renewed(&self, restart: &Restart) -> i32 {
        let new = self
            .pods_in_use()
            .filter(|pod| pod.is_ready && pod.created_at >= restart.since);
        i32::try_from(new.count()).unwrap_or(i32::MAX)
    }

    /// What goes first, in words.
    fn obstacle_to_restart(&self) -> Option<String> {
        let words = if self.seen.deletion.is_some() || !self.spec.is_sound {
            "waits for a spec that can be used"
        } else if self.change().is_some() {
            let is_waiting = matches!(
                self.present_step(),
                Some(Step::Pause(_) | Step::Approve { .. })
            );
            if !self.is_held() && !is_waiting {
                "waits until the change pauses or ends"
            } else if self.spec.routing.is_some() && !self.live.acknowledged {
                "waits for the data plane"
            } else {
                return None;
            }
        } else if !self.is_back_at_stable() {
            "waits until all of the traffic is at the stable revision"
        } else {
            return None;
        };
        Some(words.to_owned())
    }

    fn evict_next(&mut self, older: &[&'a Pod]) {
        let is_moving = !self.creations.is_empty()
            || !self.moves.is_empty()
            || !self.sets.is_empty()
            || !self.new_sets.is_empty();
        if is_moving || !self.sets_in_use().all(|set| set.is_settled) {
            return;
        }
        let Some(pod) = self.next_to_go(older) else {
            return;
        };
        let key = Key::new(self.seen.key.namespace.clone(), pod.name.clone());
        self.evictions.push(Action::Evict {
            target: Target {
                kind: ObjectKind::Pod,
                key,
                uid: pod.uid.clone(),
                resource_version: String::new(),
            },
        });
    }

    /// A pod that does not serve goes first: nobody misses it. But only a few at a time, because the one that takes its
    /// place may be no better.
    fn next_to_go(&self, older: &[&'a Pod]) -> Option<&'a Pod> {
        if !self.rules.restart_leaves_enough {
            return older.first().copied();
        }
        if let Some(idle) = older.iter().find(|pod| !pod.is_ready) {
            return (self.coming(older) < self.allowed()).then_some(*idle);
        }
        let missing: i32 = self
            .sets_in_use()
            .map(|set| (set.replicas - self.serving(set)).max(0))
            .sum();
        let mut candidates = older.iter().filter(|_| missing < self.allowed());
        candidates.find(|pod| !self.is_last(pod)).copied()
    }

    /// Pods that may be away at the same time.
    fn allowed(&self) -> i32 {
        self.spec.max_unavailable.max(1)
    }

    /// Pods that are to come, and new ones that are not ready yet.
    fn coming(&self, older: &[&Pod]) -> i32 {
        let wanted: i32 = self.sets_in_use().map(|set| set.replicas).sum();
        let ready = self.pods_in_use().filter(|pod| pod.is_ready).count();
        let there = ready + older.iter().filter(|pod| !pod.is_ready).count();
        wanted - i32::try_from(there).unwrap_or(i32::MAX)
    }

    /// Pods of a revision that serve: ready for long enough, and behind every Service that sends them something.
    fn serving(&self, set: &Set) -> i32 {
        let revision = &set.revision;
        let ready = self.seen.ready(revision).min(set.lasting());
        let Some(live) = &self.live.arrangement else {
            return ready;
        };
        let sides = [Side::Stable, Side::Canary]
            .into_iter()
            .filter(|side| live.selected_by(*side) == revision && live.share(*side) > Weight::ZERO);
        sides
            .map(|side| self.seen.answering(side, revision))
            .fold(ready, i32::min)
    }

    /// Whether requests would go to nobody without this pod.
    fn is_last(&self, pod: &Pod) -> bool {
        if self.spec.routing.is_none() {
            let serving: i32 = self.sets_in_use().map(|set| self.serving(set)).sum();
            // Without any surge there is never one more pod: then people have chosen to do without it.
            return serving <= 1 && self.spec.max_surge > 0;
        }
        let is_asked =
            pod.revision == self.stable || self.live.share_of(&pod.revision) > Weight::ZERO;
        let set = self.seen.set(&pod.revision);
        is_asked && set.is_none_or(|set| self.serving(set) <= 1)
    }
}

fn words_of(refused: &Refusal) -> String {
    let until = time_of_day(refused.until);
    format!(
        "the next one may not go now: {}; tried again at {until}",
        refused.message
    )
}

/// What is remembered after the evictions of a plan.
pub(in super::super) fn noted(progress: &Progress, outcome: &Outcome, now: Timestamp) -> Progress {
    let mut progress = progress.clone();
    if let Some(restart) = &mut progress.restart {
        for answer in outcome.evictions.values() {
            restart.refused = match answer {
                Eviction::Granted => None,
                Eviction::Refused(words) => Some(refusal(restart.refused.as_ref(), words, now)),
            };
        }
    }
    progress
}

/// The longer it has been refused, the longer is the wait.
fn refusal(before: Option<&Refusal>, words: &str, now: Timestamp) -> Refusal {
    let since = before.map_or(now, |before| before.since);
    let (least, most) = RETRY;
    let wait = now.duration_since(since).clamp(least, most);
    Refusal {
        since,
        until: after(now, Duration::try_from(wait).unwrap_or_default()),
        message: truncate(words, MAX_WORDS).to_owned(),
    }
}
