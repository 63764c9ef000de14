//! What the stages of a run have made, and whether there is anything for those that are about it. No I/O.

use std::collections::BTreeMap;

use super::super::api::{
    Artifact, ArtifactKind, BuildJob, BuiltBy, PipelineRunStatus, RunVersion, StagePhase,
    StageStatus,
};
use super::super::{render, tag, version};
use super::Draft;
use super::attempt::Part;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline::matrix::Cell;
use crate::runner::report::PackageReport;

/// Jobs that are on record as having made something, of a whole run.
const MAX_BUILDS: usize = 96;
/// Containers of one pod whose images are on record.
const MAX_IMAGES: usize = 32;

impl Draft<'_> {
    /// Why there is nothing to do for a stage whose turn has come, if so.
    pub(super) fn lacks(&self, spec: &PipelineSpec, stage: &Stage) -> Option<String> {
        if stage.type_.is_after_gates() && !self.seen.is_trusted() {
            let why = "not started, because the commit is from another repository, or may be: nothing of it is signed, tagged or released";
            return Some(why.to_owned());
        }
        if stage.type_.is_last() {
            if !self.makes_release(spec) {
                return Some("not started, because the run makes no Release".to_owned());
            }
            let known = self.next.version.as_ref();
            let without = known.filter(|version| version.number.is_none());
            if let Some(RunVersion { message, .. }) = without {
                return Some(format!(
                    "not started, because there is no version: {message}"
                ));
            }
        }
        let is_about_images =
            !stage.type_.has_source() && stage.release.is_none() && stage.preview.is_none();
        if is_about_images && !render::has_subjects(spec, &self.next, stage) {
            let why = "not started, because the run has made nothing that it is about";
            return Some(why.to_owned());
        }
        let sha = self.next.sha.as_deref().unwrap_or_default();
        let git_ref = &self.seen.spec.git_ref;
        let version = version::of_run(spec, git_ref, &self.next);
        let tags = stage.tag.as_ref();
        if tags
            .is_some_and(|tags| tag::names(&tags.names, git_ref, sha, version.as_ref()).is_empty())
        {
            let why = "not started, because all its tags are for versions, and this run has none";
            return Some(why.to_owned());
        }
        let is_made = |name: &str| {
            let mut artifacts = self.next.artifacts.iter();
            artifacts.any(|known| known.name == name)
        };
        let missing = stage.images_from().find(|name| !is_made(name))?;
        Some(format!(
            "not started, because {missing} has pushed no image in this run"
        ))
    }

    /// Puts down which Job has made something, and the images that its containers ran. Whoever takes that over, and whoever looks
    /// when the Job is gone, finds it nowhere else.
    pub(super) fn note_build(&mut self, part: Part<'_>, attempt: u32) {
        let name = part.job(&self.seen.key.name, attempt);
        let Some(job) = self.seen.jobs.get(&name) else {
            return;
        };
        let images = job.pod.iter().flat_map(|pod| &pod.images).take(MAX_IMAGES);
        let images = images.map(|(container, image)| (container.clone(), image.clone()));
        let built = BuildJob {
            stage: part.stage.name.clone(),
            cell: part.cell.map(|cell| cell.name.clone()),
            name,
            uid: job.target.uid.clone(),
            run: None,
        };
        note(&mut self.next.built_by, images.collect(), built);
    }

    /// Takes over which Jobs of another run have made what this one takes over.
    pub(super) fn take_over_builds(&mut self, run: &str, origin: &PipelineRunStatus) {
        for BuiltBy { images, jobs } in &origin.built_by {
            for job in jobs {
                let mut stages = self.next.stages.iter();
                if stages.any(|stage| is_done(stage, job)) {
                    let job = BuildJob {
                        run: job.run.clone().or_else(|| Some(run.to_owned())),
                        ..job.clone()
                    };
                    note(&mut self.next.built_by, images.clone(), job);
                }
            }
        }
    }

    /// Takes in the packages that a part has pushed.
    pub(super) fn take_in_packages(&mut self, part: Part<'_>, pushed: Vec<PackageReport>) {
        for PackageReport(name, digest, size, version) in pushed {
            let mut packages = part.stage.packages.iter();
            // A report can be forged by nobody but us; still, it makes nothing that the Pipeline does not name.
            if let Some(package) = packages.find(|package| package.name == name) {
                self.note_artifact(Artifact {
                    name,
                    kind: ArtifactKind::Package,
                    reference: package.repository.clone(),
                    digest,
                    size: Some(size),
                    version,
                });
            }
        }
    }

    /// Takes in the image that a part has pushed; that of one platform is no artifact yet.
    pub(super) fn take_in_image(&mut self, part: Part<'_>, digest: String, size: Option<u64>) {
        let of_platform = part.cell.and_then(Cell::platform);
        if let (None, Some(build)) = (of_platform, &part.stage.build) {
            self.note_artifact(Artifact {
                name: part.stage.name.clone(),
                kind: ArtifactKind::Image,
                reference: build.image.clone(),
                digest,
                size,
                version: None,
            });
        }
    }

    fn note_artifact(&mut self, made: Artifact) {
        let artifacts = &mut self.next.artifacts;
        artifacts.retain(|known| known.name != made.name);
        artifacts.push(made);
    }
}

/// Whether what a Job has made is there.
fn is_done(stage: &StageStatus, job: &BuildJob) -> bool {
    let mut cells = stage.cells.iter();
    let has_done = |phase: StagePhase| phase == StagePhase::Succeeded;
    stage.name == job.stage
        && match &job.cell {
            None => has_done(stage.phase),
            Some(name) => cells.any(|cell| cell.name == *name && has_done(cell.phase)),
        }
}

/// Adds a Job to those that ran the same images. Of a stage, or a cell of it, only the last counts.
fn note(known: &mut Vec<BuiltBy>, images: BTreeMap<String, String>, job: BuildJob) {
    let is_other = |other: &BuildJob| other.stage != job.stage || other.cell != job.cell;
    for by in known.iter_mut() {
        by.jobs.retain(is_other);
    }
    known.retain(|by| !by.jobs.is_empty());
    if known.iter().map(|by| by.jobs.len()).sum::<usize>() >= MAX_BUILDS {
        return;
    }
    match known.iter_mut().find(|by| by.images == images) {
        Some(by) => by.jobs.push(job),
        None => known.push(BuiltBy {
            images,
            jobs: vec![job],
        }),
    }
}
