//! The run that tries another one again, because somebody has decided so. No I/O.

use serde_json::json;

use super::DIGITS;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::TriggerKind;
use crate::pipeline_run::observed::{Observed, PipelineNow, Retry};

/// Where the run is that follows from a Decision: one for each.
pub fn retry_key(run: &Key, decision: &str) -> Key {
    let identity = format!("retry\n{}\n{decision}", run.name);
    let hash = short_hash(identity.as_bytes(), DIGITS);
    let name = suffixed(&run.name, &hash, MAX_LABEL);
    Key::new(run.namespace.clone(), name)
}

/// The run that follows from a Decision: what `kubectl slipway run retry` makes, in the name of whoever decided.
pub fn retry(seen: &Observed, pipeline: &PipelineNow, retry: &Retry) -> Manifest {
    let own = &seen.spec;
    let mut spec = json!({
        "pipelineRef": own.pipeline_ref,
        "trigger": {"kind": TriggerKind::Manual, "actor": retry.user},
        "ref": own.git_ref,
        "retryOf": {"name": seen.key.name},
    });
    if let Some(fields) = spec.as_object_mut() {
        if !own.params.is_empty() {
            fields.insert("params".to_owned(), json!(own.params));
        }
        if !own.stages.is_empty() {
            fields.insert("stages".to_owned(), json!(own.stages));
        }
        if let Some(environment) = &own.environment {
            fields.insert("environment".to_owned(), json!(environment));
        }
    }
    let labels = [
        (label::COMPONENT, "run"),
        (label::PIPELINE, own.pipeline_ref.name.as_str()),
    ];
    Manifest::new(
        ObjectKind::PipelineRun,
        retry_key(&seen.key, &retry.decision),
        &labels,
        Some(&pipeline.owner),
        json!({"spec": spec}),
    )
}
