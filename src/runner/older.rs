//! Compares with an older commit, in a repository beside the one of the stage: which lines have changed, for reports of
//! coverage, and whether any file has that the stage is about. Talks to the operating system and, through git, to the network.

use std::fs;
use std::io;
use std::path::Path;

use super::git::Git;
use super::task::{Older, SourceTask};
use super::{Folders, say};
use crate::model::glob;
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::report::changed;

/// Compares, and leaves word of the lines in a file between the containers. Whether nothing has changed of what is asked for:
/// what cannot be told, because the repository does not hand out the older commit any more, has changed; of lines there is no
/// word then, and the gate that asks has no data.
///
/// # Errors
/// If the server does not answer, and may the next time; if anything else keeps a stage from being told whether it may be left out.
pub(super) async fn compare(
    task: &SourceTask,
    older: &Older,
    folders: &Folders,
) -> Result<bool, SourceError> {
    // What a try before this one has left.
    let _ = fs::remove_file(folders.changed_file());
    let folder = folders.workspace.join("older.git");
    let compared = ask(task, older, folders, &folder).await;
    let _ = fs::remove_dir_all(&folder);
    match compared {
        Err(error) if may_be_left_out(&error, older) => {
            let (since, message) = (&older.since, error.message);
            say(&format!(
                "slipway: {since} cannot be compared with, all counts as changed: {message}"
            ));
            Ok(false)
        }
        compared => compared,
    }
}

/// Whether it is no error that a comparison failed.
fn may_be_left_out(error: &SourceError, older: &Older) -> bool {
    error.kind == SourceErrorKind::NotFound
        || (older.globs.is_empty() && !error.kind.is_transient())
}

async fn ask(
    task: &SourceTask,
    older: &Older,
    folders: &Folders,
    folder: &Path,
) -> Result<bool, SourceError> {
    let git = Git::bare(folder, task).await?;
    // It has what the one of the stage has, which stays as it was asked for.
    let objects = folders.checkout().join(".git/objects");
    let borrowed = format!("{}\n", objects.display());
    fs::write(folder.join("objects/info/alternates"), borrowed).map_err(|error| local(&error))?;
    let mut fetch = vec!["fetch", "-q", "--no-tags", "--depth=1"];
    // Which files have changed is told without what is in them.
    fetch.extend((!older.lines).then_some("--filter=blob:none"));
    fetch.extend([&*task.url, &*older.since]);
    git.call(&fetch).await?;
    if older.lines {
        tell_lines(&git, task, older, folders).await?;
    }
    if older.globs.is_empty() {
        return Ok(false);
    }
    is_unchanged(&git, task, older).await
}

async fn tell_lines(
    git: &Git<'_>,
    task: &SourceTask,
    older: &Older,
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
        &older.since,
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
