//! The container that has a key service sign. No I/O.
//!
//! Its image is people's, for the program cosign that is in it. Nothing of the repository is in the pod, and of variables only those
//! of the stage itself, which have the login for the key service.

use serde_json::{Value, json};

use super::super::{At, supply};
use super::variable::{self, Variable};
use super::{MAIN, Parts, task_variable};
use crate::pipeline::api::{PipelineSpec, Stage};
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{self, COSIGN, KmsTask, SignsWith};

/// The variable with the folder in which clients of key services leave what they want to find again.
const HOME: &str = "HOME";

/// Makes it the container that does the work, where the stage signs so. Tells whether it does.
pub(super) fn add(
    parts: &mut Parts,
    seen: &Observed,
    (spec, stage): (&PipelineSpec, &Stage),
    at: At<'_>,
) -> bool {
    let Some(sign) = &stage.sign else {
        return false;
    };
    let Some(kms) = &sign.kms else {
        return false;
    };
    let variables: Vec<Variable> = stage.env.iter().map(Variable::of).collect();
    let with = SignsWith::Kms(KmsTask {
        uri: kms.uri.clone(),
        program: COSIGN.to_owned(),
        secrets: variables
            .iter()
            .filter_map(Variable::secret_source)
            .collect(),
    });
    let (task, logins) = supply::sign_task(seen, (spec, stage), sign, at, with);
    let mut env: Vec<Value> = variables.iter().map(Variable::render).collect();
    if variables.iter().all(|variable| variable.name != HOME) {
        env.push(json!({"name": HOME, "value": task::WORKSPACE}));
    }
    env.push(task_variable(&task));
    parts.main = json!({
        "name": MAIN,
        "image": kms.image,
        "command": [task::RUNNER, "sign"],
        "env": env,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "slipway", "mountPath": "/slipway", "readOnly": true},
            {"name": "workspace", "mountPath": task::WORKSPACE},
            {"name": "workspace", "mountPath": "/tmp", "subPath": "tmp"},
        ],
        "securityContext": supply::of_nobody(),
    });
    variable::mount_files(parts, &variables);
    let volumes = logins.mount(&mut parts.main);
    parts.volumes.extend(volumes);
    true
}
