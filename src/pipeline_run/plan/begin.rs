//! Lists the stages of a run, and takes over what another run has done already. No I/O.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{
    Attestation, CellStatus, FailureKind, PipelineRunStatus, RunPhase, StagePhase, StageStatus,
};
use super::super::builder;
use super::super::observed::Origin;
use super::attempt::Part;
use super::{Draft, LOOK_AGAIN, cells, uses_version};
use crate::model::plan::Why;
use crate::pipeline::api::{PipelineSpec, Stage, StageType};
use crate::pipeline::matrix;
use crate::release::order::Order;
use crate::report::quarantine::quarantined;

impl Draft<'_> {
    /// Whether the operator has what pods are made of.
    pub(super) fn has_images(&mut self, spec: &PipelineSpec) -> bool {
        let images = &self.seen.images;
        let once = spec
            .stages
            .iter()
            .find(|stage| stage.type_.is_at_most_once());
        if let Some(stage) = once.filter(|_| images.receiver.is_none()) {
            let message = format!(
                "stage {} runs at most once, which takes the operator's receiver; set receiver.enabled in the chart, or --stage-listen and --stage-url",
                stage.name
            );
            self.wait(Why::warning("NoReceiver", message), Some(LOOK_AGAIN));
            return false;
        }
        let builds = spec.stages.iter().filter_map(|stage| stage.build.as_ref());
        let builders = builds.map(|build| images.of_builder(build.builder()));
        let runner = ("--runner-image", images.runner.as_deref());
        let mut types = spec.stages.iter().map(|stage| stage.type_);
        let lists = types.any(|type_| type_ == StageType::SBOM);
        let syft = lists.then_some(("--syft-image", images.syft.as_deref()));
        let mut needed = std::iter::once(runner).chain(builders).chain(syft);
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

    /// Takes the snapshot and the commit of the run that this one tries again, if there is to be one. Tells whether the
    /// run can go on.
    pub(super) fn follow_origin(&mut self) -> bool {
        let own = &self.seen.spec;
        let problem = match &self.seen.origin {
            Origin::None => return true,
            Origin::Missing(name) => format!("there is no PipelineRun {name}"),
            Origin::Found(origin) => {
                let (run, status) = (&origin.spec, &origin.status);
                let is_same = run.pipeline_ref == own.pipeline_ref
                    && run.git_ref == own.git_ref
                    && (own.sha.is_none() || own.sha == status.sha);
                let has_ended = status.phase.is_some_and(RunPhase::is_finished);
                if is_same && has_ended && status.revision.is_some() {
                    self.next.revision.clone_from(&status.revision);
                    self.next.sha.clone_from(&status.sha);
                    self.next.origin = Some(self.seen.trigger().clone());
                    return true;
                }
                let name = &origin.name;
                if !is_same {
                    format!("PipelineRun {name} is of another Pipeline, ref or commit")
                } else if has_ended {
                    format!("PipelineRun {name} ended before it began")
                } else {
                    format!("PipelineRun {name} is not over yet")
                }
            }
        };
        let message = format!("cannot be tried again: {problem}; make a run without retryOf");
        self.fail(None, FailureKind::Config, message);
        false
    }

    /// Lists the stages.
    pub(super) fn begin(&mut self, spec: &PipelineSpec) {
        let order = Order::of(&self.seen.releases);
        self.next.previous = order.latest().map(str::to_owned);
        self.next.phase = Some(RunPhase::Running);
        self.next.started_at = Some(Time(self.now));
        self.next.source_error = None;
        if let Some(rule) = &spec.quarantine {
            let branch = format!("refs/heads/{}", spec.release_branch());
            self.next.quarantine = quarantined(rule, &branch, &self.seen.flaky, self.now);
        }
        self.next.stages = spec.stages.iter().map(pending).collect();
        if let Origin::Found(origin) = &self.seen.origin {
            let (name, status) = (&origin.name, &origin.status);
            for stage in spec.stages.iter().filter(|stage| !stage.always()) {
                let known = status.stages.iter().find(|known| known.name == stage.name);
                let mut slots = self.next.stages.iter_mut();
                if let (Some(known), Some(slot)) =
                    (known, slots.find(|slot| slot.name == stage.name))
                {
                    take_over(slot, known, name);
                }
            }
            self.take_over_results(spec, status);
            self.take_over_builds(name, status);
        }
    }

    fn take_over_results(&mut self, spec: &PipelineSpec, origin: &PipelineRunStatus) {
        if origin.commit.is_some() {
            self.next.commit.clone_from(&origin.commit);
            self.next.changes.clone_from(&origin.changes);
            self.next.previous.clone_from(&origin.previous);
            self.next.difference.clone_from(&origin.difference);
            self.next.bump = origin.bump;
            self.next.breaking.clone_from(&origin.breaking);
        }
        if uses_version(&self.next) {
            self.next.version.clone_from(&origin.version);
            self.next.published.clone_from(&origin.published);
        }
        let stages = &self.next.stages;
        let is_done = |artifact: &str| {
            let maker = spec.maker(artifact).map(|stage| &stage.name);
            let mut stages = stages.iter();
            let is_it = |stage: &StageStatus| maker == Some(&stage.name);
            stages.any(|stage| is_it(stage) && stage.phase == StagePhase::Succeeded)
        };
        self.next.preview.clone_from(&origin.preview);
        let artifacts = origin.artifacts.iter();
        let artifacts = artifacts.filter(|artifact| is_done(&artifact.name));
        self.next.artifacts = artifacts.cloned().collect();
        let artifacts = &self.next.artifacts;
        let has_image =
            |said: &&Attestation| artifacts.iter().any(|artifact| artifact.name == said.image);
        let said = origin.attestations.iter().filter(has_image);
        self.next.attestations = said.cloned().collect();
    }

    /// Names of the Jobs that are to run now.
    pub(super) fn wanted_jobs(&self, spec: &PipelineSpec) -> BTreeSet<String> {
        let run = &self.seen.key.name;
        let mut wanted = BTreeSet::new();
        for status in &self.next.stages {
            let mut stages = spec.stages.iter();
            let Some(stage) = stages.find(|stage| stage.name == status.name) else {
                continue;
            };
            let mut want = |cell, own: &CellStatus| {
                if own.phase == StagePhase::Running {
                    let part = Part { spec, stage, cell };
                    wanted.insert(part.job(run, own.attempt.unwrap_or(1)));
                }
            };
            if !stage.has_cells() {
                want(None, &cells::of_stage(status));
                continue;
            }
            for cell in &matrix::cells(stage) {
                if let Some(own) = cells::running(status, cell) {
                    want(Some(cell), &own);
                }
            }
        }
        wanted
    }
}

fn pending(stage: &Stage) -> StageStatus {
    StageStatus::new(&stage.name, stage.type_, StagePhase::Pending)
}

/// Takes over a stage that succeeded in another run, or the cells of it that did.
fn take_over(slot: &mut StageStatus, known: &StageStatus, run: &str) {
    if known.phase == StagePhase::Succeeded {
        *slot = StageStatus {
            message: Some(format!("taken over from {run}")),
            job: None,
            taken_from: known.taken_from.clone().or_else(|| Some(run.to_owned())),
            ..known.clone()
        };
        return;
    }
    let taken = |cell: &CellStatus| match cell.phase {
        StagePhase::Succeeded => cell.clone(),
        StagePhase::Pending
        | StagePhase::Running
        | StagePhase::Failed
        | StagePhase::Skipped
        | StagePhase::Cancelled
        | StagePhase::TimedOut => CellStatus {
            name: cell.name.clone(),
            ..CellStatus::default()
        },
    };
    slot.cells = known.cells.iter().map(taken).collect();
}
