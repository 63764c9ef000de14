//! Builds with BuildKit: a daemon in this container, and its client. Talks to the operating system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, interval};

use super::{Attempts, Failure, Places, built, infra, labels, login, refusal};
use crate::pipeline::api::{CacheMode, Isolation};
use crate::pipeline_run::api::FailureKind;
use crate::runner::process::{self, Running};
use crate::runner::report::{StageReport, tail};
use crate::runner::say;
use crate::runner::task::{self, BuildTask, CommitFile};

/// Longest wait for the daemon.
const START: Duration = Duration::from_mins(1);
/// Where the daemon keeps what it builds.
const ROOT: &str = "/var/lib/buildkit/root";

/// Files of ours.
struct Files {
    socket: String,
    config: PathBuf,
    metadata: PathBuf,
}

impl Files {
    fn in_folder(workspace: &Path) -> Self {
        Self {
            socket: format!("unix://{}", workspace.join("buildkitd.sock").display()),
            config: workspace.join("buildkitd.toml"),
            metadata: workspace.join("metadata.json"),
        }
    }
}

/// Builds, and pushes in the same go.
pub(super) async fn build(
    attempts: &mut Attempts<'_>,
    places: &Places,
    commit: &CommitFile,
) -> Result<StageReport, Failure> {
    let task = attempts.task;
    let files = Files::in_folder(&places.workspace);
    fs::write(&files.config, daemon_config(task)).map_err(infra("cannot configure buildkitd"))?;
    let daemon = daemon(task.isolation, &files);
    let mut daemon = process::start_silent(daemon).map_err(infra("cannot start buildkitd"))?;
    if let Err(message) = wait_until_ready(&mut daemon, &files.socket).await {
        return Ok(not_started(task.isolation, message, daemon).await);
    }
    let done = attempts.run(|| client(task, places, &files, commit)).await;
    let _ = daemon.stop().await;
    Ok(match done {
        Ok(_) => built(task, digest(&files.metadata)),
        Err(report) => *report,
    })
}

async fn not_started(isolation: Isolation, message: String, daemon: Running) -> StageReport {
    let log = daemon
        .stop()
        .await
        .map_or_else(|_| String::new(), |done| done.tail);
    say(&log);
    let (kind, message) = match refusal(isolation, &log) {
        Some(refusal) => (FailureKind::Isolation, refusal),
        None => (FailureKind::Infra, message),
    };
    StageReport {
        failure: Some(kind),
        message: Some(message),
        log_tail: tail(&log, 2000),
        ..StageReport::default()
    }
}

/// A registry without encryption is one for base images too.
fn daemon_config(task: &BuildTask) -> String {
    let mut hosts: Vec<&str> = task.registries().filter(|_| task.insecure).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let entry = |host| format!("[registry.\"{host}\"]\n  http = true\n  insecure = true\n");
    hosts.into_iter().map(entry).collect()
}

fn daemon(isolation: Isolation, files: &Files) -> Command {
    let mut command = match isolation {
        Isolation::Rootless => {
            let mut command = Command::new("rootlesskit");
            // Pods mask parts of /proc, and the kernel gives no other one to users without rights. The name tells the daemon
            // that it is root in there only, and has to keep to folders that are its own.
            command
                .args(["buildkitd", "--oci-worker-no-process-sandbox"])
                .env("USER", "user");
            command
        }
        Isolation::Auto | Isolation::UserNamespace | Isolation::Privileged | Isolation::Chroot => {
            Command::new("buildkitd")
        }
    };
    command
        .env_remove(task::VARIABLE)
        .args(["--addr", &files.socket, "--root", ROOT])
        .arg("--oci-worker-net=host")
        .arg("--config")
        .arg(&files.config);
    command
}

/// Asks the daemon until it answers.
async fn wait_until_ready(daemon: &mut Running, socket: &str) -> Result<(), String> {
    let deadline = Instant::now() + START;
    let mut tick = interval(Duration::from_millis(200));
    while Instant::now() < deadline {
        tick.tick().await;
        if daemon.has_ended() {
            return Err("buildkitd has ended; its pod may lack the rights it needs".to_owned());
        }
        let mut question = tokio::process::Command::new("buildctl");
        question
            .args(["--addr", socket, "debug", "workers"])
            .kill_on_drop(true);
        let answer = tokio::time::timeout(Duration::from_secs(5), question.output()).await;
        if matches!(answer, Ok(Ok(output)) if output.status.success()) {
            return Ok(());
        }
    }
    Err(format!(
        "buildkitd does not answer within {} s",
        START.as_secs()
    ))
}

fn client(task: &BuildTask, places: &Places, files: &Files, commit: &CommitFile) -> Command {
    let local = |name: &str, path: &Path| format!("{name}={}", path.display());
    let mut command = Command::new("buildctl");
    command
        .env_remove(task::VARIABLE)
        .args(["--addr", &files.socket, "build", "--progress=plain"])
        .args(["--frontend", "dockerfile.v0"])
        .args(["--local", &local("context", &places.context)])
        .args(["--local", &local("dockerfile", &places.checkout)])
        .args(["--opt", &format!("filename={}", task.dockerfile)])
        .arg("--metadata-file")
        .arg(&files.metadata);
    if task.pushes {
        command.args(["--output", &output(task)]);
    }
    for (from, to) in [("target", &task.target), ("platform", &task.platform)] {
        if let Some(value) = to {
            command.args(["--opt", &format!("{from}={value}")]);
        }
    }
    if task.reproducible {
        let epoch = commit.committed_at;
        command.args(["--opt", &format!("build-arg:SOURCE_DATE_EPOCH={epoch}")]);
    }
    for (name, value) in &task.args {
        command.args(["--opt", &format!("build-arg:{name}={value}")]);
    }
    for (name, value) in labels(task, commit) {
        command.args(["--opt", &format!("label:{name}={value}")]);
    }
    for id in &task.secrets {
        command.args(["--secret", &format!("id={id},src={}/{id}", task::SECRETS)]);
    }
    add_cache(&mut command, task);
    if let Some(folder) = login() {
        command.env("DOCKER_CONFIG", folder);
    }
    command
}

fn output(task: &BuildTask) -> String {
    // Several names are one field of these comma-separated ones.
    let names = task.images.join(",");
    let mut output =
        format!("type=image,\"name={names}\",push=true,push-by-digest=true,name-canonical=true");
    if task.reproducible {
        output.push_str(",rewrite-timestamp=true");
    }
    if task.insecure {
        output.push_str(",registry.insecure=true");
    }
    output
}

fn add_cache(command: &mut Command, task: &BuildTask) {
    let Some(cache) = &task.cache else { return };
    let insecure = if task.insecure {
        ",registry.insecure=true"
    } else {
        ""
    };
    let at = |tag: &str| format!("type=registry,ref={}:{tag}{insecure}", cache.repository);
    for tag in &cache.from {
        command.args(["--import-cache", &at(tag)]);
    }
    if let Some(tag) = &cache.to {
        let mode = match cache.mode {
            CacheMode::Max => "max",
            CacheMode::Min => "min",
        };
        // A cache that cannot be written makes the next build slower, and this one no worse.
        let how = format!("mode={mode},image-manifest=true,oci-mediatypes=true,ignore-error=true");
        command.args(["--export-cache", &format!("{},{how}", at(tag))]);
    }
}

fn digest(metadata: &Path) -> Option<String> {
    let text = fs::read_to_string(metadata).ok()?;
    let metadata: Value = serde_json::from_str(&text).ok()?;
    let digest = metadata.get("containerimage.digest")?.as_str()?;
    Some(digest.to_owned())
}

#[cfg(test)]
mod tests;
