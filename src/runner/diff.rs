//! Tells whether files have changed since a commit, without fetching what is in them. Talks to the operating system and,
//! through git, to the network.

use std::path::Path;

use super::git::Git;
use super::say;
use super::task::{SourceTask, Unchanged};
use crate::model::glob;
use crate::pipeline::api::{SourceError, SourceErrorKind};

/// Whether nothing has changed that is asked for. What cannot be told, because the repository does not hand out the older
/// commit any more, has changed.
pub(super) async fn is_unchanged(
    task: &SourceTask,
    asked: &Unchanged,
    folder: &Path,
) -> Result<bool, SourceError> {
    std::fs::create_dir_all(folder).map_err(|error| SourceError {
        kind: SourceErrorKind::Protocol,
        message: error.to_string(),
    })?;
    let git = Git::new(folder, task);
    git.call(&["init", "-q", "--bare"]).await?;
    let fetch = [
        "fetch",
        "-q",
        "--filter=blob:none",
        "--depth=1",
        "--no-tags",
    ];
    for commit in [&asked.since, &task.sha] {
        let what = [task.url.as_str(), commit.as_str()];
        match git
            .call(&[fetch.as_slice(), what.as_slice()].concat())
            .await
        {
            Ok(_) => {}
            Err(error) if error.kind == SourceErrorKind::NotFound => {
                say(&format!(
                    "slipway: {commit} cannot be compared with: all counts as changed"
                ));
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    // Renames are told by what is in files.
    let diff = [
        "diff",
        "--name-only",
        "--no-renames",
        "-z",
        &asked.since,
        &task.sha,
    ];
    let names = git.call(&diff).await?;
    let mut names = names.split('\0').filter(|name| !name.is_empty());
    let changed = names.find(|name| asked.globs.iter().any(|glob| glob::matches(glob, name)));
    if let Some(name) = changed {
        say(&format!(
            "slipway: {name:?} has changed since {}",
            asked.since
        ));
    }
    Ok(changed.is_none())
}
