//! The container beside a script that pushes the packages which the script has left, and the one that brings packages to a
//! script that hands them out. No I/O.
//!
//! They have the logins, and run no code of people's; the script has none of them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Parts, confined, push, read_files_of_scripts, runner, task_variable};
use crate::pipeline::api::{Package, PipelineSpec, Stage, StageType};
use crate::pipeline_run::api::{Artifact, ArtifactKind};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::render::At;
use crate::pipeline_run::render::supply::{Logins, made};
use crate::runner::task::{self, FetchTask, PackageItem, PackagesTask, Subject};

/// Name of the container that pushes packages.
pub const PACKAGES: &str = "packages";

/// Adds the container, where a run that was started so pushes anything. Tells whether it does.
pub(super) fn add(
    parts: &mut Parts,
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> bool {
    let mut logins = Logins::default();
    let pushed = stage
        .packages
        .iter()
        .filter(|package| package.pushes_on(seen.trigger().kind));
    let packages: Vec<PackageItem> = pushed
        .map(|package| PackageItem {
            subject: logins.subject(&to_be_made(package), package.into()),
            type_: package.type_(),
            files: package.files.clone(),
        })
        .collect();
    if packages.is_empty() {
        return false;
    }
    let annotations = [
        ("org.opencontainers.image.source", &spec.source.git.url[..]),
        ("org.opencontainers.image.revision", at.sha),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let task = PackagesTask {
        packages,
        annotations: BTreeMap::from(annotations),
        timeout_seconds: task::PUSH_SECONDS,
    };
    let mut container = json!({
        "name": PACKAGES, "image": runner(seen),
        "command": [task::RUNNER_IN_IMAGE, "packages"],
        "env": [task_variable(&task)],
        // Beside the script, and the end of it is what it reports.
        "restartPolicy": "Always",
        "volumeMounts": [{"name": "workspace", "mountPath": task::WORKSPACE}],
        "securityContext": confined(),
    });
    read_files_of_scripts(&mut container, spec, stage);
    parts.volumes.extend(logins.mount(&mut container));
    parts.init.push(container);
    true
}

/// Name of the container that fetches packages.
pub const FETCH: &str = "fetch";

/// Adds the container that brings the packages of the run into the pod of a stage that hands them out, before its script begins.
/// Tells whether there are any.
pub(super) fn add_fetch(
    parts: &mut Parts,
    seen: &Observed,
    (spec, stage): (&PipelineSpec, &Stage),
    at: At<'_>,
) -> bool {
    if stage.type_ != StageType::Publish {
        return false;
    }
    let mut logins = Logins::default();
    let packages = made(spec, at.run, &[]).into_iter();
    let packages: Vec<Subject> = packages
        .map(|(artifact, package)| logins.subject(artifact, package.into()))
        .collect();
    if packages.is_empty() {
        return false;
    }
    let task = FetchTask {
        packages,
        folder: task::FETCHED.to_owned(),
        timeout_seconds: task::FETCH_SECONDS,
    };
    let mut container = json!({
        "name": FETCH, "image": runner(seen),
        "command": [task::RUNNER_IN_IMAGE, "fetch"],
        "env": [task_variable(&task)],
        "volumeMounts": [{"name": "fetched", "mountPath": task::FETCHED}],
        "securityContext": confined(),
    });
    parts.volumes.extend(logins.mount(&mut container));
    parts
        .volumes
        .push(json!({"name": "fetched", "emptyDir": {}}));
    parts.init.push(container);
    let mount = json!({"name": "fetched", "mountPath": task::FETCHED, "readOnly": true});
    push(&mut parts.main["volumeMounts"], mount);
    true
}

/// What it will be: nobody knows the digest yet.
fn to_be_made(package: &Package) -> Artifact {
    Artifact {
        name: package.name.clone(),
        kind: ArtifactKind::Package,
        reference: package.repository.clone(),
        digest: String::new(),
        size: None,
        version: None,
    }
}
