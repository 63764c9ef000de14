//! A sample, with what is a person's own replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cluster::in_tree;

/// The images of this cluster, by the names of the samples.
pub(super) type Images = BTreeMap<String, String>;

/// The Pipelines of a sample.
pub(super) fn read(name: &str) -> Vec<Value> {
    let path = in_tree(&format!("manifests/samples/pipeline-{name}.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Puts the repository, the registry and the images of this cluster in the places of those of the sample, whose providers,
/// webhooks and logins go: there are none here.
pub(super) fn settle(pipeline: &mut Value, url: &str, place: &str, images: &Images) {
    let spec = &mut pipeline["spec"];
    let git = spec["source"]["git"].as_object_mut().unwrap();
    git.insert("url".to_owned(), json!(url));
    git.insert("insecure".to_owned(), json!(true));
    git.remove("provider");
    git.remove("credentials");
    // Published releases are told by webhooks only, so where they are a trigger it stays.
    let mut triggers = spec["triggers"].as_array().into_iter().flatten();
    if triggers.all(|trigger| trigger.get("release").is_none()) {
        spec.as_object_mut().unwrap().remove("webhook");
    }
    spec["polling"] = json!({"interval": "1s"});
    walk(spec, place, images);
    let text = pipeline.to_string();
    assert!(!text.contains(".example/"), "{text}");
}

fn walk(value: &mut Value, place: &str, images: &Images) {
    match value {
        Value::Object(fields) => {
            if is_of_a_registry(fields) {
                fields.insert("insecureRegistry".to_owned(), json!(true));
            }
            fields.remove("pushSecretRef");
            for value in fields.values_mut() {
                walk(value, place, images);
            }
        }
        Value::Array(values) => {
            for value in values {
                walk(value, place, images);
            }
        }
        Value::String(text) => {
            if let Some(image) = images.get(text) {
                image.clone_into(text);
            } else if let Some(path) = text.strip_prefix("registry.example/") {
                assert!(!path.starts_with("ci/"), "there is no {text} here");
                *text = format!("{place}/{path}");
            } else if let Some(path) = text.strip_prefix("backup.example/") {
                *text = format!("{place}/backup/{path}");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether these fields say where something is pushed to.
fn is_of_a_registry(fields: &Map<String, Value>) -> bool {
    fields.contains_key("pushSecretRef")
}
