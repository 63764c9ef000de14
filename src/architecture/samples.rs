//! Every sample is read, checked and planned by the code that a cluster would run, so that it cannot rot.

use std::fmt::Write;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::root;
use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::decision::api::Decision;
use crate::environment::api::Environment;
use crate::kinds::KINDS;
use crate::metric::{judge, provider};
use crate::model::action::Action;
use crate::model::invalid;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::rollout::adopt::standing_in;
use crate::rollout::api::Rollout;
use crate::rollout::spec::{Around, Images, Spec};
use crate::{pipeline, rollout};

/// Every sample: file name and content, in the order of names.
pub(super) fn files() -> Vec<(String, String)> {
    yaml_of("manifests/samples")
}

fn yaml_of(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(folder));
    let mut files: Vec<(String, String)> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn documents(name: &str, text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    documents.into_iter().filter(Value::is_object).collect()
}

/// Reads an object as strictly as the API server does: what the type does not know is a mistake.
fn read<K: DeserializeOwned + serde::Serialize>(name: &str, object: &Value) -> K {
    let read: K =
        serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let back = serde_json::to_value(&read).unwrap();
    let mut lost = String::new();
    compare(object, &back, "", &mut lost);
    assert!(
        lost.is_empty(),
        "{name}: fields that the kind does not have:{lost}"
    );
    read
}

fn compare(wanted: &Value, read: &Value, path: &str, lost: &mut String) {
    match (wanted, read) {
        (Value::Object(wanted), Value::Object(read)) => {
            for (key, value) in wanted {
                match read.get(key) {
                    Some(read) => compare(value, read, &format!("{path}.{key}"), lost),
                    None => write!(lost, " {path}.{key}").unwrap(),
                }
            }
        }
        (Value::Array(wanted), Value::Array(read)) => {
            for (index, (wanted, read)) in wanted.iter().zip(read).enumerate() {
                compare(wanted, read, &format!("{path}[{index}]"), lost);
            }
        }
        _ => {}
    }
}

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

pub(super) fn check(name: &str, object: &Value, templates: &Templates) {
    let kind = object["kind"]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: no kind"));
    let known = ObjectKind::own(kind);
    let is_own = object["apiVersion"] == "slipway.dev/v1alpha1";
    assert_eq!(known.is_some(), is_own, "{name}: apiVersion of {kind}");
    match known {
        Some(ObjectKind::Rollout) => check_rollout(name, &read(name, object), templates),
        Some(ObjectKind::Pipeline) => check_pipeline(name, &read(name, object)),
        Some(ObjectKind::AnalysisTemplate) => check_template(name, &read(name, object)),
        Some(ObjectKind::Environment) => drop(read::<Environment>(name, object)),
        Some(ObjectKind::PipelineRun) => drop(read::<PipelineRun>(name, object)),
        Some(ObjectKind::Release) => drop(read::<Release>(name, object)),
        Some(ObjectKind::Promotion) => drop(read::<Promotion>(name, object)),
        Some(ObjectKind::Decision) => drop(read::<Decision>(name, object)),
        Some(other) => panic!("{name}: samples of {other:?} are not checked yet"),
        None => {}
    }
}

/// The AnalysisTemplates of a file, by name.
pub(super) fn templates_in(documents: &[Value]) -> Templates {
    let templates = documents
        .iter()
        .filter(|it| it["kind"] == "AnalysisTemplate");
    let read = templates.map(|it| serde_json::from_value::<AnalysisTemplate>(it.clone()).unwrap());
    read.map(|template| (template.name_any(), template.into()))
        .collect()
}

fn check_rollout(name: &str, rollout: &Rollout, templates: &Templates) {
    let release = rollout
        .spec
        .release
        .iter()
        .flat_map(|release| &release.images);
    let images: Images = release
        .map(|(container, image)| {
            (
                container.clone(),
                format!("registry.example/{image}@sha256:{}", "0".repeat(64)),
            )
        })
        .collect();
    let around = Around {
        templates: templates.clone(),
        ..Around::of(rollout)
    };
    let raw = standing_in(&rollout.spec);
    let spec = Spec::parse_with(&raw, &images, &around)
        .unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
    let plan = rollout::plan::plan(&rollout::testing::untouched(spec), NOW);
    let creates_pods = |action: &Action| matches!(action, Action::Create(manifest) if manifest.kind == ObjectKind::ReplicaSet);
    assert!(plan.actions.iter().any(creates_pods), "{name}: {plan:#?}");
}

fn check_pipeline(name: &str, sample: &Pipeline) {
    let problems = pipeline::spec::problems(&sample.spec);
    assert!(
        problems.is_empty(),
        "{name}: {}",
        invalid::sentence(&problems)
    );
    let mut seen = pipeline::testing::a_pipeline();
    seen.spec = sample.spec.clone();
    let plan = pipeline::plan::plan(&seen, NOW);
    let asks = plan
        .actions
        .iter()
        .any(|action| matches!(action, Action::Fetch { .. }));
    assert!(asks, "{name}: {plan:#?}");
}

fn check_template(name: &str, template: &AnalysisTemplate) {
    for metric in &template.spec.metrics {
        provider::check(metric)
            .unwrap_or_else(|problem| panic!("{name}: {}: {problem:?}", metric.name));
        // What stands for an argument is checked with the Rollout that gives it.
        let complete = metric.conditions().filter(|(_, text)| !text.contains("{{"));
        for (_, text) in complete {
            judge::check(text)
                .unwrap_or_else(|problem| panic!("{name}: {}: {problem}", metric.name));
        }
    }
}

#[test]
fn every_metric_of_the_page_is_accepted_and_every_source_has_one() {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let blocks = crate::book::blocks(&page).into_iter();
    let metrics: Vec<Value> = blocks
        .filter(|block| block.text.starts_with("- "))
        .flat_map(|block| serde_saphyr::from_str::<Vec<Value>>(&block.text).unwrap())
        .collect();
    let template = serde_json::json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "page"}, "spec": {"metrics": metrics},
    });
    check("docs/metrics.md", &template, &Templates::new());
    let info = KINDS.iter().find(|info| info.kind == "AnalysisTemplate");
    let crd = serde_json::to_value(crate::crd::polish(info.unwrap()).unwrap()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema");
    let problems = crate::crd::validation::problems(&template, schema.unwrap());
    assert!(problems.is_empty(), "{}", invalid::sentence(&problems));
    let sources = [
        "prometheus",
        "web",
        "job",
        "datadog",
        "cloudWatch",
        "newRelic",
        "graphite",
        "influxdb",
    ];
    for source in sources {
        assert!(
            metrics.iter().any(|it| it.get(source).is_some()),
            "{source}"
        );
    }
}

#[test]
fn every_sample_parses_and_plans() {
    for (name, text) in files() {
        assert!(
            text.starts_with("# "),
            "{name}: the first line says what it shows"
        );
        let documents = documents(&name, &text);
        assert!(!documents.is_empty(), "{name} is empty");
        let templates = templates_in(&documents);
        for document in &documents {
            let namespace = document.pointer("/metadata/namespace");
            assert!(
                namespace.is_none(),
                "{name}: leave the namespace to whoever applies it"
            );
            check(&name, document, &templates);
        }
        let prefix = name.split('-').next().unwrap();
        let is_named = |document: &Value| {
            document["kind"]
                .as_str()
                .is_some_and(|kind| kind.to_lowercase() == prefix)
        };
        let is_kind = KINDS.iter().any(|info| info.kind.to_lowercase() == prefix);
        assert!(
            is_kind && documents.iter().any(is_named),
            "{name}: is called after a kind that is in it"
        );
    }
}

/// The demo's objects have placeholders for what each cluster has of its own; see its README.
#[test]
fn every_object_of_the_demo_parses_and_plans() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = [
        ("REGISTRY", "registry.example:5000"),
        ("GATEWAY", "gateway.example"),
        ("PROMETHEUS", "prometheus.example:9090"),
        ("PYTHON_IMAGE", "registry.example/python:3.11"),
        ("GITEA_IMAGE", "registry.example/gitea:1"),
        ("PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----\\n"),
        ("ACTION", "Approve"),
        ("WHO", "olga"),
        ("RELEASE", "greeter-3f9c2e1b4d"),
        ("DIGEST", &digest),
        ("REASON", "seen in staging"),
    ];
    for (name, mut text) in yaml_of("manifests/samples/demo") {
        for (placeholder, value) in values {
            text = text.replace(&format!("${{{placeholder}}}"), value);
        }
        assert!(
            !text.contains("${"),
            "{name}: a placeholder that its README does not know"
        );
        for document in documents(&name, &text) {
            check(&name, &document, &Templates::new());
        }
    }
}
