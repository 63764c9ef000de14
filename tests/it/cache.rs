//! Caches of stages in real registries: what containers of ours leave there, and find again in another pod.
//!
//! No cluster is needed for it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use slipway::oci::client::Registry;
use slipway::oci::manifest::{ArtifactManifest, Index};
use slipway::oci::repository::Repository;
use slipway::runner::Folders;
use slipway::runner::cache::{self, Places};
use slipway::runner::process::Stop;
use slipway::runner::task::{CacheItem, FoldersTask, Subject};
use tempfile::TempDir;

use crate::supply::Server;

/// The pod of a stage: its own folders, and nothing from other pods.
struct Pod {
    folder: TempDir,
    task: FoldersTask,
}

impl Pod {
    fn new(server: &Server, cache: CacheItem, requirements: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let task = FoldersTask {
            caches: vec![cache],
            registry: Some(Subject {
                image: "shop/api".into(),
                repository: format!("{}/shop/caches", server.address),
                digest: String::new(),
                insecure: true,
                login: None,
            }),
        };
        let pod = Self { folder, task };
        let checkout = pod.folders().checkout();
        for path in [&checkout, &pod.places().caches, &pod.places().storage] {
            std::fs::create_dir_all(path).unwrap();
        }
        std::fs::write(checkout.join("requirements.txt"), requirements).unwrap();
        pod
    }

    fn folders(&self) -> Folders {
        Folders {
            workspace: self.folder.path().join("workspace"),
        }
    }

    fn places(&self) -> Places {
        Places {
            storage: self.folder.path().join("storage"),
            caches: self.folder.path().join("caches"),
        }
    }

    /// What the script sees as the first folder of its cache.
    fn cache(&self, path: &str) -> PathBuf {
        self.places().caches.join("pip/0").join(path)
    }

    async fn restore(self) -> Self {
        cache::restore(&self.task, &self.folders(), &self.places()).await;
        self
    }

    /// The script has left this, and went well.
    async fn keep(self, path: &str, content: &[u8]) {
        let file = self.cache(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
        let (folders, places) = (self.folders(), self.places());
        let mut stop = Stop::listen().unwrap();
        tokio::select! {
            () = cache::keep(self.task.clone(), &folders, &places, &mut stop) => panic!("it stays until the pod ends"),
            () = cache::ask(&folders) => {}
        }
        let left = std::fs::read_dir(places.storage.join("pip"));
        assert_eq!(
            left.map_or(0, Iterator::count),
            0,
            "what passed through is gone"
        );
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.cache(path)).ok()
    }
}

fn pip() -> CacheItem {
    CacheItem {
        name: "pip".into(),
        files: vec!["requirements.txt".into()],
        values: vec![("PYTHON".into(), "3.12".into())],
        folders: 2,
        newest: true,
        saves: true,
        max_bytes: 10 << 20,
    }
}

/// Content that does not shrink.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}

fn registry(server: &Server) -> Registry {
    let repository = format!("{}/shop/caches", server.address);
    let repository = Repository::parse(&repository, true).unwrap();
    Registry::new(reqwest::Client::new(), repository, None)
}

/// The list of the one cache, and its tag.
async fn list(server: &Server) -> (String, Index) {
    let registry = registry(server);
    let tags = registry.tags().await.unwrap();
    assert_eq!(tags.len(), 1, "{tags:?}");
    let list = registry.manifest(&tags[0]).await.unwrap().unwrap();
    let list = serde_json::from_slice(&list.bytes).unwrap();
    (tags[0].clone(), list)
}

async fn keeps_and_finds(server: &Server) {
    // Larger than what is in memory at once.
    let large = noise(1, 3 << 20);
    let first = Pod::new(server, pip(), "a==1").restore().await;
    assert_eq!(first.read("deep/wheel"), None);
    symlink("deep/wheel", first.cache("link")).unwrap();
    first.keep("deep/wheel", &large).await;
    let exact = Pod::new(server, pip(), "a==1").restore().await;
    assert_eq!(exact.read("deep/wheel").as_deref(), Some(&large[..]));
    assert_eq!(exact.read("link").as_deref(), Some(&large[..]));
    // What fits exactly is not kept again.
    exact.keep("more", b"more").await;
    assert_eq!(list(server).await.1.manifests.len(), 1);
    // Other files take the newest one for the same variables, and are kept beside it.
    let near = Pod::new(server, pip(), "a==2").restore().await;
    assert_eq!(near.read("deep/wheel").as_deref(), Some(&large[..]));
    assert_eq!(near.read("more"), None);
    near.keep("second", &noise(2, 3 << 20)).await;
    let (tag, both) = list(server).await;
    assert!(tag.starts_with("caches-api-pip-"), "{tag}");
    assert_eq!(both.manifests.len(), 2);
    // Runs that may only take leave nothing.
    let reader = CacheItem {
        saves: false,
        ..pip()
    };
    let reader = Pod::new(server, reader, "a==3").restore().await;
    assert!(reader.read("second").is_some());
    reader.keep("bad", b"bad").await;
    assert_eq!(list(server).await.1.manifests.len(), 2);
    // Other variables and exact keys find nothing.
    let values = vec![("PYTHON".into(), "3.13".into())];
    let others = [
        CacheItem { values, ..pip() },
        CacheItem {
            newest: false,
            ..pip()
        },
    ];
    for other in others {
        let other = Pod::new(server, other, "a==4").restore().await;
        assert_eq!(other.read("second"), None);
        assert!(
            other.places().caches.join("pip/1").is_dir(),
            "empty, and there"
        );
    }
    what_was_not_used_for_longest_goes(server, &large).await;
}

/// Two archives of 3 and 6 MiB are there, the first of which is used once more; a third one does not fit beside both.
async fn what_was_not_used_for_longest_goes(server: &Server, large: &[u8]) {
    let used = Pod::new(server, pip(), "a==1").restore().await;
    used.keep("more", b"more").await;
    let (_, before) = list(server).await;
    let strict = CacheItem {
        newest: false,
        ..pip()
    };
    let third = Pod::new(server, strict.clone(), "a==5").restore().await;
    third.keep("third", &noise(3, 3 << 20)).await;
    let (_, after) = list(server).await;
    assert_eq!(after.manifests.len(), 2);
    assert_eq!(
        after.manifests[0], before.manifests[1],
        "the one used last stays"
    );
    let gone = Pod::new(server, strict.clone(), "a==2").restore().await;
    assert_eq!(gone.read("second"), None);
    let stays = Pod::new(server, strict, "a==1").restore().await;
    assert_eq!(stays.read("deep/wheel").as_deref(), Some(large));
}

#[tokio::test]
#[ignore = "needs docker-registry and Go; run make test"]
async fn a_cache_is_kept_in_a_registry_and_found_in_another_pod() {
    keeps_and_finds(&Server::debian().await).await;
    keeps_and_finds(&Server::with_referrers("oci-registry").await).await;
    keeps_and_finds(&Server::with_referrers("cue-registry").await).await;
}

#[tokio::test]
#[ignore = "needs docker-registry; run make test"]
async fn an_archive_that_is_not_what_it_was_is_left_out() {
    let server = Server::debian().await;
    let first = Pod::new(&server, pip(), "a==1").restore().await;
    first.keep("wheel", b"wheel").await;
    let (_, list) = list(&server).await;
    let manifest = registry(&server).manifest(&list.manifests[0].digest).await;
    let manifest: ArtifactManifest =
        serde_json::from_slice(&manifest.unwrap().unwrap().bytes).unwrap();
    // As large as it was: the digest alone tells.
    let hex = manifest.layers[0].digest.strip_prefix("sha256:").unwrap();
    let blobs = Path::new("data/docker/registry/v2/blobs/sha256").join(&hex[..2]);
    let blob = server.folder.path().join(blobs).join(hex).join("data");
    let length = std::fs::metadata(&blob).unwrap().len();
    std::fs::write(&blob, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
    let second = Pod::new(&server, pip(), "a==1").restore().await;
    assert_eq!(second.read("wheel"), None);
    assert!(
        second.places().caches.join("pip/1").is_dir(),
        "empty, and there"
    );
    // One that is larger than the cache may be is not even asked for.
    let small = CacheItem {
        max_bytes: length - 1,
        ..pip()
    };
    let small = Pod::new(&server, small, "a==1").restore().await;
    assert_eq!(small.read("wheel"), None);
}
