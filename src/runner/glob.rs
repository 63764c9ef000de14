//! Finds files by glob: `*` and `?` within a name, `**` for any folders. Reads the file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Folders, script_file};
use crate::model::glob::matches;

/// Files and folders that are looked at before it is enough.
const MAX_ENTRIES: usize = 200_000;

/// The files that the script has left. What the repository itself contains is older than the script.
pub fn fresh(folders: &Folders, globs: &[String]) -> impl Iterator<Item = PathBuf> + use<> {
    let since = modified(&script_file(folders));
    let found = find(&folders.checkout(), globs).into_iter();
    found.filter(move |file| modified(file) >= since)
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

/// The files below `root` that match one of the globs, in the order of their paths. Links are not followed,
/// and `.git` is left out.
pub fn find(root: &Path, globs: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    let mut left = MAX_ENTRIES;
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                break;
            }
            let (Ok(kind), Some(name)) = (
                entry.file_type(),
                entry.file_name().to_str().map(str::to_owned),
            ) else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if kind.is_dir() && name != ".git" {
                folders.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() && globs.iter().any(|glob| matches(glob, &path)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
