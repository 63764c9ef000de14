//! Why a Rollout is where it is, what it waits for and until when, read off the object. No I/O.
//!
//! The operator has put everything on record; here it is only put together. What people could do about it is in
//! `advice`.

mod advice;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::adopt::standing_in;
use super::api::{
    Change, DecisionOutcome, Ending, FailureReason, Phase, RevisionStatus, Risk, RiskLevel,
    Rollout, RolloutStatus, Stuck, Tally, Weights,
};
use super::simulation::placeholders;
use super::spec::{Around, Invalid, Spec, Step};
use super::step;
use crate::analysis::api::Metric;
use crate::analysis::template::Templates;
use crate::check;
use crate::metric::judge::{self, Verdict};
use crate::model::condition;
use crate::model::key::Key;
use crate::model::span::after;
use crate::schema::closed_set;
pub use advice::Advice;

closed_set! {
    /// Where a step is.
    pub enum StepState {
        /// It is done.
        Done,
        /// It is being done.
        Now,
        /// It is not begun.
        ToCome,
    }
}

closed_set! {
    /// What the samples of a metric mean so far.
    pub enum Judgement {
        /// Too few to tell.
        Undecided,
        /// Good.
        Good,
        /// Bad.
        Bad,
    }
}

/// Why a Rollout is where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// When this was asked.
    pub as_of: Timestamp,
    /// Where it is.
    pub phase: Phase,
    /// A word for why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is there, and what it waits for.
    pub message: String,
    /// Since when it has been there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when it waits, where that has an end of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When the change is given up, should nothing get further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up_at: Option<Timestamp>,
    /// When the change is held for people instead, because `spec.rollback.on` leaves that failure to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    /// What is wrong with the spec, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// What else has to be known in order to read the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether a change is under way.
    pub is_changing: bool,
    /// With strategy `Auto`: how risky the change is, or the last one was, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// The steps of the change, or of the next one.
    pub steps: Vec<StepLine>,
    /// How traffic is divided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The revision that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<RevisionStatus>,
    /// The revision that is on its way, or was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<RevisionStatus>,
    /// Revisions that go on serving what they have accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<Draining>,
    /// What was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub analysis: Vec<MetricLine>,
    /// The last Decision, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<DecisionOutcome>,
    /// How changes ended, latest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Ending>,
    /// The conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What a person could do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepLine {
    /// Which one, counted from 1.
    pub index: usize,
    /// What it does.
    pub what: String,
    /// Where it is.
    pub state: StepState,
}

/// A revision that goes on serving what it has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// The revision.
    pub revision: String,
    /// Until when.
    pub until: Timestamp,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricLine {
    /// What the samples say so far.
    #[serde(flatten)]
    pub tally: Tally,
    /// Good samples that a good verdict needs.
    pub wanted: u32,
    /// Good samples in a row that settle it, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_in_a_row: Option<u32>,
    /// What that means.
    pub verdict: Judgement,
    /// Why: how many of how many, and what speaks against it.
    pub because: String,
    /// Whether it is only looked at, and decides nothing.
    #[serde(rename = "dryRun")]
    pub is_dry_run: bool,
    /// Whether it is not measured any more.
    #[serde(rename = "complete")]
    pub is_over: bool,
}

/// Puts together why a Rollout is where it is at `now`, with the AnalysisTemplates that it names.
pub fn explain(rollout: &Rollout, templates: &Templates, now: Timestamp) -> Explanation {
    let status = rollout.status.clone().unwrap_or_default();
    let progress = status.progress.clone().unwrap_or_default();
    let around = Around {
        templates: templates.clone(),
        ..Around::of(rollout)
    };
    let raw = standing_in(&rollout.spec);
    let spec = Spec::parse_with(&raw, &placeholders(&raw), &around);
    let is_auto = spec.as_ref().is_ok_and(|spec| spec.by_risk.is_some());
    let level = level_of(&status);
    let spec = spec.map(|spec| spec.at_risk(level));
    let key = Key::of(rollout);
    let seen = Seen {
        rollout,
        status: &status,
        spec: spec.as_ref().ok(),
        change: progress.change.as_ref(),
        is_auto,
    };
    let ready = seen.ready();
    let draining = progress.draining.iter();
    Explanation {
        namespace: key.namespace,
        name: key.name,
        as_of: now,
        phase: seen.phase(),
        reason: ready.map(|ready| ready.reason.clone()),
        message: status.message.clone().unwrap_or_default(),
        since: seen.since(),
        until: seen.until(),
        given_up_at: seen.fails_at(true),
        held_at: seen.fails_at(false),
        problems: spec
            .as_ref()
            .err()
            .map(|all| lines(all))
            .unwrap_or_default(),
        notes: seen.notes(),
        is_changing: seen.change.is_some(),
        risk: status.risk.clone(),
        steps: seen.steps(),
        weights: status.weights.clone(),
        stable: status.stable.clone(),
        canary: status.canary.clone(),
        draining: draining
            .filter(|(_, until)| **until > now)
            .map(|(revision, until)| Draining {
                revision: revision.clone(),
                until: *until,
            })
            .collect(),
        analysis: seen.analysis(),
        last_decision: status.last_decision.clone(),
        history: status.history.clone(),
        conditions: status.conditions.clone(),
        advice: advice::advice(&seen),
    }
}

/// What is read.
struct Seen<'a> {
    rollout: &'a Rollout,
    status: &'a RolloutStatus,
    /// The spec at the risk of the change, where it can be used.
    spec: Option<&'a Spec>,
    /// The change that is under way.
    change: Option<&'a Change>,
    /// Whether its steps depend on the risk of the change.
    is_auto: bool,
}

impl Seen<'_> {
    fn phase(&self) -> Phase {
        self.status.phase.unwrap_or_default()
    }

    fn ready(&self) -> Option<&Condition> {
        condition::find(&self.status.conditions, "Ready")
    }

    fn reason(&self) -> &str {
        self.ready().map_or("", |ready| ready.reason.as_str())
    }

    /// Whether the operator has looked at it at all.
    fn is_looked_at(&self) -> bool {
        self.status.phase.is_some()
    }

    /// Whether somebody holds the change.
    fn is_held(&self) -> bool {
        let progress = self.status.progress.as_ref();
        let is_paused = self.rollout.spec.paused.unwrap_or(false);
        let is_stopped = progress.is_some_and(|progress| progress.paused.is_some());
        is_paused || is_stopped || self.stuck().is_some()
    }

    /// The failure that holds the change until people decide.
    fn stuck(&self) -> Option<&Stuck> {
        self.change?.stuck.as_ref()
    }

    /// Where the change is in the list of steps; its length when all are done.
    fn position(&self) -> Option<usize> {
        let change = self.change?;
        if self.phase() == Phase::Promoting {
            return Some(usize::MAX);
        }
        Some(usize::try_from(change.step).unwrap_or(usize::MAX))
    }

    fn present_step(&self) -> Option<&Step> {
        self.spec?.steps.get(self.position()?)
    }

    fn since(&self) -> Option<Timestamp> {
        let progress = self.status.progress.as_ref();
        let failed = progress.and_then(|progress| progress.failed.as_ref());
        let ready = self.ready().map(|ready| ready.last_transition_time.0);
        match (self.change, failed) {
            (Some(change), _) => Some(change.step_started_at),
            (None, Some(failed)) => Some(failed.at),
            (None, None) => ready,
        }
    }

    /// While somebody holds it, a step that is over by then is not left.
    fn until(&self) -> Option<Timestamp> {
        let step = self.status.step.as_ref().filter(|_| !self.is_held())?;
        step.until
    }

    /// When the change fails, should nothing get further, as far as that takes it back, or does not.
    fn fails_at(&self, takes_it_back: bool) -> Option<Timestamp> {
        let (reason, at) = self.deadline()?;
        let spec = self.spec?;
        (spec.rollback_on.contains(&reason) == takes_it_back).then_some(at)
    }

    /// Waiting for time and people has no such end; waiting for pods, the data plane and metrics does.
    fn deadline(&self) -> Option<(FailureReason, Timestamp)> {
        let (change, spec) = (self.change?, self.spec?);
        if self.is_held() {
            return None;
        }
        let (reason, from) = match self.present_step() {
            Some(Step::Pause(_) | Step::Approve { .. }) => return None,
            Some(Step::Run { timeout, .. }) => {
                let patience = timeout.saturating_add(check::GRACE);
                let at = after(change.step_started_at, patience);
                return Some((FailureReason::HookFailed, at));
            }
            Some(Step::Analyse { for_at_least, .. }) => (
                FailureReason::NoVerdict,
                after(change.step_started_at, *for_at_least),
            ),
            Some(Step::SetWeight(_) | Step::Route(_) | Step::Mirror(_) | Step::Scale(_)) | None => {
                let progress = self.status.progress.as_ref()?;
                let since = step::waits_since(progress, change, spec.drain);
                (FailureReason::ProgressDeadline, since)
            }
        };
        Some((reason, after(from, spec.progress_deadline)))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let generation = self.rollout.metadata.generation.unwrap_or_default();
        let seen = self.status.observed_generation;
        if !self.is_looked_at() {
            notes.push("the operator has not looked at it yet: is it running, and does it watch this namespace?".to_owned());
        } else if seen < generation {
            notes.push(format!(
                "the spec was changed (generation {generation}), and the operator has not looked at it since (generation {seen})"
            ));
        }
        if self.rollout.metadata.deletion_timestamp.is_some() {
            notes.push("it is being deleted".to_owned());
        }
        if let Some(release) = &self.rollout.spec.release {
            let name = &release.environment.name;
            notes.push(format!(
                "its images are those that Environment {name} wants"
            ));
        }
        let progress = self.status.progress.as_ref();
        if let Some(undo) = progress.and_then(|progress| progress.undo.as_ref()) {
            notes.push(format!(
                "the spec asks for {}, and somebody went back to {} with an Undo",
                undo.from, undo.to
            ));
        }
        if self.is_auto && self.change.is_none() {
            notes.push(format!(
                "the steps of the next change depend on its risk, which is assessed when it begins; those of risk {} are shown",
                level_of(self.status)
            ));
        }
        notes
    }

    fn steps(&self) -> Vec<StepLine> {
        let position = self.position();
        let steps = self.spec.map_or(&[][..], |spec| &spec.steps);
        let line = |(index, step): (usize, &Step)| StepLine {
            index: index + 1,
            what: step.to_string(),
            state: match position {
                Some(position) if index < position => StepState::Done,
                Some(position) if index == position => StepState::Now,
                _ => StepState::ToCome,
            },
        };
        steps.iter().enumerate().map(line).collect()
    }

    /// What has been measured, and what is to be while a change is under way.
    fn analysis(&self) -> Vec<MetricLine> {
        let analysis = self.spec.and_then(|spec| spec.analysis.as_ref());
        let metrics = analysis.into_iter().flat_map(|analysis| &analysis.metrics);
        let line = |(metric, _): &(Metric, Duration)| {
            let known = Tally::among(&self.status.analysis, &metric.name).cloned();
            let tally = known.or_else(|| self.change.map(|_| Tally::of(&metric.name)))?;
            let verdict = judge::verdict(metric, &tally);
            Some(MetricLine {
                verdict: match &verdict {
                    Verdict::Undecided => Judgement::Undecided,
                    Verdict::Good => Judgement::Good,
                    Verdict::Bad(_) => Judgement::Bad,
                },
                because: match verdict {
                    Verdict::Bad(because) => because,
                    Verdict::Undecided | Verdict::Good => judge::words(metric, Some(&tally)),
                },
                wanted: metric.min_samples(),
                wanted_in_a_row: metric.success_limit,
                is_dry_run: metric.is_dry_run(),
                is_over: judge::is_complete(metric, &tally),
                tally,
            })
        };
        metrics.filter_map(line).collect()
    }
}

/// The risk whose steps are shown: that of the change that is under way, else what one gets of which nothing is known.
fn level_of(status: &RolloutStatus) -> RiskLevel {
    let progress = status.progress.as_ref();
    let is_changing = progress.is_some_and(|progress| progress.change.is_some());
    let risk = status.risk.as_ref().filter(|_| is_changing);
    risk.map_or(RiskLevel::Medium, |risk| risk.level)
}

fn lines(problems: &[Invalid]) -> Vec<String> {
    let line = |invalid: &Invalid| format!("{}: {}", invalid.path, invalid.problem);
    problems.iter().map(line).collect()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
