//! Reads the manifests that a package of a run has. Talks to the network, and to the API server for the login.

use crate::cluster::Cluster;
use crate::model::action::Reply;
use crate::model::package::{MAX, PackageQuestion};
use crate::oci::client::Registry;
use crate::oci::manifest::{ArtifactManifest, Descriptor, TITLE, is_digest};

/// Files of a package that are looked at.
const MAX_FILES: usize = 16;
/// Ends of the names of those that have manifests.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];

impl Cluster {
    /// The manifests in a package; 404 where there is none, 422 where it is not what was asked for, with a sentence about that.
    pub(super) async fn package(&self, question: &PackageQuestion) -> Result<Reply, String> {
        let place = (question.repository.as_str(), question.is_insecure);
        let registry = self.registry(place, question.login.as_ref()).await?;
        read(&registry, &question.digest).await
    }
}

async fn read(registry: &Registry, digest: &str) -> Result<Reply, String> {
    let found = registry.manifest(digest).await;
    let Some(found) = found.map_err(|error| error.message)? else {
        return Ok(answer(404, Vec::new()));
    };
    let manifest: Option<ArtifactManifest> = serde_json::from_slice(&found.bytes).ok();
    let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
    let files: Vec<&Descriptor> = layers
        .iter()
        .take(MAX_FILES)
        .filter(|file| has_manifests(file))
        .collect();
    // What is said of sizes is not believed, but saves reading.
    let mut left = MAX;
    let mut text = Vec::new();
    for file in files {
        let said = usize::try_from(file.size).unwrap_or(usize::MAX);
        if said > left {
            return Ok(too_large());
        }
        let content = registry.blob(&file.digest, MAX).await;
        let content = content.map_err(|error| error.message)?;
        let Some(rest) = left.checked_sub(content.len()) else {
            return Ok(too_large());
        };
        left = rest;
        text.extend(content);
        text.extend_from_slice(b"\n---\n");
    }
    Ok(answer(200, text))
}

fn too_large() -> Reply {
    let problem = format!("its manifests have more than {} KiB", MAX >> 10);
    answer(422, problem.into_bytes())
}

const fn answer(status: u16, body: Vec<u8>) -> Reply {
    Reply { status, body }
}

fn has_manifests(file: &Descriptor) -> bool {
    let name = file.annotations.get(TITLE);
    let is_text = name.is_some_and(|name| ENDINGS.iter().any(|end| name.ends_with(end)));
    is_text && is_digest(&file.digest)
}
