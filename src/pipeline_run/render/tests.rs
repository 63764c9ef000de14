//! Golden Jobs, and what holds for any of them.

use serde_json::{Value, json};

use super::super::api::{Artifact, ArtifactKind};
use super::super::outside::without_secrets;
use super::super::testing::{a_run, digest};
use super::*;
use crate::pipeline::api::{CacheSave, EnvVar};
use crate::pipeline::testing::{sha, spec};
use crate::pipeline_run::api::{RunParam, TriggerKind};
use crate::runner::task;

fn rendered(spec: &PipelineSpec, stage: usize) -> Value {
    let run = built();
    let (sha, since) = (sha('a'), sha('b'));
    let at = At {
        sha: &sha,
        since: Some(&since),
        reports_changes: stage == 0,
        cell: None,
        attempt: 1,
        result: None,
        run: &run,
    };
    job(&a_run(), spec, &spec.stages[stage], at).body
}

#[test]
fn a_test_stage() {
    insta::assert_yaml_snapshot!(rendered(&spec(), 0));
}

/// A run that has made an image.
fn built() -> PipelineRunStatus {
    PipelineRunStatus {
        artifacts: vec![Artifact {
            name: "image".into(),
            kind: ArtifactKind::Image,
            reference: "registry.example/shop/api".into(),
            digest: digest('9'),
            size: None,
            version: None,
        }],
        ..PipelineRunStatus::default()
    }
}

fn with(stage: &Value) -> PipelineSpec {
    let mut spec = crate::pipeline::testing::spec_json();
    let stages = spec["stages"].as_array_mut().unwrap();
    stages.push(stage.clone());
    serde_json::from_value(spec).unwrap()
}

#[test]
fn a_stage_that_lists_has_nothing_of_the_repository() {
    let stage = json!({"name": "contents", "type": "SBOM", "needs": ["image"]});
    insta::assert_yaml_snapshot!(rendered(&with(&stage), 2));
}

#[test]
fn a_stage_that_signs_has_the_key_and_one_container() {
    let sign = json!({"keyRef": {"name": "cosign"}, "provenance": false});
    let stage = json!({"name": "sign", "type": "Sign", "sign": sign});
    insta::assert_yaml_snapshot!(rendered(&with(&stage), 2));
}

/// A stage that has a key service sign.
fn by_service() -> PipelineSpec {
    let kms = json!({"uri": "hashivault://cosign", "image": "registry.example/ci/cosign:v3"});
    let mut spec = with(&json!({
        "name": "sign", "type": "Sign", "sign": {"kms": kms},
        "env": [
            {"name": "VAULT_ADDR", "value": "https://vault.example"},
            {"name": "VAULT_TOKEN", "secretRef": {"name": "vault", "key": "token"}},
            {"name": "VAULT_CACERT", "secretFile": {"name": "vault", "key": "ca.crt"}},
        ],
        "pod": {"serviceAccountName": "signer"},
    }));
    spec.defaults.env = vec![EnvVar {
        name: "CI_TOKEN".into(),
        value: Some("of scripts".into()),
        ..EnvVar::default()
    }];
    spec
}

#[test]
fn a_stage_that_has_a_key_service_sign_has_its_login_and_nothing_of_the_repository() {
    let mut seen = a_run();
    seen.images.receiver = Some(super::super::testing::receiver());
    let pod = pod_of(&seen, &by_service(), 2);
    assert_eq!(pod["serviceAccountName"], "signer");
    let names: Vec<&Value> = containers(&pod).iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [LOGS, TOOLS, CLAIM, MAIN]);
    let main = &pod["containers"][0];
    assert_eq!(main["image"], "registry.example/ci/cosign:v3");
    assert_eq!(main["command"][0], task::RUNNER);
    assert_eq!(main["command"][1], "sign");
    let rights = &main["securityContext"];
    assert_eq!(rights["readOnlyRootFilesystem"], true);
    assert_eq!(rights["runAsUser"], 65532);
    let env = main["env"].as_array().unwrap();
    let names: Vec<&Value> = env.iter().map(|variable| &variable["name"]).collect();
    let logins = ["VAULT_ADDR", "VAULT_TOKEN", "VAULT_CACERT"];
    assert_eq!(names, [&logins[..], &["HOME", task::VARIABLE]].concat());
    let task = env.last().unwrap()["value"].as_str().unwrap();
    let task: task::SignTask = serde_json::from_str(task).unwrap();
    let wanted = task::KmsTask {
        uri: "hashivault://cosign".into(),
        program: "cosign".into(),
        secrets: vec![
            task::SecretSource::Variable("VAULT_TOKEN".into()),
            task::SecretSource::File("/slipway-secrets/VAULT_CACERT".into()),
        ],
    };
    assert_eq!(task.with, task::SignsWith::Kms(wanted));
    assert_eq!(task.images.len(), 1);
    for container in containers(&pod) {
        let text = container.to_string();
        let is_main = container["name"] == MAIN;
        assert_eq!(text.contains("slipway-secrets"), is_main, "{text}");
        assert_eq!(text.contains("secretKeyRef"), is_main, "{text}");
        assert!(
            !text.contains("slipway-git") && !text.contains("CI_TOKEN"),
            "{text}"
        );
    }
    assert!(!pod.to_string().contains(task::KEY_FOLDER));
}

#[test]
fn a_stage_that_signs_without_a_key_has_a_token_of_its_own_service_account_for_fulcio_alone() {
    let keyless = json!({
        "image": "registry.example/ci/cosign:v3", "fulcioUrl": "https://fulcio.example",
        "rekorUrl": "https://rekor.example", "trustedRoot": {"configMapName": "sigstore"},
    });
    let spec = with(&json!({
        "name": "sign", "type": "Sign", "sign": {"keyless": keyless},
        "pod": {"serviceAccountName": "signer"},
    }));
    let pod = pod_of(&a_run(), &spec, 2);
    assert_eq!(pod["serviceAccountName"], "signer");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let main = &pod["containers"][0];
    assert_eq!(main["image"], "registry.example/ci/cosign:v3");
    assert_eq!(main["securityContext"]["readOnlyRootFilesystem"], true);
    let task = main["env"].as_array().unwrap().last().unwrap()["value"].as_str();
    let task: task::SignTask = serde_json::from_str(task.unwrap()).unwrap();
    let wanted = task::KeylessTask {
        fulcio_url: "https://fulcio.example".into(),
        rekor_url: "https://rekor.example".into(),
        identity: "/slipway-identity".into(),
        program: "cosign".into(),
        secrets: Vec::new(),
    };
    assert_eq!(task.with, task::SignsWith::Keyless(wanted));
    let volumes = pod["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "identity");
    let sources = json!([
        {"serviceAccountToken": {"audience": "sigstore", "expirationSeconds": 600, "path": "token"}},
        {"configMap": {"name": "sigstore", "items": [{"key": "trusted_root.json", "path": "trusted_root.json"}]}},
    ]);
    assert_eq!(volume.unwrap()["projected"]["sources"], sources);
    for container in containers(&pod) {
        let has_it = container.to_string().contains("slipway-identity");
        assert_eq!(has_it, container["name"] == MAIN, "{container}");
    }
    assert!(!pod.to_string().contains(task::KEY_FOLDER));
}

#[test]
fn a_home_of_people_s_is_theirs() {
    let mut spec = by_service();
    spec.stages[2].env = vec![EnvVar {
        name: "HOME".into(),
        value: Some("/root".into()),
        ..EnvVar::default()
    }];
    let body = rendered(&spec, 2);
    assert_eq!(variable(&body, "HOME").as_deref(), Some("/root"));
}

#[test]
fn a_build_stage() {
    insta::assert_yaml_snapshot!(rendered(&spec(), 1));
}

#[test]
fn names_fit_and_differ_by_run_stage_and_attempt() {
    let long = "x".repeat(63);
    let stage = "y".repeat(52);
    let names = [
        job_name(&long, &stage, None, 1),
        job_name(&long, &stage, None, 2),
        job_name(&long, "y", None, 1),
        job_name(&"x".repeat(62), &stage, None, 1),
    ];
    for name in &names {
        assert!(name.len() <= MAX_JOB_NAME, "{name}");
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
    }
}

/// Whatever people write reaches the pod as the value of an environment variable and nowhere else.
#[test]
fn untrusted_text_is_never_part_of_a_command() {
    let evil = "$(touch /tmp/evil); `id` \"'";
    let mut spec = spec();
    spec.stages[0].run = Some(evil.into());
    spec.stages[0].env = vec![EnvVar {
        name: "TITLE".into(),
        value: Some(evil.into()),
        ..EnvVar::default()
    }];
    let body = rendered(&spec, 0);
    let pod = &body["spec"]["template"]["spec"];
    for container in pod["initContainers"]
        .as_array()
        .unwrap()
        .iter()
        .chain(pod["containers"].as_array().unwrap())
    {
        assert!(!container["command"].to_string().contains("evil"));
        assert!(container.get("args").is_none());
    }
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let title = env.iter().find(|env| env["name"] == "TITLE").unwrap();
    assert_eq!(title["value"], task::env_value(evil));
}

/// The value of a variable of the container that does the work.
fn variable(body: &Value, name: &str) -> Option<String> {
    let env = &body["spec"]["template"]["spec"]["containers"][0]["env"];
    let mut env = env.as_array().unwrap().iter();
    let found = env.find(|variable| variable["name"] == name)?;
    found["value"].as_str().map(str::to_owned)
}

#[test]
fn a_script_knows_the_images_that_were_built_before_it_and_no_others() {
    let look = |needs: &[&str]| {
        let look =
            json!({"name": "look", "type": "Scan", "image": "i", "run": "true", "needs": needs});
        let between = json!({"name": "between", "type": "Test", "image": "i", "run": "true", "needs": ["image"]});
        let mut spec = with(&between);
        spec.stages.push(serde_json::from_value(look).unwrap());
        variable(&rendered(&spec, 3), "SLIPWAY_IMAGE_IMAGE")
    };
    let image = format!("registry.example/shop/api@{}", digest('9'));
    assert_eq!(look(&["image"]), Some(image.clone()));
    assert_eq!(look(&["between"]), Some(image));
    assert_eq!(look(&[]), None);
}

#[test]
fn variables_of_a_stage_win_over_defaults_and_ours_over_both() {
    let mut spec = spec();
    let env = |name: &str, value: &str| EnvVar {
        name: name.into(),
        value: Some(value.into()),
        ..EnvVar::default()
    };
    spec.defaults.env = vec![env("A", "default"), env("B", "default")];
    spec.stages[0].env = vec![env("A", "stage"), env("SLIPWAY_SHA", "fake")];
    let body = rendered(&spec, 0);
    let env = body["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let values = |name: &str| -> Vec<String> {
        let env = env.as_array().unwrap().iter();
        env.filter(|env| env["name"] == name)
            .map(|env| env["value"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(values("A"), ["stage"]);
    assert_eq!(values("B"), ["default"]);
    assert_eq!(values("SLIPWAY_SHA"), [sha('a')]);
}

#[test]
fn a_ca_bundle_is_mounted_where_the_commit_is_fetched_and_nowhere_else() {
    let mut spec = spec();
    spec.source.git.ca_bundle = Some(crate::pipeline::api::CaBundle {
        config_map_name: "company-ca".into(),
        key: "root.pem".into(),
    });
    let body = rendered(&spec, 0);
    let pod = &body["spec"]["template"]["spec"];
    assert!(
        pod["initContainers"][1]
            .to_string()
            .contains("/slipway-ca/ca.crt")
    );
    assert!(!pod["containers"].to_string().contains("slipway-ca"));
    assert!(pod["volumes"].to_string().contains("root.pem"));
}

/// A stage that uses everything that a pod may have.
fn full() -> PipelineSpec {
    let mut spec = serde_json::to_value(spec()).unwrap();
    let more = json!({
        "source": {"git": {"credentials": {"secretName": "git"}, "fetchDepth": 50}},
        "params": [{"name": "LEVEL", "default": "info"}],
        "caches": [{"name": "pip", "paths": ["/root/.cache/pip", ".venv"], "key": {"files": ["*.txt"], "env": ["PYTHON"]}}],
        "cacheStorage": {"claimName": "ci-caches"},
        "defaults": {"pod": {"nodeSelector": {"ci": "true"}, "priorityClassName": "ci", "runtimeClassName": "kata"}},
    });
    json_patch::merge(&mut spec, &more);
    let stage = json!({
        "env": [
            {"name": "PYTHON", "value": "3.11"},
            {"name": "TOKEN", "secretRef": {"name": "index", "key": "token"}},
            {"name": "CONF", "secretFile": {"name": "index", "key": "pip.conf"}},
        ],
        "caches": ["pip"],
        "services": [{
            "name": "db", "image": "postgres", "env": [{"name": "POSTGRES_PASSWORD", "value": "pa$$word"}],
            "ready": {"tcp": 5432, "timeout": "30s"}, "resources": {"limits": {"memory": "256Mi"}},
        }],
        "pod": {
            "priorityClassName": "urgent", "hostUsers": false, "serviceAccountName": "ci",
            "tolerations": [{"key": "ci", "operator": "Exists"}], "imagePullSecrets": ["registry"],
            "securityProfile": "Restricted",
        },
    });
    json_patch::merge(&mut spec["stages"][0], &stage);
    serde_json::from_value(spec).unwrap()
}

#[test]
fn a_stage_with_everything() {
    insta::assert_yaml_snapshot!(rendered(&full(), 0));
}

fn pod_of(seen: &Observed, spec: &PipelineSpec, stage: usize) -> Value {
    let (run, sha) = (built(), sha('a'));
    let at = At {
        sha: &sha,
        since: None,
        reports_changes: false,
        run: &run,
        cell: None,
        attempt: 1,
        result: None,
    };
    job(seen, spec, &spec.stages[stage], at).body["spec"]["template"]["spec"].clone()
}

/// All containers of a pod.
fn containers(pod: &Value) -> Vec<&Value> {
    let init = pod["initContainers"].as_array().unwrap().iter();
    init.chain(pod["containers"].as_array().unwrap()).collect()
}

#[test]
fn a_stage_that_hands_packages_out_has_them_and_not_their_login() {
    let stages = json!([
        {"name": "wheel", "type": "Custom", "image": "i", "run": "true", "packages": [{
            "name": "parcels", "files": ["dist/*"], "repository": "registry.example/shop/parcels", "pushSecretRef": {"name": "push"}}]},
        {"name": "upload", "type": "Publish", "image": "i", "run": "twine upload"},
        {"name": "after", "type": "Custom", "image": "i", "run": "true"},
    ]);
    let mut whole = serde_json::to_value(spec()).unwrap();
    whole["stages"] = stages;
    let spec: PipelineSpec = serde_json::from_value(whole).unwrap();
    let mut run = built();
    let artifact = json!({"name": "parcels", "kind": "Package", "ref": "registry.example/shop/parcels",
        "digest": format!("sha256:{}", "b".repeat(64))});
    run.artifacts
        .push(serde_json::from_value(artifact).unwrap());
    let sha = sha('a');
    let pod = |stage: usize| {
        let at = At {
            sha: &sha,
            since: None,
            reports_changes: false,
            run: &run,
            cell: None,
            attempt: 1,
            result: None,
        };
        job(&a_run(), &spec, &spec.stages[stage], at).body["spec"]["template"]["spec"].clone()
    };
    let upload = pod(1);
    let all = containers(&upload);
    let named = |name: &str| {
        all.iter()
            .find(|container| container["name"] == name)
            .unwrap()
    };
    assert!(named("fetch").to_string().contains(&"b".repeat(64)));
    assert!(named("fetch").to_string().contains("slipway-login"));
    let main = named(MAIN).to_string();
    assert!(
        main.contains("SLIPWAY_PACKAGES") && !main.contains("slipway-login"),
        "{main}"
    );
    assert!(!pod(2).to_string().contains("slipway-packages"));
}

#[test]
fn secrets_reach_the_containers_that_need_them_and_no_others() {
    let spec = full();
    let pod = pod_of(&a_run(), &spec, 0);
    for container in containers(&pod) {
        let text = container.to_string();
        let is = |name: &str| container["name"] == name;
        assert_eq!(text.contains("slipway-git"), is(SOURCE), "{text}");
        assert_eq!(text.contains("secretKeyRef"), is(MAIN), "{text}");
        assert_eq!(text.contains("slipway-secrets"), is(MAIN), "{text}");
        assert_eq!(
            text.contains("slipway-storage"),
            is("restore") || is("caches"),
            "{text}"
        );
    }
    let build = pod_of(&a_run(), &spec, 1);
    let main = build["containers"][0].to_string();
    assert!(!main.contains("secretKeyRef") && !build.to_string().contains("slipway-secrets"));
}

#[test]
fn only_runs_of_the_branch_keep_caches_unless_all_may() {
    let mut spec = full();
    let mut other = a_run();
    other.spec.git_ref = "refs/heads/proposal".into();
    let keeps = |seen: &Observed, spec: &PipelineSpec| {
        let pod = pod_of(seen, spec, 0);
        let env = pod["containers"][0]["env"].as_array().unwrap();
        let task = env
            .iter()
            .find(|env| env["name"] == task::VARIABLE)
            .unwrap();
        let asks = task["value"]
            .as_str()
            .unwrap()
            .contains(r#""savesCaches":true"#);
        let has_container = containers(&pod).iter().any(|one| one["name"] == "caches");
        assert_eq!(asks, has_container, "both sides know");
        has_container
    };
    assert!(keeps(&a_run(), &spec));
    assert!(!keeps(&other, &spec));
    spec.caches[0].save = Some(CacheSave::Always);
    assert!(keeps(&other, &spec));
    spec.caches[0].save = Some(CacheSave::Never);
    assert!(!keeps(&a_run(), &spec));
}

#[test]
fn logins_of_caches_in_a_registry_are_where_archives_are_taken_and_kept_and_nowhere_else() {
    let mut spec = full();
    let storage = json!({"registry": {"repository": "registry.example/shop/caches",
        "pullSecretRef": {"name": "read"}, "pushSecretRef": {"name": "write"}}});
    spec.cache_storage = serde_json::from_value(storage).unwrap();
    let pod = pod_of(&a_run(), &spec, 0);
    let volume = |name: &str| {
        let volumes = pod["volumes"].as_array().unwrap();
        let mut found = volumes.iter().filter(|volume| volume["name"] == name);
        let volume = found.next().unwrap();
        assert_eq!(found.next(), None, "{name} is there once");
        volume.clone()
    };
    assert_eq!(volume("storage")["emptyDir"], json!({}));
    assert_eq!(volume("restore-login")["secret"]["secretName"], "read");
    assert_eq!(volume("caches-login")["secret"]["secretName"], "write");
    for container in containers(&pod) {
        let text = container.to_string();
        let is = |name: &str| container["name"] == name;
        assert_eq!(text.contains("restore-login"), is("restore"), "{text}");
        assert_eq!(text.contains("caches-login"), is("caches"), "{text}");
        let has_task = text.contains("registry.example/shop/caches");
        assert_eq!(has_task, is("restore") || is("caches"), "{text}");
    }
    // Code of others is run with the login that takes archives, and without any where that one is all there is.
    let pod = pod_of(&a_run(), &without_secrets(spec.clone(), false), 0).to_string();
    assert!(pod.contains("restore-login") && !pod.contains("\"write\""));
    let storage = spec.cache_storage.as_mut().unwrap();
    storage.registry.as_mut().unwrap().pull_secret_ref = None;
    let pod = pod_of(&a_run(), &spec, 0).to_string();
    assert!(pod.contains("restore-login") && !pod.contains("\"read\""));
    let pod = pod_of(&a_run(), &without_secrets(spec, false), 0).to_string();
    assert!(
        pod.contains("slipway-storage") && !pod.contains("-login"),
        "{pod}"
    );
}

#[test]
fn a_pod_that_has_to_be_restricted_is() {
    let pod = pod_of(&a_run(), &full(), 0);
    let context = &pod["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    for container in containers(&pod) {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(
            context["capabilities"],
            json!({"drop": ["ALL"]}),
            "{container}"
        );
    }
}

#[test]
fn parameters_of_a_run_are_variables_and_win_over_those_of_the_pipeline() {
    let mut seen = a_run();
    seen.spec.trigger.kind = TriggerKind::Manual;
    seen.spec.params = vec![RunParam {
        name: "LEVEL".into(),
        value: "$(id) debug".into(),
    }];
    let pod = pod_of(&seen, &full(), 0);
    let env = pod["containers"][0]["env"].as_array().unwrap();
    let level: Vec<&Value> = env.iter().filter(|env| env["name"] == "LEVEL").collect();
    assert_eq!(level, [&json!({"name": "LEVEL", "value": "$$(id) debug"})]);
}
