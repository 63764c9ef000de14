//! Objects as pages get them: without what nobody looks at, and for lists without what lists do not show. No I/O.

use serde_json::{Map, Value, json};

use super::topic::Topic;
use crate::model::object::ObjectKind;
use crate::model::text::truncate;

/// Longest text in a list, in bytes.
const MAX_TEXT: usize = 300;
/// Where kubectl leaves the whole object a second time.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What lists show of the metadata.
const METADATA: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
];
/// What lists show of the spec of each kind; of others nothing.
const SPECS: &[(ObjectKind, &[&str])] = &[
    (
        ObjectKind::Rollout,
        &[
            "replicas",
            "paused",
            "release",
            "workloadRef",
            "strategy",
            "traffic",
        ],
    ),
    (
        ObjectKind::Environment,
        &["tier", "promotion", "rollouts", "cluster"],
    ),
    (ObjectKind::Pipeline, &["suspend", "source", "stages"]),
    (
        ObjectKind::PipelineRun,
        &[
            "pipelineRef",
            "trigger",
            "ref",
            "sha",
            "retryOf",
            "environment",
        ],
    ),
    (
        ObjectKind::Release,
        &[
            "pipeline", "images", "packages", "commit", "version", "ref", "kind", "previous",
            "evidence",
        ],
    ),
    (
        ObjectKind::Promotion,
        &[
            "environment",
            "release",
            "pipeline",
            "members",
            "kind",
            "attempt",
            "requestedBy",
            "previous",
            "number",
            "decision",
            "commit",
            "reason",
            "version",
        ],
    ),
    (
        ObjectKind::Decision,
        &[
            "target",
            "action",
            "user",
            "groups",
            "reason",
            "release",
            "revision",
            "digest",
            "gates",
            "version",
            "expiresAt",
        ],
    ),
];
/// What no list shows of any status.
const LONG: &[&str] = &[
    "progress",
    "history",
    "audit",
    "outbox",
    "notifications",
    "changes",
    "attestations",
    "templates",
    "tagged",
    "alerts",
    "policy",
    "rules",
    "writeBack",
    "dora",
    "migrations",
    "selector",
    "suspects",
    "quarantine",
    "breaking",
    "definition",
];
/// What lists show of each stage of a run.
const STAGE: &[&str] = &["name", "type", "phase", "startedAt", "finishedAt"];
/// What lists show of each SLO.
const SLO: &[&str] = &["name", "state", "remainingBudget", "burnRates"];
/// What lists show of each Release in an Environment.
const DEPLOYED: &[&str] = &[
    "pipeline",
    "release",
    "promotion",
    "members",
    "since",
    "failedAt",
];

/// The object as it is, but for what only machines read.
pub fn whole(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        let annotations = metadata.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    object
}

/// What lists show of an object.
pub fn cut(topic: Topic, object: Value) -> Value {
    let Topic::Own(kind) = topic else {
        let mut event = whole(object);
        shorten(&mut event);
        return event;
    };
    let Value::Object(mut all) = object else {
        return object;
    };
    let mut cut = only(&all, &["apiVersion", "kind"]);
    cut.insert("metadata".to_owned(), metadata(all.get("metadata")));
    if let Some(Value::Object(spec)) = all.remove("spec") {
        cut.insert("spec".to_owned(), Value::Object(self::spec(kind, &spec)));
    }
    if let Some(Value::Object(mut status)) = all.remove("status") {
        status.retain(|key, _| !LONG.contains(&key.as_str()));
        reduce(&mut status, "stages", STAGE);
        reduce(&mut status, "slos", SLO);
        for field in ["desired", "current", "lastGood"] {
            reduce(&mut status, field, DEPLOYED);
        }
        cut.insert("status".to_owned(), Value::Object(status));
    }
    let mut cut = Value::Object(cut);
    shorten(&mut cut);
    cut
}

fn metadata(of: Option<&Value>) -> Value {
    let Some(Value::Object(all)) = of else {
        return json!({});
    };
    let mut cut = only(all, METADATA);
    if let Some(Value::Object(labels)) = all.get("labels") {
        let ours = labels
            .iter()
            .filter(|(key, _)| key.starts_with("slipway.dev/"));
        let ours: Map<String, Value> = ours.map(|(key, of)| (key.clone(), of.clone())).collect();
        if !ours.is_empty() {
            cut.insert("labels".to_owned(), Value::Object(ours));
        }
    }
    Value::Object(cut)
}

fn spec(kind: ObjectKind, spec: &Map<String, Value>) -> Map<String, Value> {
    let shown = SPECS.iter().find(|(of, _)| *of == kind);
    let mut cut = only(spec, shown.map(|(_, fields)| *fields).unwrap_or_default());
    keep(&mut cut, "strategy", &["type"]);
    keep(&mut cut, "traffic", &[]);
    reduce(&mut cut, "stages", &["name", "type", "needs"]);
    keep(&mut cut, "evidence", &["run", "tests", "gates"]);
    if let Some(Value::Object(evidence)) = cut.get_mut("evidence") {
        reduce(evidence, "gates", &["name", "result"]);
    }
    cut
}

/// Some of the fields.
fn only(of: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let found = names.iter().filter_map(|name| {
        let value = of.get(*name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    found.collect()
}

/// Leaves some of the fields of what is below a field.
fn keep(of: &mut Map<String, Value>, field: &str, names: &[&str]) {
    if let Some(Value::Object(below)) = of.get_mut(field) {
        below.retain(|key, _| names.contains(&key.as_str()));
    }
}

/// Leaves some of the fields of each entry of a list.
fn reduce(of: &mut Map<String, Value>, field: &str, names: &[&str]) {
    if let Some(Value::Array(entries)) = of.get_mut(field) {
        let entries = entries.iter_mut().filter_map(Value::as_object_mut);
        for entry in entries {
            entry.retain(|key, _| names.contains(&key.as_str()));
        }
    }
}

/// Cuts every long text.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_TEXT => {
            *text = format!("{}…", truncate(text, MAX_TEXT));
        }
        Value::Array(all) => all.iter_mut().for_each(shorten),
        Value::Object(all) => all.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout() -> Value {
        json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
            "metadata": {
                "name": "api", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-11-01T00:00:00Z", "finalizers": ["slipway.dev/cleanup"],
                "labels": {"app": "api", "slipway.dev/preview": "7"},
                "annotations": {LAST_APPLIED: "{…}", "team": "shop"},
                "managedFields": [{"manager": "kubectl"}],
            },
            "spec": {
                "replicas": 4, "template": {"spec": {"containers": [{"name": "web"}]}},
                "strategy": {"type": "Canary", "steps": [{"setWeight": {"weight": 10}}]},
                "release": {"environment": {"name": "production"}}, "traffic": {"gatewayApi": {}},
            },
            "status": {
                "observedGeneration": 3, "phase": "Paused", "message": "é".repeat(400),
                "progress": {"version": 1}, "history": [{"revision": "a"}],
                "weights": {"stable": 90, "canary": 10, "observed": true},
            },
        })
    }

    #[test]
    fn a_list_gets_what_lists_show() {
        let cut = cut(Topic::Own(ObjectKind::Rollout), rollout());
        let message = cut["status"]["message"].as_str().unwrap();
        assert!(message.len() <= MAX_TEXT + '…'.len_utf8() && message.ends_with('…'));
        let expected = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
            "metadata": {
                "name": "api", "namespace": "shop", "uid": "u1", "generation": 3,
                "creationTimestamp": "2026-11-01T00:00:00Z", "labels": {"slipway.dev/preview": "7"},
            },
            "spec": {
                "replicas": 4, "strategy": {"type": "Canary"}, "traffic": {},
                "release": {"environment": {"name": "production"}},
            },
            "status": {
                "observedGeneration": 3, "phase": "Paused", "message": message,
                "weights": {"stable": 90, "canary": 10, "observed": true},
            },
        });
        assert_eq!(cut, expected);
    }

    #[test]
    fn a_whole_object_lacks_what_only_machines_read() {
        let whole = whole(rollout());
        assert_eq!(whole["metadata"]["annotations"], json!({"team": "shop"}));
        assert!(whole["metadata"].get("managedFields").is_none());
        assert_eq!(whole["spec"], rollout()["spec"]);
        assert_eq!(whole["status"], rollout()["status"]);
    }

    #[test]
    fn stages_and_slos_are_named_and_no_more() {
        let run = json!({"metadata": {"name": "api-1"}, "spec": {"ref": "refs/heads/main", "params": [{"name": "x", "value": "y"}]},
            "status": {"stages": [{"name": "unit", "type": "Test", "phase": "Failed", "failedTests": [{"name": "t"}]}]}});
        let run = cut(Topic::Own(ObjectKind::PipelineRun), run);
        assert_eq!(
            run["status"]["stages"],
            json!([{"name": "unit", "type": "Test", "phase": "Failed"}])
        );
        assert_eq!(run["spec"], json!({"ref": "refs/heads/main"}));
        let environment = json!({"metadata": {"name": "eu"}, "spec": {"tier": "Production", "protection": {"approvals": {}}},
            "status": {"slos": [{"name": "a", "state": "Met", "message": "m", "remainingBudget": "0.5"}],
                "current": [{"pipeline": "api", "release": "api-1", "images": [{"name": "api"}]}]}});
        let environment = cut(Topic::Own(ObjectKind::Environment), environment);
        assert_eq!(
            environment["status"]["slos"],
            json!([{"name": "a", "state": "Met", "remainingBudget": "0.5"}])
        );
        assert_eq!(environment["spec"], json!({"tier": "Production"}));
        assert_eq!(
            environment["status"]["current"],
            json!([{"pipeline": "api", "release": "api-1"}])
        );
        let release = json!({"metadata": {"name": "api-1"}, "spec": {"pipeline": "api", "changelog": "…",
            "evidence": {"run": "api-1", "reports": [], "gates": [{"name": "tests", "result": "Passed", "measured": "12"}]}}});
        let release = cut(Topic::Own(ObjectKind::Release), release);
        assert_eq!(
            release["spec"],
            json!({"pipeline": "api", "evidence": {"run": "api-1", "gates": [{"name": "tests", "result": "Passed"}]}})
        );
    }

    #[test]
    fn what_has_no_status_yet_and_what_is_no_object_is_no_mistake() {
        let new = json!({"metadata": {"name": "api"}, "spec": {}});
        let cut_new = cut(Topic::Own(ObjectKind::Release), new);
        assert_eq!(cut_new, json!({"metadata": {"name": "api"}, "spec": {}}));
        assert_eq!(cut(Topic::Own(ObjectKind::Release), json!(7)), json!(7));
        let event =
            json!({"metadata": {"name": "e"}, "involvedObject": {"name": "api"}, "message": "m"});
        assert_eq!(cut(Topic::Events, event.clone()), event);
    }
}
