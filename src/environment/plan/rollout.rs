//! What the Rollouts say about a promotion. No I/O.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::super::api::Deployed;
use super::super::observed::{Bound, Followed, Record};
use super::Draft;
use super::advance::put_step;
use super::history::Entry;
use crate::promotion::api::{PromotionPhase, PromotionStatus, StepState, StepStatus};
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
    /// It does not follow yet, because others come first.
    Behind(String),
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
        let runs = rollout.runs(&rollout.stable, entry.images());
        let template = template_of(entry, name);
        let wears = template.is_none_or(|id| rollout.worn.as_deref() == Some(id));
        // One that runs something else is concerned while it has another template.
        let is_idle = wears && !entry.is_config() || rollout.stable.is_empty();
        let is_concerned = runs.is_some() || template.is_some() && !is_idle;
        if !is_concerned {
            return Answer::Unconcerned;
        }
        let has_images = runs.unwrap_or(true) && wears;
        if let Some(first) = self.comes_after(entry, name) {
            return Answer::Behind(format!("Rollout {name}, which comes after {first}"));
        }
        if let Some(failure) = gave_up(rollout, entry, template.filter(|_| runs.is_none())) {
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

    /// The Rollout that one still has to wait for before it may follow. Once it may, it goes on.
    fn comes_after(&self, entry: &Entry, name: &str) -> Option<&'a str> {
        if entry.is_rollback() || entry.phase != PromotionPhase::Promoting {
            return None;
        }
        let own = self
            .seen
            .spec
            .rollouts
            .iter()
            .find(|own| own.name == name)?;
        if !is_behind(entry.record, name) {
            return None;
        }
        let is_open = |first: &&'a String| {
            let mut rollouts = self.seen.rollouts.iter();
            let bound = rollouts.find(|bound| bound.name == **first);
            let is_done = |bound: &Bound| {
                matches!(
                    self.answer(entry, bound),
                    Answer::Healthy | Answer::Unconcerned
                )
            };
            // One that is in a ring is never done.
            !bound.is_some_and(|bound| !self.is_in_ring(&bound.name) && is_done(bound))
        };
        own.depends_on.iter().find(is_open).map(String::as_str)
    }

    /// What should run, with the Rollouts that do not follow it yet.
    pub(super) fn desired(&self) -> Vec<Deployed> {
        let mut all = self.history.desired(&self.order);
        for deployed in &mut all {
            let started = self.history.started(&deployed.pipeline);
            // What stayed of a set is what no other promotion moves.
            let Some(entry) = started.filter(|entry| entry.name() == deployed.promotion) else {
                continue;
            };
            let is_moving = matches!(
                entry.phase,
                PromotionPhase::Promoting | PromotionPhase::Failed | PromotionPhase::RolledBack
            );
            if entry.is_rollback() || !is_moving {
                continue;
            }
            let rollouts = self.seen.spec.rollouts.iter();
            let behind = rollouts
                .filter(|one| !one.depends_on.is_empty() && is_behind(entry.record, &one.name));
            deployed.waiting = behind.map(|one| one.name.clone()).collect();
        }
        all
    }

    /// Whether a Rollout waits for itself in the end.
    fn is_in_ring(&self, name: &str) -> bool {
        let of = |name: &str| {
            let mut rollouts = self.seen.spec.rollouts.iter();
            let found = rollouts.find(|rollout| rollout.name == name);
            found.map_or(&[][..], |rollout| rollout.depends_on.as_slice())
        };
        let (mut open, mut known) = (vec![name], BTreeSet::new());
        while let Some(next) = open.pop() {
            for first in of(next) {
                if first == name {
                    return true;
                }
                if known.insert(first.as_str()) {
                    open.push(first);
                }
            }
        }
        false
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
        let hidden = self.hidden();
        let cluster = hidden.as_ref().filter(|hidden| hidden.takes_edit);
        let cluster = cluster.map(|hidden| format!("spec.cluster: {}", hidden.message));
        let rollouts = self.seen.rollouts.iter();
        let rollouts = rollouts.filter(|_| hidden.is_none()).filter_map(|bound| {
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
        let rings = self.seen.spec.rollouts.iter();
        let rings = rings.filter(|rollout| self.is_in_ring(&rollout.name));
        let rings: Vec<&str> = rings.map(|rollout| rollout.name.as_str()).collect();
        let rings = (!rings.is_empty()).then(|| {
            let names = rings.join(" and ");
            format!("spec.rollouts: {names} wait for each other, so that none of them ever follows; take one out of dependsOn")
        });
        sources
            .chain(rollouts)
            .chain(rings)
            .chain(cluster)
            .collect()
    }
}

/// Name of the step of a Rollout.
pub(super) fn rollout_step(rollout: &str) -> String {
    format!("rollout-{rollout}")
}

/// The steps of a promotion, with what every Rollout says now.
pub(super) fn rollout_steps(
    status: &PromotionStatus,
    answers: &[(&str, Answer)],
    now: Timestamp,
) -> Vec<StepStatus> {
    let mut steps = status.steps.clone();
    for (name, answer) in answers {
        let name = rollout_step(name);
        match answer {
            Answer::Unconcerned => {}
            Answer::Healthy => {
                put_step(&mut steps, &name, StepState::Succeeded, ("healthy", now));
            }
            Answer::Waiting(message, _) => {
                put_step(&mut steps, &name, StepState::Running, (message, now));
            }
            Answer::Failed(message) => {
                put_step(&mut steps, &name, StepState::Failed, (message, now));
            }
            Answer::Behind(message) => {
                put_step(&mut steps, &name, StepState::Pending, (message, now));
            }
        }
    }
    steps
}

/// Whether a Rollout that comes after others has not followed this promotion yet, by its step on record.
pub(super) fn is_behind(record: &Record, rollout: &str) -> bool {
    let name = rollout_step(rollout);
    let step = record.status.steps.iter().find(|step| step.name == name);
    step.is_none_or(|step| matches!(step.state, StepState::Pending | StepState::Skipped))
}

/// Id of the template that a promotion brings to a Rollout.
fn template_of<'a>(entry: &Entry<'a>, rollout: &str) -> Option<&'a str> {
    let mut templates = entry.templates().iter();
    let template = templates.find(|template| template.name == rollout)?;
    Some(&template.id)
}

/// Why a Rollout gave up what this promotion brought. A failure whose promotion is not known counts when
/// it was these images that failed.
fn gave_up<'a>(rollout: &'a Followed, entry: &Entry, template: Option<&str>) -> Option<&'a str> {
    let failure = rollout.failure.as_ref()?;
    let of_template = template.is_some() && template == rollout.tried.as_deref();
    let is_this = match &failure.promotion {
        Some(names) => of_template || names.split('+').any(|name| name == entry.name()),
        None => rollout.runs(&rollout.canary, entry.images()) == Some(true),
    };
    is_this.then_some(failure.message.as_str())
}
