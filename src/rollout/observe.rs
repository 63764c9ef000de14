//! Reads the caches and makes an `Observed` of what it finds. Only `refresh` talks to the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::adopt as adopted;
use super::api::{DeletionPolicy, Rollout};
use super::binding;
use super::config::Named;
use super::observed::{Deletion, Hook, Observed, Pod, Set, SloBurn, Trouble};
use super::render::COPIES;
use super::risk::RiskSignals;
use super::spec::Around;
use crate::analysis::template::Templates;
use crate::check;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::decision::act::Act;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Target, is_ours};
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::trouble;
use crate::model::workload::{self, Job, ReplicaSet};
use crate::traffic::foreign;
use config::{snapshots, sources};
use service::services;
use traffic::{left, leftovers, routes};
use wanted::asked;

mod adopt;
mod config;
mod service;
mod templates;
mod traffic;
mod wanted;

/// The finalizer with which `kubectl delete --cascade=orphan` asks to leave the children alone.
const ORPHAN: &str = "orphan";

/// Reads everything a plan may need.
pub async fn observe(
    rollout: &Arc<Rollout>,
    cluster: &Cluster,
) -> Result<Observed, ReconcileError> {
    let key = Key::of(rollout.as_ref());
    let caches = &cluster.caches;
    let sets = caches.replica_sets.children_of(ObjectKind::Rollout, &key);
    let sets: Vec<Set> = sets.iter().filter_map(|set| read_set(set)).collect();
    let pods = caches.pods.children_of(ObjectKind::Rollout, &key);
    let pods: Vec<Pod> = pods.iter().filter_map(|pod| read_pod(pod)).collect();
    let adoption = adopt::adoption(rollout, cluster, (&sets, &pods)).await?;
    let around = Around {
        deployment: adoption.as_ref().and_then(|it| it.deployment.clone()),
        sources: sources(rollout, cluster).await?,
        templates: templates(rollout, cluster),
        ..Around::of(rollout)
    };
    let templates = templates::kept(cluster, &key);
    let asked = asked(rollout, cluster, &sets, (&around, &templates));
    let (burns, unknown) = burns(rollout, cluster);
    let status = rollout.status.clone().unwrap_or_default();
    let has_begun = adopted::has_begun(&status, &sets);
    let loose = adoption.as_ref().and_then(|it| it.notice(has_begun));
    let mut observed = Observed {
        owner: OwnerReference {
            block_owner_deletion: Some(true),
            ..rollout.controller_owner_ref(&()).unwrap_or_default()
        },
        generation: rollout.metadata.generation.unwrap_or_default(),
        created_at: created_at(rollout.as_ref()),
        deletion: deletion(rollout),
        deleted_at: rollout.metadata.deletion_timestamp.as_ref().map(|at| at.0),
        wanted: adopted::known(asked.wanted, &sets),
        promotion: asked.promotion,
        notice: asked.notice.or(unknown).or(loose),
        offer: asked.offer,
        recorded: templates::recorded(rollout, cluster),
        templates,
        risk: risk(rollout, cluster, &sets),
        burns,
        status,
        sets,
        pods,
        services: [None, None],
        hooks: BTreeMap::new(),
        samplers: BTreeMap::new(),
        decisions: decisions(cluster, &key),
        environment: environment(rollout),
        adoption,
        routes: Vec::new(),
        left: Vec::new(),
        leftovers: Vec::new(),
        snapshots: snapshots(cluster, &key),
        key: key.clone(),
    };
    (observed.samplers, observed.hooks) = jobs(cluster, &key);
    observed.services = services(&observed, cluster).await?;
    observed.routes = routes(&observed, cluster).await?;
    observed.left = left(&observed, cluster).await?;
    observed.leftovers = leftovers(&observed, cluster);
    Ok(observed)
}

/// The AnalysisTemplates that it names, as far as they are there.
fn templates(rollout: &Rollout, cluster: &Cluster) -> Templates {
    let namespace = rollout.namespace().unwrap_or_default();
    let find = |name: &str| {
        let key = Key::new(namespace.clone(), name);
        let template = cluster.caches.analysis_templates.get(&key)?;
        Some((name.to_owned(), template))
    };
    rollout.spec.template_names().filter_map(find).collect()
}

/// Reads what a move of traffic depends on from the server into the caches: what carries our label, and what of people's
/// the spec names.
pub async fn refresh(key: &Key, cluster: &Cluster) -> Result<(), ReconcileError> {
    let selector = format!("{}={}", label::ROLLOUT, key.name);
    for kind in [
        ObjectKind::ReplicaSet,
        ObjectKind::Pod,
        ObjectKind::Service,
        ObjectKind::HttpRoute,
        ObjectKind::GrpcRoute,
        ObjectKind::Ingress,
    ] {
        cluster
            .refresh(kind, &key.namespace, &selector)
            .await
            .map_err(ReconcileError::Observe)?;
    }
    let rollout = cluster.caches.rollouts.get(key);
    for (kind, name) in rollout.iter().flat_map(|it| foreign::objects_of(it)) {
        let named = Key::new(key.namespace.clone(), name);
        let read = cluster.read_named(kind, &named).await;
        read.map_err(ReconcileError::Observe)?;
    }
    Ok(())
}

/// Jobs that measure, and hooks.
fn jobs(cluster: &Cluster, key: &Key) -> (BTreeMap<String, Hook>, BTreeMap<String, Hook>) {
    let jobs = cluster.caches.jobs.children_of(ObjectKind::Rollout, key);
    if jobs.is_empty() {
        return Default::default();
    }
    let pods = cluster.caches.pods.children_of(ObjectKind::Rollout, key);
    let read = |job: &Arc<Job>| Hook {
        target: Target::of(ObjectKind::Job, job.as_ref()),
        outcome: check::outcome(job, pods.iter().map(AsRef::as_ref)),
        is_ending: job.metadata.deletion_timestamp.is_some(),
    };
    let (samplers, hooks): (Vec<_>, Vec<_>) = jobs
        .iter()
        .partition(|job| job.metadata.labels.contains_key(label::METRIC));
    let by_name = |jobs: Vec<&Arc<Job>>| {
        let jobs = jobs.into_iter();
        jobs.map(|job| (job.metadata.name().to_owned(), read(job)))
            .collect()
    };
    (by_name(samplers), by_name(hooks))
}

fn decisions(cluster: &Cluster, key: &Key) -> Vec<Act> {
    let decisions = &cluster.caches.decisions;
    let found = decisions.children_of(ObjectKind::Rollout, key);
    Act::read_all(found.iter().map(AsRef::as_ref))
}

fn created_at<K: ResourceExt>(object: &K) -> Timestamp {
    let created_at = object.creation_timestamp();
    created_at.map_or(Timestamp::UNIX_EPOCH, |at| at.0)
}

/// The Environment that says what runs.
fn environment(rollout: &Rollout) -> Option<String> {
    let release = rollout.spec.release.as_ref()?;
    Some(release.environment.name.clone())
}

fn deletion(rollout: &Rollout) -> Option<Deletion> {
    rollout.metadata.deletion_timestamp.as_ref()?;
    let is_orphaned = rollout.finalizers().iter().any(|name| name == ORPHAN);
    let leaving = if rollout.spec.workload_ref.is_some() {
        Deletion::GiveBack
    } else {
        Deletion::Orphan
    };
    Some(match rollout.spec.policy_of_deletion() {
        DeletionPolicy::Delete if !is_orphaned => Deletion::Delete,
        DeletionPolicy::Delete | DeletionPolicy::Orphan | DeletionPolicy::GiveBack => leaving,
    })
}

/// Burns of the SLOs that the analysis names, and what to do about a name that its Environment does not know.
fn burns(rollout: &Rollout, cluster: &Cluster) -> (Vec<SloBurn>, Option<String>) {
    let analysis = rollout.spec.analysis.as_ref();
    let names = analysis.map_or(&[][..], |analysis| &analysis.slos);
    let release = rollout.spec.release.as_ref();
    let name = release.map(|release| release.environment.name.clone());
    let namespace = rollout.namespace().unwrap_or_default();
    let key = name.map(|name| Key::new(namespace, name));
    let environment = key.and_then(|key| cluster.caches.environments.get(&key));
    let Some(environment) = environment.filter(|_| !names.is_empty()) else {
        return (Vec::new(), None);
    };
    let (burns, unknown) = binding::burns(&environment, names);
    let notice = unknown.map(|slo| {
        let of = environment.name_any();
        format!("analysis.slos names {slo}, which Environment {of} does not have; add it to its spec.slos, or take it out")
    });
    (burns, notice)
}

/// What the Releases of an Environment say of a change, its promotions and its error budgets.
fn risk(rollout: &Rollout, cluster: &Cluster, sets: &[Set]) -> RiskSignals {
    let signals = RiskSignals::default();
    let key = Key::of(rollout);
    let of = |name: &str| Key::new(key.namespace.clone(), name);
    let Some(source) = &rollout.spec.release else {
        return signals;
    };
    let name = &source.environment.name;
    let Some(environment) = cluster.caches.environments.get(&of(name)) else {
        return signals;
    };
    let progress = rollout
        .status
        .as_ref()
        .and_then(|status| status.progress.as_ref());
    let stable = progress.and_then(|progress| progress.stable.as_ref());
    let stable = sets.iter().find(|set| Some(&set.revision) == stable);
    let find = |name: &str| cluster.caches.releases.get(&of(name));
    let images = stable.map(|set| &set.images);
    let promotion = |name: &str| cluster.caches.promotions.get(&of(name));
    let difference = binding::difference_between(source, &environment, images, find);
    let signals = RiskSignals {
        lines: difference.as_ref().map(|difference| difference.lines),
        paths: difference.and_then(|difference| difference.files),
        budget_left: binding::budget_left(&environment),
        has_migrations: binding::has_migrations(source, &environment, images, promotion),
        ..signals
    };
    let versions = binding::versions_between(source, &environment, images, find);
    let signals = signals.with_versions(versions);
    let releases = binding::releases_between(source, &environment, images, find);
    let commits = releases
        .iter()
        .flat_map(|release| std::iter::once(&release.spec.commit).chain(&release.spec.changes));
    signals.with_subjects(commits.map(|commit| commit.subject.as_str()))
}

fn read_set(set: &ReplicaSet) -> Option<Set> {
    let revision = set.metadata.labels.get(label::REVISION)?;
    let annotation = |key: &str| set.metadata.annotations.get(key);
    let text = |key: &str| annotation(key).map(str::to_owned);
    let containers = set.spec.template.spec.as_ref();
    let images: BTreeMap<String, String> = containers
        .into_iter()
        .flat_map(|pod| &pod.containers)
        .map(|container| {
            (
                container.name.clone(),
                container.image.clone().unwrap_or_default(),
            )
        })
        .collect();
    let status = set.status.clone().unwrap_or_default();
    Some(Set {
        target: Target::of(ObjectKind::ReplicaSet, set),
        revision: Revision::from_label(revision),
        ordinal: annotation(label::ORDINAL)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        promoted_at: annotation(label::PROMOTED_AT).and_then(|text| text.parse::<Timestamp>().ok()),
        failed: text(label::FAILED),
        is_owned: is_ours(set),
        images,
        template: text(label::TEMPLATE),
        source: text(label::SOURCE),
        configs: COPIES
            .iter()
            .filter_map(|(key, kind)| Some((*kind, annotation(key)?)))
            .flat_map(|(kind, names)| {
                let names = names.split(',').map(str::to_owned);
                names.map(move |name| Named { kind, name })
            })
            .collect(),
        replicas: set.spec.replicas.unwrap_or(1),
        current: status.replicas,
        available: status.available_replicas.unwrap_or(0),
        is_settled: status.observed_generation >= set.metadata.generation,
    })
}

fn read_pod(pod: &workload::Pod) -> Option<Pod> {
    let revision = pod.metadata.labels.get(label::REVISION)?;
    let status = pod.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let is_ready = conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    Some(Pod {
        name: pod.metadata.name().to_owned(),
        created_at: pod.metadata.created_at(),
        uid: pod.metadata.uid.to_string(),
        revision: Revision::from_label(revision),
        is_ready,
        is_ending: pod.metadata.deletion_timestamp.is_some(),
        trouble: status.and_then(trouble::of_pod).and_then(Trouble::of),
    })
}
