//! Lists what is in images, with syft, and puts the lists beside them. Talks to the operating system and to the network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::mask::Mask;
use super::process::{self, Stop};
use super::registry::{self, Trouble};
use super::report::{AttestationReport, StageReport};
use super::sign::MAX_SBOM;
use super::task::{self, SbomTask, Subject};
use super::{Folders, memory, stage};
use crate::oci::manifest::Artifact;
use crate::pipeline_run::api::{AttestationKind, FailureKind};

/// Media type of a list, and type of the artifact that it is stored as.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// What syft writes: CycloneDX 1.6 as JSON.
const FORMAT: &str = "cyclonedx-json@1.6";

/// Lists; the report and the container's exit code.
pub async fn run(task: &SbomTask, folders: &Folders, stop: &mut Stop) -> (StageReport, u8) {
    registry::finished(list_all(task, folders, stop).await)
}

async fn list_all(
    task: &SbomTask,
    folders: &Folders,
    stop: &mut Stop,
) -> Result<StageReport, Trouble> {
    let begun = Instant::now();
    let mut made = Vec::new();
    let mut counts = Vec::new();
    for (index, subject) in task.images.iter().enumerate() {
        let registry = registry::open(subject)?;
        let image = registry::manifest_of(&registry, subject)
            .await?
            .descriptor();
        let file = folders.workspace.join(format!("sbom-{index}.json"));
        let left = Duration::from_secs(task.timeout_seconds).saturating_sub(begun.elapsed());
        scan(subject, &file, left, stop).await?;
        let (content, count) = read(&file, subject)?;
        let stored = registry
            .put_artifact(&Artifact {
                artifact_type: CYCLONEDX.to_owned(),
                media_type: CYCLONEDX.to_owned(),
                content,
                annotations: BTreeMap::new(),
                subject: Some(image),
            })
            .await?;
        counts.push(format!("{count} components in {}", subject.image));
        made.push(AttestationReport(
            subject.image.clone(),
            AttestationKind::SBOM,
            stored.digest,
        ));
    }
    Ok(StageReport {
        message: Some(counts.join(", ")),
        attestations: made,
        ..StageReport::default()
    })
}

async fn scan(
    subject: &Subject,
    file: &Path,
    limit: Duration,
    stop: &mut Stop,
) -> Result<(), Trouble> {
    let infra = |error: std::io::Error| {
        let message = format!("syft cannot be run: {error}; the operator's --syft-image needs it");
        Trouble::new(FailureKind::Infra, message)
    };
    let kills = memory::kills();
    let running = process::start(syft(subject, file), &Mask::default()).map_err(infra)?;
    let done = running.finish(limit, stop).await.map_err(infra)?;
    let report = stage::judge(&done, limit.as_secs(), kills < memory::kills());
    let Some(kind) = report.failure else {
        return Ok(());
    };
    // What a script of people's would be blamed for is the program's here.
    let kind = if kind == FailureKind::Test {
        FailureKind::Infra
    } else {
        kind
    };
    let said = report.message.unwrap_or_default();
    let last = done.tail.lines().rfind(|line| !line.trim().is_empty());
    let last = last.unwrap_or_default();
    let message = format!(
        "syft could not list what is in {}: {said} ({last})",
        subject.image
    );
    Err(Trouble::new(kind, message))
}

fn syft(subject: &Subject, file: &Path) -> Command {
    let mut command = Command::new("syft");
    command
        .arg("scan")
        .arg(format!(
            "registry:{}@{}",
            subject.repository, subject.digest
        ))
        .arg("--output")
        .arg(format!("{FORMAT}={}", file.display()))
        .arg("--quiet")
        .env_remove(task::VARIABLE)
        // It needs nothing but the registry.
        .env("SYFT_CHECK_FOR_APP_UPDATE", "false")
        // Else every file that a package manager knows is a component of its own: thousands, and nobody asks for them.
        .env("SYFT_FILE_METADATA_SELECTION", "none")
        .env(
            "SYFT_REGISTRY_INSECURE_USE_HTTP",
            subject.insecure.to_string(),
        );
    if let Some(login) = &subject.login {
        command.env("DOCKER_CONFIG", login);
    }
    command
}

/// What is read of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    bom_format: String,
    #[serde(default)]
    components: Vec<serde::de::IgnoredAny>,
}

/// The list, and how many components it has.
fn read(file: &Path, subject: &Subject) -> Result<(Vec<u8>, usize), Trouble> {
    let wrong = |what: String| {
        let message = format!("the SBOM of {} {what}", subject.image);
        Trouble::new(FailureKind::Infra, message)
    };
    let size = fs::metadata(file)
        .map(|meta| meta.len())
        .unwrap_or_default();
    if usize::try_from(size).is_ok_and(|size| size > MAX_SBOM) {
        return Err(wrong("is larger than 32 MiB".to_owned()));
    }
    let bytes = fs::read(file).map_err(|error| wrong(format!("is not there: {error}")))?;
    let bom: Bom = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bom.bom_format != "CycloneDX" {
        return Err(wrong(format!("is {} and not CycloneDX", bom.bom_format)));
    }
    Ok((bytes, bom.components.len()))
}
