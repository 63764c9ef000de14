//! What there is of previews. Past the caches: namespaces are not watched, and of what is copied most belongs to people. Talks to
//! the API server.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde_json::Value;

use super::super::api::Previews;
use super::super::preview::{self, Live, Run, Seen, Space};
use crate::cluster::Cluster;
use crate::cluster::caches::Caches;
use crate::controller::ReconcileError;
use crate::error::chain;
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::pipeline::observe::wanted_labels;
use crate::pipeline_run::observe::secrets;

/// Why there can be none where it is not known what there is.
const UNKNOWN: &str = "PreviewsUnknown";

/// Everything that a plan may need of previews. What cannot be read keeps nothing else of the Environment back.
pub(super) async fn previews(key: &Key, spec: &Previews, cluster: &Cluster) -> Seen {
    let read = read(key, spec, cluster).await;
    read.unwrap_or_else(|error| blocked(UNKNOWN, chain(&error)))
}

fn blocked(reason: &'static str, why: String) -> Seen {
    Seen {
        blocked: Some((reason, why)),
        ..Seen::default()
    }
}

async fn read(key: &Key, spec: &Previews, cluster: &Cluster) -> Result<Seen, ReconcileError> {
    if !cluster.makes_previews() {
        let text = "this operator makes no previews; set previews.enabled: true in the values of its chart";
        return Ok(blocked(preview::OFF, text.to_owned()));
    }
    let home = Key::new("", key.namespace.clone());
    let home = cluster.peek(ObjectKind::Namespace, &home).await;
    let Some(home) = home.map_err(ReconcileError::Observe)? else {
        let text = format!(
            "there is no namespace {}, whose labels say what pods may do",
            key.namespace
        );
        return Ok(blocked(UNKNOWN, text));
    };
    let selector = format!("{}={}", label::PREVIEW_OF, preview::selector_of(key));
    let spaces = cluster.list(ObjectKind::Namespace, "", &selector).await;
    let spaces = spaces.map_err(ReconcileError::Observe)?;
    let spaces: Vec<Space> = spaces.iter().filter_map(Space::read).collect();
    let caches = &cluster.caches;
    let pipeline = Key::new(key.namespace.clone(), spec.pipeline.clone());
    let runs = caches
        .pipeline_runs
        .children_of(ObjectKind::Pipeline, &pipeline);
    let read = runs.iter().filter_map(|run| Run::read(run, &runs));
    let read: Vec<Run> = read.collect();
    let found = caches.pipelines.get(&pipeline);
    let status = found.and_then(|pipeline| pipeline.status.clone());
    let status = status.unwrap_or_default();
    let labels = status.labelled.into_iter();
    let closed = status.closed.iter();
    let mut seen = Seen {
        unasked: unasked(&pipeline, spec, cluster),
        pod_security: preview::pod_security_of(&home),
        closed: closed.map(|one| (one.number, one.at.0)).collect(),
        labels: labels.map(|one| (one.number, one)).collect(),
        rollouts: rollouts(key, caches),
        runs: read,
        spaces,
        ..Seen::default()
    };
    if let Some(seed) = spec.seed.as_ref().filter(|_| !seen.spaces.is_empty()) {
        let named = preview::seed::secrets(seed);
        seen.secrets = Some(secrets(named, &key.namespace, cluster).await?);
    }
    if !seen.runs.is_empty() {
        seen.templates = templates(key, spec, cluster).await?;
    }
    let names = seen
        .runs
        .iter()
        .map(|run| preview::name_of(key, run.number));
    seen.unwatched = names.filter(|name| !cluster.previews_in(name)).collect();
    seen.taken = taken(key, &seen, cluster).await?;
    Ok(seen)
}

/// Labels that pull requests have to carry and that nobody looks for.
fn unasked(pipeline: &Key, spec: &Previews, cluster: &Cluster) -> BTreeSet<String> {
    let asked = wanted_labels(pipeline, cluster);
    let all = spec.which.labels.iter().cloned();
    all.filter(|label| !asked.contains(label)).collect()
}

/// Names of previews to be that others have.
async fn taken(
    key: &Key,
    seen: &Seen,
    cluster: &Cluster,
) -> Result<BTreeSet<String>, ReconcileError> {
    let numbers: BTreeSet<u64> = seen.runs.iter().map(|run| run.number).collect();
    let mut taken = BTreeSet::new();
    for number in numbers {
        let is_there = seen.spaces.iter().any(|space| space.number == number);
        if is_there || seen.closed.contains_key(&number) {
            continue;
        }
        let name = preview::name_of(key, number);
        if !cluster.previews_in(&name) {
            continue;
        }
        let found = cluster
            .peek(ObjectKind::Namespace, &Key::new("", name.clone()))
            .await;
        let found = found.map_err(ReconcileError::Observe)?;
        // One that was made since the list was read is ours all the same.
        let is_ours = |space: Space| space.environment == *key;
        if found.is_some_and(|found| !Space::read(&found).is_some_and(is_ours)) {
            taken.insert(name);
        }
    }
    Ok(taken)
}

/// What is copied, as the server has it.
async fn templates(
    key: &Key,
    spec: &Previews,
    cluster: &Cluster,
) -> Result<Vec<Value>, ReconcileError> {
    let labels = spec.selector.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let selector = labels.join(",");
    let mut all = Vec::new();
    for kind in &spec.copy {
        let kind = kind.object();
        let listed = match cluster.list(kind, &key.namespace, &selector).await {
            Ok(listed) => listed,
            // A kind that the cluster does not have has no objects.
            Err(error) if matches!(&*error, kube::Error::Api(status) if status.is_not_found()) => {
                continue;
            }
            Err(error) => return Err(ReconcileError::Observe(error)),
        };
        all.extend(listed.iter().map(|object| {
            let mut value = serde_json::to_value(object).unwrap_or_default();
            // Items of a list do not say what they are.
            if let Some(fields) = value.as_object_mut() {
                fields.insert("kind".to_owned(), kind.kind().into());
            }
            value
        }));
    }
    Ok(all)
}

/// Rollouts of previews of an Environment, by namespace.
fn rollouts(key: &Key, caches: &Caches) -> BTreeMap<String, Vec<Live>> {
    let mut all: BTreeMap<String, Vec<Live>> = BTreeMap::new();
    let ours = caches.rollouts.children_of(ObjectKind::Environment, key);
    for rollout in ours {
        let status = rollout.status.clone().unwrap_or_default();
        let run = rollout.annotations().get(label::PREVIEW_RUN);
        let live = Live {
            name: rollout.name_any(),
            run: run.cloned().unwrap_or_default(),
            is_current: Some(status.observed_generation) == rollout.metadata.generation,
            phase: status.phase.unwrap_or_default(),
            message: status
                .message
                .unwrap_or_else(|| "not looked at yet".to_owned()),
        };
        let namespace = rollout.namespace().unwrap_or_default();
        all.entry(namespace).or_default().push(live);
    }
    all
}
