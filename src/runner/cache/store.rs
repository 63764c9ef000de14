//! Where the archives of caches are, a folder or a registry, and which of them is taken or goes: the same for both. Reads and
//! writes files, asks the registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::remote::Shelf;
use super::{Places, volume};
use crate::runner::registry::Trouble;
use crate::runner::task::{CacheItem, FoldersTask};

/// An archive that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its key.
    pub(super) key: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// What names it in a registry; nothing in a folder.
    pub(super) digest: String,
}

/// The archive that is taken: that of the key, or else the newest one for the same variables. The one used last is at the
/// end of those that are kept.
pub(super) fn choose<'a>(kept: &'a [Kept], cache: &CacheItem, key: &str) -> Option<&'a Kept> {
    let exact = kept.iter().find(|archive| archive.key == key);
    let same = key.split('-').next().unwrap_or_default();
    let is_near = |archive: &&Kept| cache.newest && archive.key.starts_with(same);
    exact.or_else(|| kept.iter().rfind(is_near))
}

/// How many go, from the one that was not used for longest on, so that the others fit.
pub(super) fn leaving(kept: &[Kept], max_bytes: u64) -> usize {
    let sizes = kept.iter().map(|archive| archive.size);
    let mut excess = sizes.fold(0, u64::saturating_add).saturating_sub(max_bytes);
    let goes = |archive: &&Kept| {
        let is_over = excess > 0;
        excess = excess.saturating_sub(archive.size);
        is_over
    };
    kept.iter().take_while(goes).count()
}

/// Where archives are.
pub(super) enum Store {
    /// In a folder, that of a volume.
    Volume,
    /// In a registry; on their way there and back they are in the folder.
    Registry(Box<Shelf>),
}

impl Store {
    /// Opens it. A registry may say nothing for so long.
    pub(super) fn open(task: &FoldersTask, silence: Duration) -> Result<Self, Trouble> {
        let remote = task.registry.as_ref();
        let remote = remote
            .map(|place| Shelf::open(place, silence))
            .transpose()?;
        Ok(remote.map_or(Self::Volume, |remote| Self::Registry(Box::new(remote))))
    }

    /// The archives of a cache, the one used last at the end.
    pub(super) async fn kept(
        &self,
        cache: &CacheItem,
        places: &Places,
    ) -> Result<Vec<Kept>, Trouble> {
        match self {
            Self::Volume => Ok(volume::kept(&places.archives(cache))),
            Self::Registry(remote) => Ok(remote.kept(cache).await?),
        }
    }

    /// An archive as a file.
    pub(super) async fn bring(
        &self,
        cache: &CacheItem,
        archive: &Kept,
        places: &Places,
    ) -> Result<PathBuf, Trouble> {
        let folder = places.archives(cache);
        let path = volume::path(&folder, &archive.key);
        if let Self::Registry(remote) = self {
            fs::create_dir_all(&folder)?;
            remote.bring(cache, archive, &path).await?;
        }
        Ok(path)
    }

    /// What was brought has been unpacked.
    pub(super) fn took(&self, path: &Path) {
        match self {
            Self::Volume => volume::touch(path),
            Self::Registry(_) => {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Notes that an archive was used, where taking it has not. One whose use is not noted goes earlier, and that is all.
    pub(super) async fn used(&self, cache: &CacheItem, key: &str) {
        match self {
            Self::Volume => {}
            Self::Registry(remote) => {
                let _ = remote.used(cache, key).await;
            }
        }
    }

    /// Keeps what was packed, and lets go of what does not fit any more.
    pub(super) async fn put(
        &self,
        (cache, key): (&CacheItem, &str),
        part: &Path,
        places: &Places,
    ) -> Result<(), Trouble> {
        match self {
            Self::Volume => {
                volume::put(&places.archives(cache), key, part, cache.max_bytes)?;
                Ok(())
            }
            Self::Registry(remote) => Ok(remote.put(cache, key, part).await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(all: &[(&str, u64)]) -> Vec<Kept> {
        let kept = all.iter().map(|(key, size)| Kept {
            key: (*key).to_owned(),
            size: *size,
            digest: String::new(),
        });
        kept.collect()
    }

    #[test]
    fn the_archive_of_the_key_comes_before_newer_ones_for_the_same_variables() {
        let cache = |newest| CacheItem {
            name: "pip".into(),
            files: Vec::new(),
            values: Vec::new(),
            folders: 1,
            newest,
            saves: true,
            max_bytes: 1,
        };
        let all = kept(&[("aa-1", 1), ("aa-2", 1), ("bb-3", 1)]);
        let chosen = |newest, key| {
            let chosen = choose(&all, &cache(newest), key);
            chosen.map(|archive| archive.key.as_str())
        };
        assert_eq!(chosen(true, "aa-1"), Some("aa-1"));
        assert_eq!(chosen(true, "aa-9"), Some("aa-2"));
        assert_eq!(chosen(true, "cc-1"), None);
        assert_eq!(chosen(false, "aa-1"), Some("aa-1"));
        assert_eq!(chosen(false, "aa-9"), None);
    }

    #[test]
    fn as_many_go_as_are_too_much() {
        let all = kept(&[("a", 10), ("b", 1), ("c", 10)]);
        let cases = [(21, 0), (20, 1), (11, 1), (10, 2), (9, 3), (0, 3)];
        for (max_bytes, goes) in cases {
            assert_eq!(leaving(&all, max_bytes), goes, "{max_bytes}");
        }
    }
}
