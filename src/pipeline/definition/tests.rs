use serde_json::{Value, json};

use super::*;
use crate::pipeline::testing::spec_json;

/// The Pipeline of the tests, with a definition.
fn pipeline(definition: &Value) -> PipelineSpec {
    let mut spec = spec_json();
    spec["definition"] = definition.clone();
    serde_json::from_value(spec).unwrap()
}

fn refusal(definition: &Value, text: &str) -> String {
    merged(&pipeline(definition), Some(text)).unwrap_err()
}

/// A stage `lint`, with more lines.
fn lint(more: &str) -> String {
    format!("stages:\n- name: lint\n  type: Lint\n  image: ruff:1\n  run: ruff check\n{more}")
}

#[test]
fn what_the_file_has_comes_behind_what_the_pipeline_has() {
    let text = "\
stages:
- {name: lint, type: Lint, image: 'ruff:1', run: ruff check, needs: [unit], reports: {sarif: [lint.sarif]}}
gates:
- {name: style, findings: {}, from: [lint]}
params:
- {name: LOG_LEVEL, default: info}
";
    let whole = merged(&pipeline(&json!({})), Some(text)).unwrap();
    let names: Vec<&str> = whole
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["unit", "image", "lint"]);
    let gates: Vec<&str> = whole.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(gates, ["tests", "style"]);
    assert_eq!(whole.params.len(), 1);
    assert_eq!(whole.definition, None);
}

#[test]
fn without_a_file_or_with_an_empty_one_it_is_the_pipeline_alone() {
    let pipeline = pipeline(&json!({}));
    for text in [
        None,
        Some(""),
        Some("# nothing yet\n"),
        Some("stages: []\n"),
    ] {
        let whole = merged(&pipeline, text).unwrap();
        assert_eq!(
            (whole.stages, whole.gates),
            (pipeline.stages.clone(), pipeline.gates.clone())
        );
    }
    let mut bare = pipeline;
    bare.stages.clear();
    bare.gates.clear();
    assert!(
        merged(&bare, None)
            .unwrap_err()
            .contains("has no .slipway/pipeline.yaml")
    );
    let text = lint("");
    assert_eq!(merged(&bare, Some(&text)).unwrap().stages.len(), 1);
}

/// A Pipeline that names no definition follows nothing but itself.
#[test]
fn a_pipeline_that_says_nothing_takes_nothing() {
    let spec = crate::pipeline::testing::spec();
    assert_eq!(merged(&spec, Some("stages: nonsense")).unwrap(), spec);
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let rule = json!({});
    let cases = [
        ("stages:\n- name: [\n", "line "),
        ("stages: 3\n", "line 1, column "),
        ("waivers: []\n", "set in the Pipeline itself"),
        (
            "stages:\n- {name: unit, type: Test, image: a, run: b}\n",
            "line 2, column 3: stages: unit is there already",
        ),
        (
            "gates:\n- {name: tests, tests: {maxFailures: 100}}\n",
            "line 2, column 3: gates: tests is there already",
        ),
        (
            &lint("  imgae: x\n"),
            "line 2, column 3: stages[0].imgae: there is no such field",
        ),
        (
            &lint("- name: Two Words\n  type: Lint\n  image: a\n  run: b\n"),
            "line 6, column 3: stages[1].name",
        ),
        (
            &lint("  needs: [nobody]\n"),
            "stages[].needs must name other stages",
        ),
        (
            &lint("  when: 'branch =='\n"),
            "line 2, column 3: stages[0].when: not a usable CEL expression",
        ),
    ];
    for (text, wanted) in cases {
        let said = refusal(&rule, text);
        assert!(said.starts_with(".slipway/pipeline.yaml"), "{said}");
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert!(refusal(&rule, &"# much\n".repeat(5000)).contains("larger than 32 KiB"));
}

#[test]
fn what_the_pipeline_does_not_allow_is_refused() {
    let bounds = json!({
        "images": ["registry.example/ci/*"], "secrets": ["index"], "maxResources": {"cpu": "2", "memory": "1Gi"},
    });
    let ours = lint("").replace("ruff:1", "registry.example/ci/ruff:1");
    assert!(merged(&pipeline(&bounds), Some(&ours)).is_ok());
    let cases = [
        (
            "image: registry.example/ci/ruff:1",
            "image: docker.io/ruff",
            "stages[0].image: docker.io/ruff is not for this file",
        ),
        (
            "type: Lint",
            "type: Publish",
            "stages[0].type: Publish is not for this file",
        ),
        (
            "type: Lint",
            "type: Migrate",
            "stages[0].type: Migrate is not for this file",
        ),
        (
            "  run:",
            "  services: [{name: db, image: 'pg:1'}]\n  run:",
            "stages[0].services[0].image",
        ),
        (
            "  run:",
            "  services: [{name: db, image: 'registry.example/ci/pg:1'}]\n  run:",
            "stages[0].services[0].resources.limits.cpu: without a limit",
        ),
        (
            "  run:",
            "  resources: {limits: {cpu: '3'}}\n  run:",
            "stages[0].resources.limits.cpu: 3 is more than",
        ),
        (
            "  run:",
            "  resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}\n  run:",
            "stages[0].resources.limits.cpu: without a limit it may take more than the 2 of",
        ),
        (
            "  run:",
            "  resources: {limits: {example.com/gpu: 1}}\n  run:",
            "example.com/gpu is not for this file",
        ),
        (
            "  run:",
            "  env: [{name: A, secretRef: {name: cosign, key: k}}]\n  run:",
            "stages[0].env[A]: Secret cosign is not",
        ),
        (
            "  run:",
            "  pod: {imagePullSecrets: [other]}\n  run:",
            "Secret other is not for this file",
        ),
        (
            "  run:",
            "  pod: {serviceAccountName: admin}\n  run:",
            "service account admin is not for this file",
        ),
        (
            "  run:",
            "  pod: {nodeSelector: {a: b}}\n  run:",
            "stages[0].pod: where a stage runs",
        ),
        (
            "  run:",
            "  packages: [{name: p, files: ['dist/*'], repository: registry.example/p}]\n  run:",
            "registry.example/p is not for this file",
        ),
    ];
    for (from, to, wanted) in cases {
        let said = refusal(&bounds, &ours.replacen(from, to, 1));
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    let allowed = ours.replacen(
        "  run:",
        "  env: [{name: A, secretRef: {name: index, key: k}}]\n  resources: {requests: {cpu: 1500m, memory: 512Mi}, limits: {cpu: 2, memory: 1Gi}}\n  run:",
        1,
    );
    assert!(merged(&pipeline(&bounds), Some(&allowed)).is_ok());
}

#[test]
fn the_pods_of_the_file_may_not_do_more_than_those_of_the_pipeline() {
    let mut spec = pipeline(&json!({}));
    let relaxed = lint("  pod: {securityProfile: Baseline}\n");
    assert!(merged(&spec, Some(&relaxed)).is_ok());
    spec.defaults.pod = serde_json::from_value(json!({"securityProfile": "Restricted"})).unwrap();
    let said = merged(&spec, Some(&relaxed)).unwrap_err();
    assert!(
        said.contains("stages[0].pod.securityProfile: Baseline is less than the Restricted"),
        "{said}"
    );
    for own in ["", "  pod: {securityProfile: Restricted}\n"] {
        assert!(merged(&spec, Some(&lint(own))).is_ok(), "{own}");
    }
}

#[test]
fn builds_push_only_where_they_may() {
    let rule = json!({"stageTypes": ["Build"], "repositories": ["registry.example/shop/*"], "secrets": ["push"]});
    let build = |more: &str| {
        format!(
            "stages:\n- {{name: tool, type: Build, build: {{image: registry.example/shop/tool, pushSecretRef: {{name: push}}{more}}}}}\n"
        )
    };
    assert!(merged(&pipeline(&rule), Some(&build(""))).is_ok());
    for (more, wanted) in [
        (
            ", mirrors: [evil.example/x]",
            "evil.example/x is not for this file",
        ),
        (
            ", cache: {repository: evil.example/c}",
            "evil.example/c is not for this file",
        ),
        (", isolation: Privileged", "build.isolation"),
        (", insecureRegistry: true", "without encryption"),
    ] {
        let said = refusal(&rule, &build(more));
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
}

/// Whatever a Pipeline gives to all of its stages, those of the file have too; what it names for one stage, they have not.
#[test]
fn a_secret_of_one_stage_is_not_for_others() {
    let mut spec = pipeline(&json!({}));
    let env = json!([{"name": "TOKEN", "secretRef": {"name": "index", "key": "token"}}]);
    spec.defaults.env = serde_json::from_value(env.clone()).unwrap();
    assert!(merged(&spec, Some(&lint(""))).is_ok());
    spec.defaults.env.clear();
    spec.stages[0].env = serde_json::from_value(env).unwrap();
    let text = lint("  env: [{name: T, secretRef: {name: index, key: token}}]\n");
    assert!(
        merged(&spec, Some(&text))
            .unwrap_err()
            .contains("Secret index")
    );
}

#[test]
fn bounds_that_are_no_quantities_are_told() {
    let spec = pipeline(&json!({"maxResources": {"cpu": "many"}}));
    assert!(spec::problems(&spec)[0].path.ends_with("maxResources.cpu"));
}

/// Names for names for names: 4 KiB that would be millions of stages.
#[test]
fn a_file_that_would_be_endless_is_refused_at_once() {
    let mut text = String::from("stages:\n- &a0 {name: a, type: Test, image: a, run: b}\n");
    for level in 1..8 {
        let below = format!("*a{}, ", level - 1).repeat(8);
        let line = format!("- &a{level} [{below}]\n");
        text.push_str(&line);
    }
    assert!(merged(&pipeline(&json!({})), Some(&text)).is_err());
    let deep = format!("stages: {}{}", "[".repeat(9000), "]".repeat(9000));
    assert!(merged(&pipeline(&json!({})), Some(&deep)).is_err());
    let many = format!("stages: [{}]\n", "{}, ".repeat(40));
    assert!(refusal(&json!({}), &many).contains("more than 32 entries"));
}
