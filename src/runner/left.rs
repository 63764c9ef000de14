//! Finds and reads the reports that a script has left, within bounds of number, size and time. Reads the file system.
//!
//! Whatever has left them, a stage that has run is over a minute later: the script's own timeout does not count any more.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::task::ScriptTask;
use super::{Folders, glob, say};
use crate::model::glob::matches;
use crate::pipeline::api::ReportFormat;
use crate::report::{Collected, MAX_BYTES, ReportError, missing};

/// What the reports of a stage may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Files of a format. More of them are an error: what is not read is not judged.
    pub(super) files: usize,
    /// All of them together, in bytes.
    pub(super) bytes: usize,
    /// How long reading them may take.
    pub(super) time: Duration,
}

impl Bounds {
    pub(super) const ALL: Self = Self {
        files: 500,
        bytes: 256 << 20,
        time: Duration::from_mins(1),
    };
}

/// The files that a script has left as reports.
pub(super) struct Left<'a> {
    task: &'a ScriptTask,
    folders: &'a Folders,
    since: Instant,
    /// Those of each format of the task, in its order.
    found: Vec<Vec<PathBuf>>,
}

impl<'a> Left<'a> {
    /// Finds them: once, for all who read them.
    ///
    /// # Errors
    /// If there is too much to look at.
    pub(super) fn find(task: &'a ScriptTask, folders: &'a Folders) -> Result<Self, String> {
        let since = Instant::now();
        let globs = task.reports.iter();
        let found = globs.map(|(_, globs)| glob::fresh(folders, globs));
        Ok(Self {
            task,
            folders,
            since,
            found: found.collect::<Result<_, _>>()?,
        })
    }

    /// Where the paths of the reports begin.
    pub(super) fn root(&self) -> PathBuf {
        self.folders.checkout()
    }

    /// The files of each format.
    pub(super) fn by_format(&self) -> impl Iterator<Item = (ReportFormat, &[PathBuf])> {
        let formats = self.task.reports.iter().map(|(format, _)| *format);
        formats.zip(self.found.iter().map(Vec::as_slice))
    }
}

/// Adds what the reports say, and which of them are missing.
///
/// # Errors
/// If one of them cannot be read to its end, or all of them together are too much.
pub(super) fn read(
    left: &Left<'_>,
    bounds: Bounds,
    collected: &mut Collected,
) -> Result<(), String> {
    let root = left.root();
    let mut reader = Reader {
        root: &root,
        bounds,
        since: left.since,
        left: bounds.bytes,
    };
    for ((format, globs), fresh) in left.task.reports.iter().zip(&left.found) {
        let fits = |glob: &String| {
            let mut names = fresh
                .iter()
                .map(|file| file.strip_prefix(&root).unwrap_or(file));
            names.any(|name| matches(glob, &name.to_string_lossy()))
        };
        for glob in globs.iter().filter(|glob| !fits(glob)) {
            say(&format!("slipway: the script has left no file {glob}"));
            if !left.task.optional.contains(glob) {
                missing::note(&mut collected.summary, *format, glob);
            }
        }
        reader.read_all(*format, fresh, collected)?;
    }
    Ok(())
}

struct Reader<'a> {
    root: &'a Path,
    bounds: Bounds,
    since: Instant,
    /// Bytes that may still be read.
    left: usize,
}

impl Reader<'_> {
    fn read_all(
        &mut self,
        format: ReportFormat,
        files: &[PathBuf],
        collected: &mut Collected,
    ) -> Result<(), String> {
        let max = self.bounds.files;
        if files.len() > max {
            return Err(format!(
                "there are more than {max} {format} reports; write fewer, or narrow the globs"
            ));
        }
        for file in files {
            let bytes = self.bytes(file)?;
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let added = collected.add(format, &name, &bytes);
            added.map_err(|error: ReportError| self.unreadable(file, &error.to_string()))?;
        }
        Ok(())
    }

    fn bytes(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        let seconds = self.bounds.time.as_secs();
        if self.since.elapsed() > self.bounds.time {
            return Err(format!(
                "reading the reports takes more than {seconds} s; write fewer or smaller ones"
            ));
        }
        let bytes = read_file(file).map_err(|error| self.unreadable(file, &error.to_string()))?;
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| {
            let mib = self.bounds.bytes >> 20;
            format!("the reports together are larger than {mib} MiB; write fewer or smaller ones")
        })?;
        Ok(bytes)
    }

    fn unreadable(&self, file: &Path, error: &str) -> String {
        let name = file.strip_prefix(self.root).unwrap_or(file);
        format!("report {} cannot be read: {error}", name.display())
    }
}

/// A file, up to a byte more than a report may have.
fn read_file(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let file = File::open(file)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod cost;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::script_file;
    use crate::runner::tests::Folder;

    /// A script that has left so many reports of three bytes.
    fn left(folder: &Folder, files: usize) -> ScriptTask {
        let root = folder.folders().checkout();
        std::fs::write(script_file(&folder.folders()), "").unwrap();
        for number in 0..files {
            std::fs::write(root.join(format!("leaks-{number}.json")), "[ ]").unwrap();
        }
        ScriptTask {
            reports: vec![(ReportFormat::Gitleaks, vec!["leaks-*.json".to_owned()])],
            ..ScriptTask::default()
        }
    }

    fn said(files: usize, bounds: Bounds) -> Result<(), String> {
        let folder = Folder::new("left");
        let task = left(&folder, files);
        let folders = folder.folders();
        read(
            &Left::find(&task, &folders)?,
            bounds,
            &mut Collected::default(),
        )
    }

    #[test]
    fn all_reports_together_are_bounded_in_number_size_and_time() {
        assert_eq!(said(5, Bounds::ALL), Ok(()));
        let bounds = Bounds {
            files: 4,
            ..Bounds::ALL
        };
        assert!(
            said(5, bounds)
                .unwrap_err()
                .starts_with("there are more than 4 Gitleaks reports")
        );
        let bytes = 15;
        assert_eq!(
            said(
                5,
                Bounds {
                    bytes,
                    ..Bounds::ALL
                }
            ),
            Ok(())
        );
        let error = said(
            6,
            Bounds {
                bytes,
                ..Bounds::ALL
            },
        )
        .unwrap_err();
        assert!(
            error.starts_with("the reports together are larger than"),
            "{error}"
        );
        let time = Duration::ZERO;
        let error = said(
            1,
            Bounds {
                time,
                ..Bounds::ALL
            },
        )
        .unwrap_err();
        assert!(
            error.starts_with("reading the reports takes more than 0 s"),
            "{error}"
        );
    }

    #[test]
    fn what_no_file_fits_is_noted_glob_by_glob() {
        let folder = Folder::new("missing");
        let mut task = left(&folder, 1);
        let globs = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        task.reports = vec![
            (
                ReportFormat::Gitleaks,
                globs(&["leaks-*.json", "more.json"]),
            ),
            (
                ReportFormat::Sarif,
                globs(&["bandit.sarif", "semgrep.sarif"]),
            ),
            (ReportFormat::Junit, globs(&["junit.xml"])),
        ];
        task.optional = globs(&["junit.xml", "bandit.sarif"]);
        let mut collected = Collected::default();
        let folders = folder.folders();
        let left = Left::find(&task, &folders).unwrap();
        read(&left, Bounds::ALL, &mut collected).unwrap();
        let missing = collected.summary.missing.iter();
        let missing: Vec<_> = missing.map(|one| (one.format, one.path.as_str())).collect();
        let expected = [
            (ReportFormat::Gitleaks, "more.json"),
            (ReportFormat::Sarif, "semgrep.sarif"),
        ];
        assert_eq!(missing, expected);
        assert!(collected.summary.findings[0].total.is_none());
    }
}
