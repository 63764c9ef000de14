//! What is wrong with stages that are about images and packages. No I/O.

use super::before;
use crate::model::invalid::Invalid;
use crate::pipeline::api::{PipelineSpec, Stage, StageType};

/// Images of one stage: its report has to fit into a termination message.
const MAX_IMAGES: usize = 8;

/// What keeps an SBOM or Sign stage from being run.
pub(super) fn problems(
    spec: &PipelineSpec,
    stage: &Stage,
    path: &dyn Fn(&str) -> String,
) -> Vec<Invalid> {
    let mut problems = Vec::new();
    let builds = spec.stages.iter();
    let builds = builds.filter(|other| other.type_ == StageType::Build);
    let mut built: Vec<&str> = builds.map(|other| other.name.as_str()).collect();
    if stage.type_ == StageType::Sign {
        // What is in a package stands in its manifest; who stands for it does not.
        let packages = spec.stages.iter().flat_map(|other| &other.packages);
        built.extend(packages.map(|package| package.name.as_str()));
    }
    let named: Vec<&str> = stage.images().iter().map(String::as_str).collect();
    let images = if named.is_empty() { &built } else { &named };
    if stage.type_ == StageType::Sign {
        problems.extend(key_problem(stage, path));
    }
    let field = if stage.type_ == StageType::Sign {
        ".sign.images"
    } else {
        ".sbom.images"
    };
    if images.is_empty() {
        let problem = "no stage makes anything that it could be about; add a Build stage";
        problems.push(Invalid::new(path(field), problem));
    } else if images.len() > MAX_IMAGES {
        let problem = format!(
            "there are {} of them; name at most {MAX_IMAGES}, and make another stage for the others",
            images.len()
        );
        problems.push(Invalid::new(path(field), problem));
    }
    let before = before(spec, stage);
    for name in images {
        if !built.contains(name) {
            let problem = format!(
                "nothing that is made is called {name}; there are {}",
                built.join(", ")
            );
            problems.push(Invalid::new(path(field), problem));
        } else if stage.type_ == StageType::SBOM && !before.contains(name) {
            let problem = format!("{name} has to be built before: add it to needs");
            problems.push(Invalid::new(path(".needs"), problem));
        }
    }
    problems
}

/// What is wrong with the key of a stage that signs, or with that it has none.
fn key_problem(stage: &Stage, path: &dyn Fn(&str) -> String) -> Option<Invalid> {
    let Some(sign) = &stage.sign else {
        return Some(Invalid::new(
            path(".sign"),
            "a Sign stage needs sign: the key",
        ));
    };
    let ways = [
        sign.key_ref.is_some(),
        sign.kms.is_some(),
        sign.keyless.is_some(),
    ];
    if ways.into_iter().filter(|is_set| *is_set).count() != 1 {
        let problem = "takes one key: set keyRef for a private key in a Secret, kms for one that stays in a key service, or keyless for none";
        return Some(Invalid::new(path(".sign"), problem));
    }
    sign.keyless.as_ref()?;
    if sign.signature_tag() {
        let problem = "is for keys: take it out, or sign with a key";
        return Some(Invalid::new(path(".sign.signatureTag"), problem));
    }
    let pod = stage.pod.as_ref();
    let account = pod.and_then(|pod| pod.service_account_name.as_ref());
    account.is_none().then(|| nameless(path))
}

fn nameless(path: &dyn Fn(&str) -> String) -> Invalid {
    let problem =
        "sign.keyless signs in its name: set it to a service account that nothing else runs as";
    Invalid::new(path(".pod.serviceAccountName"), problem)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::pipeline::testing::said;

    fn build(name: &str) -> Value {
        json!({"name": name, "type": "Build", "build": {"image": format!("r.example/{name}")}})
    }

    fn sign(images: &[&str]) -> Value {
        json!({"name": "sign", "type": "Sign", "sign": {"images": images, "keyRef": {"name": "cosign"}}})
    }

    #[test]
    fn images_are_those_of_build_stages() {
        let sbom = |needs: &[&str]| json!({"name": "contents", "type": "SBOM", "needs": needs});
        assert_eq!(said(&json!([build("a"), sbom(&["a"]), sign(&[])])), "");
        assert_eq!(said(&json!([build("a"), build("b"), sign(&["b"])])), "");
        for (stages, says) in [
            (
                json!([build("a"), sign(&["b"])]),
                "nothing that is made is called b; there are a",
            ),
            (json!([build("a"), sbom(&[])]), "a has to be built before"),
            (json!([sign(&[])]), "no stage makes anything"),
        ] {
            let said = said(&stages);
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn what_is_signed_is_signed_by_one_key() {
        let kms = json!({"uri": "hashivault://cosign", "image": "r.example/cosign"});
        let key = json!({"name": "cosign"});
        let keyless = keyless();
        for (sign, is_good) in [
            (json!({"keyRef": key}), true),
            (json!({"kms": kms}), true),
            (json!({"keyless": keyless}), true),
            (json!({"keyRef": key, "kms": kms}), false),
            (json!({"keyRef": key, "keyless": keyless}), false),
            (
                json!({"keyRef": key, "kms": kms, "keyless": keyless}),
                false,
            ),
            (json!({}), false),
        ] {
            let pod = json!({"serviceAccountName": "signer"});
            let stage = json!({"name": "sign", "type": "Sign", "sign": sign, "pod": pod});
            let said = said(&json!([build("a"), stage]));
            assert_eq!(said.is_empty(), is_good, "{said}");
            assert_eq!(said.contains("takes one key"), !is_good, "{said}");
        }
    }

    fn keyless() -> Value {
        json!({
            "image": "r.example/cosign", "fulcioUrl": "https://fulcio.example",
            "rekorUrl": "https://rekor.example", "trustedRoot": {"configMapName": "sigstore"},
        })
    }

    #[test]
    fn without_a_key_a_stage_signs_in_a_name_of_its_own() {
        let mut stage = json!({"name": "sign", "type": "Sign", "sign": {"keyless": keyless()}});
        for pod in [json!(null), json!({}), json!({"runtimeClassName": "kata"})] {
            stage["pod"] = pod;
            let said = said(&json!([build("a"), stage]));
            assert!(
                said.contains("pod.serviceAccountName: sign.keyless"),
                "{said}"
            );
        }
        stage["pod"] = json!({"serviceAccountName": "signer"});
        assert_eq!(said(&json!([build("a"), stage])), "");
        stage["sign"]["signatureTag"] = true.into();
        let said = said(&json!([build("a"), stage]));
        assert!(said.contains("sign.signatureTag: is for keys"), "{said}");
    }

    #[test]
    fn what_is_needed_over_others_is_built_before() {
        let unit =
            json!({"name": "unit", "type": "Test", "image": "i", "run": "true", "needs": ["a"]});
        let sbom = json!({"name": "contents", "type": "SBOM", "needs": ["unit"]});
        assert_eq!(said(&json!([build("a"), unit, sbom])), "");
    }

    #[test]
    fn packages_are_signed_and_not_listed() {
        let packages = json!([{"name": "p", "files": ["a"], "repository": "r.example/p"}]);
        let script = json!({"name": "w", "type": "Custom", "image": "i", "run": "true", "packages": packages});
        assert_eq!(said(&json!([script, sign(&[])])), "");
        assert_eq!(said(&json!([script, sign(&["p"])])), "");
        let sbom =
            json!({"name": "contents", "type": "SBOM", "needs": ["w"], "sbom": {"images": ["p"]}});
        assert!(said(&json!([script, sbom])).contains("nothing that is made is called p"));
    }

    #[test]
    fn a_ninth_image_takes_another_stage() {
        let mut stages: Vec<Value> = (0..9).map(|number| build(&format!("i{number}"))).collect();
        stages.push(sign(&[]));
        assert!(said(&json!(stages)).contains("there are 9 of them"));
    }
}
