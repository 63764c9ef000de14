//! Container images, built on the spot and pushed to the testbed's registry. There is no other registry here.
//!
//! An image's tag is the hash of what it is made of: one that the registry has is never built again.

pub mod base;
mod database;
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::programs::{lock, short_hex};
use crate::progress::Ticker;
use crate::settings::Settings;

pub use database::{database, postgres};
pub use program::{program_image, program_image_on};

/// Builds the Dockerfile in `context` and pushes it as `<registry>/<name>:<hash of the context>`, which is returned.
///
/// `RUN` lines work, without isolation worth the name. `ARG REGISTRY` before `FROM` holds the registry's address.
pub async fn build(registry: &str, context: &Path, name: &str) -> Result<String> {
    build_with(registry, context, name, &[]).await
}

/// The same with values for more `ARG` lines.
pub async fn build_with(
    registry: &str,
    context: &Path,
    name: &str,
    args: &[(&str, &str)],
) -> Result<String> {
    let mut tag = hash_of(context)?;
    if !args.is_empty() {
        let words = args
            .iter()
            .flat_map(|(arg, value)| [arg.as_bytes(), value.as_bytes()]);
        tag = base::tag(
            &std::iter::once(tag.as_bytes())
                .chain(words)
                .collect::<Vec<_>>(),
        );
    }
    ensure(registry, name, &tag, args, async |_| Ok(context.to_owned())).await
}

/// The image of that name and tag, built in the context that `prepare` makes or names when the registry lacks it.
pub(crate) async fn ensure(
    registry: &str,
    name: &str,
    tag: &str,
    args: &[(&str, &str)],
    prepare: impl AsyncFnOnce(&Path) -> Result<PathBuf>,
) -> Result<String> {
    let reference = format!("{registry}/{name}:{tag}");
    if is_pushed(registry, name, tag).await? {
        return Ok(reference);
    }
    let settings = Settings::from_env();
    let work = Workplace::new()?;
    let mut ticker = Ticker::new(format!("building image {name}"));
    ticker.tick();
    let context = prepare(work.path()).await?.display().to_string();
    // Two builds of one image would take it away from under each other.
    let _lock = lock(&settings.cache.join("images.lock"), name).await?;
    if is_pushed(registry, name, tag).await? {
        ticker.done();
        return Ok(reference);
    }
    let args: Vec<String> = std::iter::once(&("REGISTRY", registry))
        .chain(args)
        .map(|(name, value)| format!("--build-arg={name}={value}"))
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let fixed = ["bud", "--isolation", "chroot", "--tag", &reference];
    let bud = [&fixed[..], &args, &[&context]].concat();
    buildah(&settings.cache, &bud).await?;
    buildah(&settings.cache, &["push", &reference]).await?;
    buildah(&settings.cache, &["rmi", &reference]).await?;
    ticker.done();
    Ok(reference)
}

async fn is_pushed(registry: &str, name: &str, tag: &str) -> Result<bool> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let manifest = format!("http://{registry}/v2/{name}/manifests/{tag}");
    let types = "application/vnd.oci.image.manifest.v1+json, \
                 application/vnd.docker.distribution.manifest.v2+json";
    let answer = http.head(manifest).header("Accept", types).send().await;
    let silent = || format!("the registry {registry} does not answer");
    Ok(answer.with_context(silent)?.status().is_success())
}

async fn buildah(cache: &Path, args: &[&str]) -> Result<()> {
    let storage = cache.join("buildah");
    fs::create_dir_all(&storage)?;
    let policy = storage.join("policy.json");
    fs::write(
        &policy,
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    )?;
    let (command, rest) = args.split_first().context("buildah without a command")?;
    let mut call = Command::new(crate::settings::program("buildah")?);
    call.args(["--storage-driver", "vfs", "--root"])
        .arg(storage.join("root"));
    call.arg("--runroot").arg(storage.join("run")).arg(command);
    if *command != "rmi" {
        call.arg("--tls-verify=false")
            .arg("--signature-policy")
            .arg(policy);
    }
    let output = call.args(rest).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::bail!("buildah {command} failed: {}", said.trim());
    }
    Ok(())
}

/// Folder, content and executability of everything below.
fn hash_of(context: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    add(&mut hash, context).with_context(|| format!("cannot read {}", context.display()))?;
    Ok(short_hex(&hash.finalize()))
}

fn add(hash: &mut Sha256, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(path)?;
    if !meta.is_dir() {
        hash.update([u8::from(meta.permissions().mode() & 0o100 != 0)]);
        hash.update(meta.len().to_le_bytes());
        hash.update(fs::read(path)?);
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        hash.update(entry.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        add(hash, &entry)?;
    }
    Ok(())
}

/// A folder for one build, gone with it.
#[derive(Debug)]
struct Workplace(PathBuf);

impl Workplace {
    fn new() -> Result<Self> {
        let root = Settings::from_env().root;
        let dir = root.join(crate::control_plane::unique("image"));
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
