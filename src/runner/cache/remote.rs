//! Archives of caches in a repository of a registry. Talks to the network.
//!
//! An archive is an artifact of one layer, named by its digest. Which there are says an index under a tag, one for each
//! cache of a Pipeline, and the one used last is at its end: what the files of a folder say of themselves. Two who write it
//! at the same time lose one entry, which costs time and nothing else. What it does not name any more is the registry's to
//! clear up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::store::{Kept, leaving};
use crate::model::key::{short_hash, suffixed};
use crate::oci::client::Registry;
use crate::oci::manifest::{
    ArtifactManifest, Descriptor, INDEX, Index, MAX_TAG, artifact_manifest, is_digest,
};
use crate::oci::{Problem, RegistryError};
use crate::runner::registry::{self, Trouble};
use crate::runner::task::{CacheItem, Subject};

/// What kind of artifact an archive is.
const ARCHIVE: &str = "application/vnd.slipway.cache.v1";
/// Media type of what is in it.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Annotation with its key.
const KEY: &str = "dev.slipway.cache.key";
/// Annotation with its size in bytes.
const SIZE: &str = "dev.slipway.cache.size";
/// Most archives of one cache: each of them is asked for when the list is written.
const MAX_ARCHIVES: usize = 32;

/// The archives of a Pipeline.
pub(super) struct Shelf {
    registry: Registry,
    owner: String,
}

impl Shelf {
    /// Opens the repository. Nothing is tried twice there: the stage waits, and can do without.
    pub(super) fn open(place: &Subject, silence: Duration) -> Result<Self, Trouble> {
        Ok(Self {
            registry: registry::open_patiently(place, silence)?.once(),
            owner: place.image.clone(),
        })
    }

    /// The archives of a cache, the one used last at the end.
    pub(super) async fn kept(&self, cache: &CacheItem) -> Result<Vec<Kept>, RegistryError> {
        let index = self.index(cache).await?;
        Ok(index.manifests.iter().filter_map(kept).collect())
    }

    /// Brings an archive into a file. What the registry sends is checked by its digest.
    pub(super) async fn bring(
        &self,
        cache: &CacheItem,
        archive: &Kept,
        file: &Path,
    ) -> Result<(), RegistryError> {
        let broken = |what: &str| {
            let message = format!("{} in {} {what}", archive.key, self.name());
            RegistryError::new(Problem::Protocol, message)
        };
        let manifest = self.registry.manifest(&archive.digest).await?;
        let manifest = manifest.ok_or_else(|| broken("was cleared up by the registry"))?;
        let manifest: ArtifactManifest =
            serde_json::from_slice(&manifest.bytes).map_err(|_| broken("is no archive"))?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(broken("is no archive of one file"));
        };
        if !is_digest(&layer.digest) {
            return Err(broken("is named by no digest"));
        }
        if layer.size > cache.max_bytes {
            return Err(broken("is larger than maxSize"));
        }
        self.registry.fetch_file(layer, file).await
    }

    /// Pushes an archive, and puts it at the end of the list.
    pub(super) async fn put(
        &self,
        cache: &CacheItem,
        key: &str,
        part: &Path,
    ) -> Result<(), RegistryError> {
        let layer = self.registry.put_file(LAYER, part).await?;
        let size = layer.size.to_string();
        let mut annotations = BTreeMap::from([(KEY.to_owned(), key.to_owned())]);
        let manifest = artifact_manifest(ARCHIVE, &[layer], None, &annotations);
        let (named, _) = self.registry.put_files((ARCHIVE, manifest)).await?;
        annotations.insert(SIZE.to_owned(), size);
        let entry = Descriptor {
            annotations,
            ..named
        };
        let mut index = self.index(cache).await?;
        index.manifests.retain(|known| !is_of(known, key));
        index.manifests.push(entry);
        self.write(cache, index).await
    }

    /// Puts an archive that was used at the end of the list.
    pub(super) async fn used(&self, cache: &CacheItem, key: &str) -> Result<(), RegistryError> {
        let mut index = self.index(cache).await?;
        let last = index.manifests.len().saturating_sub(1);
        let place = index.manifests.iter().position(|known| is_of(known, key));
        let Some(place) = place.filter(|place| *place < last) else {
            return Ok(());
        };
        let entry = index.manifests.remove(place);
        index.manifests.push(entry);
        self.write(cache, index).await
    }

    /// Writes the list of a cache, without what does not fit any more.
    async fn write(&self, cache: &CacheItem, index: Index) -> Result<(), RegistryError> {
        let entries: Vec<(Kept, Descriptor)> = index
            .manifests
            .into_iter()
            .filter_map(|entry| Some((kept(&entry)?, entry)))
            .collect();
        let all: Vec<Kept> = entries.iter().map(|(kept, _)| kept.clone()).collect();
        let gone = leaving(&all, cache.max_bytes).max(all.len().saturating_sub(MAX_ARCHIVES));
        let mut list = Index::default();
        for (_, entry) in entries.into_iter().skip(gone) {
            // One that the registry has cleared up would have it refuse the list.
            if self.registry.digest(&entry.digest).await?.is_some() {
                list.manifests.push(entry);
            }
        }
        let bytes = serde_json::to_vec(&list).unwrap_or_default();
        self.registry
            .put_manifest(&tag(&self.owner, &cache.name), INDEX, &bytes)
            .await
            .map(drop)
    }

    /// The list of a cache; an empty one where there is none yet.
    async fn index(&self, cache: &CacheItem) -> Result<Index, RegistryError> {
        let tag = tag(&self.owner, &cache.name);
        let Some(found) = self.registry.manifest(&tag).await? else {
            return Ok(Index::default());
        };
        serde_json::from_slice(&found.bytes).map_err(|_| {
            let message = format!("tag {tag} of {} is no list of archives", self.name());
            RegistryError::new(Problem::Protocol, message)
        })
    }

    fn name(&self) -> String {
        self.registry.repository().name()
    }
}

/// The tag of the list of a cache: of a Pipeline, by its namespace and name.
fn tag(owner: &str, cache: &str) -> String {
    let pipeline = owner.rsplit('/').next().unwrap_or(owner);
    let mark = short_hash(format!("{owner}/{cache}").as_bytes(), 16);
    suffixed(&format!("caches-{pipeline}-{cache}"), &mark, MAX_TAG)
}

/// What an entry of a list says of its archive; nothing for what is none.
fn kept(entry: &Descriptor) -> Option<Kept> {
    let key = entry.annotations.get(KEY)?;
    let size = entry.annotations.get(SIZE)?.parse().ok()?;
    // A key is part of the name of a file.
    let is_plain = |c: char| c == '-' || c.is_ascii_hexdigit();
    if !key.chars().all(is_plain) || !is_digest(&entry.digest) {
        return None;
    }
    Some(Kept {
        key: key.clone(),
        size,
        digest: entry.digest.clone(),
    })
}

fn is_of(entry: &Descriptor, key: &str) -> bool {
    entry.annotations.get(KEY).is_some_and(|known| known == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::MANIFEST;

    #[test]
    fn every_cache_has_a_tag_of_its_own_that_a_registry_takes() {
        let long = "x".repeat(63);
        let long = [
            tag(&format!("{long}/{long}"), &long),
            tag(&format!("y/{long}"), &long),
        ];
        let short = [
            ("shop/api", "pip"),
            ("shop/api", "npm"),
            ("other/api", "pip"),
            ("shop/api-pip", "npm"),
            ("shop/api", "pip-npm"),
        ];
        let short = short.map(|(owner, cache)| tag(owner, cache));
        assert!(short[0].starts_with("caches-api-pip-"), "{short:?}");
        let mut all: Vec<&String> = long.iter().chain(&short).collect();
        for tag in &all {
            let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(tag.len() <= MAX_TAG && tag.chars().all(is_fine), "{tag}");
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn what_is_no_archive_is_passed_over() {
        let entry = |key: &str, size: &str| Descriptor {
            annotations: BTreeMap::from([(KEY.into(), key.into()), (SIZE.into(), size.into())]),
            ..Descriptor::of(MANIFEST, b"{}")
        };
        let good = kept(&entry("0a-1f", "12")).unwrap();
        assert_eq!((good.key.as_str(), good.size), ("0a-1f", 12));
        assert!(is_digest(&good.digest));
        assert_eq!(kept(&entry("../../climbed", "12")), None);
        assert_eq!(kept(&entry("0a-1f", "many")), None);
        assert_eq!(kept(&Descriptor::of(MANIFEST, b"{}")), None);
        let named = Descriptor {
            digest: "sha256:../../v2".into(),
            ..entry("0a-1f", "12")
        };
        assert_eq!(kept(&named), None);
    }
}
