//! What Environments say of the preview of a run's pull request. Reads caches.

use std::collections::BTreeMap;

use super::super::observed::{Observed, PreviewSaid, Snapshot};
use crate::cluster::Cluster;
use crate::model::key::Key;

/// By the name of the Environment that a stage of the run names.
pub(super) fn previews(seen: &Observed, cluster: &Cluster) -> BTreeMap<String, PreviewSaid> {
    let (Snapshot::Taken(spec), Some(number)) = (&seen.snapshot, seen.spec.pull_number()) else {
        return BTreeMap::new();
    };
    let waits = spec
        .stages
        .iter()
        .filter_map(|stage| stage.preview.as_ref());
    let names = waits.map(|wait| wait.environment.clone());
    let pipeline = &seen.spec.pipeline_ref.name;
    let said = names.map(|name| {
        let said = said(&name, pipeline, number, (seen, cluster));
        (name, said)
    });
    said.collect()
}

fn said(
    name: &str,
    pipeline: &str,
    number: u64,
    (seen, cluster): (&Observed, &Cluster),
) -> PreviewSaid {
    let key = Key::new(seen.key.namespace.clone(), name);
    let Some(environment) = cluster.caches.environments.get(&key) else {
        return PreviewSaid::Missing;
    };
    let previews = environment.spec.previews.as_ref();
    if previews.is_none_or(|previews| previews.pipeline != *pipeline) {
        let text = format!("Environment {name} has no previews of Pipeline {pipeline}");
        return PreviewSaid::Impossible(text);
    }
    if !cluster.makes_previews() {
        let text = "this operator makes no previews; set previews.enabled: true in the values of its chart";
        return PreviewSaid::Impossible(text.to_owned());
    }
    let status = environment.status.clone().unwrap_or_default();
    let mut previews = status.previews.into_iter();
    let found = previews.find(|preview| preview.number == number);
    found.map_or(PreviewSaid::Nothing, |found| {
        PreviewSaid::Status(Box::new(found))
    })
}
