//! Whether the images of a promotion are signed, as the Environment wants it. No I/O.
//!
//! A registry is asked for each image; what it hands out counts only by the signature of a key, or in the name of an identity, that the Environment lists. An
//! answer that is good stays good, because a digest and a signature do not change; one that is not is asked for again. No
//! answer is no signature.

use jiff::{SignedDuration, Timestamp};

use super::super::api::{CandidateGate, RequireSigned};
use super::super::observed::SIGNED;
use super::Draft;
use super::gate::gate;
use super::history::Entry;
use crate::model::action::{Action, Request};
use crate::model::secret::SecretKey;
use crate::model::signed::SignedQuestion;
use crate::model::span::{due_again, earliest};
use crate::pipeline_run::api::AttestationKind;
use crate::release::api::ImageRef;
use crate::supply::finding::Found;
use crate::supply::trust::Trust;

/// How soon a registry is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How long it may take to answer.
const LIMIT: std::time::Duration = std::time::Duration::from_mins(1);
/// Name of the gate.
const NAME: &str = "signature";

/// What the gate says, and what it asks.
pub(super) struct Signed {
    pub(super) gate: CandidateGate,
    pub(super) questions: Vec<Action>,
    pub(super) again_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    /// Whether the images of a promotion are signed; nothing where that is not asked for.
    pub(super) fn signed_gate(&self, entry: &Entry<'a>) -> Option<Signed> {
        let rule = self.seen.spec.protection.require_signed.as_ref()?;
        let mut signed = Signed {
            gate: gate(NAME, None, None),
            questions: Vec::new(),
            again_at: None,
        };
        let trust = Trust::read(&rule.public_keys, rule.certified().as_ref());
        if let Some(unusable) = trust.err().and_then(|all| all.into_iter().next()) {
            let path = format!("spec.protection.requireSigned.{}", unusable.field);
            let problem = format!("{path}: {}", unusable.problem);
            signed.gate = gate(NAME, Some(problem), None);
            return Some(signed);
        }
        let mut problems = Vec::new();
        for image in entry.images() {
            problems.extend(self.unsigned(rule, image, &mut signed));
        }
        if !problems.is_empty() {
            signed.gate = gate(NAME, Some(problems.join("; ")), None);
        }
        Some(signed)
    }

    /// Why an image does not count as signed.
    fn unsigned(
        &self,
        rule: &RequireSigned,
        image: &ImageRef,
        signed: &mut Signed,
    ) -> Option<String> {
        let name = &image.name;
        let Some((repository, digest)) = image.reference.split_once('@') else {
            return Some(format!("image {name} has no digest"));
        };
        // What was answered before an edit is not about what is asked now.
        let key = format!("{SIGNED}{}/{}", self.seen.generation, image.reference);
        let answer = self.seen.answers.get(&key);
        let problem = match answer {
            None => format!("asking the registry who signed image {name}"),
            Some(answer) => match Found::read(&answer.reply) {
                Ok(found) => lacking(rule, name, digest, &found)?,
                Err(error) => format!("it is not known who signed image {name}: {error}"),
            },
        };
        match due_again(answer.map(|answer| answer.at), ASK_AGAIN, self.now) {
            Some(due) => signed.again_at = earliest(signed.again_at, due),
            None => signed.questions.push(Action::Fetch {
                key,
                request: self.question(rule, repository, digest),
            }),
        }
        Some(problem)
    }

    fn question(&self, rule: &RequireSigned, repository: &str, digest: &str) -> Request {
        let login = rule.registry_secret_name.as_ref().map(|name| {
            let namespace = self.seen.key.namespace.clone();
            (namespace, SecretKey::registry_login(name))
        });
        let question = SignedQuestion {
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            is_insecure: rule.insecure_registry.unwrap_or(false),
            keys: rule.public_keys.clone(),
            certified: rule.certified(),
            login,
        };
        Request::for_signed(question, LIMIT)
    }
}

/// What is not signed that should be.
fn lacking(rule: &RequireSigned, name: &str, digest: &str, found: &Found) -> Option<String> {
    let has = |kind: &AttestationKind| found.signed.iter().any(|found| found.kind == *kind);
    let missing = rule.statements().iter().filter(|kind| !has(kind));
    let missing: Vec<&str> = missing.map(|kind| kind.as_str()).collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(" and ");
    let whose = rule.whose();
    let others = match found.others.as_slice() {
        [] => String::new(),
        others => format!(" ({})", others.join("; ")),
    };
    Some(format!(
        "image {name} ({digest}) has no {missing} by {whose} in protection.requireSigned{others}; sign it with a Sign stage or cosign, or \
         promote a Release that is"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::super::testing::{Nature, World, digest};
    use super::*;
    use crate::supply::finding::Finding;
    use crate::supply::keyless::testing::{BUILDER, ISSUER, ROOT};

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElR0ByNRVQs2CpHI1NVB06i48MN0R
yHruCCXOjMeKvswEGFXfmMmyqTD2PbEHk6AidiKFVwyNTeTfwULJoLdzIQ==
-----END PUBLIC KEY-----
";

    fn finding(kind: AttestationKind) -> Finding {
        Finding {
            kind,
            by: "sha256:kk".into(),
            artifact: "sha256:cc".into(),
        }
    }

    /// A shop whose staging wants signatures and provenances.
    fn world(key: &str) -> World {
        let mut world = World::shop();
        let rule = json!({"publicKeys": [key], "statements": ["Signature", "Provenance"]});
        world.edit("staging", &json!({"protection": {"requireSigned": rule}}));
        world
    }

    fn sign(world: &mut World, number: u32, kinds: &[AttestationKind]) {
        let findings = kinds.iter().copied().map(finding).collect();
        let known = world.signed.get_or_insert_with(BTreeMap::new);
        known.insert(digest(number), findings);
    }

    #[test]
    fn what_is_signed_is_promoted() {
        let mut world = world(KEY);
        sign(
            &mut world,
            1,
            &[AttestationKind::Signature, AttestationKind::Provenance],
        );
        world.release(1, Nature::Good);
        world.settle();
        assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    }

    #[test]
    fn what_is_not_signed_waits_until_it_is() {
        let mut world = world(KEY);
        sign(&mut world, 1, &[AttestationKind::Signature]);
        world.release(1, Nature::Good);
        world.settle();
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
        let message = world.message("staging");
        assert!(message.contains("waits for signature"), "{message}");
        assert!(
            message.contains("has no Provenance by the key"),
            "{message}"
        );
        sign(
            &mut world,
            1,
            &[AttestationKind::Signature, AttestationKind::Provenance],
        );
        world.tick(31);
        world.settle();
        assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    }

    #[test]
    fn no_answer_is_no_signature() {
        let mut world = world(KEY);
        world.signed = None;
        world.release(1, Nature::Good);
        world.settle();
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
        let message = world.message("staging");
        assert!(
            message.contains("cannot reach registry.example"),
            "{message}"
        );
    }

    /// A shop whose staging wants a signature in the name of an identity, or of a workflow.
    fn keyless_world(root: &str) -> World {
        let mut world = World::shop();
        let pattern = "https://github.com/shop/api/*/*/release.yml@refs/tags/*";
        let identities = json!([
            {"issuer": ISSUER, "subject": BUILDER},
            {"issuer": "https://token.actions.githubusercontent.com", "subjectPattern": pattern},
        ]);
        let rule = json!({"identities": identities, "trustedRoot": root});
        world.edit("staging", &json!({"protection": {"requireSigned": rule}}));
        world
    }

    #[test]
    fn who_has_signed_in_place_of_an_identity_is_named() {
        let mut world = keyless_world(ROOT);
        world.strangers = vec!["one is by somebody, which is none of the identities".into()];
        world.release(1, Nature::Good);
        world.settle();
        assert_eq!(world.told("staging"), ["Promote shop-1 Pending"]);
        let message = world.message("staging");
        for said in [
            "has no Signature by one of the identities",
            "(one is by somebody, which",
        ] {
            assert!(message.contains(said), "{message}");
        }
        sign(&mut world, 1, &[AttestationKind::Signature]);
        world.tick(31);
        world.settle();
        assert_eq!(world.runs("staging"), ("shop-1".into(), "shop-1".into()));
    }

    #[test]
    fn a_root_of_trust_that_is_none_is_named() {
        let mut world = keyless_world("{}");
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(message.contains("requireSigned.trustedRoot: "), "{message}");
    }

    #[test]
    fn a_question_is_for_whoever_the_environment_lists() {
        let rule: RequireSigned = serde_json::from_value(json!({
            "publicKeys": [KEY], "trustedRoot": ROOT, "identities": [
                {"issuer": ISSUER, "subject": BUILDER},
                {"issuer": ISSUER, "subjectPattern": "*@shop.example"},
            ],
        }))
        .unwrap();
        assert_eq!(rule.whose(), "one of the keys and identities");
        let certified = rule.certified().unwrap();
        assert_eq!(certified.root, ROOT);
        let counts = |subject: &str| {
            let mut identities = certified.identities.iter();
            identities.any(|identity| identity.is(ISSUER, subject))
        };
        assert!(counts(BUILDER) && counts("alice@shop.example"));
        assert!(!counts("") && !counts("https://kubernetes.io/"));
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let mut world = world("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        world.release(1, Nature::Good);
        world.settle();
        let message = world.message("staging");
        assert!(message.contains("publicKeys[0]"), "{message}");
    }
}
