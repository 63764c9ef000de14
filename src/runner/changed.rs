//! Which lines have changed since the newest Release, for reports of coverage: asked of git before the stage, in a file
//! between its containers. Talks to the operating system and, through git, to the network.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::git::Git;
use super::task::SourceTask;
use super::{Folders, say};
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::report::changed::{self, Changed};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Leaves word of the lines that changed since a commit. What cannot be told is left out, and fails no stage: the gate
/// that asks has no data then.
///
/// # Errors
/// If the server does not answer, and may the next time.
pub async fn tell(task: &SourceTask, since: &str, folders: &Folders) -> Result<(), SourceError> {
    let folder = folders.workspace.join("changed.git");
    let told = ask(task, since, folders, &folder).await;
    let _ = fs::remove_dir_all(&folder);
    match told {
        Err(error) if error.kind.is_transient() => Err(error),
        Err(error) => {
            let message = error.message;
            say(&format!(
                "slipway: the lines that changed are not known: {message}"
            ));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// In a repository of its own, so that the one of the stage stays as it was asked for; it has what that one has.
async fn ask(
    task: &SourceTask,
    since: &str,
    folders: &Folders,
    folder: &Path,
) -> Result<(), SourceError> {
    let file = folders.changed_file();
    // What a try before this one has left.
    let _ = fs::remove_file(&file);
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| local(&error))?;
    let git = Git::new(folder, task);
    git.call(&["init", "-q", "--bare"]).await?;
    let objects = folders.checkout().join(".git/objects");
    let borrowed = format!("{}\n", objects.display());
    fs::write(folder.join("objects/info/alternates"), borrowed).map_err(|error| local(&error))?;
    git.call(&["fetch", "-q", "--no-tags", "--depth=1", &task.url, since])
        .await?;
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
    fs::write(file, text).map_err(|error| local(&error))
}

fn local(error: &io::Error) -> SourceError {
    SourceError {
        kind: SourceErrorKind::Protocol,
        message: error.to_string(),
    }
}

/// The lines that changed, if there is word of them.
pub fn read(folders: &Folders) -> Option<Changed> {
    let mut text = Vec::new();
    let file = File::open(folders.changed_file()).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let files = serde_json::from_slice(&text).ok()?;
    Some(Changed::new(
        files,
        &folders.checkout().display().to_string(),
    ))
}
