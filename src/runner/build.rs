//! Builds an image with BuildKit and pushes it by digest. Talks to the operating system.
//!
//! The daemon runs beside the build in the same container and goes with it: nothing is shared between pods.
//! The same commit gives the same digest: times come from the commit, and BuildKit's own provenance, which
//! would put the time of the build into the image, is not asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, interval};

use super::mask::Mask;
use super::process::{self, End, Finished, Running, Stop};
use super::report::{StageReport, tail};
use super::task::{BuildTask, CommitFile};
use super::{Folders, memory, say, stage};
use crate::pipeline_run::api::FailureKind;

/// Longest wait for the daemon.
const START: Duration = Duration::from_mins(1);
/// Where the daemon keeps what it builds.
const ROOT: &str = "/var/lib/buildkit";
/// What buildctl says when the build went well and the registry did not take the image.
const PUSH_FAILED: [&str; 4] = [
    "failed to push",
    "failed to authorize",
    "insufficient_scope",
    "push access denied",
];

/// Builds; the report and the container's exit code.
pub async fn run(task: &BuildTask, folders: &Folders, stop: &mut Stop) -> (StageReport, u8) {
    let report = match build(task, folders, stop).await {
        Ok(report) => report,
        Err((kind, message)) => StageReport {
            failure: Some(kind),
            message: Some(message),
            ..StageReport::default()
        },
    };
    if let Some(message) = &report.message {
        say(&format!("slipway: {message}"));
    }
    let code = u8::from(report.failure.is_some());
    (report, code)
}

type Failure = (FailureKind, String);

/// Where the parts of a build are.
struct Places {
    socket: String,
    config: PathBuf,
    metadata: PathBuf,
    checkout: PathBuf,
    context: PathBuf,
}

impl Places {
    fn new(task: &BuildTask, folders: &Folders) -> Result<Self, Failure> {
        let config = |message: String| (FailureKind::Config, message);
        let checkout = fs::canonicalize(folders.checkout())
            .map_err(|error| config(format!("there is no checkout: {error}")))?;
        let context = fs::canonicalize(checkout.join(&task.context)).ok();
        // A link in the repository does not lead out of it.
        let context = context
            .filter(|context| context.is_dir() && context.starts_with(&checkout))
            .ok_or_else(|| {
                config(format!(
                    "the repository has no folder {}; change build.contextDir",
                    task.context
                ))
            })?;
        if !checkout.join(&task.dockerfile).is_file() {
            return Err(config(format!(
                "the repository has no file {}; change build.dockerfile",
                task.dockerfile
            )));
        }
        let workspace = &folders.workspace;
        Ok(Self {
            socket: format!("unix://{}", workspace.join("buildkitd.sock").display()),
            config: workspace.join("buildkitd.toml"),
            metadata: workspace.join("metadata.json"),
            checkout,
            context,
        })
    }
}

async fn build(
    task: &BuildTask,
    folders: &Folders,
    stop: &mut Stop,
) -> Result<StageReport, Failure> {
    let infra = |what: &'static str| {
        move |error: std::io::Error| (FailureKind::Infra, format!("{what}: {error}"))
    };
    let places = Places::new(task, folders)?;
    let commit = read_commit(folders)?;
    let kills = memory::kills();
    fs::write(&places.config, daemon_config(task)).map_err(infra("cannot configure buildkitd"))?;
    let mut daemon =
        process::start_silent(daemon(&places)).map_err(infra("cannot start buildkitd"))?;
    if let Err(message) = wait_until_ready(&mut daemon, &places.socket).await {
        let log = daemon
            .stop()
            .await
            .map_or_else(|_| String::new(), |done| done.tail);
        say(&log);
        return Ok(StageReport {
            failure: Some(FailureKind::Infra),
            message: Some(message),
            log_tail: tail(&log, 2000),
            ..StageReport::default()
        });
    }
    let buildctl = client(task, &places, &commit);
    let buildctl =
        process::start(buildctl, &Mask::default()).map_err(infra("cannot start buildctl"))?;
    let limit = Duration::from_secs(task.timeout_seconds);
    let done = buildctl.finish(limit, stop).await;
    let done = done.map_err(infra("cannot wait for buildctl"))?;
    let _ = daemon.stop().await;
    Ok(judge(task, &places, &done, kills < memory::kills()))
}

fn read_commit(folders: &Folders) -> Result<CommitFile, Failure> {
    let text = fs::read_to_string(folders.commit_file()).ok();
    let commit = text.and_then(|text| serde_json::from_str(&text).ok());
    let message = "the container before this one left nothing about the commit";
    commit.ok_or_else(|| (FailureKind::Infra, message.to_owned()))
}

/// A registry without encryption is one for base images too.
fn daemon_config(task: &BuildTask) -> String {
    match task.image.split_once('/') {
        Some((host, _)) if task.insecure => {
            format!("[registry.\"{host}\"]\n  http = true\n  insecure = true\n")
        }
        _ => String::new(),
    }
}

fn daemon(places: &Places) -> Command {
    let mut command = Command::new("buildkitd");
    command
        .args(["--addr", &places.socket, "--root", ROOT])
        .arg("--oci-worker-net=host")
        .arg("--config")
        .arg(&places.config);
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

fn client(task: &BuildTask, places: &Places, commit: &CommitFile) -> Command {
    let local = |name: &str, path: &Path| format!("{name}={}", path.display());
    let mut output = format!(
        "type=image,name={},push=true,push-by-digest=true,name-canonical=true,rewrite-timestamp=true",
        task.image
    );
    if task.insecure {
        output.push_str(",registry.insecure=true");
    }
    let mut command = Command::new("buildctl");
    command
        .args(["--addr", &places.socket, "build", "--progress=plain"])
        .args(["--frontend", "dockerfile.v0"])
        .args(["--local", &local("context", &places.context)])
        .args(["--local", &local("dockerfile", &places.checkout)])
        .args(["--opt", &format!("filename={}", task.dockerfile)])
        .args(["--output", &output])
        .arg("--metadata-file")
        .arg(&places.metadata);
    let epoch = (
        "SOURCE_DATE_EPOCH".to_owned(),
        commit.committed_at.to_string(),
    );
    let args = task
        .args
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in std::iter::once(epoch).chain(args) {
        command.args(["--opt", &format!("build-arg:{name}={value}")]);
    }
    command
}

fn judge(task: &BuildTask, places: &Places, done: &Finished, out_of_memory: bool) -> StageReport {
    let report = StageReport {
        log_tail: done.tail.clone(),
        ..stage::judge(done, task.timeout_seconds, out_of_memory)
    };
    if done.end != End::Exited(0) {
        let is_push = PUSH_FAILED.iter().any(|words| done.tail.contains(words));
        let (kind, message) = match report.failure {
            Some(FailureKind::Test) if is_push => (
                Some(FailureKind::Registry),
                format!("the image was built, but {} did not take it", task.image),
            ),
            Some(FailureKind::Test) => (
                Some(FailureKind::Build),
                last_error(&done.tail).unwrap_or_else(|| "the build failed".to_owned()),
            ),
            kind => (kind, report.message.clone().unwrap_or_default()),
        };
        return StageReport {
            failure: kind,
            message: Some(message),
            ..report
        };
    }
    match digest(&places.metadata) {
        Some(digest) => StageReport {
            message: Some(format!("pushed {}@{digest}", task.image)),
            digest: Some(digest),
            log_tail: String::new(),
            ..report
        },
        None => StageReport {
            failure: Some(FailureKind::Infra),
            message: Some("BuildKit does not say which digest it has pushed".to_owned()),
            ..report
        },
    }
}

/// buildctl ends with `error: …`, which says more than its exit code.
fn last_error(log: &str) -> Option<String> {
    let line = log.lines().rfind(|line| line.starts_with("error: "))?;
    line.strip_prefix("error: ").map(str::to_owned)
}

fn digest(metadata: &Path) -> Option<String> {
    let text = fs::read_to_string(metadata).ok()?;
    let metadata: Value = serde_json::from_str(&text).ok()?;
    let digest = metadata.get("containerimage.digest")?.as_str()?;
    Some(digest.to_owned())
}

#[cfg(test)]
mod tests;
