//! The pod of a stage. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde::Serialize;
use serde_json::{Value, json};

use super::{At, build, publish, sidecar, supply};
use crate::pipeline::api::{EnvVar, PipelineSpec, Stage};
use crate::pipeline_run::observed::Observed;
use crate::runner::report;
use crate::runner::task::{self, ScriptTask, SourceTask};

/// Name of the container that brings the runner.
pub const TOOLS: &str = "tools";
/// Name of the container that fetches the commit.
pub const SOURCE: &str = "source";
/// Name of the container that does the stage's work.
pub const MAIN: &str = "main";

/// What a pod gets beyond the timeout of its stage, for the images, the source and the report.
const GRACE_SECONDS: u64 = 600;
/// Where the certificates of a source are.
const CA_FOLDER: &str = "/slipway-ca";

pub(super) fn pod(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Value {
    let runner = seen.images.runner.as_deref().unwrap_or_default();
    let mut volumes = vec![
        json!({"name": "slipway", "emptyDir": {}}),
        json!({"name": "workspace", "emptyDir": {}}),
    ];
    let tools = json!({
        "name": TOOLS, "image": runner,
        "command": [task::RUNNER_IN_IMAGE, "install", task::RUNNER],
        "volumeMounts": [{"name": "slipway", "mountPath": "/slipway"}],
        "securityContext": confined(),
    });
    let mut source = json!({
        "name": SOURCE, "image": runner,
        "command": [task::RUNNER_IN_IMAGE, "source"],
        "env": [task_variable(&source_task(seen, spec, at))],
        "volumeMounts": [{"name": "workspace", "mountPath": task::WORKSPACE}],
        "securityContext": confined(),
    });
    if let Some(bundle) = &spec.source.git.ca_bundle {
        let mount = json!({"name": "ca", "mountPath": CA_FOLDER, "readOnly": true});
        push(&mut source["volumeMounts"], mount);
        let items = json!([{"key": bundle.key, "path": "ca.crt"}]);
        let map = json!({"name": bundle.config_map_name, "items": items});
        volumes.push(json!({"name": "ca", "configMap": map}));
    }
    let mut init = vec![tools, source];
    let main = if let Some(signs) = supply::sign(seen, spec, stage, at) {
        // Nothing but the key.
        init.clear();
        volumes = signs.1;
        signs.0
    } else if let Some((lists, more)) = supply::sbom(seen, spec, stage, at) {
        init.truncate(1);
        volumes.truncate(2);
        volumes.extend(more);
        lists
    } else {
        let (main, more) = main(seen, spec, stage, at);
        volumes.extend(more);
        main
    };
    let mut main = main;
    if let Some(resources) = &stage.resources {
        main["resources"] = resources.clone();
    }
    let timeout = stage.timeout().as_secs();
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "activeDeadlineSeconds": timeout.saturating_add(GRACE_SECONDS),
        "initContainers": init,
        "containers": [main],
        "volumes": volumes,
    });
    if let Some(account) = &spec.service_account_name {
        pod["serviceAccountName"] = account.as_str().into();
    }
    if let Some(build) = stage
        .build
        .as_ref()
        .filter(|_| !publish::joins(stage, at.cell))
    {
        build::shape(&mut pod, seen, build, build::platform(build, at.cell));
    }
    if stage.type_.is_at_most_once() {
        sidecar::add_claim(seen, &mut pod);
    }
    sidecar::add_logs(seen, &mut pod);
    limit_reports(&mut pod);
    pod
}

/// Tells every runner of a pod how much it may report: the more containers there are, the less.
fn limit_reports(pod: &mut Value) {
    let lists = ["initContainers", "containers"];
    let count = |list: &str| pod[list].as_array().map_or(0, Vec::len);
    let limit = report::limit(lists.into_iter().map(count).sum());
    if limit == report::LIMIT {
        return;
    }
    for list in lists {
        for container in pod[list].as_array_mut().into_iter().flatten() {
            let command = container["command"].as_array_mut();
            let runs = |name: &Value| name == task::RUNNER || name == task::RUNNER_IN_IMAGE;
            if let Some(command) = command.filter(|command| command.first().is_some_and(runs)) {
                command.push("--report-limit".into());
                command.push(limit.to_string().into());
            }
        }
    }
}

pub(super) fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// What our own containers may do: nothing that takes rights.
pub(super) fn confined() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

fn source_task(seen: &Observed, spec: &PipelineSpec, at: At<'_>) -> SourceTask {
    let git = &spec.source.git;
    SourceTask {
        url: git.url.clone(),
        insecure: git.insecure,
        sha: at.sha.to_owned(),
        since: at.since.filter(|_| at.reports_changes).map(str::to_owned),
        git_ref: at.reports_changes.then(|| seen.spec.git_ref.clone()),
        changes: at.reports_changes,
        ca_file: git
            .ca_bundle
            .as_ref()
            .map(|_| format!("{CA_FOLDER}/ca.crt")),
    }
}

/// A task as an environment variable: the one way in which anything reaches a container.
pub(super) fn task_variable<T: Serialize>(task: &T) -> Value {
    let text = serde_json::to_string(task).unwrap_or_default();
    variable(task::VARIABLE, &text)
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": task::env_value(value)})
}

/// The container that does the work, and the volumes that only it needs.
fn main(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> (Value, Vec<Value>) {
    match (&stage.tag, &stage.build) {
        (Some(tag), _) => return publish::tag(seen, spec, at, (stage, tag)),
        (None, Some(build)) if publish::joins(stage, at.cell) => {
            return publish::index(seen, at, (stage, build));
        }
        (None, _) => {}
    }
    let timeout_seconds = stage.timeout().as_secs();
    let mut container = json!({
        "name": MAIN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "slipway", "mountPath": "/slipway", "readOnly": true},
            {"name": "workspace", "mountPath": task::WORKSPACE},
        ],
    });
    let resources = stage.resources.as_ref();
    if let Some(resources) = resources.or(spec.defaults.resources.as_ref()) {
        container["resources"] = resources.clone();
    }
    let mut env = environment(seen, spec, stage, at);
    let mut volumes = Vec::new();
    if let Some(build) = &stage.build {
        volumes = build::fill(
            &mut container,
            &mut env,
            (seen, spec),
            (build, build::platform(build, at.cell)),
            (at.sha, timeout_seconds),
        );
    } else {
        env.push(task_variable(&ScriptTask::of(stage)));
        container["image"] = spec.image(stage, at.cell.map(|cell| &cell.values)).into();
        container["command"] = json!([task::RUNNER, "stage"]);
        container["securityContext"] = json!({"allowPrivilegeEscalation": false});
    }
    container["env"] = env.into();
    (container, volumes)
}

/// What scripts can read. Ours come last and win.
fn environment(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Vec<Value> {
    let own = |variable: &&EnvVar| !stage.env.iter().any(|env| env.name == variable.name);
    let theirs = spec.defaults.env.iter().filter(own).chain(&stage.env);
    let theirs = theirs.map(|env| variable(&env.name, env.value.as_deref().unwrap_or_default()));
    let git_ref = seen.spec.git_ref.as_str();
    let attempt = at.attempt.to_string();
    let axes = at.cell.map(|cell| &cell.values).into_iter().flatten();
    let axes: Vec<(String, &String)> = axes
        .map(|(axis, value)| (format!("SLIPWAY_MATRIX_{}", axis.to_uppercase()), value))
        .collect();
    let mut ours = vec![
        ("CI", "true"),
        ("SLIPWAY_PIPELINE", &seen.spec.pipeline_ref.name),
        ("SLIPWAY_RUN", &seen.key.name),
        ("SLIPWAY_STAGE", &stage.name),
        ("SLIPWAY_REF", git_ref),
        (
            "SLIPWAY_BRANCH",
            git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref),
        ),
        ("SLIPWAY_SHA", at.sha),
        ("SLIPWAY_ATTEMPT", &attempt),
    ];
    ours.extend(at.cell.map(|cell| ("SLIPWAY_CELL", cell.name.as_str())));
    ours.extend(
        axes.iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    ours.extend(
        at.result
            .map(|result| ("SLIPWAY_RUN_RESULT", result.as_str())),
    );
    let is_theirs = |name: &str| ours.iter().all(|(own, _)| *own != name);
    theirs
        .filter(|env| env["name"].as_str().is_some_and(is_theirs))
        .chain(ours.iter().map(|(name, value)| variable(name, value)))
        .collect()
}
