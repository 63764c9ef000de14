//! Compares with an older commit, in a repository beside the one of the stage: which lines have changed, for reports of
//! coverage, how much has, for the Release, and whether any file has that the stage is about. Talks to the operating system and, through git, to the network.

use std::fs;
use std::io;
use std::path::Path;

use super::git::Git;
use super::task::{Older, SourceTask};
use super::{Folders, say};
use crate::model::glob;
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::pipeline_run::api::Difference;
use crate::report::changed;

/// What a comparison says.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Whether nothing has changed that the stage is about.
    pub(super) unchanged: bool,
    /// How much has changed, where that is to be reported and can be told.
    pub(super) difference: Option<Difference>,
}

/// Compares, and leaves word of the lines in a file between the containers. What cannot be told, because the repository
/// does not hand out the older commit any more, has changed; of lines there is no word then, and the gate that asks has no
/// data.
///
/// # Errors
/// If the server does not answer, and may the next time; if anything else keeps a stage from being told whether it may be left out.
pub(super) async fn compare(task: &SourceTask, folders: &Folders) -> Result<Compared, SourceError> {
    // What a try before this one has left.
    let _ = fs::remove_file(folders.changed_file());
    let older = task.older.as_ref();
    // Only who reports is given it.
    let reported = task.since.as_ref();
    let Some(since) = older.map(|older| &older.since).or(reported) else {
        return Ok(Compared::default());
    };
    let folder = folders.workspace.join("older.git");
    let compared = ask(task, since, folders, &folder).await;
    let _ = fs::remove_dir_all(&folder);
    match compared {
        Err(error) if may_be_left_out(&error, older) => {
            let message = error.message;
            say(&format!(
                "slipway: {since} cannot be compared with, all counts as changed: {message}"
            ));
            Ok(Compared::default())
        }
        compared => compared,
    }
}

/// Whether it is no error that a comparison failed.
fn may_be_left_out(error: &SourceError, older: Option<&Older>) -> bool {
    let Some(older) = older else {
        // How much has changed is worth no stage.
        return true;
    };
    error.kind == SourceErrorKind::NotFound
        || (older.globs.is_empty() && !error.kind.is_transient())
}

async fn ask(
    task: &SourceTask,
    since: &str,
    folders: &Folders,
    folder: &Path,
) -> Result<Compared, SourceError> {
    let git = Git::bare(folder, task).await?;
    // It has what the one of the stage has, which stays as it was asked for.
    let objects = folders.checkout().join(".git/objects");
    let borrowed = format!("{}\n", objects.display());
    fs::write(folder.join("objects/info/alternates"), borrowed).map_err(|error| local(&error))?;
    git.call(&["remote", "add", "origin", &task.url]).await?;
    let lines = task.older.as_ref().is_some_and(|older| older.lines);
    let mut fetch = vec!["fetch", "-q", "--no-tags", "--depth=1"];
    // Which files have changed is told without what is in them. git fetches later what it has to look into, and only that.
    fetch.extend((!lines).then_some("--filter=blob:none"));
    fetch.extend(["origin", since]);
    git.call(&fetch).await?;
    if lines {
        tell_lines(&git, task, since, folders).await?;
    }
    let difference = if task.since.is_some() {
        difference(&git, task, since).await
    } else {
        None
    };
    let unchanged = match &task.older {
        Some(older) if !older.globs.is_empty() => is_unchanged(&git, task, older).await?,
        Some(_) | None => false,
    };
    Ok(Compared {
        unchanged,
        difference,
    })
}

/// How much has changed. That it cannot be told does not fail the stage: it is left out.
async fn difference(git: &Git<'_>, task: &SourceTask, since: &str) -> Option<Difference> {
    let diff = [
        "diff",
        "--numstat",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "-z",
        since,
        &task.sha,
    ];
    match git.call(&diff).await {
        Ok(told) => Some(counted(&told)),
        Err(error) => {
            let message = error.message;
            say(&format!(
                "slipway: how much has changed is left out: {message}"
            ));
            None
        }
    }
}

/// Adds up what `git diff --numstat -z` prints: lines added, lines taken out (both `-` for a binary file) and the path.
fn counted(told: &str) -> Difference {
    let mut all = Difference::default();
    let mut files = Vec::new();
    for line in told.split('\0') {
        let mut parts = line.splitn(3, '\t');
        let (Some(added), Some(taken), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let lines = match (added.parse::<u64>(), taken.parse::<u64>()) {
            (Ok(added), Ok(taken)) => added.saturating_add(taken),
            _ => 1,
        };
        all.lines = all.lines.saturating_add(lines);
        if files.len() <= Difference::MAX_FILES {
            files.push(path.to_owned());
        }
    }
    all.files = Some(files).filter(|files| files.len() <= Difference::MAX_FILES);
    all
}

async fn tell_lines(
    git: &Git<'_>,
    task: &SourceTask,
    since: &str,
    folders: &Folders,
) -> Result<(), SourceError> {
    // What is moved is new where it stands now, or a change could hide in a move.
    let diff = [
        "-c",
        "core.quotePath=false",
        "diff",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--unified=0",
        "--diff-filter=AM",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        since,
        &task.sha,
        "--",
    ];
    let files = changed::read(&git.read(&diff).await?);
    let text = serde_json::to_vec(&files).unwrap_or_default();
    fs::write(folders.changed_file(), text).map_err(|error| local(&error))
}

async fn is_unchanged(
    git: &Git<'_>,
    task: &SourceTask,
    older: &Older,
) -> Result<bool, SourceError> {
    // Renames are told by what is in files.
    let diff = [
        "diff",
        "--name-only",
        "--no-renames",
        "-z",
        &older.since,
        &task.sha,
    ];
    let names = git.call(&diff).await?;
    let mut names = names.split('\0').filter(|name| !name.is_empty());
    let changed = names.find(|name| older.globs.iter().any(|glob| glob::matches(glob, name)));
    if let Some(name) = changed {
        let since = &older.since;
        say(&format!("slipway: {name:?} has changed since {since}"));
    }
    Ok(changed.is_none())
}

fn local(error: &io::Error) -> SourceError {
    SourceError::new(SourceErrorKind::Protocol, error.to_string())
}
