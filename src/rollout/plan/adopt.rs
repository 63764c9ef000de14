//! Where a Deployment is taken over: what comes before everything else, and what comes last when it is given back. No I/O.
//!
//! ```text
//!              not paused, busy, an autoscaler …             paused
//! Deployment's ────────── Pending ────────── ReplicaSets, history first ── labels of pods ── the Rollout's
//!       └────────────────────── active ReplicaSet first, then history ── GiveBack ──────────────────┘
//! ```
//!
//! A paused Deployment scales the newest of its ReplicaSets to its own number of pods. So it must never have old ones alone:
//! what serves is the last that it loses, and the first that it gets back.

use jiff::{SignedDuration, Timestamp};

use super::super::adopt::{Adoption, given_back, has_begun};
use super::super::api::Phase;
use super::super::observed::{Deletion, Observed, Set, Wanted};
use super::{Draft, Memory, remembered};
use crate::model::action::Action;
use crate::model::condition::{self, ACTION_FAILED};
use crate::model::plan::{Plan, Why};

/// How soon it is looked again for what no event tells of: autoscalers, and another Rollout that goes.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long the labels of a pod may be refused before people are told what to do.
const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// Pods that are named.
const MAX_NAMES: usize = 5;
/// Reason of what waits because it would have pods end at once.
const REPLICAS_DIFFER: &str = "ReplicasDiffer";

/// What has to be done, or waited for, before anything else is decided.
pub(super) fn adopt(seen: &Observed, now: Timestamp) -> Option<Plan<Memory>> {
    let adoption = seen.adoption.as_ref()?;
    let has_begun = has_begun(&seen.status, &seen.sets);
    if seen.deletion.is_some() {
        return stranded(seen, adoption).or_else(|| undone(seen, adoption, has_begun));
    }
    let surplus = || surplus(seen, adoption).filter(|_| !has_begun);
    if let Some((reason, message)) = obstacle(adoption, has_begun).or_else(surplus) {
        let (phase, why) = if has_begun {
            (Phase::Degraded, Why::warning(reason, message))
        } else {
            (Phase::Pending, Why::normal(reason, message))
        };
        let mut plan = Plan::idle(remembered(seen, phase), why);
        let is_unseen = !adoption.autoscalers.is_empty() || reason == REPLICAS_DIFFER;
        if is_unseen || adoption.rival.is_some() {
            plan.wake_at(now + LOOK_AGAIN);
        }
        return Some(plan);
    }
    if !has_begun && matches!(seen.wanted, Wanted::Invalid(..)) {
        // Nothing is taken over that could not be looked after then.
        return None;
    }
    let actions = actions(seen, adoption, (!has_begun).then_some(now));
    if actions.is_empty() {
        return None;
    }
    let (phase, why) = if let Some(text) = refused(seen, adoption, now) {
        (Phase::Degraded, Why::warning("PodsNotTaken", text))
    } else {
        let text = format!(
            "taking over what Deployment {} has: ReplicaSets, then labels of pods; none of them restarts",
            adoption.name
        );
        (Phase::Progressing, Why::normal("Adopting", text))
    };
    Some(Plan {
        actions,
        ..Plan::idle(remembered(seen, phase), why)
    })
}

/// Which pods do not get their labels, once that has been refused for a while, and what to do. It is tried on.
fn refused(seen: &Observed, adoption: &Adoption, now: Timestamp) -> Option<String> {
    let since = condition::true_since(&seen.status.conditions, ACTION_FAILED)?;
    let is_lasting = adoption.held.is_empty() && now.duration_since(since) >= REFUSED_FOR;
    if !is_lasting || adoption.strays.is_empty() {
        return None;
    }
    let pods = adoption.strays.iter();
    let names: Vec<&str> = pods
        .map(|pod| pod.target.key.name.as_str())
        .take(MAX_NAMES)
        .collect();
    let rest = adoption.strays.len() - names.len();
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    Some(format!(
        "the API server refuses the labels by which pods of this Rollout are found, and no change begins before all have them: pod {}{more}; \
         let whatever refuses it (a policy or a webhook, most likely) allow a change of labels, or delete these pods: the pods that come \
         for them have the labels from the start",
        names.join(", ")
    ))
}

/// Why it cannot be taken over yet, or cannot be read any more, and what to do.
fn obstacle(adoption: &Adoption, has_begun: bool) -> Option<(&'static str, String)> {
    let name = &adoption.name;
    let Some(deployment) = &adoption.deployment else {
        let text = if has_begun {
            format!(
                "there is no Deployment {name} any more, so nobody says what pods are made of; those that serve go on, and \
                 nothing moves: create it again, with spec.paused: true and the template that serves"
            )
        } else {
            format!("there is no Deployment {name}; create it, with spec.paused: true")
        };
        return Some(("DeploymentMissing", text));
    };
    if has_begun {
        return None;
    }
    if let Some(rival) = &adoption.rival {
        let text = format!(
            "Deployment {name} is named by Rollout {rival} as well, which is older and has it; delete one of the two"
        );
        return Some(("DeploymentTaken", text));
    }
    if !deployment.spec.selector.match_expressions.is_empty() {
        let text = format!(
            "Deployment {name} selects its pods by matchExpressions, and only matchLabels can be taken over; its selector \
             cannot be changed, so it takes another Deployment"
        );
        return Some(("DeploymentUnfit", text));
    }
    if deployment.is_asked_to_pause() && !adoption.is_paused() {
        let text = format!(
            "spec.paused: true of Deployment {name} has not been seen by the controller of Deployments yet; that is waited for"
        );
        return Some(("DeploymentNotPaused", text));
    }
    if !adoption.is_paused() {
        let text = format!(
            "Deployment {name} still rolls out by itself; once what it runs is what should serve, set its spec.paused: true, \
             in Git too, and its pods are taken over as they are"
        );
        return Some(("DeploymentNotPaused", text));
    }
    if adoption.held.iter().filter(|set| set.pods > 0).count() > 1 {
        let text = format!(
            "Deployment {name} was paused in the middle of a rollout, with pods of several ReplicaSets; let it finish \
             (spec.paused: false), and pause it then"
        );
        return Some(("DeploymentBusy", text));
    }
    if !adoption.held.is_empty() && !adoption.autoscalers.is_empty() {
        let text = format!(
            "HorizontalPodAutoscaler {} still scales Deployment {name}; let its scaleTargetRef name this Rollout \
             (apiVersion slipway.dev/v1alpha1, kind Rollout)",
            adoption.autoscalers.join(", ")
        );
        return Some(("AutoscalerNotMoved", text));
    }
    None
}

/// Why what serves cannot be taken over with the number of pods that is asked for: those beyond it would end at once.
fn surplus(seen: &Observed, adoption: &Adoption) -> Option<(&'static str, String)> {
    let asked = seen.wanted.spec()?.replicas;
    let serving = adoption.held.iter().map(|set| set.pods).max()?;
    (serving > asked).then(|| {
        let text = format!(
            "{serving} pods of Deployment {} serve, and this Rollout asks for {asked}; set its spec.replicas to {serving}: an autoscaler that names it goes on from there",
            adoption.name
        );
        (REPLICAS_DIFFER, text)
    })
}

/// ReplicaSets first, each by one write, old ones before what serves; then pods, each whatever becomes of the others.
fn actions(seen: &Observed, adoption: &Adoption, promoted_at: Option<Timestamp>) -> Vec<Action> {
    let mut held: Vec<_> = adoption.held.iter().collect();
    held.sort_by_key(|set| (set.pods > 0, set.ordinal));
    let last = held.len().saturating_sub(1);
    let moves = held.into_iter().enumerate();
    let mut moves: Vec<Action> = moves
        .map(|(index, set)| set.taken(seen, promoted_at.filter(|_| index == last)))
        .collect();
    if moves.is_empty() && !adoption.strays.is_empty() {
        let strays = adoption.strays.iter();
        let told = strays.map(|stray| stray.told(&seen.key.name));
        moves.push(Action::PatchEach(told.collect()));
    }
    moves
}

/// A Rollout that goes while there is no Deployment to give anything back to: it waits for one, unless it has nothing.
fn stranded(seen: &Observed, adoption: &Adoption) -> Option<Plan<Memory>> {
    if adoption.deployment.is_some() {
        return None;
    }
    let text = format!(
        "being deleted, and there is no Deployment {} to give the pods back to; create it, with spec.paused: true and the \
         template that serves, or set deletionPolicy: Delete",
        adoption.name
    );
    Some(Plan {
        finished: seen.sets.is_empty(),
        ..Plan::idle(
            remembered(seen, Phase::Degraded),
            Why::warning("GiveBackHeld", text),
        )
    })
}

/// A Rollout that goes before it has what serves: what it has is history, and goes back as it came.
fn undone(seen: &Observed, adoption: &Adoption, has_begun: bool) -> Option<Plan<Memory>> {
    let is_it = seen.deletion == Some(Deletion::GiveBack) && !has_begun;
    let deployment = adoption.deployment.as_ref().filter(|_| is_it)?;
    let sets = seen.sets.iter();
    let text = "being deleted before all was taken over; what was goes back to the Deployment";
    Some(Plan {
        finished: seen.sets.is_empty(),
        actions: sets.map(|set| given_back(set, deployment)).collect(),
        ..Plan::idle(
            remembered(seen, Phase::Progressing),
            Why::normal("GivingBack", text),
        )
    })
}

impl Draft<'_> {
    /// Gives the ReplicaSets back once nothing but stable has pods and the Deployment asks for what serves.
    pub(super) fn give_back(&mut self) {
        let adoption = self.seen.adoption.as_ref();
        let deployment = adoption.and_then(|adoption| adoption.deployment.as_ref());
        let Some(deployment) = deployment.filter(|_| self.words_against_giving_back().is_none())
        else {
            return;
        };
        if !self.seen.is_only(&self.stable) {
            return;
        }
        // Each has one write, and what serves goes first.
        self.sets.clear();
        let mut sets: Vec<&Set> = self.seen.sets.iter().collect();
        sets.sort_by_key(|set| (set.revision != self.stable, set.ordinal));
        let given = sets.into_iter().map(|set| given_back(set, deployment));
        self.moves.extend(given);
    }

    /// Whether nothing is left that should be the Deployment's.
    pub(super) fn has_given_back(&self) -> bool {
        self.seen.deletion != Some(Deletion::GiveBack) || self.seen.sets.is_empty()
    }

    /// Phase and sentence of a Rollout that gives its pods back.
    pub(super) fn phase_of_giving_back(&self) -> (Phase, Why) {
        if let Some(words) = self.words_against_giving_back() {
            let text = format!("being deleted, and the pods cannot be given back yet: {words}");
            return (Phase::Degraded, Why::warning("GiveBackHeld", text));
        }
        let text = "being deleted; its ReplicaSets go back to the Deployment, and no pod restarts";
        (Phase::Progressing, Why::normal("GivingBack", text))
    }

    /// What the Deployment would make of its pods that is not what serves, and what to do about it.
    fn words_against_giving_back(&self) -> Option<String> {
        let adoption = self.seen.adoption.as_ref()?;
        let deployment = adoption.deployment.as_ref()?;
        // Once what serves is given back the rest has to follow.
        let set = self.seen.set(&self.stable)?;
        if adoption.accepts_rollout {
            return None;
        }
        let name = &adoption.name;
        let accept = "or set workloadRef.acceptRollout: true, and it does what it asks for";
        if !adoption.is_paused() {
            return Some(format!(
                "Deployment {name} is not paused; set its spec.paused: true, so that it takes the pods as they are, {accept}"
            ));
        }
        if self.spec.revision != self.stable {
            return Some(format!(
                "the template of Deployment {name} is not that of stable {}; make it that, {accept} once it is not paused",
                self.stable
            ));
        }
        let (asked, has) = (deployment.spec.replicas.unwrap_or(1), set.replicas);
        (asked != has).then(|| {
            format!(
                "Deployment {name} asks for {asked} pods, and {has} serve; set its spec.replicas to {has}, {accept} at once"
            )
        })
    }
}
