//! Signs images and what is known about them, stores that beside them, and reads it back. Talks to the network.
//!
//! Its pod runs no code of the repository: what it signs is what the operator has observed. Whatever signs, a key in the pod,
//! a key service or an identity, gets texts of ours; what is stored, and read back, is of one form.

mod cosign;
mod keyless;
mod platform;
mod signer;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::registry::{self, Trouble};
use super::report::{AttestationReport, StageReport};
use super::task::{SignTask, Signed, Subject};
use super::{Folders, say};
use crate::oci::client::Registry;
use crate::oci::manifest::{Artifact, ArtifactManifest, Descriptor, MANIFEST};
use crate::pipeline_run::api::{AttestationKind, FailureKind};
use crate::supply::statement::{self, Statement};
use crate::supply::{envelope, simple};
use signer::{Keyed, Signer};

/// Largest list of what is in an image that is signed.
pub(super) const MAX_SBOM: usize = 32 << 20;

/// Signs; the report and the container's exit code.
pub async fn run(task: &SignTask, folders: &Folders) -> (StageReport, u8) {
    registry::finished(registry::within(task.timeout_seconds, sign_all(task, folders)).await)
}

async fn sign_all(task: &SignTask, folders: &Folders) -> Result<StageReport, Trouble> {
    let signer = Signer::open(&task.with, &folders.workspace).await?;
    let mut made = Vec::new();
    let mut elsewhere = 0;
    for image in &task.images {
        let said = said_of(image).await?;
        for mirror in &image.mirrors {
            sign(task, &signer, mirror, &said).await?;
            elsewhere += 1;
        }
        made.extend(sign(task, &signer, &image.subject, &said).await?);
        platform::sign_lists(task, &signer, image, &said).await?;
    }
    let count = task.images.len();
    let noun = if count == 1 { "image" } else { "images" };
    let mirrors = match elsewhere {
        0 => String::new(),
        1 => " and a mirror".to_owned(),
        _ => format!(" and {elsewhere} mirrors"),
    };
    let message = format!("signed {count} {noun}{mirrors} with {signer}, and read it back");
    Ok(StageReport {
        message: Some(message),
        attestations: made,
        ..StageReport::default()
    })
}

/// What is said about an image: kinds and predicates. The list of what is in it is read where it was made.
async fn said_of(image: &Signed) -> Result<Vec<(AttestationKind, Value)>, Trouble> {
    let mut said = vec![(AttestationKind::Signature, json!({}))];
    said.extend(
        image
            .provenance
            .clone()
            .map(|how| (AttestationKind::Provenance, how)),
    );
    if let Some(digest) = &image.sbom {
        let registry = registry::open(&image.subject)?;
        let sbom = read_sbom(&registry, digest).await?;
        said.push((AttestationKind::SBOM, sbom));
    }
    Ok(said)
}

/// Signs what is said of an image in one repository.
async fn sign(
    task: &SignTask,
    signer: &Signer,
    subject: &Subject,
    said: &[(AttestationKind, Value)],
) -> Result<Vec<AttestationReport>, Trouble> {
    let registry = registry::open(subject)?;
    let manifest = registry::manifest_of(&registry, subject)
        .await?
        .descriptor();
    let name = registry.repository().name();
    let mut made = Vec::new();
    for (kind, predicate) in said {
        let kind = *kind;
        let statement = Statement::new(kind, &name, &subject.digest, predicate.clone());
        let stored = store(&registry, &manifest, signer, &statement, kind).await?;
        check(&registry, &manifest, signer, &stored, kind).await?;
        say(&format!(
            "slipway: {kind} of {name}@{} is {}",
            subject.digest, stored.digest
        ));
        // The list itself is what counts, and is known already.
        if kind != AttestationKind::SBOM {
            made.push(AttestationReport(
                subject.image.clone(),
                kind,
                stored.digest,
            ));
        }
    }
    if task.signature_tag {
        put_tag(&registry, signer.keyed()?, &subject.digest).await?;
    }
    Ok(made)
}

/// Puts a signature under its tag, beside those that others have put there, and reads it back.
async fn put_tag(registry: &Registry, signer: &Keyed, digest: &str) -> Result<(), Trouble> {
    let name = registry.repository().name();
    let (tag, text) = (simple::tag(digest), simple::text(&name, digest));
    let mut layers = layers_of(registry, &tag).await?;
    if !simple::is_signed(&layers, &text, signer.public()) {
        layers.push(simple::layer(&text, &signer.sign(&text).await?));
        let (config, manifest) = simple::manifest(&layers);
        registry.put_blob(simple::TEXT, &text).await?;
        registry.put_blob(simple::CONFIG, &config).await?;
        registry.put_manifest(&tag, MANIFEST, &manifest).await?;
        layers = layers_of(registry, &tag).await?;
    }
    if !simple::is_signed(&layers, &text, signer.public()) {
        let message = format!("{name} took tag {tag}, but the signature is not in it");
        return Err(Trouble::new(FailureKind::Registry, message));
    }
    say(&format!("slipway: the signature is also {name}:{tag}"));
    Ok(())
}

/// The layers of what is under a tag; none where there is nothing.
async fn layers_of(registry: &Registry, tag: &str) -> Result<Vec<Descriptor>, Trouble> {
    let manifest = registry.manifest(tag).await?;
    let manifest = manifest.and_then(|found| serde_json::from_slice(&found.bytes).ok());
    let manifest: Option<ArtifactManifest> = manifest;
    Ok(manifest.map(|manifest| manifest.layers).unwrap_or_default())
}

/// Signs a statement and puts it beside the image.
async fn store(
    registry: &Registry,
    image: &Descriptor,
    signer: &Signer,
    statement: &Statement,
    kind: AttestationKind,
) -> Result<Descriptor, Trouble> {
    let content = signer.seal(&statement.bytes(), &image.digest).await?;
    let annotations = [
        (envelope::CONTENT, envelope::DSSE),
        (envelope::PREDICATE_TYPE, statement::predicate_type(kind)),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let artifact = Artifact {
        artifact_type: envelope::BUNDLE.to_owned(),
        media_type: envelope::BUNDLE.to_owned(),
        content,
        annotations: BTreeMap::from(annotations),
        subject: Some(image.clone()),
    };
    Ok(registry.put_artifact(&artifact).await?)
}

/// Reads back what was stored, as anybody would who looks for it, and checks who has signed it.
async fn check(
    registry: &Registry,
    image: &Descriptor,
    signer: &Signer,
    stored: &Descriptor,
    kind: AttestationKind,
) -> Result<(), Trouble> {
    let wrong = |what: &str| {
        let name = registry.repository().name();
        let message = format!("{name} took the {kind} of {}, but {what}", image.digest);
        Trouble::new(FailureKind::Registry, message)
    };
    let listed = registry.referrers(&image.digest).await?;
    if !listed.iter().any(|known| known.digest == stored.digest) {
        return Err(wrong("does not list it with the image"));
    }
    let bundle = file_of(registry, &stored.digest, 2 * MAX_SBOM).await?;
    let statement = signer.read(&bundle, &image.digest);
    let statement = statement.and_then(|statement| Statement::read(&statement));
    let said = statement
        .as_ref()
        .and_then(|said| said.says_of(&image.digest));
    if said.is_none_or(|(said, _)| said != kind) {
        return Err(wrong("what it hands out is not what was signed"));
    }
    Ok(())
}

async fn read_sbom(registry: &Registry, digest: &str) -> Result<Value, Trouble> {
    let bytes = file_of(registry, digest, MAX_SBOM).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the SBOM {digest} cannot be read: {error}");
        Trouble::new(FailureKind::Registry, message)
    })
}

/// The one file of an artifact.
async fn file_of(registry: &Registry, digest: &str, limit: usize) -> Result<Vec<u8>, Trouble> {
    let damaged = |what: &str| {
        let name = registry.repository().name();
        Trouble::new(FailureKind::Registry, format!("{name}@{digest} {what}"))
    };
    let manifest = registry.manifest(digest).await?;
    let manifest = manifest.ok_or_else(|| damaged("is gone"))?;
    let manifest: Option<ArtifactManifest> = serde_json::from_slice(&manifest.bytes).ok();
    let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
    let [file] = layers.as_slice() else {
        return Err(damaged("is no artifact with one file"));
    };
    Ok(registry.blob(&file.digest, limit).await?)
}
