//! The containers that give images their tags, and join those of several platforms. No I/O.
//!
//! Neither has anything of the repository in its pod.

use serde_json::{Value, json};

use super::At;
use super::pod::task_variable;
use super::supply::{Logins, own, subjects};
use crate::pipeline::api::{Build, PipelineSpec, Stage, Tag};
use crate::pipeline::matrix::{self, Cell};
use crate::pipeline_run::api::{Artifact, ArtifactKind};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::{tag, version};
use crate::runner::task::{IndexTask, Joined, Subject, TagTask};

/// Whether the pod of a stage, or of a cell of it, has the repository.
pub fn has_source(stage: &Stage, cell: Option<&Cell>) -> bool {
    stage.type_.has_source() && !joins(stage, cell)
}

/// The container of a stage that publishes what others have built, and all volumes that its pod has.
pub(super) fn container(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> Option<(Value, Vec<Value>)> {
    match (&stage.tag, &stage.build) {
        (Some(own), _) => Some(tag(seen, spec, at, (stage, own))),
        (None, Some(build)) if joins(stage, at.cell) => Some(index(seen, at, (stage, build))),
        (None, _) => None,
    }
}

/// The container that writes tags, and the volumes that only it needs.
fn tag(
    seen: &Observed,
    spec: &PipelineSpec,
    at: At<'_>,
    (stage, tag): (&Stage, &Tag),
) -> (Value, Vec<Value>) {
    let mut logins = Logins::default();
    let git_ref = &seen.spec.git_ref;
    let version = version::of_run(spec, git_ref, at.run);
    let names = tag::names(&tag.names, git_ref, at.sha, version.as_ref());
    let images = subjects(spec, at.run, &tag.images).into_iter();
    let images = images.flat_map(|(artifact, build)| everywhere(&mut logins, artifact, build));
    let task = TagTask {
        images: images.collect(),
        names: names.fixed,
        versioned: names.versioned,
        timeout_seconds: stage.timeout().as_secs(),
    };
    own(seen, ("tag", task_variable(&task)), &json!([]), logins)
}

/// Whether a cell is the one that joins the others of its stage.
pub(super) fn joins(stage: &Stage, cell: Option<&Cell>) -> bool {
    let is_index = stage.build.as_ref().is_some_and(Build::is_index);
    is_index && cell.is_some_and(|cell| cell.platform().is_none())
}

/// The container that joins the images of several platforms, and the volumes that only it needs.
fn index(seen: &Observed, at: At<'_>, (stage, build): (&Stage, &Build)) -> (Value, Vec<Value>) {
    let mut logins = Logins::default();
    let mut known = at.run.stages.iter();
    let status = known.find(|status| status.name == stage.name);
    let part = |cell: Cell| {
        let mut cells = status?.cells.iter();
        let own = cells.find(|own| own.name == cell.name)?;
        Some(Joined {
            platform: cell.platform()?.to_owned(),
            digest: own.digest.clone()?,
        })
    };
    let artifact = Artifact {
        name: stage.name.clone(),
        kind: ArtifactKind::Image,
        reference: build.image.clone(),
        digest: String::new(),
        size: None,
        version: None,
    };
    let task = IndexTask {
        repositories: everywhere(&mut logins, &artifact, build),
        parts: matrix::cells(stage).into_iter().filter_map(part).collect(),
        timeout_seconds: stage.timeout().as_secs(),
    };
    own(seen, ("index", task_variable(&task)), &json!([]), logins)
}

/// An image in each repository that it was pushed to.
fn everywhere(logins: &mut Logins, artifact: &Artifact, build: &Build) -> Vec<Subject> {
    let mut all = vec![logins.subject(artifact, build.into())];
    all.extend(logins.mirrors(artifact, build.into()));
    all
}
