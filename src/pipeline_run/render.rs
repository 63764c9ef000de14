//! The objects a run creates: the snapshot of its Pipeline, a Job per stage, the Release. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde::Serialize;
use serde_json::{Value, json};

use super::api::{Artifact, Commit, PipelineRunStatus};
use super::observed::{Observed, PipelineNow};
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{EnvVar, PipelineSpec, Stage};
use crate::release::api::{Evidence, Image, ReleaseKind, ReleaseSpec};
use crate::runner::task::{self, BuildTask, ScriptTask, SourceTask};

/// Name of the container that brings the runner.
pub const TOOLS: &str = "tools";
/// Name of the container that fetches the commit.
pub const SOURCE: &str = "source";
/// Name of the container that does the stage's work.
pub const MAIN: &str = "main";

/// Digits of the hashes in names: 40 bits.
const DIGITS: usize = 10;
/// Longest name of a Job: its pods append six characters and carry the name as a label.
const MAX_JOB_NAME: usize = 57;
/// What a pod gets beyond the timeout of its stage, for the images, the source and the report.
const GRACE_SECONDS: u64 = 600;
/// How often a stage is tried again that says itself that it may work the next time.
const TRANSIENT_RETRIES: u32 = 2;
/// Where the certificates of a source are.
const CA_FOLDER: &str = "/slipway-ca";

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
            {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [task::TRANSIENT]}},
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

fn pod(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Value {
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
    let (main, more) = main(seen, spec, stage, at);
    volumes.extend(more);
    let timeout = stage.timeout().as_secs();
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "activeDeadlineSeconds": timeout.saturating_add(GRACE_SECONDS),
        "initContainers": [tools, source],
        "containers": [main],
        "volumes": volumes,
    });
    if let Some(account) = &spec.service_account_name {
        pod["serviceAccountName"] = account.as_str().into();
    }
    pod
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// What our own containers may do: nothing that takes rights.
fn confined() -> Value {
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
fn task_variable<T: Serialize>(task: &T) -> Value {
    let text = serde_json::to_string(task).unwrap_or_default();
    variable(task::VARIABLE, &text)
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": task::env_value(value)})
}

/// The container that does the work, and the volumes that only it needs.
fn main(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> (Value, Option<Value>) {
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
    let mut env = environment(seen, spec, stage, at.sha);
    let mut volume = None;
    if let Some(build) = &stage.build {
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
        volume = Some(json!({"name": "buildkit", "emptyDir": {}}));
    } else {
        env.push(task_variable(&ScriptTask {
            script: stage.run.clone().unwrap_or_default(),
            timeout_seconds,
            junit: stage
                .reports
                .as_ref()
                .map(|reports| reports.junit.clone())
                .unwrap_or_default(),
        }));
        container["image"] = stage
            .image
            .clone()
            .or_else(|| spec.defaults.image.clone())
            .into();
        container["command"] = json!([task::RUNNER, "stage"]);
        container["securityContext"] = json!({"allowPrivilegeEscalation": false});
    }
    container["env"] = env.into();
    (container, volume)
}

/// What scripts can read. Ours come last and win.
fn environment(seen: &Observed, spec: &PipelineSpec, stage: &Stage, sha: &str) -> Vec<Value> {
    let own = |variable: &&EnvVar| !stage.env.iter().any(|env| env.name == variable.name);
    let theirs = spec.defaults.env.iter().filter(own).chain(&stage.env);
    let theirs = theirs.map(|env| variable(&env.name, env.value.as_deref().unwrap_or_default()));
    let git_ref = seen.spec.git_ref.as_str();
    let ours = [
        ("CI", "true"),
        ("SLIPWAY_PIPELINE", &seen.spec.pipeline_ref.name),
        ("SLIPWAY_RUN", &seen.key.name),
        ("SLIPWAY_STAGE", &stage.name),
        ("SLIPWAY_REF", git_ref),
        (
            "SLIPWAY_BRANCH",
            git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref),
        ),
        ("SLIPWAY_SHA", sha),
    ];
    let is_theirs = |name: &str| ours.iter().all(|(own, _)| *own != name);
    theirs
        .filter(|env| env["name"].as_str().is_some_and(is_theirs))
        .chain(ours.iter().map(|(name, value)| variable(name, value)))
        .collect()
}

/// Name of a Release: the same content of the same commit makes no second one.
pub fn release_name(pipeline: &str, sha: &str, artifacts: &[Artifact]) -> String {
    let mut identity: Vec<String> = artifacts
        .iter()
        .map(|artifact| format!("{} {}", artifact.name, artifact.digest))
        .collect();
    identity.sort();
    identity.insert(0, format!("{pipeline} {sha}"));
    let hash = short_hash(identity.join("\n").as_bytes(), DIGITS);
    suffixed(pipeline, &hash, MAX_LABEL)
}

/// The Release of a run that passed. It has no owner: it outlives run and Pipeline.
pub fn release(
    seen: &Observed,
    status: &PipelineRunStatus,
    name: String,
    commit: &Commit,
) -> Manifest {
    let pipeline = &seen.spec.pipeline_ref.name;
    let spec = ReleaseSpec {
        pipeline: pipeline.clone(),
        images: status.artifacts.iter().map(image).collect(),
        commit: commit.clone(),
        changes: status.changes.clone(),
        previous: status.previous.clone().filter(|previous| *previous != name),
        git_ref: seen.spec.git_ref.clone(),
        evidence: Evidence {
            run: seen.key.name.clone(),
            tests: status.tests,
            gates: status.gates.clone(),
        },
        kind: ReleaseKind::Normal,
    };
    let labels = [
        (label::COMPONENT, "release"),
        (label::PIPELINE, pipeline.as_str()),
    ];
    let key = Key::new(seen.key.namespace.clone(), name);
    Manifest::new(
        ObjectKind::Release,
        key,
        &labels,
        None,
        json!({"spec": spec}),
    )
}

fn image(artifact: &Artifact) -> Image {
    Image {
        name: artifact.name.clone(),
        repository: artifact.reference.clone(),
        digest: artifact.digest.clone(),
    }
}

#[cfg(test)]
mod tests;
