//! Images around a program that cargo has built already: no second build, and nothing of Debian but its C library.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::base;
use crate::settings::program;

/// Puts `binary`, without its symbols, where `dockerfile` copies it from (`dist/<architecture>/<its name>`), and
/// builds that on a base that has the libraries it is linked against. `ARG BASE` before `FROM` holds the base's name.
///
/// A build with static libraries would need no base, but it is a second build of every dependency, and the tests of
/// this workspace have built the dynamic one.
pub async fn program_image(
    registry: &str,
    name: &str,
    dockerfile: &Path,
    binary: &Path,
) -> Result<String> {
    let dockerfile = fs::read_to_string(dockerfile)
        .with_context(|| format!("cannot read {}", dockerfile.display()))?;
    let base = base::glibc(registry, binary).await?;
    let work = super::Workplace::new()?;
    let file = binary.file_name().context("a program has a name")?;
    let place = work.path().join("dist").join(architecture()).join(file);
    fs::create_dir_all(place.parent().unwrap_or(work.path()))?;
    strip(binary, &place).await?;
    fs::write(work.path().join("Dockerfile"), &dockerfile)?;
    let args = [("BASE", base.as_str()), ("TARGETARCH", architecture())];
    let tag = tag(&place, &dockerfile, &base).await?;
    super::ensure(registry, name, &tag, &args, async |_| {
        Ok(work.path().to_owned())
    })
    .await
}

/// As image registries name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn strip(binary: &Path, to: &Path) -> Result<()> {
    let strip = program("strip")?.display().to_string();
    let [binary, to] = [binary, to].map(|path: &Path| path.display().to_string());
    crate::process::run(&strip, &["-o", &to, &binary]).await?;
    Ok(())
}

/// Fifty megabytes are hashed by a program that is compiled with optimisation.
async fn tag(binary: &Path, dockerfile: &str, base: &str) -> Result<String> {
    let sha256sum = program("sha256sum")?.display().to_string();
    let sum = crate::process::run(&sha256sum, &[&binary.display().to_string()]).await?;
    let sum = sum.split_whitespace().next().unwrap_or_default();
    Ok(base::tag(&[
        sum.as_bytes(),
        dockerfile.as_bytes(),
        base.as_bytes(),
    ]))
}
