//! The object a Pipeline creates: a run. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::json;

use super::api::PipelineSpec;
use super::observed::Observed;
use super::trigger::Start;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::TriggerKind;

/// Digits of the hash in a run's name: 40 bits.
const DIGITS: usize = 10;

/// Where the run of a commit of the branch is: the same for every push of it.
pub fn run_key(seen: &Observed, sha: &str) -> Key {
    let url = &seen.spec.source.git.url;
    key(&seen.key, (url, &seen.git_ref()), TriggerKind::Push, sha)
}

/// Where a run is: the same for everything that tells of it.
fn key(pipeline: &Key, (url, git_ref): (&str, &str), kind: TriggerKind, identity: &str) -> Key {
    let identity = [kind.as_str(), url, git_ref, identity];
    let hash = short_hash(identity.join("\n").as_bytes(), DIGITS);
    let name = suffixed(&pipeline.name, &hash, MAX_LABEL);
    Key::new(pipeline.namespace.clone(), name)
}

/// Where the run of an event is.
pub fn started_key(pipeline: &Key, spec: &PipelineSpec, start: &Start) -> Key {
    let place = (spec.source.git.url.as_str(), start.git_ref.as_str());
    key(pipeline, place, start.kind, &start.identity)
}

/// The run of an event.
pub fn started(seen: &Observed, start: &Start, at: Timestamp) -> Manifest {
    let mut spec = json!({
        "pipelineRef": {"name": seen.key.name},
        "trigger": {
            "kind": start.kind, "actor": start.actor, "name": start.trigger, "at": MicroTime(at),
        },
        "ref": start.git_ref,
    });
    if let Some(sha) = &start.sha {
        spec["sha"] = sha.as_str().into();
    }
    if let Some(pull_request) = &start.pull_request {
        spec["trigger"]["pullRequest"] = json!(pull_request);
    }
    if start.kind == TriggerKind::Image {
        spec["trigger"]["image"] = start.identity.as_str().into();
    }
    if start.needs_approval {
        spec["trigger"]["needsApproval"] = true.into();
    }
    let labels = [
        (label::COMPONENT, "run"),
        (label::PIPELINE, seen.key.name.as_str()),
    ];
    Manifest::new(
        ObjectKind::PipelineRun,
        started_key(&seen.key, &seen.spec, start),
        &labels,
        Some(&seen.owner),
        json!({"spec": spec}),
    )
}
