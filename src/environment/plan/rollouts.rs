//! What the Rollouts say about a promotion. No I/O.

use jiff::Timestamp;

use super::super::observed::{Bound, Followed};
use super::Draft;
use super::history::Entry;
use crate::rollout::api::Phase;

/// What one Rollout says about a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It uses none of the images.
    Unconcerned,
    /// It runs exactly these images, and is healthy.
    Healthy,
    /// Not yet; and when that turns into a failure by itself.
    Waiting(String, Option<Timestamp>),
    /// It gave them up.
    Failed(String),
}

impl<'a> Draft<'a> {
    /// What every listed Rollout says, by name.
    pub(super) fn answers(&self, entry: &Entry) -> Vec<(&'a str, Answer)> {
        let rollouts = self.seen.rollouts.iter();
        rollouts
            .map(|bound| (bound.name.as_str(), self.answer(entry, bound)))
            .collect()
    }

    fn answer(&self, entry: &Entry, bound: &Bound) -> Answer {
        let name = &bound.name;
        let Some(rollout) = &bound.state else {
            return Answer::Waiting(format!("Rollout {name}, which is not there"), None);
        };
        if rollout.images.is_none() {
            return Answer::Waiting(
                format!("Rollout {name}, which does not follow this Environment"),
                None,
            );
        }
        let Some(has_images) = rollout.runs(&rollout.stable, entry.images()) else {
            return Answer::Unconcerned;
        };
        if let Some(failure) = gave_up(rollout, entry) {
            return Answer::Failed(format!("Rollout {name}: {failure}"));
        }
        if has_images && rollout.phase == Phase::Healthy && rollout.is_current {
            return Answer::Healthy;
        }
        let deadline = rollout
            .not_ready_since
            .filter(|_| has_images && rollout.phase == Phase::Degraded)
            .map(|since| {
                let since = entry.started_at.map_or(since, |start| since.max(start));
                super::after(since, rollout.deadline)
            });
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            return Answer::Failed(format!("Rollout {name}: {}", rollout.message));
        }
        Answer::Waiting(format!("Rollout {name}: {}", rollout.message), deadline)
    }

    /// References that lead nowhere: the spec names what is not there, or does not point back.
    pub(super) fn missing_references(&self) -> Vec<String> {
        let environment = &self.seen.key.name;
        let sources = self
            .seen
            .sources
            .iter()
            .filter(|source| source.good.is_none());
        let sources = sources.map(|source| {
            let name = &source.name;
            format!("spec.promotion.from.environments: there is no Environment {name}; create it, or take it out")
        });
        let rollouts = self.seen.rollouts.iter().filter_map(|bound| {
            let name = &bound.name;
            match &bound.state {
                None => Some(format!(
                    "spec.rollouts: there is no Rollout {name}; create it, or take it out"
                )),
                Some(rollout) if rollout.images.is_none() => Some(format!(
                    "spec.rollouts: Rollout {name} does not follow this Environment; give it \
                     spec.release.environment.name: {environment}, or take it out"
                )),
                Some(_) => None,
            }
        });
        sources.chain(rollouts).collect()
    }
}

/// Why a Rollout gave up what this promotion brought. A failure whose promotion is not known counts when
/// it was these images that failed.
fn gave_up<'a>(rollout: &'a Followed, entry: &Entry) -> Option<&'a str> {
    let failure = rollout.failure.as_ref()?;
    let is_this = match &failure.promotion {
        Some(names) => names.split('+').any(|name| name == entry.name()),
        None => rollout.runs(&rollout.canary, entry.images()) == Some(true),
    };
    is_this.then_some(failure.message.as_str())
}
