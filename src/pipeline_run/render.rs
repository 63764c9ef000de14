//! The objects a run creates: the snapshot of its Pipeline, a Job per stage, the Release. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

mod build;
mod pod;
mod release;

use serde_json::{Value, json};

use super::observed::{Observed, PipelineNow};
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::runner::task;
use pod::pod;
pub use pod::{MAIN, SOURCE, TOOLS};
pub use release::{release, release_name};

/// Digits of the hashes in names: 40 bits.
const DIGITS: usize = 10;
/// Longest name of a Job: its pods append six characters and carry the name as a label.
const MAX_JOB_NAME: usize = 57;
/// How often a stage is tried again that says itself that it may work the next time.
const TRANSIENT_RETRIES: u32 = 2;

/// Name of the snapshot of a spec: equal specs share one.
pub fn snapshot_name(pipeline: &str, spec: &PipelineSpec) -> String {
    let text = serde_json::to_string(spec).unwrap_or_default();
    suffixed(pipeline, &short_hash(text.as_bytes(), DIGITS), MAX_LABEL)
}

/// The snapshot that a run follows. It belongs to the Pipeline, because runs share it.
pub fn snapshot(seen: &Observed, name: String, pipeline: &PipelineNow) -> Manifest {
    let labels = [
        (label::COMPONENT, "snapshot"),
        (label::PIPELINE, seen.spec.pipeline_ref.name.as_str()),
    ];
    let rest = json!({"data": pipeline.spec, "revision": pipeline.generation});
    Manifest::new(
        ObjectKind::ControllerRevision,
        Key::new(seen.key.namespace.clone(), name),
        &labels,
        Some(&pipeline.owner),
        rest,
    )
}

/// Name of the Job of a stage's attempt.
pub fn job_name(run: &str, stage: &str, attempt: u32) -> String {
    suffixed(
        &format!("{run}-{stage}"),
        &attempt.to_string(),
        MAX_JOB_NAME,
    )
}

/// What a stage runs at.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The commit.
    pub sha: &'a str,
    /// Commit of the previous Release.
    pub since: Option<&'a str>,
    /// Whether this stage reports the commits since then.
    pub reports_changes: bool,
}

/// The Job of a stage. The images are those of the operator's configuration.
pub fn job(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
    attempt: u32,
) -> Manifest {
    let labels = [
        (label::COMPONENT, "stage"),
        (label::PIPELINE_RUN, seen.key.name.as_str()),
        (label::PIPELINE, seen.spec.pipeline_ref.name.as_str()),
        (label::STAGE, stage.name.as_str()),
    ];
    let mut pod_labels = json!({(label::MANAGED_BY): label::SLIPWAY});
    for (key, value) in labels {
        pod_labels[key] = value.into();
    }
    let mut job = json!({
        "backoffLimit": 0,
        "template": {"metadata": {"labels": pod_labels}, "spec": pod(seen, spec, stage, at)},
    });
    if stage.build.is_none() {
        // A pod that Kubernetes takes away has given no verdict. A build may have pushed before: no second one.
        job["backoffLimit"] = TRANSIENT_RETRIES.into();
        job["podFailurePolicy"] = json!({"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            // By name: what runs beside them is ended from outside, and its exit code is no verdict.
            verdict_of(TOOLS), verdict_of(SOURCE), verdict_of(MAIN),
        ]});
    }
    let name = job_name(&seen.key.name, &stage.name, attempt);
    let key = Key::new(seen.key.namespace.clone(), name);
    Manifest::new(
        ObjectKind::Job,
        key,
        &labels,
        Some(&seen.owner),
        json!({"spec": job}),
    )
}

/// The rule that a container's exit code is its verdict, unless it says itself that it may work the next time.
fn verdict_of(container: &str) -> Value {
    let codes =
        json!({"containerName": container, "operator": "NotIn", "values": [task::TRANSIENT]});
    json!({"action": "FailJob", "onExitCodes": codes})
}

#[cfg(test)]
mod tests;
