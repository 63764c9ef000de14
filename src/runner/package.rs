//! Pushes packages: files that a script has left, to a registry by digest. Talks to the network.
//!
//! It runs beside the script and sees its files; the script sees neither the login nor the report, which is what counts. The
//! same files of the same commit have the same digest, and to push them twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::process::Stop;
use super::registry::{self, Trouble};
use super::report::{PackageReport, StageReport, clean};
use super::task::{PUSH_SECONDS, PackageItem, PackagesTask};
use super::{Folders, glob, say};
pub(super) use crate::oci::manifest::TITLE;
use crate::oci::manifest::{Descriptor, artifact_manifest};
use crate::pipeline::api::PackageType;
use crate::pipeline_run::api::FailureKind;

/// Files of a package.
pub(super) const MAX_FILES: usize = 16;
/// Largest file.
pub(super) const MAX_BYTES: u64 = 128 << 20;
/// How they know the version of what is in there.
const VERSION: &str = "org.opencontainers.image.version";

/// Pushes what the script has left as soon as it went well, and ends when the pod does; the report and the exit code.
pub async fn run(task: &PackagesTask, folders: &Folders, stop: &mut Stop) -> (StageReport, u8) {
    if !folders.packages().is_asked(stop).await {
        return (StageReport::default(), 0);
    }
    let done = tokio::select! {
        done = registry::within(task.timeout_seconds, push_all(task, folders)) => done,
        () = stop.asked() => {
            let message = "the pod was asked to end while packages were pushed";
            return registry::finished(Err(Trouble {
                is_transient: true,
                ..Trouble::new(FailureKind::Infra, message)
            }));
        }
    };
    let (report, code) = registry::finished(done);
    let said = report.message.clone().unwrap_or_default();
    if let Err(error) = folders.packages().answer(&said) {
        say(&format!(
            "slipway: cannot say that packages are pushed: {error}"
        ));
    }
    // One that ended before the script would be started again.
    stop.asked().await;
    (report, code)
}

/// Has the container beside this one push the packages, and waits for it. For the container that runs the script.
pub async fn ask(folders: &Folders) {
    // A little more than the other side takes.
    let patience = Duration::from_secs(PUSH_SECONDS + 10);
    match folders.packages().ask(patience).await {
        // The script can write that as well, and its log is what it says anyway.
        Ok(Some(said)) => say(&format!("slipway: {}", clean(&said, 2000))),
        Ok(None) => say("slipway: nobody says that the packages are pushed"),
        Err(error) => say(&format!("slipway: the packages are not pushed: {error}")),
    }
}

/// Pushes them; the report.
///
/// # Errors
/// When files are not as they have to be, or the registry does not take them.
pub async fn push_all(task: &PackagesTask, folders: &Folders) -> Result<StageReport, Trouble> {
    let mut packages = Vec::new();
    for package in &task.packages {
        packages.push(push(package, task, folders).await?);
    }
    let made: Vec<String> = packages
        .iter()
        .map(|PackageReport(name, digest, ..)| format!("package {name} as {digest}"))
        .collect();
    Ok(StageReport {
        message: Some(format!("pushed {}", made.join(", "))),
        packages,
        ..StageReport::default()
    })
}

async fn push(
    package: &PackageItem,
    task: &PackagesTask,
    folders: &Folders,
) -> Result<PackageReport, Trouble> {
    let files = find(package, folders)?;
    let registry = registry::open(&package.subject)?;
    let mut layers = Vec::new();
    for (name, path) in &files {
        let bytes = read(&folders.checkout(), path).map_err(|error| {
            config(format!(
                "package {}: {name} cannot be read: {error}",
                package.subject.image
            ))
        })?;
        let blob = registry.put_blob(media_type(name), &bytes).await?;
        layers.push(Descriptor {
            annotations: BTreeMap::from([(TITLE.to_owned(), name.clone())]),
            ..blob
        });
    }
    let version = version(package.type_, files.iter().map(|(name, _)| name.as_str()));
    let mut annotations = task.annotations.clone();
    annotations.insert(TITLE.to_owned(), package.subject.image.clone());
    annotations.extend(version.clone().map(|version| (VERSION.to_owned(), version)));
    let type_ = package.type_.artifact_type();
    let manifest = artifact_manifest(type_, &layers, None, &annotations);
    let (manifest, _) = registry.put_files((type_, manifest)).await?;
    let (name, digest) = (package.subject.image.clone(), manifest.digest);
    say(&format!(
        "slipway: package {name}: {}@{digest}",
        package.subject.repository
    ));
    let size = layers.iter().map(|layer| layer.size).sum();
    Ok(PackageReport(name, digest, size, version))
}

fn config(message: String) -> Trouble {
    Trouble::new(FailureKind::Config, message)
}

/// The files of a package that the script has left: their names, told apart, and their paths.
fn find(package: &PackageItem, folders: &Folders) -> Result<Vec<(String, PathBuf)>, Trouble> {
    let name = &package.subject.image;
    let fresh: Vec<PathBuf> = glob::fresh(folders, &package.files)
        .map_err(|error| config(format!("package {name}: {error}")))?;
    let globs = package.files.join(", ");
    if fresh.is_empty() {
        return Err(config(format!(
            "package {name}: the script has left no file {globs}"
        )));
    }
    if fresh.len() > MAX_FILES {
        return Err(config(format!(
            "package {name}: {} files fit {globs}, more than {MAX_FILES}; pack them into an archive, or narrow the globs",
            fresh.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for path in fresh {
        let file = path.file_name().and_then(|name| name.to_str());
        let file = file.unwrap_or_default().to_owned();
        let endings = package.type_.endings();
        if !endings.is_empty() && !endings.iter().any(|ending| file.ends_with(ending)) {
            return Err(config(format!(
                "package {name}: {file} is none of type {}, whose files end with {}; narrow the globs",
                package.type_,
                endings.join(" or ")
            )));
        }
        if !names.insert(file.clone()) {
            return Err(config(format!(
                "package {name}: two files are called {file}; a package has no folders"
            )));
        }
        files.push((file, path));
    }
    Ok(files)
}

/// Reads a file of the checkout. A link that leads anywhere else, to our login for example, is not followed, wherever in the
/// path it is and whenever it was put there.
fn read(checkout: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let inside = path.strip_prefix(checkout).unwrap_or(path);
    let root = File::open(checkout)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(rustix::fs::openat2(
        &root,
        inside,
        flags,
        Mode::empty(),
        resolve,
    )?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    Ok(bytes)
}

fn media_type(name: &str) -> &'static str {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".tgz", ".tar.gz", ".crate"]) {
        "application/gzip"
    } else if ends(&[".whl", ".zip"]) {
        "application/zip"
    } else {
        "application/octet-stream"
    }
}

/// The version that all files agree on.
fn version<'a>(type_: PackageType, files: impl Iterator<Item = &'a str>) -> Option<String> {
    let versions: Option<BTreeSet<String>> = files.map(|file| type_.version_in(file)).collect();
    let mut versions = versions?.into_iter();
    let first = versions.next()?;
    versions.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::super::script_file;
    use super::*;
    use crate::runner::task::Subject;

    fn package(type_: PackageType, files: &[&str]) -> PackageItem {
        PackageItem {
            subject: Subject {
                image: "parcels".into(),
                repository: "registry.example/shop/parcels".into(),
                digest: String::new(),
                insecure: false,
                login: None,
            },
            type_,
            files: files.iter().map(|file| (*file).to_owned()).collect(),
        }
    }

    fn folders() -> (tempfile::TempDir, Folders) {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            workspace: folder.path().to_owned(),
        };
        fs::create_dir_all(folders.checkout().join("dist")).unwrap();
        (folder, folders)
    }

    fn found(package: &PackageItem, folders: &Folders) -> Result<Vec<String>, String> {
        let found = find(package, folders).map_err(|trouble| trouble.message)?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn a_package_has_what_the_script_has_left() {
        let (_keep, folders) = folders();
        let dist = folders.checkout().join("dist");
        let wheel = package(PackageType::Wheel, &["dist/*"]);
        fs::write(dist.join("old-1.0.0-py3-none-any.whl"), "old").unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = File::options()
            .append(true)
            .open(dist.join("old-1.0.0-py3-none-any.whl"));
        file.unwrap().set_modified(old).unwrap();
        fs::write(script_file(&folders), "true").unwrap();
        let none = found(&wheel, &folders).unwrap_err();
        assert!(none.contains("has left no file dist/*"), "{none}");
        fs::write(dist.join("parcels-1.2.0-py3-none-any.whl"), "new").unwrap();
        assert_eq!(
            found(&wheel, &folders).unwrap(),
            ["parcels-1.2.0-py3-none-any.whl"]
        );
        fs::write(dist.join("notes.txt"), "new").unwrap();
        let other = found(&wheel, &folders).unwrap_err();
        assert!(other.contains("notes.txt is none of type Wheel"), "{other}");
        let all = package(PackageType::File, &["**/*"]);
        assert_eq!(found(&all, &folders).unwrap().len(), 2);
        fs::create_dir(dist.join("more")).unwrap();
        fs::write(dist.join("more/notes.txt"), "new").unwrap();
        let twice = found(&all, &folders).unwrap_err();
        assert!(twice.contains("two files are called notes.txt"), "{twice}");
    }

    #[test]
    fn no_link_leads_out_of_the_checkout() {
        let (_keep, folders) = folders();
        let checkout = folders.checkout();
        let secret = folders.workspace.join("login.json");
        fs::write(&secret, "secret").unwrap();
        fs::write(checkout.join("dist/good.whl"), "good").unwrap();
        assert_eq!(
            read(&checkout, &checkout.join("dist/good.whl")).unwrap(),
            b"good"
        );
        symlink(&secret, checkout.join("dist/bad.whl")).unwrap();
        symlink(&folders.workspace, checkout.join("away")).unwrap();
        let paths = ["dist/bad.whl", "away/login.json", "../login.json"];
        for path in paths {
            assert!(read(&checkout, &checkout.join(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn files_that_disagree_have_no_version() {
        let of = |files: &[&str]| version(PackageType::Wheel, files.iter().copied());
        let wheel = "parcels-1.2.0-py3-none-any.whl";
        assert_eq!(
            of(&[wheel, "parcels-1.2.0.tar.gz"]).as_deref(),
            Some("1.2.0")
        );
        assert_eq!(of(&[wheel, "parcels-1.3.0.tar.gz"]), None);
        assert_eq!(of(&[wheel, "notes.tar.gz"]), None);
    }
}
