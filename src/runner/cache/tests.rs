//! Caches with real files.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::tests::Folder;
use super::archive::ENDING;
use super::*;
use crate::runner::task::Subject;

struct Bench {
    folder: Folder,
    places: Places,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let root = folder.folders().workspace;
        let places = Places {
            storage: root.join("storage"),
            caches: root.join("caches"),
        };
        fs::create_dir_all(&places.storage).unwrap();
        Self { folder, places }
    }

    fn source(&self, path: &str, text: &str) {
        fs::write(self.folder.folders().checkout().join(path), text).unwrap();
    }

    async fn restore(&self, cache: &CacheItem) {
        restore(&task(cache), &self.folder.folders(), &self.places).await;
    }

    async fn save(&self, cache: &CacheItem) {
        save_all(&task(cache), &self.places).await;
    }

    fn put(&self, cache: &CacheItem, path: &str, text: &str) {
        let path = self.places.folder(cache, 0).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn get(&self, cache: &CacheItem, path: &str) -> Option<String> {
        fs::read_to_string(self.places.folder(cache, 0).join(path)).ok()
    }

    fn kept(&self, cache: &CacheItem) -> usize {
        fs::read_dir(self.places.archives(cache)).map_or(0, Iterator::count)
    }
}

fn task(cache: &CacheItem) -> FoldersTask {
    FoldersTask {
        caches: vec![cache.clone()],
        registry: None,
    }
}

fn pip() -> CacheItem {
    CacheItem {
        name: "pip".into(),
        files: vec!["requirements.txt".into()],
        values: vec![("PYTHON".into(), "3.11".into())],
        folders: 2,
        newest: true,
        saves: true,
        max_bytes: 1 << 20,
    }
}

#[tokio::test]
async fn what_was_kept_is_there_in_the_next_run() {
    let bench = Bench::new("cache");
    let cache = pip();
    bench.source("requirements.txt", "a==1");
    bench.restore(&cache).await;
    bench.put(&cache, "deep/wheel", "one");
    std::os::unix::fs::symlink("deep/wheel", bench.places.folder(&cache, 0).join("link")).unwrap();
    bench.save(&cache).await;
    bench.restore(&cache).await;
    assert_eq!(bench.get(&cache, "deep/wheel").as_deref(), Some("one"));
    assert_eq!(bench.get(&cache, "link").as_deref(), Some("one"));
    let mode = fs::metadata(bench.places.folder(&cache, 0).join("deep/wheel")).unwrap();
    assert_eq!(
        mode.permissions().mode() & 0o666,
        0o666,
        "any user may use it"
    );
    // What fits exactly is not packed again.
    bench.put(&cache, "more", "two");
    bench.save(&cache).await;
    bench.restore(&cache).await;
    assert_eq!(bench.get(&cache, "more"), None);
    assert_eq!(bench.kept(&cache), 1);
}

#[tokio::test]
async fn where_none_fits_the_newest_one_for_the_same_variables_is_taken() {
    let bench = Bench::new("newest");
    let cache = pip();
    bench.source("requirements.txt", "a==1");
    bench.restore(&cache).await;
    bench.put(&cache, "wheel", "one");
    bench.save(&cache).await;
    bench.source("requirements.txt", "a==2");
    bench.restore(&cache).await;
    assert_eq!(bench.get(&cache, "wheel").as_deref(), Some("one"));
    bench.save(&cache).await;
    assert_eq!(bench.kept(&cache), 2, "one for each content");
    let other = CacheItem {
        values: vec![("PYTHON".into(), "3.13".into())],
        ..pip()
    };
    bench.restore(&other).await;
    assert_eq!(bench.get(&other, "wheel"), None);
    let strict = CacheItem {
        newest: false,
        ..pip()
    };
    bench.source("requirements.txt", "a==3");
    bench.restore(&strict).await;
    assert_eq!(bench.get(&strict, "wheel"), None);
}

#[tokio::test]
async fn what_is_too_large_is_not_kept_and_the_oldest_go_first() {
    let bench = Bench::new("large");
    // Random text does not shrink.
    let mut seed = 1_u64;
    let mut noise = || -> String {
        let mut letter = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((seed >> 33) % 90).unwrap())
        };
        (0..20_000).map(|_| letter()).collect()
    };
    let cache = CacheItem {
        max_bytes: 40_000,
        ..pip()
    };
    for number in 0..4 {
        bench.source("requirements.txt", &number.to_string());
        bench
            .restore(&CacheItem {
                newest: false,
                ..cache.clone()
            })
            .await;
        bench.put(&cache, "noise", &noise());
        bench.save(&cache).await;
    }
    assert_eq!(bench.kept(&cache), 2, "as many as fit");
    bench.restore(&cache).await;
    assert!(bench.get(&cache, "noise").is_some(), "the newest stays");
    bench.source("requirements.txt", "large");
    bench.restore(&cache).await;
    for number in 0..4 {
        bench.put(&cache, &number.to_string(), &noise());
    }
    bench.save(&cache).await;
    assert_eq!(bench.kept(&cache), 2, "and no half of it is left");
}

#[tokio::test]
async fn a_run_that_may_not_keep_does_not() {
    let bench = Bench::new("forbidden");
    let cache = CacheItem {
        saves: false,
        ..pip()
    };
    bench.restore(&cache).await;
    bench.put(&cache, "wheel", "bad");
    bench.save(&cache).await;
    assert_eq!(bench.kept(&cache), 0);
}

#[tokio::test]
async fn a_broken_archive_and_one_that_climbs_are_no_trouble() {
    let bench = Bench::new("broken");
    let cache = pip();
    bench.restore(&cache).await;
    let key = key(&cache, &bench.folder.folders().checkout());
    let folder = bench.places.archives(&cache);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{key}{ENDING}"));
    fs::write(&path, "no archive").unwrap();
    bench.restore(&cache).await;
    assert!(bench.places.folder(&cache, 1).is_dir(), "empty, and there");

    let mut header = tar::Header::new_gnu();
    let name = b"../../../climbed";
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_size(3);
    header.set_mode(0o644);
    header.set_cksum();
    let mut builder = tar::Builder::new(GzEncoder::new(
        File::create(&path).unwrap(),
        Compression::fast(),
    ));
    builder.append(&header, &b"bad"[..]).unwrap();
    builder.into_inner().and_then(GzEncoder::finish).unwrap();
    bench.restore(&cache).await;
    assert!(!bench.places.caches.join("climbed").exists());
    assert!(!bench.folder.folders().workspace.join("climbed").exists());
}

#[tokio::test]
async fn a_registry_that_is_away_takes_the_caches_and_nothing_else() {
    let bench = Bench::new("away");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let npm = CacheItem {
        name: "npm".into(),
        ..pip()
    };
    let task = FoldersTask {
        caches: vec![pip(), npm],
        registry: Some(Subject {
            image: "shop/api".into(),
            repository: format!("{address}/shop/caches"),
            digest: String::new(),
            insecure: true,
            login: None,
        }),
    };
    restore(&task, &bench.folder.folders(), &bench.places).await;
    for cache in &task.caches {
        assert!(bench.places.folder(cache, 1).is_dir(), "empty, and there");
        bench.put(cache, "wheel", "one");
    }
    save_all(&task, &bench.places).await;
    for cache in &task.caches {
        assert_eq!(bench.get(cache, "wheel").as_deref(), Some("one"));
        assert_eq!(bench.kept(cache), 0, "nothing is left on the way there");
    }
}

#[test]
fn keys_tell_apart_what_differs() {
    let bench = Bench::new("keys");
    let checkout = bench.folder.folders().checkout();
    let cache = CacheItem {
        files: vec!["*.txt".into()],
        ..pip()
    };
    let mut keys = vec![key(&cache, &checkout)];
    for (path, text) in [("a.txt", "1"), ("a.txt", "2"), ("b.txt", "2")] {
        bench.source(path, text);
        keys.push(key(&cache, &checkout));
    }
    let other = CacheItem {
        values: vec![("PYTHON".into(), "3.13".into())],
        ..cache.clone()
    };
    keys.push(key(&other, &checkout));
    let mut unique = keys.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), keys.len(), "{keys:?}");
    bench.source("other", "3");
    assert_eq!(
        key(&cache, &checkout),
        keys[3],
        "other files make no difference"
    );
}

#[tokio::test]
async fn the_two_containers_find_each_other() {
    let bench = Bench::new("handshake");
    let cache = pip();
    bench.restore(&cache).await;
    bench.put(&cache, "wheel", "one");
    let folders = bench.folder.folders();
    let task = task(&cache);
    let mut stop = Stop::listen().unwrap();
    tokio::select! {
        () = keep(task, &folders, &bench.places, &mut stop) => panic!("it stays until the pod ends"),
        () = ask(&folders) => {}
    }
    assert_eq!(bench.kept(&cache), 1);
}
