//! What the API server accepts and refuses, kind by kind, and what it adds to what people leave out.
//!
//! Each kind has a table in `tests/data/crd`: one object with every field set, edits of it that are fine, and
//! edits that are refused with a message. A rule that no refused edit runs into fails the test too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};
use slipway::kinds::{KINDS, KindInfo};

use crate::cluster::{Space, client, with_namespace};

/// What the API server should say about one kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Table {
    kind: String,
    /// An object with every field set.
    full: Value,
    /// The least that is accepted.
    least: Value,
    /// Objects with the fields that cannot stand beside those of the full one.
    #[serde(default)]
    others: Vec<Value>,
    /// Edits of the full object.
    accepted: Vec<Edit>,
    refused: Vec<Edit>,
    /// Edits of the full object, once it exists; refused when they say something.
    changes: Vec<Edit>,
    /// A status with every field set, and edits of it that are refused. For kinds that have one.
    #[serde(default)]
    status: Value,
    #[serde(default)]
    status_refused: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// What the edit makes of the object.
    case: String,
    /// New values, by JSON pointer; `-` appends to a list.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// What is removed, by JSON pointer.
    #[serde(default)]
    unset: Vec<String>,
    /// Part of the message.
    #[serde(default)]
    says: Option<String>,
}

fn tables() -> Vec<Table> {
    KINDS.iter().map(table).collect()
}

fn table(info: &KindInfo) -> Table {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/crd");
    let path = folder.join(format!("{}.yaml", info.plural));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut value: Value = serde_saphyr::from_str(&text).unwrap();
    expand(&mut value);
    let table: Table = serde_json::from_value(value).unwrap();
    assert_eq!(table.kind, info.kind);
    table
}

/// Writes out `<c*N>`: N times the character c.
fn expand(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((before, rest)) = text.split_once('<')
                && let Some((repeated, after)) = rest.split_once('>')
                && let Some((character, count)) = repeated.split_once('*')
            {
                let count = count.parse().expect("a number after *");
                *text = format!("{before}{}{after}", character.repeat(count));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(expand),
        Value::Object(fields) => fields.values_mut().for_each(expand),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Edit {
    fn apply(&self, object: &Value) -> Value {
        let mut object = object.clone();
        for (pointer, value) in &self.set {
            let (parent, key) = self.parent(&mut object, pointer);
            match parent {
                Value::Array(items) if key == "-" => items.push(value.clone()),
                Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
                Value::Object(fields) => drop(fields.insert(key.to_owned(), value.clone())),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    panic!("{}: {pointer} is in no object or list", self.case)
                }
            }
        }
        for pointer in &self.unset {
            let (parent, key) = self.parent(&mut object, pointer);
            let removed = parent.as_object_mut().and_then(|fields| fields.remove(key));
            assert!(
                removed.is_some(),
                "{}: nothing to remove at {pointer}",
                self.case
            );
        }
        object
    }

    fn parent<'a, 'b>(&self, object: &'a mut Value, pointer: &'b str) -> (&'a mut Value, &'b str) {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = object.pointer_mut(parent);
        (
            parent.unwrap_or_else(|| panic!("{}: no parent of {pointer}", self.case)),
            key,
        )
    }

    /// Panics unless the API server said what the case expects; yields what it said.
    fn judge(&self, kind: &str, result: kube::Result<DynamicObject>) -> Option<String> {
        let what = format!("{kind}: {}", self.case);
        match (result, &self.says) {
            (Ok(_), None) => None,
            (Ok(_), Some(_)) => panic!("{what}: accepted"),
            (Err(kube::Error::Api(status)), Some(says)) if status.is_invalid() => {
                assert!(status.message.contains(says), "{what}: {}", status.message);
                Some(status.message.clone())
            }
            (Err(error), _) => panic!("{what}: {error}"),
        }
    }
}

fn object(kind: &str, value: &Value) -> DynamicObject {
    let mut value = value.clone();
    value["apiVersion"] = json!("slipway.dev/v1alpha1");
    value["kind"] = json!(kind);
    serde_json::from_value(value).unwrap()
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

impl Table {
    /// Tries everything; yields every refusal.
    async fn check(&self, space: &Space) -> Vec<String> {
        let mut said = self.check_creation(space).await;
        said.extend(self.check_changes(space).await);
        if !self.status.is_null() {
            said.extend(self.check_status(space).await);
        }
        said
    }

    async fn check_creation(&self, space: &Space) -> Vec<String> {
        let api = space.api(&self.kind);
        let create = async |value: &Value| api.create(&dry_run(), &object(&self.kind, value)).await;
        for (what, value) in [("full", &self.full), ("least", &self.least)] {
            create(value)
                .await
                .unwrap_or_else(|error| panic!("{what} {}: {error}", self.kind));
        }
        for other in &self.others {
            let created = create(other)
                .await
                .unwrap_or_else(|error| panic!("{}: {error}", self.kind));
            let dropped = format!("{}: the schema drops or adds a field", self.kind);
            assert_eq!(created.data["spec"], other["spec"], "{dropped}");
        }
        let mut said = Vec::new();
        for case in self.accepted.iter().chain(&self.refused) {
            said.extend(case.judge(&self.kind, create(&case.apply(&self.full)).await));
        }
        said
    }

    async fn check_changes(&self, space: &Space) -> Vec<String> {
        let api = space.api(&self.kind);
        let wanted = object(&self.kind, &self.full);
        let created = api.create(&PostParams::default(), &wanted).await.unwrap();
        let created = serde_json::to_value(&created).unwrap();
        assert_eq!(
            created["spec"], self.full["spec"],
            "{}: the schema drops or adds a field",
            self.kind
        );
        let mut said = Vec::new();
        for case in &self.changes {
            let changed = object(&self.kind, &case.apply(&created));
            let result = api.replace(self.name(), &dry_run(), &changed).await;
            said.extend(case.judge(&self.kind, result));
        }
        said
    }

    async fn check_status(&self, space: &Space) -> Vec<String> {
        let api = space.api(&self.kind);
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let write = async |value: &Value| {
            let patch = json!({ "status": value["status"] });
            api.patch_status(self.name(), &params, &Patch::Merge(patch))
                .await
        };
        let full = json!({ "status": self.status });
        let written = write(&full)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", self.kind));
        assert_eq!(
            written.data["status"], self.status,
            "{}: the schema drops or adds a field",
            self.kind
        );
        let mut said = Vec::new();
        for case in &self.status_refused {
            said.extend(case.judge(&self.kind, write(&case.apply(&full)).await));
        }
        said
    }

    fn name(&self) -> &str {
        self.full["metadata"]["name"].as_str().unwrap()
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_rule_accepts_what_is_right_and_refuses_what_is_wrong() {
    with_namespace(async |space| {
        for (table, info) in tables().iter().zip(KINDS) {
            let said = table.check(space).await;
            let tried = |message: &&String| said.iter().any(|text| text.contains(message.as_str()));
            let messages = rule_messages(info);
            let untried: Vec<&String> = messages.iter().filter(|message| !tried(message)).collect();
            assert!(
                untried.is_empty(),
                "{}: no case runs into {untried:#?}",
                table.kind
            );
        }
    })
    .await;
}

fn rule_messages(info: &KindInfo) -> BTreeSet<String> {
    let crd = serde_json::to_value(slipway::crd::polish(info).unwrap()).unwrap();
    let mut messages = BTreeSet::new();
    collect_messages(&crd, &mut messages);
    messages
}

fn collect_messages(value: &Value, into: &mut BTreeSet<String>) {
    if let Some(rules) = value
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
    {
        into.extend(
            rules
                .iter()
                .map(|rule| rule["message"].as_str().unwrap().to_owned()),
        );
    }
    let fields = value
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::values);
    let items = value.as_array().into_iter().flatten();
    fields
        .chain(items)
        .for_each(|child| collect_messages(child, into));
}

/// A field that no full object sets could be dropped by the schema, or misnamed, without a test noticing.
#[test]
fn full_objects_set_every_field() {
    for (table, info) in tables().iter().zip(KINDS) {
        let crd = serde_json::to_value(slipway::crd::polish(info).unwrap()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let mut missing = Vec::new();
        let others = table.others.iter().map(|other| &other["spec"]);
        let specs: Vec<&Value> = [&table.full["spec"], &table.least["spec"]]
            .into_iter()
            .chain(others)
            .collect();
        find_missing(&schema["spec"], &specs, "spec", &mut missing);
        if info.has_reconciler {
            find_missing(&schema["status"], &[&table.status], "status", &mut missing);
        }
        assert!(missing.is_empty(), "{}: not set: {missing:#?}", info.kind);
    }
}

/// Paths of `schema` that none of the values has.
fn find_missing(schema: &Value, values: &[&Value], path: &str, missing: &mut Vec<String>) {
    if values.is_empty() {
        missing.push(path.to_owned());
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let found: Vec<&Value> = values.iter().filter_map(|value| value.get(name)).collect();
        find_missing(field, &found, &format!("{path}.{name}"), missing);
    }
    if schema["items"].is_object() {
        let found: Vec<&Value> = values
            .iter()
            .filter_map(|value| value.as_array())
            .flatten()
            .collect();
        find_missing(&schema["items"], &found, &format!("{path}[]"), missing);
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn kinds_with_a_reconciler_start_as_not_looked_at() {
    with_namespace(async |space| {
        for (table, info) in tables().iter().zip(KINDS) {
            let wanted = object(&table.kind, &table.least);
            let created = space
                .api(&table.kind)
                .create(&PostParams::default(), &wanted)
                .await
                .unwrap();
            let expected = if info.has_reconciler {
                json!({ "observedGeneration": -1 })
            } else {
                Value::Null
            };
            assert_eq!(created.data["status"], expected, "{}", table.kind);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn kubectl_finds_every_kind_by_short_name_and_category() {
    let client = client().await;
    let served = client
        .list_api_group_resources("slipway.dev/v1alpha1")
        .await
        .unwrap()
        .resources;
    for info in KINDS {
        let found = served.iter().find(|resource| resource.name == info.plural);
        let found = found.unwrap_or_else(|| panic!("{} is not served", info.plural));
        assert_eq!(found.kind, info.kind);
        assert_eq!(found.namespaced, info.namespaced);
        assert_eq!(
            found.short_names.as_deref(),
            Some([info.short.to_owned()].as_slice())
        );
        assert_eq!(
            found.categories.as_deref(),
            Some(["slipway".to_owned()].as_slice())
        );
        let status = format!("{}/status", info.plural);
        assert_eq!(
            served.iter().any(|resource| resource.name == status),
            info.has_reconciler
        );
    }
}
