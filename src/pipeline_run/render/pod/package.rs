//! The container beside a script that pushes the packages which the script has left. No I/O.
//!
//! It has the logins, and runs no code of people's; the script has none of them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Parts, confined, read_files_of_scripts, runner, task_variable};
use crate::pipeline::api::{Package, PipelineSpec, Stage};
use crate::pipeline_run::api::{Artifact, ArtifactKind};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::render::At;
use crate::pipeline_run::render::supply::Logins;
use crate::runner::task::{self, PackageItem, PackagesTask};

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
        .filter(|package| package.pushes_on(seen.spec.trigger.kind));
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
