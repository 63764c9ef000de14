//! Stories of copies of ConfigMaps.

use super::*;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::rollout::api::RolloutSpec;
use crate::rollout::config::{Content, Source, Sources};
use crate::rollout::observed::Owned;
use crate::rollout::spec::{Images, Spec};

fn raw() -> RolloutSpec {
    let from = json!([{"configMapRef": {"name": "settings"}}]);
    serde_json::from_value(json!({
        "replicas": 2, "selector": {"matchLabels": {"app": "api"}},
        "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [{"name": "web", "image": "api:1", "envFrom": from}]},
        },
    }))
    .unwrap()
}

fn with(value: &str) -> Spec {
    let content = Content {
        data: json!({"LEVEL": value}),
        binary_data: Value::Null,
    };
    let sources = Sources::from([("settings".to_owned(), Source::Found(content))]);
    let (spec, problems) = Spec::read_with(&raw(), &Images::new(), "api", &sources);
    assert!(problems.is_empty());
    spec
}

/// What is there once a spec runs.
fn running(spec: &Spec) -> Observed {
    let mut seen = untouched(spec.clone()).with_set(&spec.revision, 2);
    seen.sets[0].promoted_at = Some(NOW);
    seen.sets[0].configs = spec
        .snapshots
        .iter()
        .map(|copy| copy.name.clone())
        .collect();
    seen.snapshots = spec
        .snapshots
        .iter()
        .map(|copy| copy_of(&copy.name))
        .collect();
    seen
}

fn copy_of(name: &str) -> Owned {
    Owned {
        target: Target {
            kind: ObjectKind::ConfigMap,
            key: Key::new("shop", name),
            uid: name.to_owned(),
            resource_version: "1".into(),
        },
        is_owned: true,
    }
}

fn created(plan: &Plan<Memory>) -> Vec<ObjectKind> {
    let created = plan.actions.iter().filter_map(|action| match action {
        Action::Create(manifest) => Some(manifest.kind),
        _ => None,
    });
    created.collect()
}

#[test]
fn a_copy_is_there_before_the_pods_that_read_it() {
    let plan = plan(&untouched(with("info")), NOW);
    assert_eq!(
        created(&plan),
        [ObjectKind::ConfigMap, ObjectKind::ReplicaSet]
    );
}

#[test]
fn an_edit_of_a_config_map_is_a_new_revision_with_a_copy_of_its_own() {
    let (before, after) = (with("info"), with("debug"));
    assert_ne!(before.revision, after.revision);
    let mut seen = running(&before);
    assert_eq!(plan(&seen, NOW).actions, []);
    seen.wanted = Wanted::Spec(Box::new(after));
    let plan = plan(&seen, NOW);
    assert_eq!(
        created(&plan),
        [ObjectKind::ConfigMap, ObjectKind::ReplicaSet]
    );
    let is_gone = |action: &Action| matches!(action, Action::Delete { .. });
    assert!(
        !plan.actions.iter().any(is_gone),
        "the old one is still read"
    );
}

#[test]
fn a_copy_goes_with_the_last_revision_that_reads_it_and_comes_back_when_somebody_deletes_it() {
    let spec = with("info");
    let mut seen = running(&spec);
    seen.snapshots.push(copy_of("api-settings-old"));
    let gone = plan(&seen, NOW);
    let [Action::Delete { target, .. }] = gone.actions.as_slice() else {
        panic!("{:?}", gone.actions)
    };
    assert_eq!(target.key.name, "api-settings-old");
    seen.snapshots.clear();
    assert_eq!(created(&plan(&seen, NOW)), [ObjectKind::ConfigMap]);
}

#[test]
fn a_missing_config_map_is_told_of_before_any_pod_needs_it() {
    let sources = Sources::from([("settings".to_owned(), Source::Missing)]);
    let (_, problems) = Spec::read_with(&raw(), &Images::new(), "api", &sources);
    assert!(
        problems[0]
            .problem
            .contains("there is no ConfigMap settings")
    );
}
