//! Ends a run whose stages are over: gates, Release, phase. No I/O.

use super::super::api::{FailureKind, RunPhase, StagePhase, TestCounts};
use super::super::render;
use super::Draft;
use crate::gate::{self, Evidence};
use crate::model::action::Action;
use crate::model::plan::Why;
use crate::pipeline::api::PipelineSpec;

impl Draft<'_> {
    /// Judges a run whose stages are over.
    pub(super) fn conclude(&mut self, spec: &PipelineSpec) {
        self.next.tests = self.count_tests();
        let previous = self.next.previous.as_deref();
        let previous = previous.and_then(|name| self.seen.release(name));
        let evidence = Evidence {
            stages: &self.next.stages,
            baseline: previous.map(|release| &release.spec.evidence),
        };
        self.next.gates = gate::judge_all(&spec.gates, &spec.waivers, &evidence, self.now);
        if let Some(phase) = self.failed_phase() {
            self.end(phase);
            return;
        }
        let blocking = self.next.gates.iter().find(|verdict| gate::blocks(verdict));
        if let Some(verdict) = blocking {
            let why = verdict.message.as_deref().unwrap_or("it does not hold");
            let hint = format!("gate {}: {why}", verdict.name);
            self.fail(None, FailureKind::Gate, hint);
            return;
        }
        if self.makes_release(spec) {
            self.release();
        } else {
            self.end(RunPhase::Succeeded);
        }
    }

    fn count_tests(&self) -> Option<TestCounts> {
        let counts = self.next.stages.iter().filter_map(|stage| stage.tests);
        counts.reduce(TestCounts::plus)
    }

    /// How the run ends when a stage did not succeed.
    fn failed_phase(&self) -> Option<RunPhase> {
        let lost = |stage: &&super::super::api::StageStatus| {
            !matches!(stage.phase, StagePhase::Succeeded | StagePhase::Skipped)
        };
        let first = self.next.failure.as_ref().map(|failure| failure.kind);
        self.next.stages.iter().find(lost)?;
        Some(match first {
            Some(FailureKind::Timeout) => RunPhase::TimedOut,
            _ => RunPhase::Failed,
        })
    }

    fn makes_release(&self, spec: &PipelineSpec) -> bool {
        let branch = format!("refs/heads/{}", spec.release_branch());
        spec.release.enabled && self.seen.spec.git_ref == branch && !self.next.artifacts.is_empty()
    }

    /// Makes the Release, and ends when it is there.
    fn release(&mut self) {
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
        let release = render::release(self.seen, &self.next, name, &commit);
        self.actions.push(Action::Create(release));
        self.wait(Why::normal("Releasing", message), None);
    }
}
