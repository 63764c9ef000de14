//! What the stages of a run have made, and whether there is anything for those that are about it. No I/O.

use super::super::api::{Artifact, ArtifactKind, RunVersion};
use super::super::{render, tag, version};
use super::Draft;
use super::attempt::Part;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline::matrix::Cell;
use crate::runner::report::PackageReport;

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
