//! An authority and a log of the test's own, for what the real ones do not do.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::supply::envelope::{BUNDLE, signed_text};
use crate::supply::key::testing::key;
use crate::supply::key::{PublicKey, SigningKey};

/// When the certificates are valid, in seconds since 1970: ten minutes of the 14th of November 2023.
pub(super) const FROM: i64 = 1_699_999_800;
pub(super) const TO: i64 = FROM + 600;

const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const ISSUER: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 8];
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// An authority and a log.
pub(super) struct Own {
    authority: SigningKey,
    log: SigningKey,
}

/// What is signed, and how.
pub(super) struct Wish {
    /// When the log has it.
    pub(super) at: i64,
    /// Whether the certificate is for signing.
    pub(super) signs: bool,
    /// Who has said who it is.
    pub(super) issuer: Option<&'static str>,
    /// Who it is.
    pub(super) subject: Option<&'static str>,
}

impl Own {
    pub(super) fn new() -> Self {
        Self {
            authority: key(),
            log: key(),
        }
    }

    /// Its root of trust.
    pub(super) fn root(&self) -> String {
        let constraints = extension(CONSTRAINTS, &seq(&[tlv(0x01, &[0xff])]));
        let public = self.authority.public();
        let years = ("200101000000Z", "400101000000Z");
        let certificate = self.certificate(&public, years, &[constraints]);
        let valid = json!({"start": "2020-01-01T00:00:00Z"});
        let log = spki(&self.log.public());
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://rekor.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": STANDARD.encode(&log), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
                "logId": {"keyId": STANDARD.encode(sha256(&log))},
            }],
            "certificateAuthorities": [{
                "subject": {"organization": "own"}, "uri": "https://fulcio.example",
                "certChain": {"certificates": [{"rawBytes": STANDARD.encode(certificate)}]}, "validFor": valid,
            }],
        })
        .to_string()
    }

    /// A statement, signed as is wished.
    pub(super) fn bundle(&self, statement: &[u8], wish: &Wish) -> Vec<u8> {
        let key = key();
        let certificate = self.leaf(&key, wish);
        let signature = STANDARD.encode(key.sign(&signed_text(statement)).unwrap());
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.clone()));
        let body = json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": {"algorithm": "sha256", "value": hex(&sha256(b"as it was sent"))},
            "payloadHash": {"algorithm": "sha256", "value": hex(&sha256(statement))},
            "signatures": [{"signature": signature, "verifier": STANDARD.encode(pem)}],
        }});
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(certificate)},
                "tlogEntries": [self.entry(body.to_string().as_bytes(), wish.at)],
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(statement), "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": signature}],
            },
        });
        bundle.to_string().into_bytes()
    }

    /// The only entry of the log.
    fn entry(&self, body: &[u8], at: i64) -> Value {
        let id = sha256(&spki(&self.log.public()));
        let signed = |text: &str| self.log.sign(text.as_bytes()).unwrap();
        let root = STANDARD.encode(sha256(&[[0].as_slice(), body].concat()));
        let head = format!("own\n1\n{root}\n");
        let mark = STANDARD.encode([&id[..4], &signed(&head)].concat());
        let body = STANDARD.encode(body);
        let promise = format!(
            r#"{{"body":"{body}","integratedTime":{at},"logID":"{}","logIndex":0}}"#,
            hex(&id)
        );
        json!({
            "logIndex": "0", "logId": {"keyId": STANDARD.encode(&id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"}, "integratedTime": at.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(signed(&promise))},
            "inclusionProof": {
                "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": format!("{head}\n\u{2014} own {mark}\n")},
            },
            "canonicalizedBody": body,
        })
    }

    fn leaf(&self, key: &SigningKey, wish: &Wish) -> Vec<u8> {
        let usage = if wish.signs { CODE_SIGNING } else { SERVER };
        let mut extensions = vec![extension(USAGE, &seq(&[tlv(0x06, usage)]))];
        if let Some(subject) = wish.subject {
            extensions.push(extension(NAMES, &seq(&[tlv(0x86, subject.as_bytes())])));
        }
        if let Some(issuer) = wish.issuer {
            extensions.push(extension(ISSUER, &tlv(0x0c, issuer.as_bytes())));
        }
        let minutes = ("231114221000Z", "231114222000Z");
        self.certificate(&key.public(), minutes, &extensions)
    }

    /// A certificate of the authority's. All of them are of the same name.
    fn certificate(
        &self,
        public: &PublicKey,
        (from, to): (&str, &str),
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let algorithm = seq(&[tlv(0x06, ECDSA)]);
        let organization = seq(&[tlv(0x06, ORGANIZATION), tlv(0x0c, b"own")]);
        let name = seq(&[tlv(0x31, &organization)]);
        let body = seq(&[
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0x02, &[1]),
            algorithm.clone(),
            name.clone(),
            seq(&[tlv(0x17, from.as_bytes()), tlv(0x17, to.as_bytes())]),
            name,
            spki(public),
            tlv(0xa3, &seq(extensions)),
        ]);
        let signature = self.authority.sign(&body).unwrap();
        let signature = tlv(0x03, &[[0].as_slice(), &signature].concat());
        seq(&[body, algorithm, signature])
    }
}

fn spki(key: &PublicKey) -> Vec<u8> {
    pem::parse(key.pem()).unwrap().into_contents()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Something in DER.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, short] if short < 0x80 => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), content].concat()
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn extension(name: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[tlv(0x06, name), tlv(0x04, value)])
}
