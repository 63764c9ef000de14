//! The Release of a run. No I/O.

use serde_json::json;

use super::DIGITS;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{Package, PipelineSpec};
use crate::pipeline_run::api::{Artifact, ArtifactKind, Commit, PipelineRunStatus, StageStatus};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::{changelog, version};
use crate::release::api::{
    Evidence, Image, ReleaseKind, ReleaseSpec, ReleasedPackage, StageReports,
};

/// Name of a Release: the same content of the same commit makes no second one.
pub fn release_name(pipeline: &str, sha: &str, artifacts: &[Artifact]) -> String {
    let mut identity: Vec<String> = artifacts
        .iter()
        .map(|artifact| format!("{} {}", artifact.name, artifact.digest))
        .collect();
    identity.sort();
    identity.insert(0, format!("{pipeline} {sha}"));
    let hash = short_hash(identity.join("\n").as_bytes(), DIGITS);
    suffixed(pipeline, &hash, MAX_LABEL)
}

/// The Release of a run that passed. It has no owner: it outlives run and Pipeline.
pub fn release(
    (seen, spec): (&Observed, &PipelineSpec),
    status: &PipelineRunStatus,
    name: String,
    commit: &Commit,
) -> Manifest {
    let pipeline = &seen.spec.pipeline_ref.name;
    let previous = status.previous.clone().filter(|previous| *previous != name);
    let released = ReleaseSpec {
        pipeline: pipeline.clone(),
        images: made(status, ArtifactKind::Image).map(image).collect(),
        packages: made(status, ArtifactKind::Package)
            .map(|artifact| package(spec, artifact))
            .collect(),
        commit: commit.clone(),
        changes: status.changes.clone(),
        difference: status.difference.clone().filter(|_| previous.is_some()),
        previous,
        version: version::of_run(spec, &seen.spec.git_ref, status).map(|number| number.to_string()),
        changelog: Some(changelog::of_run(seen, status)).filter(|notes| !notes.is_empty()),
        published: status.published.clone(),
        git_ref: seen.spec.git_ref.clone(),
        evidence: Evidence {
            run: seen.key.name.clone(),
            tests: status.tests,
            gates: status.gates.clone(),
            reports: status.stages.iter().filter_map(reports).collect(),
            attestations: status.attestations.clone(),
        },
        kind: ReleaseKind::Normal,
    };
    let labels = [
        (label::COMPONENT, "release"),
        (label::PIPELINE, pipeline.as_str()),
    ];
    let key = Key::new(seen.key.namespace.clone(), name);
    Manifest::new(
        ObjectKind::Release,
        key,
        &labels,
        None,
        json!({"spec": released}),
    )
}

/// What later runs compare theirs with: numbers and marks, not the findings themselves.
fn reports(stage: &StageStatus) -> Option<StageReports> {
    let mut summary = stage.reports.clone()?;
    for set in &mut summary.findings {
        set.worst.clear();
    }
    Some(StageReports {
        stage: stage.name.clone(),
        summary,
    })
}

fn made(status: &PipelineRunStatus, kind: ArtifactKind) -> impl Iterator<Item = &Artifact> {
    let artifacts = status.artifacts.iter();
    artifacts.filter(move |artifact| artifact.kind == kind)
}

fn package(spec: &PipelineSpec, artifact: &Artifact) -> ReleasedPackage {
    let mut packages = spec.stages.iter().flat_map(|stage| &stage.packages);
    let package = packages.find(|package| package.name == artifact.name);
    ReleasedPackage {
        name: artifact.name.clone(),
        type_: package.map(Package::type_).unwrap_or_default(),
        repository: artifact.reference.clone(),
        digest: artifact.digest.clone(),
        version: artifact.version.clone(),
    }
}

fn image(artifact: &Artifact) -> Image {
    Image {
        name: artifact.name.clone(),
        repository: artifact.reference.clone(),
        digest: artifact.digest.clone(),
    }
}
