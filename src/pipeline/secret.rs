//! The Secrets that a Pipeline names. They are the same few questions for all of them: whether the operator may look,
//! whether the Secret is there, and whether its owner has said that Slipway may use it. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::api::{EnvVar, PipelineSpec};
use crate::model::label;
use crate::model::secret::SecretKey;

/// What is known of the Secrets that a spec names. Never what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The operator has no right to look.
    NotAllowed,
    /// What was found, by name; nothing where there is no such Secret.
    Known(BTreeMap<String, Option<Facts>>),
}

/// What is known of one Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it carries the label of those that may be used.
    pub is_labelled: bool,
    /// The keys that it has.
    pub keys: BTreeSet<String>,
}

/// Why a Pipeline's Secrets cannot be used: a reason, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `SecretsNotAllowed` or `NoSecret`.
    pub reason: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// The Secrets that a spec names: for each the keys that it has to have, and where in the spec it is named first.
pub fn named(spec: &PipelineSpec) -> BTreeMap<String, Named> {
    let mut found = Found::default();
    if let Some(credentials) = &spec.source.git.credentials {
        found.key("spec.source.git.credentials", &credentials.password());
    }
    found.variables("spec.defaults", &spec.defaults.env);
    let storage = spec.cache_storage.as_ref();
    if let Some(registry) = storage.and_then(|storage| storage.registry.as_ref()) {
        let path = "spec.cacheStorage.registry";
        if let Some(login) = &registry.pull_secret_ref {
            found.whole(&format!("{path}.pullSecretRef"), &login.name);
        }
        if let Some(login) = &registry.push_secret_ref {
            found.whole(&format!("{path}.pushSecretRef"), &login.name);
        }
    }
    for (index, stage) in spec.stages.iter().enumerate() {
        let path = format!("spec.stages[{index}]");
        found.variables(&path, &stage.env);
        for name in stage.pod(&spec.defaults).image_pull_secrets {
            found.whole(&format!("{path}.pod.imagePullSecrets"), &name);
        }
        if let Some(build) = &stage.build {
            for secret in &build.secrets {
                found.key(
                    &format!("{path}.build.secrets[{}]", secret.id),
                    &secret.secret_ref,
                );
            }
            if let Some(login) = &build.push_secret_ref {
                found.whole(&format!("{path}.build.pushSecretRef"), &login.name);
            }
        }
        for package in &stage.packages {
            if let Some(login) = &package.push_secret_ref {
                let path = format!("{path}.packages[{}].pushSecretRef", package.name);
                found.whole(&path, &login.name);
            }
        }
        let release = stage.release.as_ref();
        if let Some(credentials) = release.and_then(|release| release.credentials.as_ref()) {
            let path = format!("{path}.release.credentials");
            found.key(&path, &credentials.password());
        }
        if let Some(key) = stage.sign.as_ref().and_then(|sign| sign.key_ref.as_ref()) {
            found.key(&format!("{path}.sign.keyRef"), &key.private_key());
        }
    }
    found.0
}

/// What a spec wants of one Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Keys that it has to have.
    pub keys: BTreeSet<String>,
    /// Where it is named first.
    pub path: String,
}

#[derive(Default)]
struct Found(BTreeMap<String, Named>);

impl Found {
    /// A Secret as a whole.
    fn whole(&mut self, path: &str, name: &str) -> &mut Named {
        let named = || Named {
            path: path.to_owned(),
            ..Named::default()
        };
        self.0.entry(name.to_owned()).or_insert_with(named)
    }

    /// One key of a Secret.
    fn key(&mut self, path: &str, of: &SecretKey) {
        self.whole(path, &of.name).keys.insert(of.key.clone());
    }

    fn variables(&mut self, path: &str, env: &[EnvVar]) {
        for variable in env {
            let secrets = variable.secret_ref.iter().chain(&variable.secret_file);
            for secret in secrets {
                self.key(&format!("{path}.env[{}]", variable.name), secret);
            }
        }
    }
}

/// Why the Secrets that a spec names cannot be used, if so. The first problem is enough: mending it takes a look at the
/// others.
pub fn refusal(spec: &PipelineSpec, known: &Secrets) -> Option<Refusal> {
    refusal_of(&named(spec), known)
}

/// The same of Secrets that something else names.
pub fn refusal_of(named: &BTreeMap<String, Named>, known: &Secrets) -> Option<Refusal> {
    let known = match known {
        Secrets::Known(known) => known,
        Secrets::NotAllowed => {
            let (name, first) = named.first_key_value()?;
            return Some(Refusal {
                reason: "SecretsNotAllowed",
                message: format!(
                    "{} names Secret {name}, and this operator may not look at Secrets; set stages.secrets.enabled: true \
                     in the values of its chart",
                    first.path
                ),
            });
        }
    };
    named.iter().find_map(|(name, named)| {
        let problem = problem(name, named, known.get(name).and_then(Option::as_ref))?;
        Some(Refusal {
            reason: "NoSecret",
            message: format!("{}: {problem}", named.path),
        })
    })
}

fn problem(name: &str, named: &Named, facts: Option<&Facts>) -> Option<String> {
    let Some(facts) = facts else {
        return Some(format!("there is no Secret {name}; create it"));
    };
    if !facts.is_labelled {
        return Some(format!(
            "Secret {name} may not be used: it does not carry the label {}; if Slipway may use it, label it",
            label::USE
        ));
    }
    let missing = named.keys.difference(&facts.keys).next()?;
    Some(format!("Secret {name} has no key {missing}; add it"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> PipelineSpec {
        serde_json::from_value(json!({
            "source": {"git": {"url": "https://git.example/a", "credentials": {"secretName": "git"}}},
            "defaults": {"env": [{"name": "A", "value": "1"}, {"name": "B", "secretRef": {"name": "index", "key": "token"}}]},
            "stages": [{
                "name": "unit", "type": "Test", "image": "i", "run": "true",
                "env": [{"name": "C", "secretFile": {"name": "index", "key": "conf"}}],
                "pod": {"imagePullSecrets": ["registry"]},
            }],
        }))
        .unwrap()
    }

    fn facts(keys: &[&str]) -> Facts {
        Facts {
            is_labelled: true,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn known(all: &[(&str, Facts)]) -> Secrets {
        let all = all
            .iter()
            .map(|(name, facts)| ((*name).to_owned(), Some(facts.clone())));
        Secrets::Known(all.collect())
    }

    #[test]
    fn every_secret_is_found_with_the_keys_that_are_needed() {
        let named = named(&spec());
        let keys =
            |name: &str| -> Vec<&str> { named[name].keys.iter().map(String::as_str).collect() };
        assert_eq!(keys("git"), ["password"]);
        assert_eq!(keys("index"), ["conf", "token"]);
        assert_eq!(keys("registry"), [""; 0]);
        assert_eq!(named["index"].path, "spec.defaults.env[B]");
    }

    #[test]
    fn logins_of_caches_are_secrets_like_others() {
        let mut spec = spec();
        let storage = json!({"registry": {"repository": "r.example/caches",
            "pullSecretRef": {"name": "read"}, "pushSecretRef": {"name": "write"}}});
        spec.cache_storage = serde_json::from_value(storage).unwrap();
        let named = named(&spec);
        let path = |name: &str| named[name].path.as_str();
        assert_eq!(path("read"), "spec.cacheStorage.registry.pullSecretRef");
        assert_eq!(path("write"), "spec.cacheStorage.registry.pushSecretRef");
    }

    #[test]
    fn a_key_in_a_secret_is_one_and_a_key_service_takes_what_logs_in() {
        let named_by = |stage: serde_json::Value| {
            let spec =
                json!({"source": {"git": {"url": "https://git.example/a"}}, "stages": [stage]});
            named(&serde_json::from_value(spec).unwrap())
        };
        let stage = json!({"name": "sign", "type": "Sign", "sign": {"keyRef": {"name": "cosign"}}});
        assert!(named_by(stage)["cosign"].keys.contains("cosign.key"));
        let mut stage = json!({
            "name": "sign", "type": "Sign", "sign": {"kms": {"uri": "hashivault://cosign", "image": "i"}},
            "env": [{"name": "VAULT_TOKEN", "secretRef": {"name": "vault", "key": "token"}}],
        });
        let named = named_by(stage.clone());
        assert_eq!(named["vault"].path, "spec.stages[0].env[VAULT_TOKEN]");
        // By its service account it may need none.
        stage["env"] = json!([]);
        assert!(named_by(stage).is_empty());
    }

    #[test]
    fn a_secret_has_to_be_there_labelled_and_complete() {
        let good = [
            ("git", facts(&["password"])),
            ("index", facts(&["conf", "token", "more"])),
            ("registry", facts(&[])),
        ];
        assert_eq!(refusal(&spec(), &known(&good)), None);
        let mut unlabelled = good.clone();
        unlabelled[1].1.is_labelled = false;
        let mut short = good.clone();
        short[1].1.keys.remove("token");
        for (bad, says) in [
            (
                &good[..2],
                "spec.stages[0].pod.imagePullSecrets: there is no Secret registry",
            ),
            (&unlabelled, "label slipway.dev/use"),
            (&short, "Secret index has no key token"),
        ] {
            let refusal = refusal(&spec(), &known(bad)).unwrap();
            assert_eq!(refusal.reason, "NoSecret");
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
    }

    #[test]
    fn an_operator_that_may_not_look_says_what_to_set() {
        let refused = refusal(&spec(), &Secrets::NotAllowed).unwrap();
        assert_eq!(refused.reason, "SecretsNotAllowed");
        assert!(refused.message.contains("stages.secrets.enabled"));
        let mut without = spec();
        without.source.git.credentials = None;
        without.defaults.env.clear();
        without.stages[0].env.clear();
        without.stages[0].pod = None;
        assert_eq!(refusal(&without, &Secrets::NotAllowed), None);
    }
}
