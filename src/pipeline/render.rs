//! The object a Pipeline creates: the run of a commit. No I/O.

use serde_json::json;

use super::observed::Observed;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::TriggerKind;

/// Digits of the hash in a run's name: 40 bits.
const DIGITS: usize = 10;

/// Where the run of a commit is: the same for every push of it.
pub fn run_key(seen: &Observed, sha: &str) -> Key {
    let identity = [
        TriggerKind::Push.as_str(),
        &seen.spec.source.git.url,
        &seen.git_ref(),
        sha,
    ];
    let hash = short_hash(identity.join("\n").as_bytes(), DIGITS);
    let name = suffixed(&seen.key.name, &hash, MAX_LABEL);
    Key::new(seen.key.namespace.clone(), name)
}

/// The run of a commit that was pushed.
pub fn run(seen: &Observed, sha: &str) -> Manifest {
    let labels = [
        (label::COMPONENT, "run"),
        (label::PIPELINE, seen.key.name.as_str()),
    ];
    let rest = json!({"spec": {
        "pipelineRef": {"name": seen.key.name},
        "trigger": {"kind": TriggerKind::Push, "actor": label::SLIPWAY},
        "ref": seen.git_ref(),
        "sha": sha,
    }});
    Manifest::new(
        ObjectKind::PipelineRun,
        run_key(seen, sha),
        &labels,
        Some(&seen.owner),
        rest,
    )
}
