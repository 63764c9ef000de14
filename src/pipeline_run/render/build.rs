//! The container that builds an image. No I/O.

use serde_json::{Value, json};

use super::pod::{push, task_variable};
use crate::pipeline::api::Build;
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{self, BuildTask};

/// Makes a container one that builds an image; the volume that it needs.
pub(super) fn fill(
    container: &mut Value,
    env: &mut Vec<Value>,
    seen: &Observed,
    build: &Build,
    timeout_seconds: u64,
) -> Value {
    env.push(task_variable(&BuildTask {
        dockerfile: build.dockerfile().to_owned(),
        context: build.context_dir().to_owned(),
        args: build.args.clone(),
        image: build.image.clone(),
        insecure: build.insecure_registry(),
        timeout_seconds,
    }));
    container["image"] = seen.images.buildkit.clone().into();
    container["command"] = json!([task::RUNNER, "build"]);
    container["securityContext"] = json!({"privileged": true});
    let mount = json!({"name": "buildkit", "mountPath": "/var/lib/buildkit"});
    push(&mut container["volumeMounts"], mount);
    json!({"name": "buildkit", "emptyDir": {}})
}
