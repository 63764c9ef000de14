//! Lists what is in images, with syft, and puts the lists beside them. Talks to the operating system and to the network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::mask::Mask;
use super::process::{self, Stop};
use super::registry::{self, Trouble};
use super::report::{AttestationReport, StageReport};
use super::sign::MAX_SBOM;
use super::task::{self, SbomTask, Subject};
use super::{Folders, memory, stage};
use crate::oci::client::Registry;
use crate::oci::manifest::{Artifact, Descriptor, listed};
use crate::pipeline_run::api::{AttestationKind, FailureKind};
use crate::supply::bom::{self, Part};

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
    let mut lister = Lister {
        program: task.program.as_deref().unwrap_or("syft"),
        folders,
        stop,
        begun: Instant::now(),
        limit: Duration::from_secs(task.timeout_seconds),
        counts: Vec::new(),
    };
    let mut made = Vec::new();
    for subject in &task.images {
        let stored = lister.image(subject).await?;
        made.push(AttestationReport(
            subject.image.clone(),
            AttestationKind::SBOM,
            stored,
        ));
    }
    Ok(StageReport {
        message: Some(lister.counts.join(", ")),
        attestations: made,
        ..StageReport::default()
    })
}

/// Lists one image after the other.
struct Lister<'a> {
    program: &'a str,
    folders: &'a Folders,
    stop: &'a mut Stop,
    begun: Instant,
    limit: Duration,
    /// What it has found, in words.
    counts: Vec<String>,
}

impl Lister<'_> {
    /// Lists what is in an image, and puts the list beside it. Of one for several platforms that is a list for each, beside its
    /// image, and beside the whole one that names them. The digest of the list.
    async fn image(&mut self, subject: &Subject) -> Result<String, Trouble> {
        let registry = registry::open(subject)?;
        let manifest = registry::manifest_of(&registry, subject).await?;
        let platforms = platforms(&manifest.bytes);
        if platforms.is_empty() {
            let content = self.list(subject, None).await?;
            return put(&registry, content, manifest.descriptor()).await;
        }
        let mut parts = Vec::new();
        for (platform, image) in platforms {
            let own = Subject {
                digest: image.digest.clone(),
                ..subject.clone()
            };
            let content = self.list(&own, Some(&platform)).await?;
            parts.push(Part {
                platform,
                image: image.digest.clone(),
                list: put(&registry, content, image).await?,
            });
        }
        let whole = bom::of_platforms(&subject.repository, &subject.digest, &parts);
        let content = serde_json::to_vec(&whole).unwrap_or_default();
        put(&registry, content, manifest.descriptor()).await
    }

    /// The list of what is in an image, of this platform if it says so.
    async fn list(
        &mut self,
        subject: &Subject,
        platform: Option<&str>,
    ) -> Result<Vec<u8>, Trouble> {
        let number = self.counts.len();
        let file = self.folders.workspace.join(format!("sbom-{number}.json"));
        self.scan(subject, platform, &file).await?;
        let (content, count) = read(&file, subject)?;
        let of = platform.map_or_else(String::new, |platform| format!(" for {platform}"));
        let found = format!("{count} components in {}{of}", subject.image);
        self.counts.push(found);
        Ok(content)
    }

    async fn scan(
        &mut self,
        subject: &Subject,
        platform: Option<&str>,
        file: &Path,
    ) -> Result<(), Trouble> {
        let infra = |error: std::io::Error| {
            let message =
                format!("syft cannot be run: {error}; the operator's --syft-image needs it");
            Trouble::new(FailureKind::Infra, message)
        };
        let limit = self.limit.saturating_sub(self.begun.elapsed());
        let kills = memory::kills();
        let command = syft(self.program, subject, platform, file);
        let running = process::start(command, &Mask::default()).map_err(infra)?;
        let done = running.finish(limit, self.stop).await.map_err(infra)?;
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
}

/// Puts a list beside the image that it is about; its digest.
async fn put(registry: &Registry, content: Vec<u8>, image: Descriptor) -> Result<String, Trouble> {
    let artifact = Artifact {
        artifact_type: CYCLONEDX.to_owned(),
        media_type: CYCLONEDX.to_owned(),
        content,
        annotations: BTreeMap::new(),
        subject: Some(image),
    };
    Ok(registry.put_artifact(&artifact).await?.digest)
}

/// The images of an index, by platform; none of what is an image itself.
fn platforms(manifest: &[u8]) -> Vec<(String, Descriptor)> {
    let images = listed(manifest).into_iter();
    let of_platform = images.filter_map(|image| {
        let platform = image.platform.as_ref()?;
        let part = |field: &str| platform.get(field).and_then(Value::as_str);
        let (os, architecture) = (part("os")?, part("architecture")?);
        // What is said about the others may be listed beside them.
        if os == "unknown" {
            return None;
        }
        let variant = part("variant").map_or_else(String::new, |variant| format!("/{variant}"));
        Some((format!("{os}/{architecture}{variant}"), image))
    });
    of_platform.collect()
}

fn syft(program: &str, subject: &Subject, platform: Option<&str>, file: &Path) -> Command {
    let mut command = Command::new(program);
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
    if let Some(platform) = platform {
        command.args(["--platform", platform]);
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_has_an_image_for_each_platform_and_what_is_said_about_them_is_none() {
        let one = |digest: &str, platform: Value| json!({"digest": digest, "platform": platform});
        let index = json!({"schemaVersion": 2, "manifests": [
            one("a", json!({"os": "linux", "architecture": "amd64"})),
            one("b", json!({"os": "linux", "architecture": "arm", "variant": "v7"})),
            one("c", json!({"os": "unknown", "architecture": "unknown"})),
            {"digest": "d"},
        ]});
        let found = platforms(&serde_json::to_vec(&index).unwrap());
        let found: Vec<_> = found
            .iter()
            .map(|(name, image)| (name.as_str(), image.digest.as_str()))
            .collect();
        assert_eq!(found, [("linux/amd64", "a"), ("linux/arm/v7", "b")]);
        let image = json!({"schemaVersion": 2, "config": {"digest": "e"}, "layers": []});
        assert_eq!(platforms(&serde_json::to_vec(&image).unwrap()), []);
    }
}
