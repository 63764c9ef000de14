//! What a stage says: passed on to the container's output and, in pods that have a place for it, kept in files beside,
//! which the `logs` container reads. Talks to the operating system.
//!
//! The files outlive the process that writes them: one that is killed loses what is in the pipes, and nothing else.
//! They are numbered, of a size, and only the newest stay, so that a stage that talks without end fills no disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Size of a file, in bytes.
pub const SEGMENT: u64 = 1 << 20;
/// Files that stay: what the reader may be behind.
pub const KEPT: u64 = 32;

static LOG: OnceLock<Mutex<Segments>> = OnceLock::new();

/// Keeps what is said from now on in a folder, if there is one.
pub fn keep_in(folder: &Path) {
    if folder.is_dir() {
        let _ = LOG.set(Mutex::new(Segments::after_what_is_in(folder)));
    }
}

/// The folder in which what is said is kept, where there is one.
pub fn folder() -> Option<PathBuf> {
    let log = LOG.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    Some(log.folder.clone())
}

/// Passes a part of a log on.
pub fn write(part: &[u8]) {
    let mut out = io::stdout();
    // Output that nobody takes is no reason to stop.
    let _ = out.write_all(part).and_then(|()| out.flush());
    if let Some(log) = LOG.get() {
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(part);
    }
}

/// Name of a file.
pub fn name(number: u64) -> String {
    format!("{number:06}.log")
}

/// Number of the file of that name.
pub fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// The numbers of the files in a folder, in their order.
pub fn numbers(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<u64> = entries
        .filter_map(|entry| number(entry.file_name().to_str()?))
        .collect();
    all.sort_unstable();
    all
}

/// The files that one process writes.
#[derive(Debug)]
struct Segments {
    folder: PathBuf,
    next: u64,
    open: Option<(File, u64)>,
    is_broken: bool,
}

impl Segments {
    /// Every process begins a file of its own: that of the one before may be another user's.
    fn after_what_is_in(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            next: numbers(folder).last().map_or(0, |last| last + 1),
            open: None,
            is_broken: false,
        }
    }

    fn write(&mut self, part: &[u8]) {
        if self.is_broken || part.is_empty() {
            return;
        }
        // A full disk stops the log that is kept, not the stage.
        self.is_broken = self.try_write(part).is_err();
    }

    fn try_write(&mut self, part: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(_, size)| *size >= SEGMENT) {
            self.open = Some((self.begin()?, 0));
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(part)?;
            *size += part.len() as u64;
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<File> {
        let number = self.next;
        self.next += 1;
        if let Some(old) = number.checked_sub(KEPT) {
            let _ = fs::remove_file(self.folder.join(name(old)));
        }
        let mut options = OpenOptions::new();
        let options = options.append(true).create_new(true).mode(0o644);
        let file = options.open(self.folder.join(name(number)))?;
        // Whatever the image makes of new files, the reader is another user.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::tests::Folder;

    #[test]
    fn a_process_goes_on_behind_the_one_before() {
        let folder = Folder::new("log-goes-on");
        let said = |text: &str| Segments::after_what_is_in(&folder.0).write(text.as_bytes());
        said("fetching\n");
        said("testing\n");
        assert_eq!(numbers(&folder.0), [0, 1]);
        let text = fs::read_to_string(folder.0.join(name(1))).unwrap();
        assert_eq!(text, "testing\n");
    }

    #[test]
    fn only_the_newest_files_stay() {
        let folder = Folder::new("log-stays");
        let mut segments = Segments::after_what_is_in(&folder.0);
        let part = vec![b'x'; usize::try_from(SEGMENT).unwrap()];
        for _ in 0..KEPT + 3 {
            segments.write(&part);
        }
        let numbers = numbers(&folder.0);
        assert_eq!((numbers.len() as u64, numbers[0]), (KEPT, 3));
    }

    #[test]
    fn a_log_that_cannot_be_kept_is_no_reason_to_stop() {
        let folder = Folder::new("log-broken");
        let mut segments = Segments::after_what_is_in(&folder.0.join("nothing"));
        segments.write(b"x");
        assert!(segments.is_broken);
    }
}
