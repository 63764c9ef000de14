//! Caches of a stage: fills their folders before the script starts, and keeps what is in them when it went well.
//! Reads and writes files, asks a registry; waits for the script.
//!
//! Two containers do that, neither of which runs code of people's. A cache saves time and nothing else: whatever goes
//! wrong here is said, and the stage goes on.

mod archive;
mod remote;
mod store;
mod volume;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::Digest;
use tokio::time::{Instant, timeout, timeout_at};

use super::process::Stop;
use super::registry::{SILENCE, Trouble};
use super::task::{CacheItem, FoldersTask};
use super::{Folders, glob, say};
use crate::model::key::short_hash;
use crate::oci::client::file::hashed;
use crate::pipeline_run::api::FailureKind;
use store::{Store, choose};

/// Digits of each half of a key.
const DIGITS: usize = 16;
/// How long filling the folders may take: the script waits for it.
const RESTORE: Duration = Duration::from_mins(3);
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
pub async fn restore(task: &FoldersTask, folders: &Folders, places: &Places) {
    // Scripts run as any user.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut store = Store::open(task, SILENCE);
    let until = Instant::now() + RESTORE;
    let mut keys = Keys::new();
    for cache in &task.caches {
        let key = key(cache, &folders.checkout());
        let filled = match &store {
            Ok(store) => timeout_at(until, fill(cache, &key, places, store))
                .await
                .unwrap_or_else(|_| Err(late(RESTORE))),
            Err(trouble) => Err(trouble.clone()),
        };
        let is_exact = match filled {
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
            Err(trouble) => {
                say(&format!(
                    "slipway: cache {} cannot be read, and is left out: {}",
                    cache.name, trouble.message
                ));
                // Half of it may be worse than nothing.
                let _ = empty(cache, places);
                if trouble.is_transient {
                    // A registry that is away is waited for once.
                    store = Err(trouble);
                }
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

/// What took too long, and is not tried for other caches.
fn late(limit: Duration) -> Trouble {
    let message = format!("it took longer than {} s", limit.as_secs());
    Trouble {
        is_transient: true,
        ..Trouble::new(FailureKind::Timeout, message)
    }
}

/// Key of an archive: what the variables say, and what the files say.
fn key(cache: &CacheItem, checkout: &Path) -> String {
    let mut variables = Vec::new();
    for (name, value) in &cache.values {
        variables.extend(format!("{name}={}:{value};", value.len()).into_bytes());
    }
    let mut content = Vec::new();
    let files = glob::find(checkout, &cache.files).unwrap_or_else(|error| {
        // The archives of a key that says less would be those of other files too.
        content.extend(error.bytes());
        Vec::new()
    });
    for file in files {
        let name = file.strip_prefix(checkout).unwrap_or(&file);
        content.extend(format!("{}:", name.display()).into_bytes());
        // One that cannot be read is another key than one that can.
        let hash = hashed(&file).map(|(hash, _)| hash.finalize().to_vec());
        content.extend(hash.unwrap_or_default());
    }
    let half = |what: &[u8]| short_hash(what, DIGITS);
    format!("{}-{}", half(&variables), half(&content))
}

fn empty(cache: &CacheItem, places: &Places) -> io::Result<()> {
    let _ = fs::remove_dir_all(places.caches.join(&cache.name));
    for index in 0..cache.folders {
        fs::create_dir_all(places.folder(cache, index))?;
    }
    Ok(())
}

/// Unpacks the best archive; its key.
async fn fill(
    cache: &CacheItem,
    key: &str,
    places: &Places,
    store: &Store,
) -> Result<Option<String>, Trouble> {
    empty(cache, places)?;
    let kept = store.kept(cache, places).await?;
    let Some(found) = choose(&kept, cache, key) else {
        return Ok(None);
    };
    let path = store.bring(cache, found, places).await?;
    archive::unpack(&path, cache, places)?;
    store.took(&path);
    Ok(Some(found.key.clone()))
}

/// Keeps what is in the folders of caches as soon as the script went well. Ends when the pod does.
pub async fn keep(task: FoldersTask, folders: &Folders, places: &Places, stop: &mut Stop) {
    if !folders.caches().is_asked(stop).await {
        return;
    }
    if timeout(SAVE, save_all(&task, places)).await.is_err() {
        say(&format!(
            "slipway: caches are not kept: {}",
            late(SAVE).message
        ));
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

async fn save_all(task: &FoldersTask, places: &Places) {
    let text = fs::read_to_string(places.keys()).unwrap_or_default();
    let keys: Keys = serde_json::from_str(&text).unwrap_or_default();
    let mut store = Store::open(task, SAVE);
    for cache in task.caches.iter().filter(|cache| cache.saves) {
        let name = &cache.name;
        let Some((key, is_exact)) = keys.get(name) else {
            say(&format!(
                "slipway: cache {name} is not kept: its key is lost"
            ));
            continue;
        };
        let done = match &store {
            Ok(store) if *is_exact => {
                store.used(cache, key).await;
                Ok(None)
            }
            Ok(store) => save(cache, key, places, store).await.map(Some),
            Err(trouble) => Err(trouble.clone()),
        };
        match done {
            Ok(Some(Some(size))) => {
                say(&format!("slipway: cache {name}: kept {key}, {size} bytes"));
            }
            Ok(Some(None)) => say(&format!(
                "slipway: cache {name} is not kept: it is larger than {} bytes; raise maxSize",
                cache.max_bytes
            )),
            Ok(None) => say(&format!("slipway: cache {name}: {key} is kept already")),
            Err(trouble) => {
                say(&format!(
                    "slipway: cache {name} is not kept: {}",
                    trouble.message
                ));
                if trouble.is_transient {
                    store = Err(trouble);
                }
            }
        }
    }
}

/// Packs the folders of a cache, whole or not at all; the size of the archive, or nothing where it would be too large.
async fn save(
    cache: &CacheItem,
    key: &str,
    places: &Places,
    store: &Store,
) -> Result<Option<u64>, Trouble> {
    let folder = places.archives(cache);
    fs::create_dir_all(&folder)?;
    // Two pods may keep the same at the same time.
    let part = folder.join(format!("{key}.{}.part", unique()));
    let kept = pack_and_put((cache, key), &part, places, store).await;
    // Where it is in its place by now, there is nothing left.
    let _ = fs::remove_file(&part);
    kept
}

async fn pack_and_put(
    (cache, key): (&CacheItem, &str),
    part: &Path,
    places: &Places,
    store: &Store,
) -> Result<Option<u64>, Trouble> {
    let work = {
        let (cache, places, part) = (cache.clone(), places.clone(), part.to_owned());
        tokio::task::spawn_blocking(move || archive::pack(&cache, &places, &part))
    };
    let packed = work
        .await
        .map_err(|_| io::Error::other("packing went wrong"))?;
    let Some(size) = packed? else {
        return Ok(None);
    };
    store.put((cache, key), part, places).await?;
    Ok(Some(size))
}

/// Told apart by the name of the pod, which is that of the host.
fn unique() -> String {
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

#[cfg(test)]
mod tests;
