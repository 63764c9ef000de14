//! The container that has cosign sign: with a key that stays in a key service, or in the name of the pod's service account.
//! No I/O.
//!
//! Its image is people's, for the program cosign that is in it. Nothing of the repository is in the pod, and of variables only those
//! of the stage itself, which have the login for the key service.

use serde_json::{Value, json};

use super::super::{At, supply};
use super::variable::{self, Variable};
use super::{MAIN, Parts, push, task_variable};
use crate::pipeline::api::{Keyless, PipelineSpec, Sign, Stage};
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{
    self, COSIGN, IDENTITY_FILE, IDENTITY_FOLDER, KeylessTask, KmsTask, ROOT_FILE, SecretSource,
    SignsWith,
};

/// The variable with the folder in which clients of key services leave what they want to find again.
const HOME: &str = "HOME";
/// How long a token counts that says who signs: as short as there is. A new one comes before it ends.
const TOKEN_SECONDS: u32 = 600;

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
    let variables: Vec<Variable> = stage.env.iter().map(Variable::of).collect();
    let secrets = variables.iter().filter_map(Variable::secret_source);
    let Some((image, with)) = way(sign, secrets.collect()) else {
        return false;
    };
    let (task, logins) = supply::sign_task(seen, (spec, stage), sign, at, with);
    let mut env: Vec<Value> = variables.iter().map(Variable::render).collect();
    if variables.iter().all(|variable| variable.name != HOME) {
        env.push(json!({"name": HOME, "value": task::WORKSPACE}));
    }
    env.push(task_variable(&task));
    parts.main = json!({
        "name": MAIN,
        "image": image,
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
    if let Some(keyless) = &sign.keyless {
        mount_identity(parts, keyless);
    }
    let volumes = logins.mount(&mut parts.main);
    parts.volumes.extend(volumes);
    true
}

/// The image that has cosign, and what it signs with, where it is cosign that signs.
fn way(sign: &Sign, secrets: Vec<SecretSource>) -> Option<(&str, SignsWith)> {
    if let Some(kms) = &sign.kms {
        let task = KmsTask {
            uri: kms.uri.clone(),
            program: COSIGN.to_owned(),
            secrets,
        };
        return Some((kms.image.as_str(), SignsWith::Kms(task)));
    }
    let keyless = sign.keyless.as_ref()?;
    let task = KeylessTask {
        fulcio_url: keyless.fulcio_url.clone(),
        rekor_url: keyless.rekor_url.clone(),
        identity: IDENTITY_FOLDER.to_owned(),
        program: COSIGN.to_owned(),
        secrets,
    };
    Some((keyless.image.as_str(), SignsWith::Keyless(task)))
}

/// Mounts a token of the pod's service account, for nobody but Fulcio, and who is believed to be Fulcio.
fn mount_identity(parts: &mut Parts, keyless: &Keyless) {
    let root = &keyless.trusted_root;
    let sources = json!([
        {"serviceAccountToken": {
            "audience": keyless.audience(), "expirationSeconds": TOKEN_SECONDS, "path": IDENTITY_FILE,
        }},
        {"configMap": {
            "name": root.config_map_name, "items": [{"key": root.key(), "path": ROOT_FILE}],
        }},
    ]);
    parts
        .volumes
        .push(json!({"name": "identity", "projected": {"sources": sources}}));
    let mount = json!({"name": "identity", "mountPath": IDENTITY_FOLDER, "readOnly": true});
    if let Some(mounts) = parts.main.get_mut("volumeMounts") {
        push(mounts, mount);
    }
}
