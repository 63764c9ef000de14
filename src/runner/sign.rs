//! Signs images and what is known about them, stores that beside them, and reads it back. Talks to the network.
//!
//! Its pod runs no code of people's: nothing of the repository is in it, and what it signs is what the operator has observed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::registry::{self, Trouble};
use super::report::{AttestationReport, StageReport};
use super::say;
use super::task::{KEY_FILE, PASSWORD_FILE, SignTask, Signed};
use crate::oci::client::Registry;
use crate::oci::manifest::{Artifact, ArtifactManifest, Descriptor};
use crate::pipeline_run::api::{AttestationKind, FailureKind};
use crate::supply::envelope;
use crate::supply::key::{PublicKey, SigningKey};
use crate::supply::statement::{self, Statement};

/// Largest list of what is in an image that is signed.
pub(super) const MAX_SBOM: usize = 32 << 20;

/// Signs; the report and the container's exit code.
pub async fn run(task: &SignTask) -> (StageReport, u8) {
    registry::finished(registry::within(task.timeout_seconds, sign_all(task)).await)
}

async fn sign_all(task: &SignTask) -> Result<StageReport, Trouble> {
    let key = read_key(Path::new(&task.key))?;
    let mut made = Vec::new();
    for image in &task.images {
        sign(&key, image, &mut made).await?;
    }
    let count = task.images.len();
    let noun = if count == 1 { "image" } else { "images" };
    let message = format!(
        "signed {count} {noun} with key {}, and read it back",
        key.public().fingerprint()
    );
    Ok(StageReport {
        message: Some(message),
        attestations: made,
        ..StageReport::default()
    })
}

fn read_key(folder: &Path) -> Result<SigningKey, Trouble> {
    let config = |message: String| Trouble::new(FailureKind::Config, message);
    let text = fs::read_to_string(folder.join(KEY_FILE))
        .map_err(|error| config(format!("cannot read the private key: {error}")))?;
    let password = fs::read_to_string(folder.join(PASSWORD_FILE)).unwrap_or_default();
    // `echo password | base64` has a line break that nobody means.
    let password = password.trim_end_matches(['\r', '\n']);
    SigningKey::read(&text, password.as_bytes())
        .map_err(|message| config(format!("the private key cannot be used: {message}")))
}

async fn sign(
    key: &SigningKey,
    image: &Signed,
    made: &mut Vec<AttestationReport>,
) -> Result<(), Trouble> {
    let subject = &image.subject;
    let registry = registry::open(subject)?;
    let manifest = registry::manifest_of(&registry, subject)
        .await?
        .descriptor();
    let mut said = vec![(AttestationKind::Signature, json!({}))];
    said.extend(
        image
            .provenance
            .clone()
            .map(|how| (AttestationKind::Provenance, how)),
    );
    if let Some(digest) = &image.sbom {
        let sbom = read_sbom(&registry, digest).await?;
        said.push((AttestationKind::SBOM, sbom));
    }
    for (kind, predicate) in said {
        let name = registry.repository().name();
        let statement = Statement::new(kind, &name, &subject.digest, predicate);
        let stored = store(&registry, &manifest, key, &statement, kind).await?;
        check(&registry, &manifest, &key.public(), &stored, kind).await?;
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
    Ok(())
}

/// Signs a statement and puts it beside the image.
async fn store(
    registry: &Registry,
    image: &Descriptor,
    key: &SigningKey,
    statement: &Statement,
    kind: AttestationKind,
) -> Result<Descriptor, Trouble> {
    let bundle = envelope::seal(&statement.bytes(), key);
    let content = bundle.map_err(|message| Trouble::new(FailureKind::Infra, message))?;
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

/// Reads back what was stored, as anybody would who looks for it, and checks it with the public key.
async fn check(
    registry: &Registry,
    image: &Descriptor,
    key: &PublicKey,
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
    let keys = [key.clone()];
    let opened = envelope::open(&bundle, &keys);
    let statement = opened.and_then(|(statement, _)| Statement::read(&statement));
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
