//! Every sample, as the API server sees it. That it parses and plans is a unit test: `src/architecture/samples.rs`.

use std::path::Path;

use kube::api::PatchParams;
use serde_json::{Value, json};

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
