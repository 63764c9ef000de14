//! The objects a run creates: the snapshot of its Pipeline, a Job per stage, the Release. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

mod build;
mod pod;
mod publish;
mod release;
mod repository;
mod retry;
mod sidecar;
mod supply;

use serde_json::json;

use super::api::{PipelineRunStatus, RunPhase};
use super::observed::{Observed, PipelineNow};
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline::matrix::Cell;
use pod::pod;
pub use pod::{FETCH, MAIN, PACKAGES, SOURCE, TOOLS, tools};
pub use publish::has_source;
pub use release::{release, release_name};
pub use retry::{retry, retry_key};
pub use sidecar::{CLAIM, LOGS};
pub use supply::has_subjects;

/// Component of the snapshots that runs follow.
pub const SNAPSHOT: &str = "snapshot";
/// Digits of the hashes in names: 40 bits.
const DIGITS: usize = 10;
/// Longest name of a Job: its pods append six characters and carry the name as a label.
const MAX_JOB_NAME: usize = 57;

/// Name of the snapshot of a spec: equal specs share one.
pub fn snapshot_name(pipeline: &str, spec: &PipelineSpec) -> String {
    let text = serde_json::to_string(spec).unwrap_or_default();
    suffixed(pipeline, &short_hash(text.as_bytes(), DIGITS), MAX_LABEL)
}

/// The snapshot that a run follows. It belongs to the Pipeline, because runs share it.
pub fn snapshot(
    seen: &Observed,
    name: String,
    (pipeline, spec): (&PipelineNow, &PipelineSpec),
) -> Manifest {
    let labels = [
        (label::COMPONENT, SNAPSHOT),
        (label::PIPELINE, seen.spec.pipeline_ref.name.as_str()),
    ];
    let rest = json!({"data": spec, "revision": pipeline.generation});
    Manifest::new(
        ObjectKind::ControllerRevision,
        Key::new(seen.key.namespace.clone(), name),
        &labels,
        Some(&pipeline.owner),
        rest,
    )
}

/// Name of the Job of an attempt of a stage, or of a cell of it.
pub fn job_name(run: &str, stage: &str, cell: Option<&Cell>, attempt: u32) -> String {
    let suffix = match cell {
        None => attempt.to_string(),
        Some(cell) => format!("{}-{attempt}", cell.number),
    };
    suffixed(&format!("{run}-{stage}"), &suffix, MAX_JOB_NAME)
}

/// What a stage runs at.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The commit.
    pub sha: &'a str,
    /// Commit of the previous Release.
    pub since: Option<&'a str>,
    /// Whether this Job reports the commits since then.
    pub reports_changes: bool,
    /// The cell of the stage's matrix.
    pub cell: Option<&'a Cell>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// How the run has gone so far; for stages that run always.
    pub result: Option<RunPhase>,
    /// The run as it stands.
    pub run: &'a PipelineRunStatus,
}

/// The Job of an attempt. The images are those of the operator's configuration.
///
/// It has one pod and never another: whether an attempt is replaced is decided by the plan, which counts them.
pub fn job(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Manifest {
    let attempt = at.attempt.to_string();
    let mut labels = vec![
        (label::COMPONENT, "stage"),
        (label::PIPELINE_RUN, seen.key.name.as_str()),
        (label::PIPELINE, seen.spec.pipeline_ref.name.as_str()),
        (label::STAGE, stage.name.as_str()),
        (label::ATTEMPT, attempt.as_str()),
    ];
    labels.extend(at.cell.map(|cell| (label::CELL, cell.name.as_str())));
    let mut pod_labels = json!({(label::MANAGED_BY): label::SLIPWAY});
    for (key, value) in &labels {
        pod_labels[*key] = (*value).into();
    }
    let job = json!({
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "template": {"metadata": {"labels": pod_labels}, "spec": pod(seen, spec, stage, at)},
    });
    let name = job_name(&seen.key.name, &stage.name, at.cell, at.attempt);
    let key = Key::new(seen.key.namespace.clone(), name);
    Manifest::new(
        ObjectKind::Job,
        key,
        &labels,
        Some(&seen.owner),
        json!({"spec": job}),
    )
}

#[cfg(test)]
mod tests;
