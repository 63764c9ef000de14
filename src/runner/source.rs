//! Fetches one commit, and tells who made it and what has changed since the previous Release.
//! Talks to the operating system and, through git, to the network.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::fs::Mode;

use super::git::Git;
use super::report::{MAX_CHANGES, SourceReport, clean};
use super::task::{self, CommitFile, SourceTask};
use super::{Folders, say};
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::pipeline_run::api::Commit;

/// How long a server that does not answer is left alone before it is asked again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// What is printed of a commit, with zero bytes between: sha, author, email, time, subject.
const FORMAT: &str = "--format=%H%x00%an%x00%ae%x00%ct%x00%s";

/// Fetches the commit; the report and the container's exit code.
pub async fn run(task: &SourceTask, folders: &Folders) -> (SourceReport, u8) {
    run_with(task, folders, &PAUSES).await
}

/// The same with other pauses.
pub(super) async fn run_with(
    task: &SourceTask,
    folders: &Folders,
    pauses: &[Duration],
) -> (SourceReport, u8) {
    // Stages run as any user; what is fetched here is theirs.
    rustix::process::umask(Mode::empty());
    let mut result = fetch(task, folders).await;
    for pause in pauses {
        let Err(error) = &result else { break };
        if !error.kind.is_transient() {
            break;
        }
        say(&format!(
            "slipway: {}; asked again in {} s",
            error.message,
            pause.as_secs()
        ));
        #[expect(
            clippy::disallowed_methods,
            reason = "a server that is down tells nobody when it is back"
        )]
        tokio::time::sleep(*pause).await;
        result = fetch(task, folders).await;
    }
    match result {
        Ok(commit) => {
            say(&format!("slipway: at {}: {}", commit.sha, commit.subject));
            (report(task, folders, commit).await, 0)
        }
        Err(error) => {
            say(&format!("slipway: {}", error.message));
            let code = if error.kind.is_transient() {
                task::TRANSIENT
            } else {
                1
            };
            let report = SourceReport {
                error: Some(error),
                ..SourceReport::default()
            };
            (report, code)
        }
    }
}

async fn fetch(task: &SourceTask, folders: &Folders) -> Result<Commit, SourceError> {
    let checkout = folders.checkout();
    // Also what a try before this one has left.
    let _ = fs::remove_dir_all(&checkout);
    fs::create_dir_all(&checkout).map_err(|error| local(&error.to_string()))?;
    let git = Git::new(&checkout, task);
    git.call(&["init", "-q"]).await?;
    git.call(&["remote", "add", "origin", &task.url]).await?;
    let fetch = ["fetch", "-q", "--depth=1", "--no-tags", "origin", &task.sha];
    git.call(&fetch).await?;
    git.call(&["checkout", "-q", "--detach", "FETCH_HEAD"])
        .await?;
    let commits = log(&git, &["-1"]).await?;
    let commit = commits.into_iter().next();
    let commit = commit
        .filter(|commit| commit.sha == task.sha)
        .ok_or_else(|| local("another commit was fetched than was asked for"))?;
    let file = CommitFile {
        sha: commit.sha.clone(),
        committed_at: commit.committed_at.0.as_second(),
    };
    let text = serde_json::to_string(&file).unwrap_or_default();
    fs::write(folders.commit_file(), text).map_err(|error| local(&error.to_string()))?;
    Ok(commit)
}

fn local(message: &str) -> SourceError {
    SourceError {
        kind: SourceErrorKind::Protocol,
        message: message.to_owned(),
    }
}

async fn log(git: &Git<'_>, range: &[&str]) -> Result<Vec<Commit>, SourceError> {
    let mut args = vec!["log", FORMAT];
    args.extend(range);
    let text = git.call(&args).await?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Commit> {
    let mut parts = line.split('\0');
    let mut next = || parts.next();
    let (sha, author, email, at) = (next()?, next()?, next()?, next()?);
    let subject = next().unwrap_or_default();
    Some(Commit {
        sha: sha.to_owned(),
        author: clean(author, 128),
        email: clean(email, 128),
        committed_at: Time(Timestamp::from_second(at.parse().ok()?).ok()?),
        subject: clean(subject, 256),
    })
}

/// The report. That the history cannot be read does not fail the stage: the changes are left out.
async fn report(task: &SourceTask, folders: &Folders, commit: Commit) -> SourceReport {
    let mut report = SourceReport {
        commit: Some(commit),
        ..SourceReport::default()
    };
    if task.changes {
        let folder = folders.workspace.join("history.git");
        match history(task, &folder).await {
            Ok(commits) => commits.iter().for_each(|commit| report.push_change(commit)),
            Err(error) => say(&format!(
                "slipway: the changes are left out: {}",
                error.message
            )),
        }
        let _ = fs::remove_dir_all(&folder);
    }
    report
}

/// The commits since the previous Release, newest first, in a repository of their own that has no files.
async fn history(task: &SourceTask, folder: &Path) -> Result<Vec<Commit>, SourceError> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| local(&error.to_string()))?;
    let git = Git::new(folder, task);
    git.call(&["init", "-q", "--bare"]).await?;
    let depth = format!("--depth={}", MAX_CHANGES + 1);
    let fetch = ["fetch", "-q", "--filter=tree:0", &depth, "--no-tags"];
    let fetch = [fetch.as_slice(), &[task.url.as_str(), &task.sha]].concat();
    git.call(&fetch).await?;
    let most = format!("-{MAX_CHANGES}");
    let Some(since) = &task.since else {
        return log(&git, &[&most, &task.sha]).await;
    };
    let known = format!("{since}^{{commit}}");
    let is_known = git
        .call(&["rev-parse", "-q", "--verify", &known])
        .await
        .is_ok();
    if is_known {
        log(&git, &[&most, &task.sha, "--not", since]).await
    } else {
        // Further back than is listed, or no longer part of the branch.
        log(&git, &[&most, &task.sha]).await
    }
}
