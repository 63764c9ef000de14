//! What a run waits for before it begins: that somebody approves it, and its turn. No I/O.
//!
//! Whose turn it is says the Pipeline (`pipeline/trigger/turn.rs`), which counts its runs; here it is only read.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{RunPhase, Stop, StopKind};
use super::super::observed::{Answer, Peer, PipelineNow};
use super::{Draft, LOOK_AGAIN};
use crate::model::plan::Why;
use crate::pipeline::api::ConcurrencyPolicy;

/// How long somebody has time to approve a run.
const GIVE_UP_APPROVAL: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long after its first status a run certainly hears of its Pipeline.
const LISTENS_FROM: SignedDuration = SignedDuration::from_secs(1);

impl<'a> Draft<'a> {
    /// Whether the run may begin, as far as people and other runs are concerned.
    pub(super) fn may_begin(&mut self) -> bool {
        let rule = self.seen.pipeline.as_ref();
        let rule = rule.and_then(|pipeline| pipeline.spec.concurrency.as_ref());
        // Who takes part in a group hears of its Pipeline.
        self.next.concurrency_group = rule.map(|rule| {
            let group = rule.group_of(&self.seen.spec.git_ref);
            let group = if group.is_empty() { "*" } else { group };
            group.to_owned()
        });
        self.next.started_at.is_some() || (self.is_approved() && self.is_its_turn())
    }

    /// Whether people have stopped the Pipeline from starting runs.
    pub(super) fn is_halted(&mut self, pipeline: &PipelineNow) -> bool {
        let name = &self.seen.spec.pipeline_ref.name;
        let pause = pipeline.pause.as_ref();
        let pause = pause.filter(|pause| pause.counts(self.now));
        let why = if pipeline.spec.suspend {
            let message = format!("Pipeline {name} is suspended; set its suspend to false");
            Why::normal("Suspended", message)
        } else if let Some(pause) = pause {
            let message = format!(
                "Pipeline {name} is paused by {}; resume it with a Decision",
                pause.by
            );
            Why::normal("Paused", message)
        } else {
            return false;
        };
        self.wait(why, Some(LOOK_AGAIN));
        true
    }

    fn is_approved(&mut self) -> bool {
        if self.seen.spec.trigger.needs_approval != Some(true) {
            return true;
        }
        match &self.seen.answer {
            Some(Answer::Approved(_)) => return true,
            Some(Answer::Rejected(user)) => {
                self.turn_away(StopKind::Rejected, Some(user.clone()));
                return false;
            }
            None => {}
        }
        let until = self.seen.created_at + GIVE_UP_APPROVAL;
        if until <= self.now {
            self.turn_away(StopKind::Rejected, None);
            return false;
        }
        let sha = self.seen.spec.sha.as_deref().unwrap_or_default();
        let name = &self.seen.key.name;
        let message = format!(
            "its commit {sha} is from another repository, or may be: look at it, and approve the run if it may run here \
             (kubectl slipway run approve {name}); until {until:.0}"
        );
        self.wait(Why::normal("AwaitingApproval", message), None);
        self.wake_at(until);
        false
    }

    fn is_its_turn(&mut self) -> bool {
        if let Some(newer) = self.newer().map(|peer| peer.name.clone()) {
            self.turn_away(StopKind::Superseded, Some(newer));
            return false;
        }
        let pipeline = self.seen.pipeline.as_ref();
        let Some((pipeline, rule)) =
            pipeline.and_then(|pipeline| Some((pipeline, pipeline.spec.concurrency.as_ref()?)))
        else {
            return true;
        };
        if pipeline.admitted.contains(&self.seen.key.name) {
            return true;
        }
        let before = self.peers();
        let before: Vec<&str> = before
            .iter()
            .filter(|peer| pipeline.admitted.contains(&peer.name))
            .map(|peer| peer.name.as_str())
            .collect();
        if rule.policy() == ConcurrencyPolicy::Reject && before.len() >= rule.max() {
            let first = before.first().map(|name| (*name).to_owned());
            self.turn_away(StopKind::Rejected, first);
            return false;
        }
        let message = if before.is_empty() {
            "waiting for its turn".to_owned()
        } else {
            format!("waiting for its turn after {}", before.join(", "))
        };
        // It hears of its Pipeline once its group is on record: what the Pipeline says before that is looked at once more.
        let is_on_record = self.next.concurrency_group == self.seen.status.concurrency_group;
        let again = (!is_on_record).then_some(LISTENS_FROM);
        self.wait(Why::normal("AwaitingTurn", message), again);
        false
    }

    /// Other runs of its group that are not over.
    fn peers(&self) -> Vec<&'a Peer> {
        let pipeline = self.seen.pipeline.as_ref();
        let Some(rule) = pipeline.and_then(|pipeline| pipeline.spec.concurrency.as_ref()) else {
            return Vec::new();
        };
        let group = rule.group_of(&self.seen.spec.git_ref);
        let peers = self.seen.peers.iter();
        peers
            .filter(|peer| rule.group_of(&peer.git_ref) == group)
            .collect()
    }

    /// The newest run of its group, where that takes the place of this one.
    fn newer(&self) -> Option<&'a Peer> {
        let pipeline = self.seen.pipeline.as_ref()?;
        let rule = pipeline.spec.concurrency.as_ref()?;
        if rule.policy() != ConcurrencyPolicy::CancelInProgress {
            return None;
        }
        let trigger = &self.seen.spec.trigger;
        let own = trigger.started_by().unwrap_or(self.seen.created_at);
        let own = (own, self.seen.key.name.as_str());
        let newer = self
            .peers()
            .into_iter()
            .filter(|peer| !peer.awaits_approval && (peer.started_by, peer.name.as_str()) > own);
        newer.max_by_key(|peer| (peer.started_by, peer.name.as_str()))
    }

    /// The stop of a run that a newer one takes the place of.
    pub(super) fn superseded(&self) -> Option<Stop> {
        let newer = self.newer()?;
        Some(Stop {
            kind: StopKind::Superseded,
            by: Some(newer.name.clone()),
            at: Time(self.now),
        })
    }

    /// Ends a run of which nothing has begun.
    fn turn_away(&mut self, kind: StopKind, by: Option<String>) {
        self.next.stopping = Some(Stop {
            kind,
            by,
            at: Time(self.now),
        });
        self.next.source_error = None;
        self.end(RunPhase::Cancelled);
    }
}

/// Why a run was stopped, for those who read it.
pub(super) fn said(stop: &Stop) -> String {
    let by = stop.by.as_deref();
    match stop.kind {
        StopKind::Cancelled => format!("stopped by {}", by.unwrap_or("a person")),
        StopKind::TimedOut => "stopped, because it took too long".to_owned(),
        StopKind::Superseded => format!("superseded by {}", by.unwrap_or("a newer run")),
        StopKind::Rejected => match by {
            Some(by) => format!("turned away: {by} stands against it"),
            None => "turned away: nobody approved it in 7 days".to_owned(),
        },
    }
}
