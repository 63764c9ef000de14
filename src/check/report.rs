//! A check whose reports are read: the runner runs its command, and says what it left. No I/O.

use serde_json::{Value, json};

use crate::model::manifest::Manifest;
use crate::pipeline_run::render;
use crate::runner::task::{self, ScriptTask};

/// What a Job gets beyond the time of its command, for its image and the report.
const GRACE_SECONDS: u64 = 120;

/// Puts the runner of this image around the command of a check.
pub fn add(job: &mut Manifest, runner: &str, task: &ScriptTask) {
    let Some(spec) = job.body.pointer_mut("/spec").and_then(Value::as_object_mut) else {
        return;
    };
    let deadline = task.timeout_seconds.saturating_add(GRACE_SECONDS);
    spec.insert("activeDeadlineSeconds".into(), deadline.into());
    let pod = spec.get_mut("template");
    let pod = pod.and_then(|template| template.pointer_mut("/spec"));
    let Some(pod) = pod.and_then(Value::as_object_mut) else {
        return;
    };
    pod.insert("initContainers".into(), json!([render::tools(runner)]));
    pod.insert(
        "volumes".into(),
        json!([{"name": "slipway", "emptyDir": {}}, {"name": "workspace", "emptyDir": {}}]),
    );
    let container = pod.get_mut("containers");
    let container = container.and_then(|all| all.pointer_mut("/0"));
    let Some(container) = container.and_then(Value::as_object_mut) else {
        return;
    };
    container.insert("command".into(), json!([task::RUNNER, "stage"]));
    container.insert(
        "terminationMessagePolicy".into(),
        "FallbackToLogsOnError".into(),
    );
    container.insert(
        "volumeMounts".into(),
        json!([
            {"name": "slipway", "mountPath": "/slipway", "readOnly": true},
            {"name": "workspace", "mountPath": task::WORKSPACE},
        ]),
    );
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        let text = serde_json::to_string(task).unwrap_or_default();
        env.push(json!({"name": task::VARIABLE, "value": task::env_value(&text)}));
    }
}
