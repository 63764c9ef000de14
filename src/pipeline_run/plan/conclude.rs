//! Judges a run whose work is over, and ends it: gates, Release, phase. No I/O.

use super::super::api::{Failure, FailureKind, RunPhase, StagePhase, StageStatus, StopKind};
use super::super::render;
use super::stage::Wave;
use super::{Draft, cells};
use crate::gate::{self, Evidence};
use crate::model::action::Action;
use crate::model::plan::Why;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline::spec::may_release;

impl Draft<'_> {
    /// Judges what the work has left, once all of it is over. A verdict on which something has begun stands, whatever the day.
    pub(super) fn judge_gates(&mut self, spec: &PipelineSpec) {
        let is_work = |status: &&StageStatus| {
            let mut stages = spec.stages.iter();
            stages.any(|stage| stage.name == status.name && Wave::of(stage) == Wave::Work)
        };
        let work = self.next.stages.iter().filter(is_work).cloned();
        let work: Vec<StageStatus> = work.collect();
        self.next.tests = cells::sum(work.iter().filter_map(|stage| stage.tests));
        let previous = self.next.previous.as_deref();
        let previous = previous.and_then(|name| self.seen.release(name));
        let made = self.next.artifacts.iter().filter_map(|artifact| {
            let maker = spec.maker(&artifact.name)?;
            Some((maker.name.as_str(), artifact))
        });
        let made: Vec<_> = made.collect();
        let evidence = Evidence {
            stages: &work,
            made: &made,
            baseline: previous.map(|release| &release.spec.evidence),
        };
        if !self.stands(spec) {
            self.next.gates = gate::judge_all(&spec.gates, &spec.waivers, &evidence, self.now);
        }
        if self.failed_phase().is_none()
            && let Some(hint) = self.blocking_gate()
        {
            self.note_failure(Failure {
                stage: None,
                cell: None,
                kind: FailureKind::Gate,
                hint: Some(hint),
                log_tail: None,
            });
        }
    }

    /// Whether something has come of the verdicts that are on record: a stage that waits for them has begun or was left out, or the
    /// Release is being made. A waiver that ends after that, or a Release before this one that is deleted, changes nothing: what was
    /// published cannot be taken back.
    fn stands(&self, spec: &PipelineSpec) -> bool {
        let has_moved = |stage: &Stage| {
            let phase = self
                .next
                .stages
                .iter()
                .find(|status| status.name == stage.name);
            phase.is_some_and(|status| status.phase != StagePhase::Pending)
        };
        let mut later = spec
            .stages
            .iter()
            .filter(|stage| Wave::of(stage) != Wave::Work);
        self.next.gates.len() == spec.gates.len()
            && (self.next.release.is_some() || later.any(has_moved))
    }

    /// Ends a run whose stages are over.
    pub(super) fn conclude(&mut self, spec: &PipelineSpec) {
        let result = self.result();
        if result == RunPhase::Succeeded && self.makes_release(spec) {
            self.release(spec);
        } else {
            self.end(result);
        }
    }

    /// How the run ends, as far as it can be told by now.
    pub(super) fn result(&self) -> RunPhase {
        if let Some(stop) = &self.next.stopping {
            return match stop.kind {
                StopKind::Cancelled | StopKind::Superseded | StopKind::Rejected => {
                    RunPhase::Cancelled
                }
                StopKind::TimedOut => RunPhase::TimedOut,
            };
        }
        let failed = self.failed_phase();
        failed.unwrap_or(if self.blocking_gate().is_some() {
            RunPhase::Failed
        } else {
            RunPhase::Succeeded
        })
    }

    /// Whether what waits for the gates may start.
    pub(super) fn has_passed(&self) -> bool {
        self.result() == RunPhase::Succeeded
    }

    /// What the first gate says that stands against the run.
    fn blocking_gate(&self) -> Option<String> {
        let verdict = self
            .next
            .gates
            .iter()
            .find(|verdict| gate::blocks(verdict))?;
        let why = verdict.message.as_deref().unwrap_or("it does not hold");
        Some(format!("gate {}: {why}", verdict.name))
    }

    /// How the run ends when a stage did not succeed.
    fn failed_phase(&self) -> Option<RunPhase> {
        let lost = |stage: &&StageStatus| {
            matches!(
                stage.phase,
                StagePhase::Failed | StagePhase::Cancelled | StagePhase::TimedOut
            )
        };
        let first = self.next.failure.as_ref().map(|failure| failure.kind);
        self.next.stages.iter().find(lost)?;
        Some(match first {
            Some(FailureKind::Timeout) => RunPhase::TimedOut,
            _ => RunPhase::Failed,
        })
    }

    /// Whether a run that has passed makes a Release.
    pub(super) fn makes_release(&self, spec: &PipelineSpec) -> bool {
        let is_meant = may_release(spec, &self.seen.spec.git_ref);
        let is_whole = self.seen.spec.stages.is_empty();
        is_whole && is_meant && !self.next.artifacts.is_empty()
    }

    /// Makes the Release, and ends when it is there.
    fn release(&mut self, spec: &PipelineSpec) {
        let Some(commit) = self.next.commit.clone() else {
            let message = "nothing is known of the commit, because the reports of all pods are \
                           lost; make a new run";
            self.fail(None, FailureKind::Infra, message);
            return;
        };
        let pipeline = &self.seen.spec.pipeline_ref.name;
        let name = render::release_name(pipeline, &commit.sha, &self.next.artifacts);
        self.next.release = Some(name.clone());
        if self.seen.release(&name).is_some() {
            self.end(RunPhase::Succeeded);
            return;
        }
        let message = format!("making Release {name}");
        let release = render::release((self.seen, spec), &self.next, name, &commit);
        self.actions.push(Action::Create(release));
        self.wait(Why::normal("Releasing", message), None);
    }
}
