//! Building one program with Go, once, however many processes want it at the same time.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use super::Program;
use crate::progress::Ticker;
use crate::wait;

/// No build of one program takes longer, even on one slow core.
const LIMIT: Duration = Duration::from_hours(1);

/// Builds a program into its place in the cache.
///
/// # Guarantees
/// The binary appears whole or not at all. Two processes never build at once: the second waits and finds it done.
pub(super) async fn build(program: &Program, cache: &Path) -> Result<()> {
    let folder = program
        .path
        .parent()
        .context("a program without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // One lock for all programs: Go uses every core by itself.
    let _lock = lock(&cache.join(LOCK), program.name).await?;
    if program.path.is_file() {
        return Ok(());
    }
    let fresh = folder.join(format!(".{}.{}", program.name, std::process::id()));
    let log = folder.join(format!("{}.log", program.name));
    compile(program, &fresh, &log).await?;
    fs::rename(&fresh, &program.path).context("cannot put the program in its place")
}

/// The lock file of what is built into the cache.
pub(super) const LOCK: &str = "programs/.lock";

/// Waits until nobody else holds the lock file, and keeps them waiting for as long as it is held.
pub(crate) async fn lock(path: &Path, for_what: &str) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut told: Option<Ticker> = None;
    wait::until("another process's build ends", LIMIT, || {
        let free = match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => {
                let what = || Ticker::new(format!("waiting to build {for_what}"));
                told.get_or_insert_with(what).tick();
                Ok(None)
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        };
        async { free }
    })
    .await?;
    Ok(file)
}

async fn compile(program: &Program, out: &Path, log: &Path) -> Result<()> {
    let output = File::create(log)?;
    let mut child = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly"])
        .args(["-ldflags", &program.ldflags, "-tags", program.tags])
        .arg("-o")
        .arg(out)
        .arg(program.package)
        .current_dir(&program.module)
        .env("CGO_ENABLED", if program.has_c { "1" } else { "0" })
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| {
            format!(
                "Go is needed to build {}: install Go 1.26 or newer",
                program.name
            )
        })?;
    let mut ticker = Ticker::new(format!("building {}", program.name));
    let status = wait::until("the build ends", LIMIT, || {
        ticker.tick();
        let status = child.try_wait();
        async { Ok(status?) }
    })
    .await?;
    if !status.success() {
        bail!(
            "building {} failed: {}",
            program.name,
            crate::process::last_lines(log, 5)
        );
    }
    ticker.done();
    Ok(())
}

/// Downloads a module that another one pins, and gives its folder.
pub(super) async fn download(pinned_by: &Path, module: &str) -> Result<PathBuf> {
    let go = |args: &[&str]| {
        let mut command = Command::new("go");
        command
            .args(args)
            .arg(module)
            .current_dir(pinned_by)
            .stdin(Stdio::null());
        command.kill_on_drop(true).output()
    };
    let needed = || format!("Go is needed to get {module}: install Go 1.26 or newer");
    go(&["mod", "download", "-json"])
        .await
        .with_context(needed)?;
    let output = go(&["list", "-m", "-f", "{{.Dir}}"]).await?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        !folder.is_empty(),
        "no {module}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(PathBuf::from(folder))
}

/// Writes a file whole or not at all.
pub(super) fn put(path: &Path, content: &str) -> Result<()> {
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{}", std::process::id()));
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path).context("cannot put the file in its place")
}
