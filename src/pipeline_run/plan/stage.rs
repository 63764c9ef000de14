//! Moves the stages of a run: starts those whose needs are met, and takes in how they ended. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{
    Artifact, ArtifactKind, Failure, FailureKind, RunPhase, StagePhase, StageStatus,
};
use super::super::builder;
use super::super::observed::Job;
use super::super::render::{self, At};
use super::super::verdict::{self, Ending, Verdict};
use super::{Draft, LOOK_AGAIN};
use crate::model::action::Action;
use crate::model::plan::Why;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::release::order::Order;

/// Whether nothing will change any more.
pub(super) const fn is_over(phase: StagePhase) -> bool {
    !matches!(phase, StagePhase::Pending | StagePhase::Running)
}

impl Draft<'_> {
    /// Brings every stage as far as it can be. Tells whether all of them are over.
    pub(super) fn settle_stages(&mut self, spec: &PipelineSpec) -> bool {
        self.for_each(spec, StagePhase::Running, Self::follow);
        let is_waiting = |stage: &StageStatus| stage.phase == StagePhase::Pending;
        let is_new = self.next.stages.is_empty();
        if (is_new || self.next.stages.iter().any(is_waiting)) && !self.has_images(spec) {
            return false;
        }
        if is_new {
            self.begin(spec);
        }
        // One that is skipped may be what another one waits for, wherever it stands in the list.
        for _ in &spec.stages {
            self.for_each(spec, StagePhase::Pending, Self::start_if_ready);
        }
        self.next.stages.iter().all(|stage| is_over(stage.phase))
    }

    fn for_each(
        &mut self,
        spec: &PipelineSpec,
        phase: StagePhase,
        change: fn(&mut Self, &PipelineSpec, &Stage, &mut StageStatus),
    ) {
        for stage in &spec.stages {
            let found = self.stage(&stage.name).filter(|known| known.phase == phase);
            let Some(mut status) = found.cloned() else {
                continue;
            };
            change(self, spec, stage, &mut status);
            let mut all = self.next.stages.iter_mut();
            if let Some(slot) = all.find(|slot| slot.name == status.name) {
                *slot = status;
            }
        }
    }

    fn stage(&self, name: &str) -> Option<&StageStatus> {
        self.next.stages.iter().find(|stage| stage.name == name)
    }

    /// Whether the operator has what pods are made of.
    fn has_images(&mut self, spec: &PipelineSpec) -> bool {
        let images = &self.seen.images;
        let builds = spec.stages.iter().filter_map(|stage| stage.build.as_ref());
        let builders = builds.map(|build| images.of_builder(build.builder()));
        let runner = ("--runner-image", images.runner.as_deref());
        let mut needed = std::iter::once(runner).chain(builders);
        if let Some((flag, _)) = needed.find(|(_, image)| image.is_none()) {
            let message = format!("the operator was started without {flag}; set it");
            self.wait(Why::warning("NoRunnerImage", message), Some(LOOK_AGAIN));
            return false;
        }
        for stage in &spec.stages {
            let build = stage.build.as_ref();
            let allowed = build.map(|build| builder::isolation(build, &images.isolations));
            if let Some(Err(message)) = allowed {
                self.fail(Some(stage.name.clone()), FailureKind::Config, message);
                return false;
            }
        }
        true
    }

    /// Lists the stages.
    fn begin(&mut self, spec: &PipelineSpec) {
        let order = Order::of(&self.seen.releases);
        self.next.previous = order.latest().map(str::to_owned);
        self.next.phase = Some(RunPhase::Running);
        self.next.started_at = Some(Time(self.now));
        self.next.source_error = None;
        let pending = |stage: &Stage| StageStatus {
            name: stage.name.clone(),
            type_: stage.type_,
            phase: StagePhase::Pending,
            job: None,
            attempt: None,
            started_at: None,
            finished_at: None,
            message: None,
            exit_code: None,
            tests: None,
            failed_tests: Vec::new(),
        };
        self.next.stages = spec.stages.iter().map(pending).collect();
    }

    fn start_if_ready(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        let phase_of = |name: &String| self.stage(name).map(|stage| stage.phase);
        let mut needs = stage.needs.iter();
        let lost = needs.find(|name| {
            phase_of(name).is_none_or(|phase| is_over(phase) && phase != StagePhase::Succeeded)
        });
        if let Some(lost) = lost {
            status.phase = StagePhase::Skipped;
            status.message = Some(format!("not started, because {lost} did not succeed"));
            return;
        }
        let is_ready = stage
            .needs
            .iter()
            .all(|name| phase_of(name) == Some(StagePhase::Succeeded));
        if !is_ready {
            return;
        }
        status.phase = StagePhase::Running;
        status.attempt = Some(1);
        status.job = Some(render::job_name(&self.seen.key.name, &stage.name, 1));
        status.message = Some("its Job is being made".to_owned());
        self.create_job(spec, stage);
    }

    fn create_job(&mut self, spec: &PipelineSpec, stage: &Stage) {
        let previous = self.next.previous.as_deref();
        let previous = previous.and_then(|name| self.seen.release(name));
        let at = At {
            sha: self.next.sha.as_deref().unwrap_or_default(),
            since: previous.map(|release| release.spec.commit.sha.as_str()),
            // Once is enough, and every run has a first stage.
            reports_changes: spec
                .stages
                .first()
                .is_some_and(|first| first.name == stage.name),
        };
        let job = render::job(self.seen, spec, stage, at, 1);
        self.actions.push(Action::Create(job));
    }

    fn follow(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        let seen = self.seen;
        let job = status.job.as_ref().and_then(|name| seen.jobs.get(name));
        let Some(job) = job else {
            self.job_is_missing(spec, stage, status);
            return;
        };
        status.started_at.get_or_insert(Time(job.created_at));
        self.take_in_commit(job);
        match verdict::judge(stage.type_, job, self.now) {
            Verdict::Wait(what, until) => {
                if let Some(until) = until {
                    self.wake_at(until);
                }
                status.message = Some(what);
            }
            Verdict::Over(ending) => self.take_in(stage, status, *ending),
        }
    }

    /// Before the Job was seen, it is made (again). Afterwards somebody has deleted it: whether it had
    /// done its work cannot be told, so it is never run blindly again.
    fn job_is_missing(&mut self, spec: &PipelineSpec, stage: &Stage, status: &mut StageStatus) {
        let Some(Time(started_at)) = status.started_at else {
            self.create_job(spec, stage);
            return;
        };
        if self.wait_for_cache(started_at) {
            return;
        }
        let message = "its Job was deleted before its verdict was read; make a new run";
        status.phase = StagePhase::Failed;
        status.finished_at = Some(Time(self.now));
        status.message = Some(message.to_owned());
        self.note_failure(Failure {
            stage: Some(stage.name.clone()),
            kind: FailureKind::Infra,
            hint: Some(message.to_owned()),
            log_tail: None,
        });
    }

    fn take_in_commit(&mut self, job: &Job) {
        let Some((commit, changes)) = verdict::commits(job) else {
            return;
        };
        // A report can be forged by nobody but us; still, another commit is not the one that was asked for.
        if Some(&commit.sha) != self.next.sha.as_ref() {
            return;
        }
        self.next.commit.get_or_insert(commit);
        if self.next.changes.is_empty() {
            self.next.changes = changes;
        }
    }

    fn take_in(&mut self, stage: &Stage, status: &mut StageStatus, ending: Ending) {
        status.phase = ending.phase;
        status.finished_at = Some(Time(self.now));
        status.message.clone_from(&ending.message);
        status.exit_code = ending.exit_code;
        status.tests = ending.tests;
        status.failed_tests = ending.failed_tests;
        if let Some(kind) = ending.failure {
            self.note_failure(Failure {
                stage: Some(stage.name.clone()),
                kind,
                hint: ending.message,
                log_tail: ending.log_tail,
            });
        }
        if let (Some(build), Some(digest)) = (&stage.build, ending.digest) {
            self.next
                .artifacts
                .retain(|artifact| artifact.name != stage.name);
            self.next.artifacts.push(Artifact {
                name: stage.name.clone(),
                kind: ArtifactKind::Image,
                reference: build.image.clone(),
                digest,
            });
        }
    }
}
