//! Bundles that cosign, Fulcio and Rekor have made, and some of an authority of the tests' own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{
    AT_OTHER, BUILDER, BUNDLE, BY_OTHER, DIGEST, ISSUER, OTHER, OTHER_ROOT, PROVENANCE, ROOT,
    STATEMENT,
};
use super::*;

mod own;

use own::{FROM, Own, TO, Wish};

fn root() -> Root {
    Root::read(ROOT).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Why a bundle is not believed.
fn refused(bundle: &Value) -> String {
    let bundle = bundle.to_string();
    root().open(bundle.as_bytes(), DIGEST).unwrap_err()
}

/// The root of trust, changed.
fn root_with(change: impl Fn(&mut Value)) -> Result<Root, String> {
    let mut root = parsed(ROOT);
    change(&mut root);
    Root::read(&root.to_string())
}

#[test]
fn what_cosign_signed_says_what_and_in_whose_name() {
    for (bundle, subject) in [(BUNDLE, BUILDER), (BY_OTHER, OTHER)] {
        let (statement, signatory) = root().open(bundle.as_bytes(), DIGEST).unwrap();
        assert_eq!(statement, STATEMENT.as_bytes());
        assert_eq!(signatory.issuer, ISSUER);
        assert_eq!(signatory.subject, subject);
        assert!(is_certified(bundle.as_bytes()));
    }
    let other = Root::read(OTHER_ROOT).unwrap();
    assert!(other.open(AT_OTHER.as_bytes(), DIGEST).is_ok());
}

#[test]
fn another_authority_another_log_and_another_image_are_refused() {
    let said = root().open(AT_OTHER.as_bytes(), DIGEST).unwrap_err();
    assert!(!said.is_empty());
    assert!(
        Root::read(OTHER_ROOT)
            .unwrap()
            .open(BUNDLE.as_bytes(), DIGEST)
            .is_err()
    );
    // The one's authority with the other's log, and the other way round, and another's log of certificates.
    let other = parsed(OTHER_ROOT);
    for field in ["tlogs", "certificateAuthorities", "ctlogs"] {
        let mixed = root_with(|root| root[field] = other[field].clone()).unwrap();
        assert!(mixed.open(BUNDLE.as_bytes(), DIGEST).is_err(), "{field}");
    }
    let another = format!("sha256:{}", "0".repeat(64));
    let said = root().open(BUNDLE.as_bytes(), &another).unwrap_err();
    assert!(said.contains("artifact"), "{said}");
    assert!(root().open(BUNDLE.as_bytes(), "sha512:aa").is_err());
}

#[test]
fn a_statement_that_was_changed_is_refused() {
    let mut bundle = parsed(BUNDLE);
    let statement = STATEMENT.replace("cosign/sign/v1", "cosign/sign/v2");
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(statement).into();
    assert!(
        refused(&bundle).contains("signature"),
        "{}",
        refused(&bundle)
    );
    let mut bundle = parsed(BUNDLE);
    bundle["dsseEnvelope"]["payloadType"] = "text/plain".into();
    refused(&bundle);
}

#[test]
fn without_the_entry_of_the_log_nothing_is_believed() {
    let mut bundle = parsed(BUNDLE);
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    refused(&bundle);
    // Neither a promise nor a proof alone will do: one has the time, the other that it was kept.
    for lacking in ["inclusionPromise", "inclusionProof", "integratedTime"] {
        let mut bundle = parsed(PROVENANCE);
        let entry = bundle["verificationMaterial"]["tlogEntries"][0].as_object_mut();
        entry.unwrap().remove(lacking);
        refused(&bundle);
    }
}

#[test]
fn an_entry_of_something_else_is_refused() {
    let (mut bundle, other) = (parsed(BUNDLE), parsed(BY_OTHER));
    let entries = other["verificationMaterial"]["tlogEntries"].clone();
    bundle["verificationMaterial"]["tlogEntries"] = entries;
    let said = refused(&bundle);
    assert!(said.contains("log entry"), "{said}");
    let certificate = other["verificationMaterial"]["certificate"].clone();
    let mut bundle = parsed(BUNDLE);
    bundle["verificationMaterial"]["certificate"] = certificate;
    refused(&bundle);
}

#[test]
fn the_time_of_the_log_is_the_log_s() {
    let mut bundle = parsed(BUNDLE);
    let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
    let at: i64 = entry["integratedTime"].as_str().unwrap().parse().unwrap();
    entry["integratedTime"] = (at + 1).to_string().into();
    let said = refused(&bundle);
    assert!(said.contains("promise"), "{said}");
}

fn wish(at: i64) -> Wish {
    Wish {
        at,
        signs: true,
        issuer: Some(ISSUER),
        subject: Some(BUILDER),
    }
}

/// What comes of a bundle that is signed as is wished.
fn wished(wish: &Wish) -> Result<String, String> {
    let own = Own::new();
    let bundle = own.bundle(STATEMENT.as_bytes(), wish);
    let root = Root::read(&own.root()).unwrap();
    let opened = root.open(&bundle, DIGEST);
    opened.map(|(_, signatory)| signatory.to_string())
}

#[test]
fn a_certificate_counts_while_it_was_valid_by_the_time_of_the_log() {
    let good = Ok(format!("{BUILDER} ({ISSUER})"));
    for at in [FROM, FROM + 300, TO] {
        assert_eq!(wished(&wish(at)), good);
    }
    for at in [FROM - 1, TO + 1, TO + 86_400] {
        let said = wished(&wish(at)).unwrap_err();
        assert!(said.contains("certificate"), "{said}");
    }
    // The log of a machine whose clock is wrong, or of somebody who is out for it.
    assert!(is_ahead(&wished(&wish(4_000_000_000)).unwrap_err()));
    assert!(!is_ahead(&wished(&wish(TO + 1)).unwrap_err()));
}

#[test]
fn a_certificate_is_for_signing_and_says_for_whom() {
    let server = Wish {
        signs: false,
        ..wish(FROM)
    };
    assert!(wished(&server).unwrap_err().contains("certificate"));
    let issuer = Wish {
        issuer: None,
        ..wish(FROM)
    };
    let subject = Wish {
        subject: None,
        ..wish(FROM)
    };
    for nobody in [issuer, subject] {
        let said = wished(&nobody).unwrap_err();
        assert!(said.contains("in whose name"), "{said}");
    }
}

#[test]
fn an_authority_counts_while_the_root_says_so() {
    for window in [
        json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}),
        json!({"start": "2090-01-01T00:00:00Z"}),
    ] {
        let root = root_with(|root| {
            root["certificateAuthorities"][0]["validFor"] = window.clone();
        });
        let said = root.unwrap().open(BUNDLE.as_bytes(), DIGEST).unwrap_err();
        assert!(said.contains("no trusted certificate authority"), "{said}");
    }
}

#[test]
fn a_root_without_logs_of_certificates_asks_for_none() {
    let root = root_with(|root| root["ctlogs"] = json!([])).unwrap();
    assert!(root.open(BUNDLE.as_bytes(), DIGEST).is_ok());
}

#[test]
fn a_root_that_cannot_be_used_says_why() {
    let said = |root: Result<Root, String>| root.err().unwrap();
    for text in ["", "{}", "[]", "-----BEGIN CERTIFICATE-----"] {
        assert!(said(Root::read(text)).contains("cosign trusted-root create"));
    }
    let nobody = root_with(|root| root["certificateAuthorities"] = json!([]));
    assert!(said(nobody).contains("no certificate authority"));
    let no_log = root_with(|root| root["tlogs"] = json!([]));
    assert!(said(no_log).contains("no transparency log"));
    let damaged = root_with(|root| {
        root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] =
            "AAAA".into();
    });
    assert!(said(damaged).contains("root of trust"));
}

#[test]
fn what_has_a_key_is_not_certified() {
    let key = crate::supply::key::testing::key();
    let bundle = crate::supply::envelope::testing::sealed(STATEMENT.as_bytes(), &key);
    assert!(!is_certified(&bundle));
    assert!(root().open(&bundle, DIGEST).is_err());
    assert!(!is_certified(b"{}"));
}

proptest! {
    #[test]
    fn garbage_is_not_believed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(root().open(&bytes, DIGEST).is_err());
        prop_assert!(!is_certified(&bytes));
    }

    #[test]
    fn a_damaged_bundle_never_says_something_else(at in 0usize..5000, byte in any::<u8>()) {
        let mut bundle = BUNDLE.as_bytes().to_vec();
        let at = at % bundle.len();
        bundle[at] = byte;
        if let Ok((statement, signatory)) = root().open(&bundle, DIGEST) {
            prop_assert_eq!(statement, STATEMENT.as_bytes());
            prop_assert_eq!(signatory.to_string(), format!("{BUILDER} ({ISSUER})"));
        }
    }
}
