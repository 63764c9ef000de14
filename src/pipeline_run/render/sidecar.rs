//! The containers of a stage pod that talk to the operator: `logs`, which sends what the stage says, and `claim`, which
//! lets a stage begin that runs at most once. No code of people's runs in them, and the pod's token is in no other. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::pod::{MAIN, SOURCE, confined, push, task_variable};
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{self, ClaimTask, LogTask};

/// Name of the container that sends the log.
pub const LOGS: &str = "logs";
/// Name of the container that claims the attempt.
pub const CLAIM: &str = "claim";

/// Name of the volume with the token.
const TOKEN: &str = "slipway-token";
/// How long a token counts. Kubernetes puts a new one there long before.
const TOKEN_SECONDS: u64 = 3600;

/// Adds the container that sends the log, where the operator takes logs. It comes first and, as a native sidecar, ends
/// last: it sees what all others say.
pub(super) fn add_logs(seen: &Observed, pod: &mut Value) {
    let Some(receiver) = &seen.images.receiver else {
        return;
    };
    let task = LogTask {
        url: receiver.url.clone(),
        token_file: task::TOKEN_FILE.into(),
        folder: task::LOGS.into(),
        max_bytes: receiver.max_log_bytes,
    };
    let mut logs = caller(seen, LOGS, "logs", &task_variable(&task));
    logs["restartPolicy"] = "Always".into();
    let mount = json!({"name": LOGS, "mountPath": task::LOGS, "readOnly": true});
    push(&mut logs["volumeMounts"], mount);
    for list in ["initContainers", "containers"] {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if [SOURCE, MAIN].contains(&name) {
                let mount = json!({"name": LOGS, "mountPath": task::LOGS});
                push(&mut container["volumeMounts"], mount);
            }
        }
    }
    if let Some(list) = pod["initContainers"].as_array_mut() {
        list.insert(0, logs);
    }
    push(&mut pod["volumes"], json!({"name": LOGS, "emptyDir": {}}));
    add_token(pod);
}

/// Adds the container that claims the attempt, behind all that comes before the stage itself.
pub(super) fn add_claim(seen: &Observed, pod: &mut Value) {
    let Some(receiver) = &seen.images.receiver else {
        return;
    };
    let task = ClaimTask {
        url: receiver.url.clone(),
        token_file: task::TOKEN_FILE.into(),
    };
    let claim = caller(seen, CLAIM, "claim", &task_variable(&task));
    push(&mut pod["initContainers"], claim);
    add_token(pod);
}

/// A container of ours with the pod's token.
fn caller(seen: &Observed, name: &str, command: &str, task: &Value) -> Value {
    json!({
        "name": name, "image": seen.images.runner,
        "command": [task::RUNNER_IN_IMAGE, command],
        "env": [task],
        "volumeMounts": [{"name": TOKEN, "mountPath": "/slipway-token", "readOnly": true}],
        "securityContext": confined(),
    })
}

/// The token names this pod, is for the receiver only, and ends with the pod.
fn add_token(pod: &mut Value) {
    let has_it = pod["volumes"]
        .as_array()
        .is_some_and(|all| all.iter().any(|volume| volume["name"] == TOKEN));
    if has_it {
        return;
    }
    let token =
        json!({"audience": task::AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    push(
        &mut pod["volumes"],
        json!({"name": TOKEN, "projected": {"sources": [{"serviceAccountToken": token}]}}),
    );
}

#[cfg(test)]
mod tests;
