//! The operator of this repository in a cluster: its images, and the shipped chart.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};

use crate::node::Node;
use crate::{image, programs, settings};

/// Where the operator is installed.
pub const NAMESPACE: &str = "slipway-system";
/// Name of the chart's release, and so of everything that it makes.
pub const RELEASE: &str = "slipway";

/// The programs that go into the images.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `slipway`.
    pub operator: PathBuf,
    /// `slipway-runner` in one static file, where Pipelines are to run.
    pub runner: Option<PathBuf>,
}

impl Programs {
    /// Has cargo build them, as far as they are not.
    pub async fn build() -> Result<Self> {
        let operator = cargo(&["build", "--package=slipway", "--bin=slipway"], &[]).await?;
        Ok(Self {
            operator,
            runner: Some(static_runner().await?),
        })
    }
}

/// `slipway-runner` as one static file, which runs in containers of any image. Built once by a process: while cargo
/// links it anew, whoever copies it finds nothing.
pub async fn static_runner() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(build_static_runner).await.cloned()
}

async fn build_static_runner() -> Result<PathBuf> {
    // Only the last link is another than that of the tests; cargo keeps one of the two. `tests/run.sh` builds it before.
    let args = ["rustc", "--package=slipway", "--bin=slipway-runner"];
    let runner = cargo(&args, &["--", "-C", "target-feature=+crt-static"]).await?;
    let copy = runner.with_file_name("static").join("slipway-runner");
    let fresh = copy.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(runner.with_file_name("static"))?;
    std::fs::copy(&runner, &fresh)?;
    std::fs::rename(&fresh, &copy)?;
    Ok(copy)
}

/// Builds a program; where it is.
async fn cargo(args: &[&str], flags: &[&str]) -> Result<PathBuf> {
    let output = Command::new(settings::cargo())
        .current_dir(crate::repository_root())
        .args(args)
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .args(flags)
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut programs = messages.filter_map(|message: serde_json::Value| {
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    programs.next_back().context("cargo names no program")
}

/// Two upgrades of one release at once are one too many.
static TURN: Mutex<()> = Mutex::const_new(());

/// Installs the chart with these programs, or brings what is installed up to date. `settings` are further values of
/// the chart, as `name=value`.
pub async fn install(node: &Node, of: &Programs, settings: &[&str]) -> Result<()> {
    let registry = node.registry();
    let root = crate::repository_root();
    let operator = image::program_image(
        registry,
        "slipway/slipway",
        &root.join("Dockerfile"),
        &of.operator,
    )
    .await?;
    let (repository, tag) = operator.rsplit_once(':').context("an image with a tag")?;
    // All that install it on one node share it, and what one of them needs must not go with the upgrade of another.
    let mut values = vec![
        format!("image.repository={repository}"),
        "secretSnapshots.enabled=true".to_owned(),
        "analysis.secrets.enabled=true".to_owned(),
        "stages.secrets.enabled=true".to_owned(),
        "alerts.enabled=true".to_owned(),
        "previews.enabled=true".to_owned(),
    ];
    // A tag of nothing but digits is no number.
    let tag = format!("image.tag={tag}");
    if let Some(runner) = &of.runner {
        let base = image::base::debian(registry).await?;
        let dockerfile = root.join("Dockerfile.runner");
        let name = "slipway/slipway-runner";
        let runner = image::program_image_on(registry, name, &dockerfile, runner, &base).await?;
        values.push(format!("stages.runnerImage={runner}"));
        let buildkit = image::base::buildkit(registry).await?;
        values.push(format!("stages.buildkitImage={buildkit}"));
        let buildah = image::base::buildah(registry).await?;
        values.push(format!("stages.buildahImage={buildah}"));
        let syft = image::base::syft(registry).await?;
        values.push(format!("stages.syftImage={syft}"));
    }
    values.extend(settings.iter().map(|setting| (*setting).to_owned()));
    let chart = root.join("charts/slipway").display().to_string();
    let fixed = [
        "upgrade",
        RELEASE,
        &chart,
        "--install",
        "--wait",
        "--timeout=3m",
    ];
    let place = ["--namespace", NAMESPACE, "--create-namespace"];
    let values = values.iter().flat_map(|value| ["--set", value.as_str()]);
    let args = fixed.into_iter().chain(place).chain(values);
    let args: Vec<&str> = args.chain(["--set-string", &tag]).collect();
    let _turn = TURN.lock().await;
    helm(node.control_plane().kubeconfig_path(), &args)
        .await
        .map(drop)
}

/// Runs helm; what it says.
pub async fn helm(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    programs::ensure(&["helm"]).await?;
    run(kubeconfig, "helm", args).await
}

/// Runs one of the testbed's programs against a cluster; what it says, as the error when it fails.
pub async fn run(kubeconfig: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(programs::path_of(program)?)
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    bail!("{program} {}: {}", args.join(" "), said.trim())
}
