//! What the API server accepts and refuses, kind by kind, and what it adds to what people leave out.
//!
//! Each kind has a table: one object with every field set, edits of it that are fine, and edits that are
//! refused with a message. A rule that no refused edit of the tables runs into fails the last test.

mod analysis;
mod decision;
mod environment;
mod pipeline;
mod pipeline_run;
mod promotion;
mod release;
mod rollout;

use std::collections::BTreeSet;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::kinds::KINDS;

use crate::cluster::{Space, with_namespace};

/// An edit of an object: a JSON pointer and the new value, or none to remove it.
type Edit = (&'static str, Option<Value>);

/// What the API server should say about one kind.
struct Table {
    kind: &'static str,
    /// An object with every field set.
    full: Value,
    /// The least that is accepted.
    least: Value,
    /// Edits of the full object that are accepted.
    accepted: Vec<(&'static str, Vec<Edit>)>,
    /// Edits of the full object that are refused, and part of the message.
    refused: Vec<(&'static str, Vec<Edit>, &'static str)>,
    /// Edits of the full object, once it exists, that are accepted or refused with a message.
    changes: Vec<(&'static str, Vec<Edit>, Option<&'static str>)>,
    /// A status with every field set; null for kinds without one.
    status: Value,
    /// Edits of the status that are refused, and part of the message.
    status_refused: Vec<(&'static str, Vec<Edit>, &'static str)>,
}

fn tables() -> Vec<Table> {
    vec![
        analysis::table(),
        decision::table(),
        environment::table(),
        pipeline::table(),
        pipeline_run::table(),
        promotion::table(),
        release::table(),
        rollout::table(),
    ]
}

fn set(pointer: &'static str, value: impl Into<Value>) -> Edit {
    (pointer, Some(value.into()))
}

fn unset(pointer: &'static str) -> Edit {
    (pointer, None)
}

/// A name with `length` characters.
fn name_of(length: usize) -> String {
    "n".repeat(length)
}

fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn commit(digit: char) -> Value {
    json!({
        "sha": sha(digit), "author": "Alice", "email": "alice@example.com",
        "committedAt": "2026-11-21T10:00:00Z", "subject": "Make it faster",
    })
}

fn condition(type_: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": "Because", "message": "it is so",
        "lastTransitionTime": "2026-11-21T10:00:00Z",
    })
}

fn edited(object: &Value, edits: &[Edit]) -> Value {
    let mut object = object.clone();
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = object
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("no {parent} in the object"));
        match (parent, value) {
            (Value::Object(fields), Some(value)) => {
                fields.insert(key.to_owned(), value.clone());
            }
            (Value::Object(fields), None) => {
                fields
                    .remove(key)
                    .unwrap_or_else(|| panic!("nothing to remove at {pointer}"));
            }
            (Value::Array(items), Some(value)) if key == "-" => items.push(value.clone()),
            (Value::Array(items), Some(value)) => {
                items[key.parse::<usize>().unwrap()] = value.clone()
            }
            _ => panic!("cannot edit {pointer}"),
        }
    }
    object
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

/// The text of a refusal, which must be about the content and nothing else.
fn refusal(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_invalid() => status.message,
        other => panic!("not refused for its content: {other}"),
    }
}

impl Table {
    async fn check(&self, space: &Space) -> BTreeSet<String> {
        let mut said = BTreeSet::new();
        self.check_creation(space, &mut said).await;
        self.check_changes(space, &mut said).await;
        if !self.status.is_null() {
            self.check_status(space, &mut said).await;
        }
        said
    }

    async fn check_creation(&self, space: &Space, said: &mut BTreeSet<String>) {
        let api = space.api(self.kind);
        let create = async |value: &Value| api.create(&dry_run(), &object(self.kind, value)).await;
        create(&self.full)
            .await
            .unwrap_or_else(|error| panic!("full {}: {error}", self.kind));
        create(&self.least)
            .await
            .unwrap_or_else(|error| panic!("least {}: {error}", self.kind));
        for (what, edits) in &self.accepted {
            let result = create(&edited(&self.full, edits)).await;
            result.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.kind));
        }
        for (what, edits, expected) in &self.refused {
            let result = create(&edited(&self.full, edits)).await;
            let text = refusal(
                result
                    .err()
                    .unwrap_or_else(|| panic!("{}: {what}: accepted", self.kind)),
            );
            assert!(text.contains(expected), "{}: {what}: {text}", self.kind);
            said.insert(text);
        }
    }

    async fn check_changes(&self, space: &Space, said: &mut BTreeSet<String>) {
        let api = space.api(self.kind);
        let created = api
            .create(&PostParams::default(), &object(self.kind, &self.full))
            .await
            .unwrap();
        let name = created.metadata.name.clone().unwrap();
        let created = serde_json::to_value(&created).unwrap();
        for (what, edits, expected) in &self.changes {
            let changed = object(self.kind, &edited(&created, edits));
            let result = api.replace(&name, &dry_run(), &changed).await;
            let Some(expected) = expected else {
                result.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.kind));
                continue;
            };
            let text = refusal(
                result
                    .err()
                    .unwrap_or_else(|| panic!("{}: {what}: accepted", self.kind)),
            );
            assert!(text.contains(expected), "{}: {what}: {text}", self.kind);
            said.insert(text);
        }
    }

    async fn check_status(&self, space: &Space, said: &mut BTreeSet<String>) {
        let api = space.api(self.kind);
        let name = self.full["metadata"]["name"].as_str().unwrap();
        let write = async |status: &Value| {
            let params = PatchParams {
                dry_run: true,
                ..PatchParams::default()
            };
            let patch = json!({ "status": status["status"] });
            api.patch_status(name, &params, &Patch::Merge(patch)).await
        };
        let full = json!({ "status": self.status });
        let written = write(&full)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", self.kind));
        assert_eq!(
            serde_json::to_value(&written.data["status"]).unwrap(),
            self.status,
            "{}: the schema drops part of the status",
            self.kind
        );
        for (what, edits, expected) in &self.status_refused {
            let result = write(&edited(&full, edits)).await;
            let text = refusal(
                result
                    .err()
                    .unwrap_or_else(|| panic!("{}: {what}: accepted", self.kind)),
            );
            assert!(text.contains(expected), "{}: {what}: {text}", self.kind);
            said.insert(text);
        }
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_rule_accepts_what_is_right_and_refuses_what_is_wrong() {
    with_namespace(async |space| {
        for table in tables() {
            let said = table.check(space).await;
            let untried: Vec<String> = rule_messages(table.kind)
                .into_iter()
                .filter(|message| !said.iter().any(|text| text.contains(message.as_str())))
                .collect();
            assert!(
                untried.is_empty(),
                "{}: no case runs into {untried:#?}",
                table.kind
            );
        }
    })
    .await;
}

fn rule_messages(kind: &str) -> BTreeSet<String> {
    let info = KINDS.iter().find(|info| info.kind == kind).unwrap();
    let crd = serde_json::to_value(slipway::crd::polish(info).unwrap()).unwrap();
    let mut messages = BTreeSet::new();
    collect_messages(&crd, &mut messages);
    messages
}

fn collect_messages(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for rule in fields
                .get("x-kubernetes-validations")
                .into_iter()
                .flat_map(Value::as_array)
                .flatten()
            {
                let message = rule["message"]
                    .as_str()
                    .expect("every rule says what is wrong");
                into.insert(message.to_owned());
            }
            fields
                .values()
                .for_each(|value| collect_messages(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_messages(item, into)),
        _ => {}
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn kinds_with_a_reconciler_start_as_not_looked_at() {
    with_namespace(async |space| {
        for table in tables() {
            let info = KINDS.iter().find(|info| info.kind == table.kind).unwrap();
            let wanted = object(table.kind, &table.least);
            let created = space
                .api(table.kind)
                .create(&PostParams::default(), &wanted)
                .await
                .unwrap();
            let expected = match info.has_reconciler {
                true => json!({ "observedGeneration": -1 }),
                false => Value::Null,
            };
            assert_eq!(created.data["status"], expected, "{}", table.kind);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn kubectl_finds_every_kind_by_short_name_and_category() {
    let client = crate::cluster::client().await;
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
