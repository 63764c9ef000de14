//! Signed statements: the envelope of DSSE in a Sigstore bundle, as `cosign sign` and `cosign attest` store it. No I/O.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::key::PublicKey;

/// Media type of a bundle, and type of the artifact that it is stored as.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What is signed: a statement of in-toto.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Annotation with the type of a bundle's predicate, by which tools find the right one.
pub const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// Annotation that says what is in a bundle.
pub const CONTENT: &str = "dev.sigstore.bundle.content";
/// Its value.
pub const DSSE: &str = "dsse-envelope";
/// Signatures of one envelope that are looked at.
const MAX_SIGNATURES: usize = 10;

/// What is read of a bundle.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

/// What is read of the bundle in which cosign hands out the signature of a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedFile {
    message_signature: MessageSignature,
}

#[derive(Deserialize)]
struct MessageSignature {
    signature: String,
}

/// What is really signed: type and content, each with its length, so that neither can be taken for part of the other.
pub fn signed_text(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Packs a statement with the signature of its text, by this key; the bundle in bytes.
pub fn seal(statement: &[u8], signature: &[u8], key: &PublicKey) -> Vec<u8> {
    let bundle: Value = json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.hint()}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": STANDARD.encode(signature)}],
        },
    });
    serde_json::to_vec(&bundle).unwrap_or_default()
}

/// The signature in a bundle that is about a file. Whose it is, it does not say.
pub fn signature_of_file(bundle: &[u8]) -> Option<Vec<u8>> {
    let bundle: SignedFile = serde_json::from_slice(bundle).ok()?;
    STANDARD.decode(bundle.message_signature.signature).ok()
}

/// Opens a bundle: the statement that one of the keys has signed, and which key it was. Nothing for anything else: what it says
/// about keys itself is not believed.
pub fn open<'a>(bundle: &[u8], keys: &'a [PublicKey]) -> Option<(Vec<u8>, &'a PublicKey)> {
    let bundle: Bundle = serde_json::from_slice(bundle).ok()?;
    let envelope = bundle.dsse_envelope;
    if envelope.payload_type != IN_TOTO {
        return None;
    }
    let payload = STANDARD.decode(envelope.payload).ok()?;
    let text = signed_text(&payload);
    let signatures = envelope.signatures.iter().take(MAX_SIGNATURES);
    let mut signatures = signatures.filter_map(|signature| STANDARD.decode(&signature.sig).ok());
    let key = signatures
        .find_map(|signature| keys.iter().find(|key| key.has_signed(&text, &signature)))?;
    Some((payload, key))
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::supply::key::SigningKey;

    /// A bundle with this statement, signed by this key.
    pub(crate) fn sealed(statement: &[u8], key: &SigningKey) -> Vec<u8> {
        let signature = key.sign(&super::signed_text(statement)).unwrap();
        super::seal(statement, &signature, &key.public())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::testing::key;
    use super::testing::sealed;
    use super::*;

    #[test]
    fn the_text_is_that_of_the_specification() {
        let text = String::from_utf8(signed_text(b"hello world")).unwrap();
        assert_eq!(
            text,
            "DSSEv1 28 application/vnd.in-toto+json 11 hello world"
        );
    }

    #[test]
    fn a_bundle_opens_with_the_right_key_only() {
        let (one, other) = (key(), key());
        let bundle = sealed(b"{}", &one);
        let keys = [other.public(), one.public()];
        let (statement, by) = open(&bundle, &keys).unwrap();
        assert_eq!((statement.as_slice(), by), (b"{}".as_slice(), &keys[1]));
        assert_eq!(open(&bundle, &keys[..1]), None);
        assert_eq!(open(&bundle, &[]), None);
    }

    #[test]
    fn a_statement_that_was_changed_is_none() {
        let key = key();
        let bundle = sealed(br#"{"a":1}"#, &key);
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        bundle["dsseEnvelope"]["payload"] = STANDARD.encode(br#"{"a":2}"#).into();
        assert_eq!(open(bundle.to_string().as_bytes(), &[key.public()]), None);
    }

    #[test]
    fn another_type_of_content_is_none() {
        let key = key();
        let bundle = sealed(b"{}", &key);
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        bundle["dsseEnvelope"]["payloadType"] = "text/plain".into();
        assert_eq!(open(bundle.to_string().as_bytes(), &[key.public()]), None);
    }

    /// As cosign 3 writes it.
    #[test]
    fn the_signature_of_a_file_is_found_in_its_bundle() {
        let bundle = |content: &Value| {
            let mut bundle = json!({
                "mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": "aGludA=="}},
            });
            json_patch::merge(&mut bundle, content);
            bundle.to_string().into_bytes()
        };
        let digest = json!({"algorithm": "SHA2_256", "digest": "AAAA"});
        let signed =
            json!({"messageSignature": {"messageDigest": digest, "signature": "c2lnbmVk"}});
        let found = signature_of_file(&bundle(&signed));
        assert_eq!(found.as_deref(), Some(b"signed".as_slice()));
        for bad in [
            json!({}),
            json!({"messageSignature": {"messageDigest": digest}}),
            json!({"messageSignature": {"signature": "?"}}),
            json!({"dsseEnvelope": {"signatures": [{"sig": "c2lnbmVk"}]}}),
        ] {
            assert_eq!(signature_of_file(&bundle(&bad)), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_bundle(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let keys = [key().public()];
            prop_assert!(open(&bytes, &keys).is_none());
            prop_assert!(signature_of_file(&bytes).is_none());
        }

        #[test]
        fn a_damaged_bundle_never_says_something_else(at in 0usize..600, byte in any::<u8>()) {
            let key = key();
            let mut bundle = sealed(br#"{"subject": []}"#, &key);
            let at = at % bundle.len();
            bundle[at] = byte;
            if let Some((statement, _)) = open(&bundle, &[key.public()]) {
                prop_assert_eq!(statement, br#"{"subject": []}"#.to_vec());
            }
        }
    }
}
