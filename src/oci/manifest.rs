//! What lies in a registry: descriptors, manifests, indexes, and how they are told apart. No I/O.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::key::short_hash;

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index, which is a list of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's own names for both.
const DOCKER: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Media type of a configuration that says nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Annotation of a file of an artifact that says what it is called.
pub const TITLE: &str = "org.opencontainers.image.title";
/// What stands in such a configuration.
pub(super) const EMPTY_CONFIG: &[u8] = b"{}";
/// Longest tag, in characters.
pub const MAX_TAG: usize = 128;
/// Most artifacts that are listed for one image.
pub const MAX_REFERRERS: usize = 500;

/// Media types of all that can have a tag or be named by digest.
pub fn accepted() -> String {
    [MANIFEST, INDEX, DOCKER[0], DOCKER[1]].join(", ")
}

/// Whether a media type says that something lists no manifests.
pub fn is_single(media_type: &str) -> bool {
    media_type == MANIFEST || media_type == DOCKER[0]
}

/// The manifests that an index lists; none where it is no index.
pub fn listed(bytes: &[u8]) -> Vec<Descriptor> {
    let index: Option<Index> = serde_json::from_slice(bytes).ok();
    index.map(|index| index.manifests).unwrap_or_default()
}

/// `sha256:…` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", short_hash(bytes, 64))
}

/// Whether a text is a digest of the kind that is used here.
pub fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let hex = text.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

/// The tag under which what refers to a digest is listed where a registry has no referrers API.
pub fn referrers_tag(digest: &str) -> String {
    digest.replacen(':', "-", 1)
}

/// Names content, and says what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its length in bytes.
    #[serde(default)]
    pub size: u64,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else is said about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Operating system and architecture, of an image in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Value>,
}

impl Descriptor {
    /// The descriptor of some bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest_of(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            ..Self::default()
        }
    }
}

/// An artifact that is no image: one file, with or without an image that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What kind of artifact it is.
    pub artifact_type: String,
    /// Media type of the file.
    pub media_type: String,
    /// The file.
    pub content: Vec<u8>,
    /// What is said about it, in its manifest.
    pub annotations: BTreeMap<String, String>,
    /// The image that it is about.
    pub subject: Option<Descriptor>,
}

impl Artifact {
    /// Its manifest, in bytes: the same artifact always has the same.
    pub fn manifest(&self) -> Vec<u8> {
        let layers = [Descriptor::of(&self.media_type, &self.content)];
        let subject = self.subject.as_ref();
        artifact_manifest(&self.artifact_type, &layers, subject, &self.annotations)
    }
}

/// The manifest of an artifact that is no image, in bytes: the same files always have the same.
pub fn artifact_manifest(
    artifact_type: &str,
    layers: &[Descriptor],
    subject: Option<&Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor::of(EMPTY, EMPTY_CONFIG),
        "layers": layers,
    });
    let subject = subject.map(|subject| {
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = subject;
        json!({"mediaType": media_type, "digest": digest, "size": size})
    });
    if let Some(fields) = manifest.as_object_mut() {
        fields.extend(subject.map(|subject| ("subject".to_owned(), subject)));
        if !annotations.is_empty() {
            fields.insert("annotations".to_owned(), json!(annotations));
        }
    }
    serde_json::to_vec(&manifest).unwrap_or_default()
}

/// What a node pulls for an image, in bytes: its layers and its configuration; nothing for what is no image.
pub fn size_of_image(manifest: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Image {
        config: Descriptor,
        layers: Vec<Descriptor>,
    }
    let image: Image = serde_json::from_slice(manifest).ok()?;
    let sizes = image.layers.iter().map(|layer| layer.size);
    Some(sizes.fold(image.config.size, u64::saturating_add))
}

/// What is read of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArtifactManifest {
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Its files.
    pub layers: Vec<Descriptor>,
    /// What it is about.
    pub subject: Option<Descriptor>,
}

/// A list of manifests: an image for several platforms, or all that refers to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// The manifests.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX.to_owned(),
            manifests: Vec::new(),
        }
    }
}

impl Index {
    /// Adds a manifest; one that is there already is not added again.
    pub fn add(&mut self, manifest: Descriptor) -> bool {
        let is_known = self
            .manifests
            .iter()
            .any(|known| known.digest == manifest.digest);
        if !is_known {
            self.manifests.push(manifest);
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_registry() {
        // As in the specification: the descriptor of `{}`.
        let empty = Descriptor::of(EMPTY, EMPTY_CONFIG);
        assert_eq!(
            empty.digest,
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(empty.size, 2);
        assert!(is_digest(&empty.digest));
        assert!(!is_digest("sha256:44"));
        assert!(!is_digest(&empty.digest.to_uppercase()));
        assert!(referrers_tag(&empty.digest).starts_with("sha256-44136fa"));
    }

    #[test]
    fn the_manifest_of_an_artifact_names_its_file_and_its_subject() {
        let subject = Descriptor {
            platform: Some(json!({"os": "linux"})),
            ..Descriptor::of(MANIFEST, b"an image")
        };
        let artifact = Artifact {
            artifact_type: "application/vnd.cyclonedx+json".into(),
            media_type: "application/vnd.cyclonedx+json".into(),
            content: b"{}".to_vec(),
            annotations: BTreeMap::new(),
            subject: Some(subject.clone()),
        };
        let bytes = artifact.manifest();
        assert_eq!(bytes, artifact.manifest());
        let read: ArtifactManifest = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.artifact_type, Some(artifact.artifact_type.clone()));
        assert_eq!(read.subject.unwrap().digest, subject.digest);
        assert_eq!(read.layers[0].digest, digest_of(b"{}"));
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("annotations") && !text.contains("platform"));
    }

    #[test]
    fn the_size_of_an_image_is_what_is_pulled() {
        let layers = [
            Descriptor::of("tar", b"12345"),
            Descriptor::of("tar", b"678"),
        ];
        let manifest = json!({"config": Descriptor::of("json", b"{}"), "layers": layers});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(size_of_image(&bytes), Some(10));
        let index = serde_json::to_vec(&Index::default()).unwrap();
        assert_eq!(size_of_image(&index), None);
    }

    #[test]
    fn an_index_has_a_manifest_once() {
        let mut index = Index::default();
        let one = Descriptor::of(MANIFEST, b"1");
        assert!(index.add(one.clone()));
        assert!(!index.add(one));
        assert!(index.add(Descriptor::of(MANIFEST, b"2")));
        assert_eq!(index.manifests.len(), 2);
    }
}
