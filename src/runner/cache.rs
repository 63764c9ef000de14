//! Caches of a stage: fills their folders before the script starts, and keeps what is in them when it went well.
//! Reads and writes files; waits for the script.
//!
//! Two containers do that, neither of which runs code of people's. A cache saves time and nothing else: whatever goes
//! wrong here is said, and the stage goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::process::Stop;
use super::task::{CacheItem, FoldersTask};
use super::{Folders, glob, say};
use crate::model::key::short_hash;

/// What archives are called.
const ENDING: &str = ".tar.gz";
/// Digits of each half of a key.
const DIGITS: usize = 16;
/// How many times larger than its archive what is unpacked may be.
const MOST_UNPACKED: u64 = 50;
/// How long keeping may take.
const SAVE: Duration = Duration::from_mins(4);

/// What was found of each cache, by its name: its key, and whether an archive fits exactly.
type Keys = BTreeMap<String, (String, bool)>;

/// Where caches are in a pod.
#[derive(Clone, Debug)]
pub struct Places {
    /// Archives.
    pub storage: PathBuf,
    /// Folders.
    pub caches: PathBuf,
}

impl Places {
    fn folder(&self, cache: &CacheItem, index: usize) -> PathBuf {
        self.caches.join(&cache.name).join(index.to_string())
    }

    fn archives(&self, cache: &CacheItem) -> PathBuf {
        self.storage.join(&cache.name)
    }

    /// What is known of the keys. Scripts see the folders of caches, and not what is beside them.
    fn keys(&self) -> PathBuf {
        self.caches.join("keys.json")
    }
}

/// Fills the folders of caches.
pub fn restore(task: &FoldersTask, folders: &Folders, places: &Places) {
    // Scripts run as any user.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut keys = Keys::new();
    for cache in &task.caches {
        let key = key(cache, &folders.checkout());
        let is_exact = match fill(cache, &key, places) {
            Ok(Some(name)) => {
                say(&format!("slipway: cache {}: took {name}", cache.name));
                name == key
            }
            Ok(None) => {
                say(&format!(
                    "slipway: cache {}: nothing was kept for {key}",
                    cache.name
                ));
                false
            }
            Err(error) => {
                say(&format!(
                    "slipway: cache {} cannot be read, and is left out: {error}",
                    cache.name
                ));
                // Half of it may be worse than nothing.
                let _ = empty(cache, places);
                false
            }
        };
        keys.insert(cache.name.clone(), (key, is_exact));
    }
    let text = serde_json::to_string(&keys).unwrap_or_default();
    if let Err(error) = fs::write(places.keys(), text) {
        say(&format!(
            "slipway: the keys of caches cannot be kept: {error}"
        ));
    }
}

/// Key of an archive: what the variables say, and what the files say.
fn key(cache: &CacheItem, checkout: &Path) -> String {
    let mut variables = Vec::new();
    for (name, value) in &cache.values {
        variables.extend(format!("{name}={}:{value};", value.len()).into_bytes());
    }
    let mut content = Vec::new();
    for file in glob::find(checkout, &cache.files) {
        let name = file.strip_prefix(checkout).unwrap_or(&file);
        content.extend(format!("{}:", name.display()).into_bytes());
        // One that cannot be read is another key than one that can.
        content.extend(digest(&file).unwrap_or_default());
    }
    let half = |what: &[u8]| short_hash(what, DIGITS);
    format!("{}-{}", half(&variables), half(&content))
}

fn digest(file: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        let part = buffer.get(..count).unwrap_or_default();
        if part.is_empty() {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(part);
    }
}

fn empty(cache: &CacheItem, places: &Places) -> io::Result<()> {
    let _ = fs::remove_dir_all(places.caches.join(&cache.name));
    for index in 0..cache.folders {
        fs::create_dir_all(places.folder(cache, index))?;
    }
    Ok(())
}

/// Unpacks the best archive; its key.
fn fill(cache: &CacheItem, key: &str, places: &Places) -> io::Result<Option<String>> {
    empty(cache, places)?;
    let exact = places.archives(cache).join(format!("{key}{ENDING}"));
    let found = if exact.is_file() {
        Some(exact)
    } else if cache.newest {
        let same = key.split('-').next().unwrap_or_default();
        let all = archives(&places.archives(cache));
        let mut same = all
            .into_iter()
            .filter(|archive| archive.key.starts_with(same));
        same.next_back().map(|archive| archive.path)
    } else {
        None
    };
    let Some(path) = found else {
        return Ok(None);
    };
    unpack(&path, cache, places)?;
    // Those that were not used for longest go first.
    let touched = File::options().append(true).open(&path);
    let _ = touched.and_then(|file| file.set_modified(now()));
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    Ok(name.strip_suffix(ENDING).map(str::to_owned))
}

fn unpack(path: &Path, cache: &CacheItem, places: &Places) -> io::Result<()> {
    let file = File::open(path)?;
    let most = file
        .metadata()?
        .len()
        .saturating_mul(MOST_UNPACKED)
        .max(1 << 20);
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(most));
    let root = places.caches.join(&cache.name);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        // What would end outside is left out.
        if entry.unpack_in(&root)? {
            open_to_all(&root.join(name))?;
        }
    }
    Ok(())
}

/// Lets the user of the script do with a file what the one who left it could.
fn open_to_all(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions().mode();
    let open = if meta.is_dir() || mode & 0o100 != 0 {
        0o777
    } else {
        0o666
    };
    fs::set_permissions(path, PermissionsExt::from_mode(mode | open))
}

#[expect(
    clippy::disallowed_methods,
    reason = "times of files are those of this machine"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// An archive.
struct Archive {
    path: PathBuf,
    key: String,
    size: u64,
    used_at: SystemTime,
}

/// The archives in a folder, the one used last at the end.
fn archives(folder: &Path) -> Vec<Archive> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let archive = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        Some(Archive {
            key: entry.file_name().to_str()?.strip_suffix(ENDING)?.to_owned(),
            path: entry.path(),
            size: meta.len(),
            used_at: meta.modified().ok()?,
        })
    };
    let mut all: Vec<Archive> = read.filter_map(archive).collect();
    all.sort_by_key(|archive| (archive.used_at, archive.key.clone()));
    all
}

/// Keeps what is in the folders of caches as soon as the script went well. Ends when the pod does.
pub async fn keep(task: FoldersTask, folders: &Folders, places: &Places, stop: &mut Stop) {
    if !folders.caches().is_asked(stop).await {
        return;
    }
    let places = places.clone();
    let work = tokio::task::spawn_blocking(move || save_all(&task, &places));
    if work.await.is_err() {
        say("slipway: keeping the caches went wrong");
    }
    if let Err(error) = folders.caches().answer("") {
        say(&format!(
            "slipway: cannot say that caches are kept: {error}"
        ));
    }
    stop.asked().await;
}

/// Has the other container keep the caches, and waits for it. For the container that runs the script.
pub async fn ask(folders: &Folders) {
    match folders.caches().ask(SAVE).await {
        Ok(Some(_)) => {}
        Ok(None) => say(&format!(
            "slipway: caches are not kept within {} s",
            SAVE.as_secs()
        )),
        Err(error) => say(&format!("slipway: caches are not kept: {error}")),
    }
}

fn save_all(task: &FoldersTask, places: &Places) {
    let text = fs::read_to_string(places.keys()).unwrap_or_default();
    let keys: Keys = serde_json::from_str(&text).unwrap_or_default();
    for cache in task.caches.iter().filter(|cache| cache.saves) {
        let name = &cache.name;
        match keys.get(name) {
            Some((key, false)) => match save(cache, key, places) {
                Ok(Some(size)) => say(&format!("slipway: cache {name}: kept {key}, {size} bytes")),
                Ok(None) => say(&format!(
                    "slipway: cache {name} is not kept: it is larger than {} bytes; raise maxSize",
                    cache.max_bytes
                )),
                Err(error) => say(&format!("slipway: cache {name} is not kept: {error}")),
            },
            Some((key, true)) => say(&format!("slipway: cache {name}: {key} is kept already")),
            None => say(&format!(
                "slipway: cache {name} is not kept: its key is lost"
            )),
        }
    }
}

/// Packs the folders of a cache, whole or not at all; the size of the archive, or nothing where it would be too large.
fn save(cache: &CacheItem, key: &str, places: &Places) -> io::Result<Option<u64>> {
    let folder = places.archives(cache);
    fs::create_dir_all(&folder)?;
    // Two pods may keep the same at the same time.
    let part = folder.join(format!("{key}.{}.part", unique()));
    let result = pack(cache, places, &part);
    let size = match result {
        Ok(Some(size)) => size,
        other => {
            let _ = fs::remove_file(&part);
            return other;
        }
    };
    fs::rename(&part, folder.join(format!("{key}{ENDING}")))?;
    make_room(&folder, cache.max_bytes);
    Ok(Some(size))
}

/// Told apart by the name of the pod, which is that of the host.
fn unique() -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn pack(cache: &CacheItem, places: &Places, part: &Path) -> io::Result<Option<u64>> {
    let limited = Limited {
        inner: File::create(part)?,
        left: cache.max_bytes,
        is_full: false,
    };
    let mut builder = tar::Builder::new(GzEncoder::new(limited, Compression::fast()));
    builder.follow_symlinks(false);
    for index in 0..cache.folders {
        let folder = places.folder(cache, index);
        if let Err(error) = builder.append_dir_all(index.to_string(), &folder) {
            if builder.get_ref().get_ref().is_full {
                return Ok(None);
            }
            return Err(error);
        }
    }
    let limited = match builder.into_inner().and_then(GzEncoder::finish) {
        Ok(limited) => limited,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Ok(None),
        Err(error) => return Err(error),
    };
    limited.inner.sync_all()?;
    Ok(Some(cache.max_bytes - limited.left))
}

/// A file that takes no more than so much.
struct Limited {
    inner: File,
    left: u64,
    is_full: bool,
}

impl Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let written = self.inner.write(part)?;
        self.left = left + (length - u64::try_from(written).unwrap_or(length));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Removes what was not used for longest, and what others have left half done long ago.
fn make_room(folder: &Path, max_bytes: u64) {
    let all = archives(folder);
    let mut excess = all
        .iter()
        .map(|archive| archive.size)
        .sum::<u64>()
        .saturating_sub(max_bytes);
    for archive in &all {
        if excess == 0 {
            break;
        }
        if fs::remove_file(&archive.path).is_ok() {
            excess = excess.saturating_sub(archive.size);
        }
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

#[cfg(test)]
mod tests;
