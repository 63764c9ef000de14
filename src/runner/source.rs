//! Fetches one commit, and tells who made it and what has changed since the previous Release.
//! Talks to the operating system and, through git, to the network.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::fs::Mode;

use super::git::Git;
use super::report::{MAX_BREAKING, MAX_CHANGES, SourceReport, clean};
use super::task::{self, CommitFile, SourceTask};
use super::{Folders, older, say};
use crate::pipeline::api::{SourceError, SourceErrorKind, VersionRule};
use crate::pipeline_run::api::{Bump, Commit};
use crate::release::commit;
use crate::retry;

/// How long a server that does not answer is left alone before it is asked again.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];
/// How far back the commit is looked for on its branch, one after the other; the last has no end that a repository
/// would reach.
const DEPTHS: [&str; 4] = [
    "--depth=1",
    "--depth=50",
    "--depth=5000",
    "--depth=2147483647",
];
/// Where the branch is fetched to.
const BRANCH: &str = "refs/slipway/branch";
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
    let is_passing = |error: &SourceError, _, pause: Duration| {
        let is_transient = error.kind.is_transient();
        if is_transient {
            say(&format!(
                "slipway: {}; asked again in {} s",
                error.message,
                pause.as_secs()
            ));
        }
        is_transient
    };
    match retry::tried(pauses, is_passing, || fetch(task, folders)).await {
        Ok(report) => (report, 0),
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

/// Checks the commit out, and reads what is to be reported of it.
async fn fetch(task: &SourceTask, folders: &Folders) -> Result<SourceReport, SourceError> {
    let commit = check_out(task, folders).await?;
    say(&format!("slipway: at {}: {}", commit.sha, commit.subject));
    let history = folders.workspace.join("history.git");
    let mut report = SourceReport {
        commit: Some(commit),
        ..SourceReport::default()
    };
    let result = read_history(task, &history, &mut report).await;
    let _ = fs::remove_dir_all(&history);
    result?;
    let compared = older::compare(task, folders).await?;
    report.unchanged = compared.unchanged;
    report.difference = compared.difference;
    if report.unchanged {
        fs::write(folders.unchanged_file(), "").map_err(|error| local(&error.to_string()))?;
    }
    Ok(report)
}

async fn check_out(task: &SourceTask, folders: &Folders) -> Result<Commit, SourceError> {
    let checkout = folders.checkout();
    // Also what a try before this one has left.
    let _ = fs::remove_dir_all(&checkout);
    fs::create_dir_all(&checkout).map_err(|error| local(&error.to_string()))?;
    let git = Git::new(&checkout, task);
    git.call(&["init", "-q"]).await?;
    git.call(&["remote", "add", "origin", &task.url]).await?;
    let depth = format!("--depth={}", task.depth);
    let mut fetch = vec!["fetch", "-q", "--no-tags"];
    // Without a depth git fetches everything.
    fetch.extend((task.depth > 0).then_some(depth.as_str()));
    fetch.extend(["origin", &task.sha]);
    git.call(&fetch).await?;
    git.call(&["checkout", "-q", "--detach", "FETCH_HEAD"])
        .await?;
    if task.submodules {
        let update = [
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--depth=1",
        ];
        git.call(&update).await?;
    }
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
    SourceError::new(SourceErrorKind::Protocol, message)
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

/// Looks at the history, in a repository of its own that has no files. That the changes cannot be read does not
/// fail the stage: they are left out. Where the commit has to be on a branch, not knowing that does.
async fn read_history(
    task: &SourceTask,
    folder: &Path,
    report: &mut SourceReport,
) -> Result<(), SourceError> {
    if task.git_ref.is_none() && !task.changes {
        return Ok(());
    }
    let git = Git::bare(folder, task).await?;
    if let Some(branch) = &task.git_ref {
        expect_on_branch(&git, task, branch).await?;
    }
    if task.changes {
        match changes(&git, task).await {
            Ok(commits) => commits.iter().for_each(|commit| report.push_change(commit)),
            Err(error) => say(&format!(
                "slipway: the changes are left out: {}",
                error.message
            )),
        }
    }
    if let Some(rule) = &task.version {
        // A version that rests on half of the commits would be wrong for good.
        let (bump, breaking) = asked(&git, task, rule).await?;
        report.bump = Some(bump);
        report.breaking = breaking;
    }
    Ok(())
}

/// Refuses a commit that is not on the branch: whoever may name a commit could name one that nobody has reviewed,
/// and a Release of it would look as if it came from the branch.
///
/// The branch is fetched further and further back, because most often the commit is its head.
async fn expect_on_branch(
    git: &Git<'_>,
    task: &SourceTask,
    branch: &str,
) -> Result<(), SourceError> {
    let sha = task.sha.as_str();
    fetch_commits(git, task, "--depth=1", sha).await?;
    let into = format!("+{branch}:{BRANCH}");
    for depth in DEPTHS {
        let fetched = fetch_commits(git, task, depth, &into).await;
        fetched.map_err(|error| match error.kind {
            SourceErrorKind::NotFound => SourceError {
                kind: SourceErrorKind::NoBranch,
                message: format!("the repository has no {branch}"),
            },
            SourceErrorKind::Unreachable
            | SourceErrorKind::Timeout
            | SourceErrorKind::Server
            | SourceErrorKind::Auth
            | SourceErrorKind::NoBranch
            | SourceErrorKind::NotOnBranch
            | SourceErrorKind::TooMany
            | SourceErrorKind::Definition
            | SourceErrorKind::Protocol => error,
        })?;
        // Fails for "no" as for "cannot tell": both mean that it was not found so far.
        let found = git
            .call(&["merge-base", "--is-ancestor", sha, BRANCH])
            .await;
        if found.is_ok() {
            return Ok(());
        }
    }
    Err(SourceError {
        kind: SourceErrorKind::NotOnBranch,
        message: format!(
            "commit {sha} is not on {branch}, or no longer; name a commit of that branch, or the branch that it is on"
        ),
    })
}

/// Fetches commits without their files.
async fn fetch_commits(
    git: &Git<'_>,
    task: &SourceTask,
    depth: &str,
    what: &str,
) -> Result<(), SourceError> {
    let fetch = ["fetch", "-q", "--filter=tree:0", depth, "--no-tags"];
    let fetch = [fetch.as_slice(), &[task.url.as_str(), what]].concat();
    git.call(&fetch).await.map(drop)
}

/// The commits since the previous Release, newest first.
async fn changes(git: &Git<'_>, task: &SourceTask) -> Result<Vec<Commit>, SourceError> {
    let depth = format!("--depth={}", MAX_CHANGES + 1);
    fetch_commits(git, task, &depth, &task.sha).await?;
    let most = format!("-{MAX_CHANGES}");
    let Some(since) = &task.since else {
        return log(git, &[&most, &task.sha]).await;
    };
    let known = format!("{since}^{{commit}}");
    let is_known = git
        .call(&["rev-parse", "-q", "--verify", &known])
        .await
        .is_ok();
    if is_known {
        log(git, &[&most, &task.sha, "--not", since]).await
    } else {
        // Further back than is listed, or no longer part of the branch.
        log(git, &[&most, &task.sha]).await
    }
}

/// What all commits since the previous Release ask of the next version, and what they break. Merges ask for nothing: what
/// they bring does.
async fn asked(
    git: &Git<'_>,
    task: &SourceTask,
    rule: &VersionRule,
) -> Result<(Bump, Vec<(String, String)>), SourceError> {
    git.call(&["init", "-q", "--bare"]).await?;
    let mut args = vec!["log", "-z", "--no-merges", "--format=%H%n%s%n%b"];
    let most = format!("-{MAX_CHANGES}");
    let mut has_all = false;
    if let Some(since) = &task.since {
        for depth in DEPTHS.iter().skip(1) {
            fetch_commits(git, task, depth, &task.sha).await?;
            // Fails for "no" as for "cannot tell".
            let ask = ["merge-base", "--is-ancestor", since, &task.sha];
            has_all = git.call(&ask).await.is_ok();
            if has_all {
                break;
            }
        }
    } else {
        fetch_commits(git, task, "--depth=51", &task.sha).await?;
    }
    match &task.since {
        Some(since) if has_all => args.extend([task.sha.as_str(), "--not", since]),
        // The first Release, or a branch that was put elsewhere: the newest commits have to do.
        Some(_) | None => args.extend([most.as_str(), &task.sha]),
    }
    let text = git.call(&args).await?;
    Ok(what_they_ask(&text, rule))
}

/// What messages of commits ask for, newest first, and what they break. What was taken back among them asks for nothing.
fn what_they_ask(log: &str, rule: &VersionRule) -> (Bump, Vec<(String, String)>) {
    let messages = log.split('\0').filter(|message| !message.is_empty());
    let messages = messages.map(|message| {
        let (sha, message) = message.split_once('\n').unwrap_or((message, ""));
        let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
        (sha, subject, body)
    });
    let messages: Vec<(&str, &str, &str)> = messages.collect();
    let lines: Vec<&str> = messages.iter().map(|(_, subject, _)| *subject).collect();
    let mut bump = Bump::None;
    let mut breaking = Vec::new();
    let standing = messages.iter().zip(commit::standing(&lines));
    for ((sha, subject, body), _) in standing.filter(|(_, stands)| *stands) {
        bump = bump.max(commit::asked(subject, body, rule));
        if let Some(told) = commit::breaking_footer(body)
            && breaking.len() < MAX_BREAKING
        {
            breaking.push(((*sha).to_owned(), clean(told, 256)));
        }
    }
    (bump, breaking)
}
