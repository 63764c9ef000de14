//! Joins the images of several platforms into one index. Talks to the network.
//!
//! The index is made of digests alone: the same images always make the same one.

use serde_json::{Value, json};

use super::registry::{self, Trouble};
use super::report::StageReport;
use super::say;
use super::task::{IndexTask, Subject};
use crate::oci::manifest::{Descriptor, INDEX, Index, digest_of, size_of_image};

/// Joins; the report and the container's exit code.
pub async fn run(task: &IndexTask) -> (StageReport, u8) {
    let done = registry::within(task.timeout_seconds, join(task)).await;
    registry::finished(done.map(|joined| {
        let (digest, size) = joined.map_or((None, None), |(digest, size)| (Some(digest), size));
        let platforms: Vec<&str> = task
            .parts
            .iter()
            .map(|part| part.platform.as_str())
            .collect();
        let message = match &digest {
            Some(digest) => format!("joined {} into {digest}", platforms.join(", ")),
            None => "nothing was pushed, so there is nothing to join".to_owned(),
        };
        StageReport {
            message: Some(message),
            digest,
            size,
            ..StageReport::default()
        }
    }))
}

/// The digest of the index, and the size of its largest platform if all are known; nothing where there is nothing to join.
async fn join(task: &IndexTask) -> Result<Option<(String, Option<u64>)>, Trouble> {
    if task.parts.is_empty() {
        return Ok(None);
    }
    let mut joined = None;
    for repository in &task.repositories {
        let registry = registry::open(repository)?;
        let mut index = Index::default();
        let mut sizes = Vec::new();
        for part in &task.parts {
            let subject = Subject {
                digest: part.digest.clone(),
                ..repository.clone()
            };
            let manifest = registry::manifest_of(&registry, &subject).await?;
            sizes.push(size_of_image(&manifest.bytes));
            index.add(Descriptor {
                platform: Some(platform(&part.platform)),
                ..manifest.descriptor()
            });
        }
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        let own = digest_of(&bytes);
        registry.put_manifest(&own, INDEX, &bytes).await?;
        say(&format!("slipway: {}@{own}", repository.repository));
        let sizes: Option<Vec<u64>> = sizes.into_iter().collect();
        joined.get_or_insert((own, sizes.and_then(|sizes| sizes.into_iter().max())));
    }
    Ok(joined)
}

/// `linux/arm64/v8` as an index has it.
fn platform(text: &str) -> Value {
    let mut parts = text.split('/');
    let mut platform = json!({"architecture": "", "os": ""});
    for field in ["os", "architecture", "variant"] {
        if let (Some(part), Some(fields)) = (parts.next(), platform.as_object_mut()) {
            fields.insert(field.to_owned(), part.into());
        }
    }
    platform
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_written_as_indexes_have_them() {
        let plain = json!({"os": "linux", "architecture": "amd64"});
        assert_eq!(platform("linux/amd64"), plain);
        let variant = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
        assert_eq!(platform("linux/arm/v7"), variant);
    }
}
