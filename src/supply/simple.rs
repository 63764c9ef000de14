//! Signatures in the older form of Sigstore's tools ("simple signing"): a signed text about a digest, which is a layer of a
//! manifest under a tag that follows from the digest. No I/O.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::key::PublicKey;
use crate::oci::manifest::{Descriptor, MANIFEST, referrers_tag};

/// Media type of the signed text.
pub const TEXT: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of the configuration, which says nothing.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Annotation of a layer with the signature of its text.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// The tag under which the signatures of a digest are.
pub fn tag(digest: &str) -> String {
    format!("{}.sig", referrers_tag(digest))
}

/// What is signed: that this digest, of this repository, is meant.
pub fn text(repository: &str, digest: &str) -> Vec<u8> {
    let text = json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    serde_json::to_vec(&text).unwrap_or_default()
}

/// The layer that carries a text and its signature.
pub fn layer(text: &[u8], signature: &[u8]) -> Descriptor {
    let signature = STANDARD.encode(signature);
    Descriptor {
        annotations: BTreeMap::from([(SIGNATURE.to_owned(), signature)]),
        ..Descriptor::of(TEXT, text)
    }
}

/// Whether one of these layers carries this text, signed by this key.
pub fn is_signed(layers: &[Descriptor], text: &[u8], key: &PublicKey) -> bool {
    let wanted = Descriptor::of(TEXT, text).digest;
    let mut layers = layers.iter().filter(|layer| layer.digest == wanted);
    layers.any(|layer| {
        let signature = layer.annotations.get(SIGNATURE);
        let signature = signature.and_then(|signature| STANDARD.decode(signature).ok());
        signature.is_some_and(|signature| key.has_signed(text, &signature))
    })
}

/// The configuration and the manifest of these layers, in bytes. Tools take both for those of an image.
pub fn manifest(layers: &[Descriptor]) -> (Vec<u8>, Vec<u8>) {
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap_or_default();
    let digests: Vec<&String> = layers.iter().map(|layer| &layer.digest).collect();
    let config = bytes(&json!({
        "architecture": "", "os": "", "created": "0001-01-01T00:00:00Z", "config": {},
        "rootfs": {"type": "layers", "diff_ids": digests},
    }));
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::of(CONFIG, &config),
        "layers": layers,
    }));
    (config, manifest)
}

#[cfg(test)]
mod tests {
    use super::super::key::SigningKey;
    use super::super::key::testing::key;
    use super::*;
    use crate::oci::manifest::ArtifactManifest;

    fn signed(text: &[u8], key: &SigningKey) -> Descriptor {
        layer(text, &key.sign(text).unwrap())
    }

    #[test]
    fn a_text_counts_for_its_digest_and_its_key() {
        let (ours, theirs) = (key(), key());
        let digest = format!("sha256:{}", "a".repeat(64));
        let meant = text("registry.example/shop/api", &digest);
        let layers = [signed(&meant, &ours)];
        assert!(is_signed(&layers, &meant, &ours.public()));
        assert!(!is_signed(&layers, &meant, &theirs.public()));
        let other = text("registry.example/shop/api", "sha256:b");
        assert!(!is_signed(&layers, &other, &ours.public()));
        assert!(!is_signed(&[], &meant, &ours.public()));
        assert_eq!(tag(&digest), format!("sha256-{}.sig", "a".repeat(64)));
    }

    #[test]
    fn a_second_signature_stands_beside_the_first() {
        let (ours, theirs) = (key(), key());
        let meant = text("registry.example/shop/api", "sha256:a");
        let layers = [&theirs, &ours].map(|key| signed(&meant, key));
        let (config, bytes) = manifest(&layers);
        let read: ArtifactManifest = serde_json::from_slice(&bytes).unwrap();
        for key in [ours, theirs] {
            assert!(is_signed(&read.layers, &meant, &key.public()));
        }
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    }
}
