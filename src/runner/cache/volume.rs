//! Archives of caches in a folder: when a file was changed last is when it was used last. Reads and writes files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::archive::ENDING;
use super::store::{Kept, leaving};

/// Where the archive of a key is.
pub(super) fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}{ENDING}"))
}

/// The archives in a folder, the one used last at the end.
pub(super) fn kept(folder: &Path) -> Vec<Kept> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let archive = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        let key = entry.file_name().to_str()?.strip_suffix(ENDING)?.to_owned();
        Some((meta.modified().ok()?, key, meta.len()))
    };
    let mut all: Vec<_> = read.filter_map(archive).collect();
    all.sort();
    let kept = all.into_iter().map(|(_, key, size)| Kept {
        key,
        size,
        digest: String::new(),
    });
    kept.collect()
}

/// Notes that an archive was used: those that were not for longest go first.
pub(super) fn touch(path: &Path) {
    let touched = File::options().append(true).open(path);
    let _ = touched.and_then(|file| file.set_modified(now()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "times of files are those of this machine"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Gives what was packed into a folder its place there, whole or not at all, and makes room.
pub(super) fn put(folder: &Path, key: &str, part: &Path, max_bytes: u64) -> io::Result<()> {
    fs::rename(part, path(folder, key))?;
    make_room(folder, max_bytes);
    Ok(())
}

/// Removes what was not used for longest, and what others have left half done long ago.
fn make_room(folder: &Path, max_bytes: u64) {
    let all = kept(folder);
    for archive in all.iter().take(leaving(&all, max_bytes)) {
        let _ = fs::remove_file(path(folder, &archive.key));
    }
    let long_ago = now() - Duration::from_hours(1);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_part = entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "part");
        let modified = entry.metadata().and_then(|meta| meta.modified());
        if is_part && modified.is_ok_and(|at| at < long_ago) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
