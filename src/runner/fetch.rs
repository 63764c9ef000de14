//! Brings the packages of a run into the pod that hands them out, by their digests. Talks to the network and to the operating
//! system.
//!
//! It has the logins and runs before the script, which sees the files only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::package::{MAX_BYTES, MAX_FILES, TITLE};
use super::registry::{self, Trouble};
use super::report::StageReport;
use super::task::{FetchTask, Subject};
use crate::oci::manifest::ArtifactManifest;
use crate::pipeline_run::api::FailureKind;

/// Fetches; the report and the container's exit code.
pub async fn run(task: &FetchTask) -> (StageReport, u8) {
    let done = registry::within(
        task.timeout_seconds,
        fetch_all(task, Path::new(&task.folder)),
    );
    registry::finished(done.await)
}

/// Fetches every package into a folder of its name.
///
/// # Errors
/// When one is not there any more, or is none, or the registry does not answer.
pub async fn fetch_all(task: &FetchTask, folder: &Path) -> Result<StageReport, Trouble> {
    let mut fetched = Vec::new();
    for subject in &task.packages {
        let count = fetch(subject, &folder.join(&subject.image)).await?;
        fetched.push(format!("{} ({count})", subject.image));
    }
    Ok(StageReport {
        message: Some(format!("fetched packages {}", fetched.join(", "))),
        ..StageReport::default()
    })
}

async fn fetch(subject: &Subject, folder: &Path) -> Result<usize, Trouble> {
    let trouble = |what: &str| {
        let message = format!("package {}: {what}", subject.image);
        Trouble::new(FailureKind::Registry, message)
    };
    let registry = registry::open(subject)?;
    let manifest = registry::manifest_of(&registry, subject).await?;
    let manifest: ArtifactManifest = serde_json::from_slice(&manifest.bytes)
        .map_err(|_| trouble("what the registry has is no package"))?;
    if manifest.layers.is_empty() || manifest.layers.len() > MAX_FILES {
        return Err(trouble("what the registry has is no package of a run"));
    }
    let io = |error: std::io::Error| {
        let message = format!("package {} cannot be kept: {error}", subject.image);
        Trouble::new(FailureKind::Infra, message)
    };
    fs::create_dir_all(folder).map_err(io)?;
    let mut names = BTreeSet::new();
    for layer in &manifest.layers {
        let name = layer.annotations.get(TITLE);
        let name = name.filter(|name| is_plain(name) && names.insert((*name).clone()));
        let name = name.ok_or_else(|| trouble("its files have no names of their own"))?;
        let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
        let bytes = registry.blob(&layer.digest, limit).await?;
        fs::write(folder.join(name), bytes).map_err(io)?;
    }
    Ok(names.len())
}

/// Whether a name is that of a file, and leads nowhere else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["parcels-1.2.0.tar.gz", "a", "a..b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", ".", "..", ".npmrc", "../a", "/etc/passwd", "a/b", "a\0"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
