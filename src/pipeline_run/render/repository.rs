//! The container that gives a commit its version in the repository. No I/O.
//!
//! It has what is needed to push, and runs no code of people's: what is in the repository is changed in git's own objects, and
//! never checked out.

use serde_json::{Value, json};

use super::At;
use super::pod::{git_login, mount_git, source_task, task_variable};
use super::supply::{Logins, own};
use crate::git::refs::tag_of;
use crate::pipeline::api::{Author, PipelineSpec, Stage};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::{changelog, version};
use crate::runner::task::{self, ReleaseTask, SourceTask};

/// The container of a Release stage, and all volumes that its pod has.
pub(super) fn container(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> Option<(Value, Vec<Value>)> {
    let wanted = stage.release.as_ref()?;
    let git = &spec.source.git;
    let git_ref = &seen.spec.git_ref;
    let credentials = wanted.credentials.as_ref().or(git.credentials.as_ref());
    let number = version::of_run(spec, git_ref, at.run)
        .map(|number| number.to_string())
        .unwrap_or_default();
    let tag = version::tag_of_run(spec, git_ref, at.run);
    let branches = wanted.merge_into.iter();
    let branches = branches.map(|branch| format!("refs/heads/{branch}"));
    let at_commit = At {
        reports_changes: false,
        ..at
    };
    let task = ReleaseTask {
        source: SourceTask {
            login: credentials.map(git_login),
            older: None,
            ..source_task(seen, (spec, stage), at_commit)
        },
        branch: tag_of(git_ref).is_none().then(|| git_ref.clone()),
        tag,
        version: number,
        notes: changelog::of_run(seen, at.run),
        files: wanted.files.clone(),
        changelog: wanted.changelog.clone(),
        merge_into: branches.collect(),
        author: wanted.author.clone().unwrap_or_else(|| Author {
            name: "Slipway".to_owned(),
            email: "slipway@localhost".to_owned(),
        }),
        timeout_seconds: stage.timeout().as_secs(),
    };
    let mounts = json!([{"name": "workspace", "mountPath": task::WORKSPACE}]);
    let variable = task_variable(&task);
    let (mut container, mut volumes) = own(seen, ("release", variable), &mounts, Logins::default());
    volumes.extend(mount_git(&mut container, spec, credentials));
    volumes.push(json!({"name": "workspace", "emptyDir": {}}));
    Some((container, volumes))
}
