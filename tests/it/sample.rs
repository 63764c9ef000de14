//! Every sample, and every object in a page of documentation, as the API server sees it. That they parse and plan are unit tests:
//! `src/architecture/samples.rs` and `pages.rs`.

use std::path::Path;

use kube::api::PatchParams;
use serde_json::{Value, json};
use slipway::book;

use crate::cluster::{apply_with, with_namespace};

/// Objects of every sample, with the name of their file.
fn samples() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
            let objects = documents.into_iter().filter(Value::is_object);
            samples.extend(objects.map(|object| (path.display().to_string(), object)));
        }
    }
    samples
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_api_server_takes_every_sample_and_knows_every_field_of_it() {
    with_namespace(async |space| {
        let samples = samples();
        assert!(!samples.is_empty());
        let params = PatchParams::apply("people").dry_run().validation_strict();
        for (name, mut object) in samples {
            object["metadata"]["namespace"] = json!(space.name);
            let taken = apply_with(&space.client, &object, &params).await;
            taken.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    })
    .await;
}

/// Kinds that no API server serves, or whose definitions the cluster of the tests does not have.
const NOT_SERVED: [(&str, &str); 1] = [("kustomize.config.k8s.io/v1beta1", "Kustomization")];

/// Objects of every page below a folder, with where they stand.
fn in_pages(folder: &Path, objects: &mut Vec<(String, Value)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_pages(&path, objects);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            of_page(&path, objects);
        }
    }
}

fn of_page(path: &Path, objects: &mut Vec<(String, Value)>) {
    let page = std::fs::read_to_string(path).unwrap();
    for block in book::blocks(&page) {
        if block.language != "yaml" {
            continue;
        }
        let at = format!("{}:{}", path.display(), block.line);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&block.text)
            .unwrap_or_else(|error| panic!("{at}: {error}"));
        let whole = |it: &Value| it["apiVersion"].is_string() && it["kind"].is_string();
        let found = documents.into_iter().filter(whole);
        objects.extend(found.map(|object| (at.clone(), object)));
    }
}

fn is_served(object: &Value) -> bool {
    let is_of = |(version, kind): &(&str, &str)| {
        object["apiVersion"] == *version && object["kind"] == *kind
    };
    !NOT_SERVED.iter().any(is_of)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_api_server_takes_every_object_in_the_pages() {
    with_namespace(async |space| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut objects = Vec::new();
        in_pages(&root.join("docs"), &mut objects);
        of_page(&root.join("README.md"), &mut objects);
        assert!(objects.len() > 20, "{}", objects.len());
        let params = PatchParams::apply("people").dry_run().validation_strict();
        for (at, mut object) in objects.into_iter().filter(|(_, object)| is_served(object)) {
            object["metadata"]["namespace"] = json!(space.name);
            let fields = object["metadata"].as_object_mut().unwrap();
            if let Some(prefix) = fields.remove("generateName") {
                let name = format!("{}page", prefix.as_str().unwrap());
                fields.insert("name".to_owned(), json!(name));
            }
            let taken = apply_with(&space.client, &object, &params).await;
            taken.unwrap_or_else(|error| panic!("{at}: {error}"));
        }
    })
    .await;
}
