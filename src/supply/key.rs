//! Keys that sign, and keys that check: ECDSA on P-256 with SHA-256, which is what `cosign generate-key-pair` makes. No I/O.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::oci::manifest::digest_of;

/// What comes before the point in the encoding of a public key on P-256 (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Length of a point, not compressed.
const POINT: usize = 65;
/// Names of the PEM blocks in which cosign keeps an encrypted key.
const ENCRYPTED: [&str; 2] = [
    "ENCRYPTED SIGSTORE PRIVATE KEY",
    "ENCRYPTED COSIGN PRIVATE KEY",
];
/// Most work that a key may ask for before it can be used: twice what cosign writes.
const MAX_LOG_N: u8 = 17;
const MAX_R: u32 = 16;
const MAX_P: u32 = 4;

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    /// Says what is wrong with it and what to do.
    pub fn read(text: &str) -> Result<Self, String> {
        let block = pem::parse(text).map_err(|_| {
            "it is no public key in PEM; `cosign public-key --key …` prints one".to_owned()
        })?;
        let der = block.contents();
        let is_ours = block.tag() == "PUBLIC KEY"
            && der.len() == SPKI.len() + POINT
            && der.starts_with(&SPKI);
        if !is_ours {
            let message = "it is no public key on the curve P-256; other kinds are not supported \
                           yet; `cosign generate-key-pair` makes a pair";
            return Err(message.to_owned());
        }
        Ok(Self { der: der.to_vec() })
    }

    fn of(pair: &EcdsaKeyPair) -> Self {
        let point = pair.public_key().as_ref();
        Self {
            der: [&SPKI, point].concat(),
        }
    }

    /// Whether this key has signed the message.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = self.der.get(SPKI.len()..).unwrap_or_default();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        key.verify(message, signature).is_ok()
    }

    /// What tells people which key it is: the digest of its encoding.
    pub fn fingerprint(&self) -> String {
        digest_of(&self.der)
    }

    /// The same as Sigstore's tools write it.
    pub fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.der))
    }

    /// The key in PEM.
    pub fn pem(&self) -> String {
        pem::encode(&pem::Pem::new("PUBLIC KEY", self.der.clone()))
    }
}

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// An encrypted key as cosign keeps it.
#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Cost,
    salt: String,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl SigningKey {
    /// Reads a private key in PEM: as cosign keeps it, with its password, or PKCS #8 or SEC 1 without one.
    ///
    /// # Errors
    /// Says what is wrong and what to do, without anything that is secret.
    pub fn read(text: &str, password: &[u8]) -> Result<Self, String> {
        let block = pem::parse(text).map_err(|_| {
            "the key is not in PEM; `cosign generate-key-pair` makes one".to_owned()
        })?;
        let der = match block.tag() {
            "PRIVATE KEY" | "EC PRIVATE KEY" => block.into_contents(),
            tag if ENCRYPTED.contains(&tag) => unsealed(block.contents(), password)?,
            tag => {
                let message = format!(
                    "the key is a {tag}; what can be used is a key on P-256, as cosign \
                     generate-key-pair or openssl ecparam -name prime256v1 -genkey make one"
                );
                return Err(message);
            }
        };
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der);
        let pair = pair.map_err(|_| {
            "the key is none on the curve P-256; other kinds are not supported yet".to_owned()
        })?;
        Ok(Self { pair })
    }

    /// Signs.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| "signing failed".to_owned())?;
        Ok(signature.as_ref().to_vec())
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(&self.pair)
    }
}

/// Decrypts a key: scrypt makes a key of the password, secretbox keeps the private key under it.
fn unsealed(bytes: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let damaged = || "the encrypted key is damaged".to_owned();
    let sealed: Sealed = serde_json::from_slice(bytes).map_err(|_| damaged())?;
    let Cost { n, r, p } = sealed.kdf.params;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err("the key is encrypted in a way that is not known".to_owned());
    }
    let log_n = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
    if !n.is_power_of_two() || log_n > MAX_LOG_N || r > MAX_R || p > MAX_P {
        return Err("the key asks for more work to decrypt it than is done".to_owned());
    }
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| damaged());
    let (salt, nonce) = (decoded(&sealed.kdf.salt)?, decoded(&sealed.cipher.nonce)?);
    let ciphertext = decoded(&sealed.ciphertext)?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| damaged())?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| damaged())?;
    let mut key = [0; 32];
    scrypt::scrypt(password, &salt, &params, &mut key).map_err(|_| damaged())?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(&key));
    let opened = cipher.decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice());
    opened.map_err(|_| "the password does not open the key".to_owned())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A key that is made on the spot.
    pub(crate) fn key() -> SigningKey {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        SigningKey { pair }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
    use serde_json::json;

    use super::testing::key;
    use super::*;

    /// Made by openssl.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElR0ByNRVQs2CpHI1NVB06i48MN0R
yHruCCXOjMeKvswEGFXfmMmyqTD2PbEHk6AidiKFVwyNTeTfwULJoLdzIQ==
-----END PUBLIC KEY-----
";

    fn pkcs8(key: &SigningKey) -> Vec<u8> {
        key.pair.to_pkcs8v1().unwrap().as_ref().to_vec()
    }

    fn in_pem(tag: &str, der: Vec<u8>) -> String {
        pem::encode(&pem::Pem::new(tag, der))
    }

    #[test]
    fn what_a_key_has_signed_its_public_key_knows() {
        let (one, other) = (key(), key());
        let signature = one.sign(b"message").unwrap();
        assert!(one.public().has_signed(b"message", &signature));
        assert!(!one.public().has_signed(b"another", &signature));
        assert!(!other.public().has_signed(b"message", &signature));
        assert!(!one.public().has_signed(b"message", b"garbage"));
    }

    #[test]
    fn keys_are_read_in_the_forms_of_openssl() {
        let key = key();
        let sec1: EcPrivateKeyRfc5915Der = key.pair.private_key().as_der().unwrap();
        let sec1 = in_pem("EC PRIVATE KEY", sec1.as_ref().to_vec());
        for text in [in_pem("PRIVATE KEY", pkcs8(&key)), sec1] {
            assert_eq!(SigningKey::read(&text, b"").unwrap().public(), key.public());
        }
        let public = PublicKey::read(PUBLIC).unwrap();
        assert_eq!(PublicKey::read(&public.pem()).unwrap(), public);
        assert!(public.fingerprint().starts_with("sha256:"));
        assert_ne!(public, key.public());
    }

    /// As cosign keeps it, but made here, with little work.
    fn sealed(key: &SigningKey, n: u64, password: &[u8]) -> String {
        let der = pkcs8(key);
        let salt = [7; 32];
        let nonce = [9; 24];
        let params = scrypt::Params::new(4, 8, 1).unwrap();
        let mut key = [0; 32];
        scrypt::scrypt(password, &salt, &params, &mut key).unwrap();
        let cipher = XSalsa20Poly1305::new(Key::from_slice(&key));
        let ciphertext = cipher
            .encrypt(Nonce::from_slice(&nonce), der.as_slice())
            .unwrap();
        let sealed = json!({
            "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": STANDARD.encode(salt)},
            "cipher": {"name": "nacl/secretbox", "nonce": STANDARD.encode(nonce)},
            "ciphertext": STANDARD.encode(ciphertext),
        });
        in_pem(ENCRYPTED[0], sealed.to_string().into_bytes())
    }

    #[test]
    fn a_key_of_cosign_opens_with_its_password_only() {
        let key = key();
        let text = sealed(&key, 16, b"secret");
        let opened = SigningKey::read(&text, b"secret").unwrap();
        assert_eq!(opened.public(), key.public());
        let error = SigningKey::read(&text, b"hunter2").unwrap_err();
        assert!(error.contains("password") && !error.contains("hunter2"));
    }

    #[test]
    fn a_key_that_asks_for_too_much_work_is_refused() {
        let error = SigningKey::read(&sealed(&key(), 1 << 30, b"x"), b"x").unwrap_err();
        assert!(error.contains("more work"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_told() {
        for bad in ["", "ssh-ed25519 AAAA", PUBLIC] {
            assert!(SigningKey::read(bad, b"").is_err(), "{bad}");
        }
        for bad in [String::new(), in_pem("PRIVATE KEY", pkcs8(&key()))] {
            assert!(PublicKey::read(&bad).is_err(), "{bad}");
        }
    }
}
