//! Builds with Buildah, without a daemon and without rights of the node. Talks to the operating system.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Attempts, Failure, Places, built, labels, login};
use crate::pipeline_run::api::FailureKind;
use crate::runner::report::StageReport;
use crate::runner::task::{self, BuildTask, CommitFile};

/// Where it keeps what it builds.
const ROOT: &str = "/var/lib/containers";
/// What it calls the image before it is pushed.
const BUILT: &str = "localhost/slipway/built";

/// Builds, then pushes to one repository after the other.
pub(super) async fn build(
    attempts: &mut Attempts<'_>,
    places: &Places,
    commit: &CommitFile,
) -> Result<StageReport, Failure> {
    let task = attempts.task;
    let done = attempts.run(|| bud(task, places, commit)).await;
    if let Err(report) = done {
        return Ok(*report);
    }
    let mut digest = None;
    for image in task.images.iter().filter(|_| task.pushes) {
        let file = places.workspace.join("digest");
        let pushed = attempts.run(|| push(task, image, &file, commit)).await;
        if let Err(report) = pushed {
            return Ok(*report);
        }
        let own = fs::read_to_string(&file).map(|text| text.trim().to_owned());
        let own = own.ok();
        if digest.is_some() && digest != own {
            let message = format!("{image} has another digest than {}", task.image());
            return Err((FailureKind::Registry, message));
        }
        digest = own;
    }
    Ok(built(task, digest))
}

fn buildah(command: &str, task: &BuildTask) -> Command {
    let mut buildah = Command::new("buildah");
    buildah
        .env_remove(task::VARIABLE)
        .args(["--storage-driver", "vfs", "--root"])
        .arg(format!("{ROOT}/root"))
        .arg("--runroot")
        .arg(format!("{ROOT}/run"))
        .arg(command)
        .arg(format!("--tls-verify={}", !task.insecure));
    if let Some(folder) = login() {
        buildah.arg("--authfile").arg(folder.join("config.json"));
    }
    buildah
}

fn bud(task: &BuildTask, places: &Places, commit: &CommitFile) -> Command {
    let mut command = buildah("build", task);
    command
        .args(["--isolation", "chroot", "--format", "oci"])
        .args(["--identity-label=false", "--tag", BUILT])
        .arg("--file")
        .arg(places.checkout.join(&task.dockerfile));
    if task.reproducible {
        command.args(["--timestamp", &commit.committed_at.to_string()]);
    }
    for (flag, value) in [("--target", &task.target), ("--platform", &task.platform)] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    for (name, value) in &task.args {
        command.args(["--build-arg", &format!("{name}={value}")]);
    }
    for (name, value) in labels(task, commit) {
        command.args(["--label", &format!("{name}={value}")]);
    }
    for id in &task.secrets {
        command.args(["--secret", &format!("id={id},src={}/{id}", task::SECRETS)]);
    }
    command.arg("--layers");
    if let Some(cache) = &task.cache {
        command.args(["--cache-from", &cache.repository]);
        if cache.to.is_some() {
            command.args(["--cache-to", &cache.repository]);
        }
    }
    command.arg(&places.context);
    command
}

/// It cannot push without a tag, so the image gets one that nobody takes for a release of it.
fn push(task: &BuildTask, image: &str, digest: &Path, commit: &CommitFile) -> Command {
    let platform = task.platform.as_ref();
    let platform = platform.map_or_else(String::new, |of| format!("-{}", of.replace('/', "-")));
    let mut command = buildah("push", task);
    command.arg("--digestfile").arg(digest).args([
        BUILT,
        &format!("docker://{image}:build-{}{platform}", commit.sha),
    ]);
    command
}

#[cfg(test)]
mod tests;
