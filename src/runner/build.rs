//! Builds an image and pushes it by digest. Talks to the operating system and, through the builders, to the network.
//!
//! What builds runs in the container of the stage and goes with it: nothing is shared between pods. The same commit
//! gives the same digest: times come from the commit, and BuildKit's own provenance, which would put the time of the
//! build into the image, is not asked for. A registry that does not answer is asked again: what is built is still
//! there, and a push by digest is the same however often it is done.

mod buildah;
mod buildkit;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::mask::Mask;
use super::process::{self, End, Finished, Stop};
use super::report::{StageReport, tail};
use super::task::{self, BuildTask, CommitFile, SecretSource, Subject};
use super::{Folders, memory, registry, say, stage};
use crate::oci::manifest::{is_digest, size_of_image};
use crate::pipeline::api::{Builder, Isolation};
use crate::pipeline_run::api::FailureKind;

/// How long a registry that does not answer is left alone before it is asked again.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_mins(1),
];
/// How long a registry may take to tell the size of an image.
const MEASURE: Duration = Duration::from_secs(30);
/// What builders say when the registry is at fault, and may not be the next time.
const UNAVAILABLE: [&str; 11] = [
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
    "429 Too Many Requests",
    "toomanyrequests",
    "connection refused",
    "connection reset by peer",
    "i/o timeout",
    "TLS handshake timeout",
    "unexpected EOF",
];
/// What they say of a step of the Dockerfile that failed.
const OF_A_STEP: [&str; 2] = ["did not complete successfully", "while running runtime"];
/// What they say when it refuses.
const REFUSED: [&str; 7] = [
    "failed to push",
    "failed to authorize",
    "insufficient_scope",
    "push access denied",
    "unauthorized",
    "authentication required",
    "401 Unauthorized",
];
/// What a kernel says of a program for another processor.
const FOREIGN: &str = "exec format error";
/// What the node says when it refuses what the isolation needs, and what helps.
const NOT_ISOLATED: [(&str, &str); 6] = [
    (
        "Could not set caps",
        "the container may not gain rights; allow privilege escalation",
    ),
    (
        "newuidmap",
        "the node does not let users map user ids; see user.max_user_namespaces and /etc/subuid of the image",
    ),
    (
        "fork/exec /proc/self/exe: no space left",
        "the node allows no user namespaces; raise user.max_user_namespaces",
    ),
    (
        "fork/exec /proc/self/exe: operation not permitted",
        "the node refuses user namespaces; its seccomp or AppArmor profile is in the way",
    ),
    (
        "failed to share mount point",
        "the node refuses mounts in user namespaces; its kernel may be too old",
    ),
    (
        "Error during unshare",
        "the node refuses user namespaces; its seccomp or AppArmor profile is in the way",
    ),
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
    let code = match report.failure {
        None => 0,
        Some(FailureKind::Registry) if is_unavailable(&report.log_tail) => task::TRANSIENT,
        Some(_) => 1,
    };
    (report, code)
}

type Failure = (FailureKind, String);

fn infra(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| (FailureKind::Infra, format!("{what}: {error}"))
}

/// Where the parts of a build are.
struct Places {
    /// What the containers of the pod share.
    workspace: PathBuf,
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
        let is_inside = |path: &PathBuf| path.starts_with(&checkout);
        let context = context
            .filter(|context| context.is_dir() && is_inside(context))
            .ok_or_else(|| {
                config(format!(
                    "the repository has no folder {}; change build.contextDir",
                    task.context
                ))
            })?;
        let dockerfile = fs::canonicalize(checkout.join(&task.dockerfile)).ok();
        if !dockerfile.is_some_and(|file| file.is_file() && is_inside(&file)) {
            return Err(config(format!(
                "the repository has no file {}; change build.dockerfile",
                task.dockerfile
            )));
        }
        Ok(Self {
            workspace: folders.workspace.clone(),
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
    if task.isolation == Isolation::UserNamespace {
        expect_user_namespace(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default())?;
    }
    let places = Places::new(task, folders)?;
    let commit = read_commit(folders)?;
    let mut attempts = Attempts {
        task,
        until: Instant::now() + Duration::from_secs(task.timeout_seconds),
        kills: memory::kills(),
        stop,
        mask: mask(task)?,
    };
    let mut report = match task.builder {
        Builder::BuildKit => buildkit::build(&mut attempts, &places, &commit).await,
        Builder::Buildah => buildah::build(&mut attempts, &places, &commit).await,
    }?;
    if let Some(digest) = report.digest.clone() {
        report.size = measure(task, digest).await;
    }
    Ok(report)
}

/// What a node will pull, in bytes. A registry that does not tell it is no reason for a build to fail: the gate that asks
/// for it says so.
async fn measure(task: &BuildTask, digest: String) -> Option<u64> {
    let image = Subject {
        image: String::new(),
        repository: task.image().to_owned(),
        digest,
        insecure: task.insecure,
        login: login().map(|folder| folder.display().to_string()),
    };
    let registry = registry::open(&image).ok()?;
    let manifest = timeout(MEASURE, registry::manifest_of(&registry, &image)).await;
    size_of_image(&manifest.ok()?.ok()?.bytes)
}

/// What a build must not say.
fn mask(task: &BuildTask) -> Result<Mask, Failure> {
    let file = |id: &String| SecretSource::File(format!("{}/{id}", task::SECRETS));
    let sources: Vec<SecretSource> = task.secrets.iter().map(file).collect();
    Mask::read(&sources).map_err(|message| (FailureKind::Config, message))
}

fn read_commit(folders: &Folders) -> Result<CommitFile, Failure> {
    let text = fs::read_to_string(folders.commit_file()).ok();
    let commit = text.and_then(|text| serde_json::from_str(&text).ok());
    let message = "the container before this one left nothing about the commit";
    commit.ok_or_else(|| (FailureKind::Infra, message.to_owned()))
}

/// A cluster that does not know `hostUsers` drops it, and the pod would be root of the node.
fn expect_user_namespace(map: &str) -> Result<(), Failure> {
    let words: Vec<&str> = map.split_whitespace().collect();
    if words != ["0", "0", "4294967295"] {
        return Ok(());
    }
    let message = "the cluster did not give the pod a user namespace of its own: Kubernetes 1.33 and a runtime that has them \
                   are needed; take another isolation";
    Err((FailureKind::Isolation, message.to_owned()))
}

/// Labels of the image: theirs, and the time of the commit unless they have one.
fn labels(task: &BuildTask, commit: &CommitFile) -> Vec<(String, String)> {
    const CREATED: &str = "org.opencontainers.image.created";
    let mut labels = task.labels.clone();
    if let Ok(at) = Timestamp::from_second(commit.committed_at) {
        labels
            .entry(CREATED.to_owned())
            .or_insert_with(|| at.to_string());
    }
    labels.into_iter().collect()
}

/// Runs of a builder, all within the timeout of the stage.
struct Attempts<'a> {
    task: &'a BuildTask,
    until: Instant,
    kills: Option<u64>,
    stop: &'a mut Stop,
    mask: Mask,
}

impl Attempts<'_> {
    /// Runs a program to its end; again where the registry did not answer. The error is the report of what failed.
    async fn run(&mut self, make: impl Fn() -> Command) -> Result<Finished, Box<StageReport>> {
        let mut pauses = PAUSES.iter();
        loop {
            let done = self.once(make()).await.map_err(|(kind, message)| {
                Box::new(StageReport {
                    failure: Some(kind),
                    message: Some(message),
                    ..StageReport::default()
                })
            })?;
            if done.end == End::Exited(0) {
                return Ok(done);
            }
            let pause = pauses.next().filter(|_| may_go_away(&done));
            let Some(pause) = pause.filter(|pause| Instant::now() + **pause < self.until) else {
                let out_of_memory = self.kills < memory::kills();
                return Err(Box::new(failed(self.task, &done, out_of_memory)));
            };
            say(&format!(
                "slipway: the registry does not answer; asked again in {} s",
                pause.as_secs()
            ));
            if self.stop.within(*pause).await {
                let stopped = Finished {
                    end: End::Stopped,
                    tail: done.tail,
                };
                return Err(Box::new(failed(self.task, &stopped, false)));
            }
        }
    }

    async fn once(&mut self, command: Command) -> Result<Finished, Failure> {
        let running =
            process::start(command, &self.mask).map_err(infra("cannot start the builder"))?;
        let limit = self.until.saturating_duration_since(Instant::now());
        let done = running.finish(limit, self.stop).await;
        done.map_err(infra("cannot wait for the builder"))
    }
}

fn may_go_away(done: &Finished) -> bool {
    matches!(done.end, End::Exited(_)) && is_unavailable(&done.tail)
}

/// Steps of the Dockerfile speak to servers too: their failures are the builder's last word about a step.
fn is_unavailable(log: &str) -> bool {
    last_error(log).is_some_and(|said| {
        let is_step = OF_A_STEP.iter().any(|words| said.contains(words));
        !is_step && UNAVAILABLE.iter().any(|words| said.contains(words))
    })
}

/// The report of a build that did not go well.
fn failed(task: &BuildTask, done: &Finished, out_of_memory: bool) -> StageReport {
    let report = StageReport {
        log_tail: done.tail.clone(),
        ..stage::judge(done, task.timeout_seconds, out_of_memory)
    };
    let (kind, message) = match report.failure {
        Some(FailureKind::Test) => why(task, &done.tail),
        kind => (
            kind.unwrap_or(FailureKind::Build),
            report.message.clone().unwrap_or_default(),
        ),
    };
    StageReport {
        failure: Some(kind),
        message: Some(message),
        ..report
    }
}

/// What the last words of a builder mean.
fn why(task: &BuildTask, log: &str) -> Failure {
    let said = last_error(log).unwrap_or_else(|| "the build failed".to_owned());
    // Steps of the Dockerfile print what they like; what counts is what the builder says of its end.
    let end = format!("{said}\n{}", tail(log, 1000));
    if let Some(message) = refusal(task.isolation, &end) {
        return (FailureKind::Isolation, message);
    }
    if end.contains(FOREIGN) {
        let platform = task
            .platform
            .as_deref()
            .unwrap_or("the base image's platform");
        let message = format!(
            "the node cannot run programs of {platform}: build on a node of that platform, register an emulator on \
             this one (qemu-user-static), or only copy what was compiled before"
        );
        return (FailureKind::Platform, message);
    }
    let is_registry = REFUSED.iter().chain(&UNAVAILABLE);
    if is_registry.into_iter().any(|words| said.contains(words)) {
        let message = format!(
            "the registry did not do its part for {}: {said}",
            task.image()
        );
        return (FailureKind::Registry, message);
    }
    (FailureKind::Build, said)
}

/// What the node says when it refuses an isolation.
fn refusal(isolation: Isolation, log: &str) -> Option<String> {
    let (_, help) = NOT_ISOLATED.iter().find(|(words, _)| log.contains(words))?;
    Some(format!(
        "the node does not allow a build with isolation {isolation}: {help}, or take another isolation"
    ))
}

/// Builders end with `error: …` or `Error: …`, which says more than their exit codes.
fn last_error(log: &str) -> Option<String> {
    let mut lines = log.lines().rev();
    let said = lines.find_map(|line| {
        let said = line.strip_prefix("error: ");
        said.or_else(|| line.strip_prefix("Error: "))
    })?;
    Some(said.to_owned())
}

/// The report of a build that went well.
fn built(task: &BuildTask, digest: Option<String>) -> StageReport {
    let report = StageReport {
        exit_code: Some(0),
        ..StageReport::default()
    };
    match digest.filter(|digest| is_digest(digest)) {
        _ if !task.pushes => StageReport {
            message: Some(
                "built, and not pushed: build.pushOn does not name what started the run".to_owned(),
            ),
            ..report
        },
        Some(digest) => StageReport {
            message: Some(format!("pushed {}@{digest}", task.images.join(", "))),
            digest: Some(digest),
            ..report
        },
        None => StageReport {
            failure: Some(FailureKind::Infra),
            message: Some("the builder does not say which digest it has pushed".to_owned()),
            ..report
        },
    }
}

/// Where the login for registries is, if there is one.
fn login() -> Option<PathBuf> {
    Some(PathBuf::from(task::LOGIN)).filter(|folder| folder.join("config.json").is_file())
}

#[cfg(test)]
mod tests;
