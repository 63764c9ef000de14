//! The logs of stages, in a folder: what pods have sent, for as long as their run is there. Talks to the file system.
//!
//! ```text
//! <folder>/<namespace>/<run>.<uid of the run>/<pod>.log    what the pod has said
//!                                            /<pod>.reports   the reports that it has left, packed
//!                                            /<pod>.json   which stage that was
//! ```
//! A log only grows, and whoever adds to it says where: what is sent twice is in it once. Each has a limit, and so has
//! everything together: the oldest runs give way first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What notes about a log that is cut may take beyond its limit, in bytes.
const NOTES: u64 = 64 << 10;

/// What the reports of a pod may take, in bytes.
const MAX_REPORTS: u64 = 16 << 20;

/// A run, which is another one when it is made again under the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct RunId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Which log it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The pod.
    pub pod: String,
    /// The stage.
    pub stage: String,
    /// The cell of its matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When the pod was made.
    pub started_at: Timestamp,
    /// Whether the pod has said that this is all.
    #[serde(default)]
    pub is_complete: bool,
}

/// A log that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Which one.
    #[serde(flatten)]
    pub about: About,
    /// Its length in bytes.
    pub bytes: u64,
    /// Length of the reports that the pod has left, packed, in bytes.
    #[serde(default)]
    pub reports: u64,
}

/// What is kept of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// What it has said.
    Log,
    /// The reports that it has left, packed.
    Reports,
}

impl What {
    /// How the name of its file ends.
    const fn ending(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Reports => "reports",
        }
    }
}

/// A part of a log, or of reports.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Of what.
    pub what: What,
    /// How long the log is without it, in bytes.
    pub offset: u64,
    /// What is added.
    pub bytes: &'a [u8],
    /// Whether that is all.
    pub is_last: bool,
}

/// Why a part is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The log has another length, this one.
    #[error("the log has {0} bytes")]
    Elsewhere(u64),
    /// The log has all that it may have.
    #[error("the log has reached its limit of {0} bytes")]
    Full(u64),
    /// The file system does not take it.
    #[error("the log cannot be written")]
    Broken(#[from] io::Error),
}

/// What a sweep has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs whose logs went.
    pub runs: usize,
    /// Bytes that are left.
    pub bytes: u64,
}

/// The folder. Cloning clones handles.
#[derive(Clone, Debug)]
pub struct Archive {
    folder: PathBuf,
    max_log: u64,
    max_total: u64,
    used: Arc<AtomicU64>,
}

impl Archive {
    /// The archive in a folder, with the limits of one log and of everything, in bytes.
    ///
    /// # Errors
    /// If the folder is not there and cannot be made.
    pub fn open(folder: PathBuf, max_log: u64, max_total: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let archive = Self {
            folder,
            max_log,
            max_total,
            used: Arc::default(),
        };
        let used = archive.runs()?.iter().map(|run| run.bytes).sum();
        archive.used.store(used, Ordering::Relaxed);
        Ok(archive)
    }

    /// Whether everything together has reached its limit: time for a sweep.
    pub fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max_total
    }

    /// Adds to the log of a pod. Another process that does the same waits meanwhile.
    ///
    /// # Errors
    /// If the part does not come next, or is too much.
    pub fn append(&self, run: &RunId, about: &About, part: Part<'_>) -> Result<(), Refused> {
        let folder = self.folder_of(run)?;
        let log = folder.join(file_name(&about.pod, part.what.ending())?);
        fs::create_dir_all(&folder)?;
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        file.lock()?;
        let has = file.metadata()?.len();
        if part.what == What::Log && (has == 0 || part.is_last) {
            let about = About {
                is_complete: part.is_last,
                ..about.clone()
            };
            write_about(&folder, &about)?;
        }
        if has != part.offset {
            return Err(Refused::Elsewhere(has));
        }
        let length = part.bytes.len() as u64;
        let most = match part.what {
            What::Log => self.max_log,
            What::Reports => MAX_REPORTS,
        };
        if has + length > most + NOTES {
            return Err(Refused::Full(most));
        }
        let written = (&file).write_all(part.bytes);
        if written.is_err() {
            // Half of a part would be neither there nor not.
            file.set_len(has)?;
        }
        written?;
        self.used.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    /// The logs of a run, by stage and time.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self, run: &RunId) -> io::Result<Vec<Entry>> {
        let folder = self.folder_of(run)?;
        let Some(entries) = there(fs::read_dir(&folder))? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let Ok(about) = serde_json::from_slice::<About>(&fs::read(&path)?) else {
                continue;
            };
            let length = |what: What| {
                let meta = fs::metadata(path.with_extension(what.ending()));
                meta.map_or(0, |meta| meta.len())
            };
            all.push(Entry {
                bytes: length(What::Log),
                reports: length(What::Reports),
                about,
            });
        }
        let order = |entry: &Entry| (entry.about.started_at, entry.about.pod.clone());
        all.sort_by_key(order);
        Ok(all)
    }

    /// A part of what is kept of a pod: at most `limit` bytes from `offset` on. Nothing where there is no such thing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(
        &self,
        run: &RunId,
        (pod, what): (&str, What),
        offset: u64,
        limit: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder_of(run)?.join(file_name(pod, what.ending())?);
        let Some(mut file) = there(File::open(path))? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut part = Vec::new();
        file.take(limit).read_to_end(&mut part)?;
        Ok(Some(part))
    }

    /// Removes the logs of runs that are gone and, beyond the limit, those of the oldest runs.
    ///
    /// # Errors
    /// If the folder cannot be read, or something in it cannot be removed.
    pub fn sweep(&self, is_there: impl Fn(&RunId) -> bool) -> io::Result<Swept> {
        let mut runs = self.runs()?;
        runs.sort_by_key(|run| std::cmp::Reverse(run.changed_at));
        let mut swept = Swept::default();
        for run in runs {
            let is_too_much = swept.bytes + run.bytes > self.max_total;
            if is_too_much || !is_there(&run.id) {
                fs::remove_dir_all(&run.folder)?;
                swept.runs += 1;
            } else {
                swept.bytes += run.bytes;
            }
        }
        self.used.store(swept.bytes, Ordering::Relaxed);
        Ok(swept)
    }

    fn folder_of(&self, run: &RunId) -> io::Result<PathBuf> {
        let RunId {
            namespace,
            name,
            uid,
        } = run;
        for part in [namespace, name, uid] {
            is_name(part)?;
        }
        Ok(self.folder.join(namespace).join(format!("{name}.{uid}")))
    }

    fn runs(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for namespace in fs::read_dir(&self.folder)? {
            let namespace = namespace?.path();
            if !namespace.is_dir() {
                continue;
            }
            for folder in fs::read_dir(&namespace)? {
                all.extend(Kept::of(&namespace, folder?.path())?);
            }
        }
        Ok(all)
    }
}

/// The logs of one run.
struct Kept {
    id: RunId,
    folder: PathBuf,
    bytes: u64,
    changed_at: SystemTime,
}

impl Kept {
    fn of(namespace: &Path, folder: PathBuf) -> io::Result<Option<Self>> {
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        let of_run = name(&folder);
        let Some((run, uid)) = of_run.as_deref().and_then(|name| name.rsplit_once('.')) else {
            return Ok(None);
        };
        let id = RunId {
            namespace: name(namespace).unwrap_or_default(),
            name: run.to_owned(),
            uid: uid.to_owned(),
        };
        let (mut bytes, mut changed_at) = (0, SystemTime::UNIX_EPOCH);
        for file in fs::read_dir(&folder)? {
            let meta = file?.metadata()?;
            bytes += meta.len();
            changed_at = changed_at.max(meta.modified()?);
        }
        Ok(Some(Self {
            id,
            folder,
            bytes,
            changed_at,
        }))
    }
}

/// Whole or not at all: a reader may come in between.
fn write_about(folder: &Path, about: &About) -> io::Result<()> {
    let path = folder.join(file_name(&about.pod, "json")?);
    let part = path.with_extension("part");
    fs::write(&part, serde_json::to_vec(about)?)?;
    fs::rename(part, path)
}

fn file_name(pod: &str, end: &str) -> io::Result<String> {
    is_name(pod)?;
    Ok(format!("{pod}.{end}"))
}

/// Names of Kubernetes are names of files; nothing else becomes one.
fn is_name(text: &str) -> io::Result<()> {
    let is_fine = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if !text.is_empty() && text.len() < 200 && !text.starts_with('.') && text.bytes().all(is_fine) {
        return Ok(());
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// Nothing, if it is not there.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
