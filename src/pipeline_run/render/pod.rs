//! The pod of a stage. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

mod cache;
mod cosign;
mod package;
mod service;
mod setting;
mod variable;

use serde::Serialize;
use serde_json::{Value, json};

use super::{At, build, publish, repository, sidecar, supply};
use crate::pipeline::api::{Gate, GitCredentials, PipelineSpec, Reports, SecurityProfile, Stage};
use crate::pipeline_run::api::{Artifact, ArtifactKind, PipelineRunStatus};
use crate::pipeline_run::observed::Observed;
use crate::runner::report;
use crate::runner::task::{self, GitLogin, Older, ScriptTask, SourceTask};
pub use package::{FETCH, PACKAGES};
use variable::{Content, Variable};

/// Name of the container that brings the runner.
pub const TOOLS: &str = "tools";
/// Name of the container that fetches the commit.
pub const SOURCE: &str = "source";
/// Name of the container that does the stage's work.
pub const MAIN: &str = "main";

/// What a pod gets beyond the timeout of its stage, for the images, the source, the services and the report.
const GRACE_SECONDS: u64 = 600;
/// Where the certificates of a source are.
const CA_FOLDER: &str = "/slipway-ca";
/// Where the password of a source is.
const GIT_FOLDER: &str = "/slipway-git";

/// What a pod is put together from.
pub(super) struct Parts {
    /// Containers that run before the one that does the work, in this order; or, where they carry `restartPolicy`, beside it.
    pub(super) init: Vec<Value>,
    /// The container that does the work.
    pub(super) main: Value,
    /// Volumes.
    pub(super) volumes: Vec<Value>,
}

pub(super) fn pod(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Value {
    let settings = stage.pod(&spec.defaults);
    let parts = parts(seen, spec, stage, at);
    let timeout = stage.timeout().as_secs();
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "activeDeadlineSeconds": timeout.saturating_add(GRACE_SECONDS).saturating_add(service::patience(stage)),
        "initContainers": parts.init,
        "containers": [parts.main],
        "volumes": parts.volumes,
    });
    service::make_room(&mut pod, stage);
    setting::apply(&mut pod, &settings, stage.type_.is_script());
    if pod.get("serviceAccountName").is_none()
        && let Some(account) = &spec.service_account_name
    {
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

/// Containers and volumes, by what the stage does.
fn parts(seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) -> Parts {
    let mut parts = Parts {
        init: vec![tools(runner(seen))],
        main: json!({}),
        volumes: vec![
            json!({"name": "slipway", "emptyDir": {}}),
            json!({"name": "workspace", "emptyDir": {}}),
        ],
    };
    let own = supply::sign(seen, spec, stage, at);
    let own = own.or_else(|| publish::container(seen, spec, stage, at));
    let own = own.or_else(|| repository::container(seen, spec, stage, at));
    if let Some((main, volumes)) = own {
        // Nothing but what is in the runner's image, and the keys that it takes.
        parts = Parts {
            init: Vec::new(),
            main,
            volumes,
        };
    } else if let Some((main, volumes)) = supply::sbom(seen, spec, stage, at) {
        parts.main = main;
        parts.volumes.extend(volumes);
    } else if !cosign::add(&mut parts, seen, (spec, stage), at) {
        add_source(&mut parts, seen, (spec, stage), at);
        add_main(&mut parts, seen, spec, stage, at);
        let profile = stage.pod(&spec.defaults).security_profile;
        let profile = profile.unwrap_or_default();
        parts
            .init
            .extend(service::containers(stage, profile, at.run));
    }
    if let Some(resources) = &stage.resources {
        parts.main["resources"] = resources.clone();
    }
    parts
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

/// Lets a container of ours read what a script has left: such files may be for their user only, and who that is, is up to
/// the image.
fn read_files_of_scripts(container: &mut Value, spec: &PipelineSpec, stage: &Stage) {
    let profile = stage.pod(&spec.defaults);
    let is_baseline = profile.security_profile.unwrap_or_default() == SecurityProfile::Baseline;
    if is_baseline && profile.run_as_user.is_none() {
        container["securityContext"]["capabilities"]["add"] = json!(["DAC_OVERRIDE"]);
    }
}

fn runner(seen: &Observed) -> &str {
    seen.images.runner.as_deref().unwrap_or_default()
}

/// The container that brings the runner of this image into a volume named `slipway`.
pub fn tools(runner: &str) -> Value {
    json!({
        "name": TOOLS, "image": runner,
        "command": [task::RUNNER_IN_IMAGE, "install", task::RUNNER],
        "volumeMounts": [{"name": "slipway", "mountPath": "/slipway"}],
        "securityContext": confined(),
    })
}

/// The image that a stage of this run has made.
pub(super) fn image_of(run: &PipelineRunStatus, stage: &str) -> Option<String> {
    let mut artifacts = run.artifacts.iter();
    let is_it = |known: &&Artifact| known.kind == ArtifactKind::Image && known.name == stage;
    artifacts.find(is_it).map(Artifact::pinned)
}

fn add_source(
    parts: &mut Parts,
    seen: &Observed,
    (spec, stage): (&PipelineSpec, &Stage),
    at: At<'_>,
) {
    let mut source = json!({
        "name": SOURCE, "image": runner(seen),
        "command": [task::RUNNER_IN_IMAGE, "source"],
        "env": [task_variable(&source_task(seen, (spec, stage), at))],
        "volumeMounts": [{"name": "workspace", "mountPath": task::WORKSPACE}],
        "securityContext": confined(),
    });
    let credentials = spec.source.git.credentials.as_ref();
    let volumes = mount_git(&mut source, spec, credentials);
    parts.volumes.extend(volumes);
    parts.init.push(source);
}

/// Mounts what a container needs to reach the repository; the volumes.
pub(super) fn mount_git(
    container: &mut Value,
    spec: &PipelineSpec,
    credentials: Option<&GitCredentials>,
) -> Vec<Value> {
    let mut volumes = Vec::new();
    if let Some(bundle) = &spec.source.git.ca_bundle {
        let mount = json!({"name": "ca", "mountPath": CA_FOLDER, "readOnly": true});
        push(&mut container["volumeMounts"], mount);
        let items = json!([{"key": bundle.key, "path": "ca.crt"}]);
        let map = json!({"name": bundle.config_map_name, "items": items});
        volumes.push(json!({"name": "ca", "configMap": map}));
    }
    if let Some(credentials) = credentials {
        let mount = json!({"name": "git", "mountPath": GIT_FOLDER, "readOnly": true});
        push(&mut container["volumeMounts"], mount);
        let password = credentials.password();
        let items = json!([{"key": password.key, "path": "password"}]);
        let secret = json!({"secretName": password.name, "items": items});
        volumes.push(json!({"name": "git", "secret": secret}));
    }
    volumes
}

/// Who asks a repository, in a container with the password.
pub(super) fn git_login(credentials: &GitCredentials) -> GitLogin {
    GitLogin {
        username: credentials.username().to_owned(),
        password_file: task::GIT_PASSWORD.to_owned(),
    }
}

pub(super) fn source_task(
    seen: &Observed,
    (spec, stage): (&PipelineSpec, &Stage),
    at: At<'_>,
) -> SourceTask {
    let git = &spec.source.git;
    let bundle = git.ca_bundle.as_ref();
    let login = git.credentials.as_ref().map(git_login);
    SourceTask {
        url: git.url.clone(),
        insecure: git.insecure,
        sha: at.sha.to_owned(),
        since: at.since.filter(|_| at.reports_changes).map(str::to_owned),
        git_ref: at.reports_changes.then(|| seen.spec.git_ref.clone()),
        changes: at.reports_changes,
        version: spec.release.version.clone().filter(|_| at.reports_changes),
        ca_file: bundle.map(|_| format!("{CA_FOLDER}/ca.crt")),
        login,
        depth: git.fetch_depth(),
        submodules: git.submodules.unwrap_or(false),
        older: at.since.and_then(|since| older(spec, stage, since)),
    }
}

/// What is to be compared with the newest Release, if anything is.
fn older(spec: &PipelineSpec, stage: &Stage, since: &str) -> Option<Older> {
    let (lines, globs) = (asks_of_changes(spec, stage), &stage.changes);
    (lines || !globs.is_empty()).then(|| Older {
        since: since.to_owned(),
        lines,
        globs: globs.clone(),
    })
}

/// Whether a gate asks how much of what changed is covered, and the stage may tell.
fn asks_of_changes(spec: &PipelineSpec, stage: &Stage) -> bool {
    let mut reports = stage.reports.iter().flat_map(Reports::by_format);
    let tells = reports.any(|(format, _)| format.is_coverage());
    let asks = |gate: &Gate| {
        let coverage = gate.coverage.as_ref();
        coverage.is_some_and(|limits| limits.min_changed.is_some())
            && (gate.from.is_empty() || gate.from.contains(&stage.name))
    };
    tells && spec.gates.iter().any(asks)
}

/// A task as an environment variable: the one way in which anything reaches a container.
pub(super) fn task_variable<T: Serialize>(task: &T) -> Value {
    let text = serde_json::to_string(task).unwrap_or_default();
    Variable::plain(task::VARIABLE, text).render()
}

/// The container that does the work, with what only it needs.
fn add_main(parts: &mut Parts, seen: &Observed, spec: &PipelineSpec, stage: &Stage, at: At<'_>) {
    parts.main = json!({
        "name": MAIN,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "slipway", "mountPath": "/slipway", "readOnly": true},
            {"name": "workspace", "mountPath": task::WORKSPACE},
        ],
    });
    let resources = stage.resources.as_ref();
    if let Some(resources) = resources.or(spec.defaults.resources.as_ref()) {
        parts.main["resources"] = resources.clone();
    }
    let mut variables = variable::all(seen, spec, stage, at);
    if let Some(build) = &stage.build {
        // A build does not see them.
        variables.retain(|variable| matches!(variable.content, Content::Plain(_)));
        let mut env: Vec<Value> = variables.iter().map(Variable::render).collect();
        let volumes = build::fill(
            &mut parts.main,
            &mut env,
            (seen, spec),
            (build, build::platform(build, at.cell)),
            (at.sha, stage.timeout().as_secs()),
        );
        parts.volumes.extend(volumes);
        parts.main["env"] = env.into();
    } else {
        let saves = cache::add(parts, seen, spec, stage, &variables);
        let pushes = package::add(parts, seen, spec, stage, at);
        if package::add_fetch(parts, seen, (spec, stage), at) {
            let folder = task::FETCHED.to_owned();
            variables.push(Variable::plain("SLIPWAY_PACKAGES", folder));
        }
        variable::mount_files(parts, &variables);
        let secrets = variables.iter().filter_map(Variable::secret_source);
        let task = ScriptTask {
            secrets: secrets.collect(),
            quarantine: at.run.quarantine.clone(),
            saves_caches: saves,
            pushes_packages: pushes,
            ..ScriptTask::of(stage)
        };
        let env = variables.iter().map(Variable::render);
        parts.main["env"] = env.chain([task_variable(&task)]).collect();
        let named = spec.image(stage, at.cell.map(|cell| &cell.values));
        let made = stage.image_from.as_deref();
        let made = made.and_then(|name| image_of(at.run, name));
        parts.main["image"] = made.or_else(|| named.map(str::to_owned)).into();
        parts.main["command"] = json!([task::RUNNER, "stage"]);
        let profile = stage.pod(&spec.defaults).security_profile;
        parts.main["securityContext"] = setting::of_people(profile.unwrap_or_default());
    }
}
