//! Reads the caches, and the ConfigMap of a CA bundle where the spec names one. Talks to the API server.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Resource};

use super::api::{GitSource, Pipeline, StageType};
use super::observed::{Authorities, Observed, Pause, Run};
use super::trigger::labelled;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::decision::act::Act;
use crate::decision::api::{Decision, DecisionAction};
use crate::environment::api::Environment;
use crate::git::refs::tag_of;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::{PipelineRun, PipelineRunStatus, StagePhase};
use crate::pipeline_run::leftover;
use crate::release::api::Release;
use crate::release::order::Order;

/// Pull requests that the provider is asked about again and again at most.
const ASKED_ABOUT: usize = 20;

/// Reads everything a plan may need.
pub async fn observe(
    pipeline: &Arc<Pipeline>,
    cluster: &Cluster,
) -> Result<Observed, ReconcileError> {
    let key = Key::of(pipeline.as_ref());
    let caches = &cluster.caches;
    let own = caches.pipeline_runs.children_of(ObjectKind::Pipeline, &key);
    let mut runs: Vec<Run> = own.iter().map(|run| read_run(run, cluster)).collect();
    runs.sort_by_key(|run| Reverse((run.created_at, run.target.key.clone())));
    let releases = caches.releases.children_of(ObjectKind::Pipeline, &key);
    let revisions = caches
        .controller_revisions
        .children_of(ObjectKind::Pipeline, &key);
    let kept = &pipeline.spec.retention;
    let may_prune = runs.len() > usize::try_from(kept.succeeded.min(kept.failed)).unwrap_or(0)
        || kept.max_age.is_some();
    let mut seen = Observed {
        owner: pipeline.controller_owner_ref(&()).unwrap_or_default(),
        generation: pipeline.metadata.generation.unwrap_or_default(),
        is_deleted: pipeline.metadata.deletion_timestamp.is_some(),
        spec: pipeline.spec.clone(),
        status: pipeline.status.clone().unwrap_or_default(),
        runs,
        released: released(&releases, &own),
        versions: versions(&releases, &own),
        in_use: if may_prune {
            in_use(&key, cluster)
        } else {
            BTreeSet::new()
        },
        previewed: if may_prune {
            previewed(&key, cluster)
        } else {
            BTreeSet::new()
        },
        wanted_labels: wanted_labels(&key, cluster),
        shown: shown(&key, pipeline, cluster),
        latest_release: Order::of(&releases).latest().map(str::to_owned),
        revisions: revisions
            .iter()
            .map(|revision| Target::of(ObjectKind::ControllerRevision, revision.as_ref()))
            .collect(),
        polled_at: None,
        asked: BTreeMap::new(),
        authorities: authorities(&pipeline.spec.source.git, &key.namespace, cluster).await?,
        pause: pause(&key, cluster),
        events: cluster.told.of(&key),
        key,
    };
    seen.polled_at = cluster
        .asked
        .at(ObjectKind::Pipeline, &seen.key, &seen.question());
    seen.asked = cluster.asked.times(ObjectKind::Pipeline, &seen.key);
    Ok(seen)
}

/// Reads the children from the server: the watches may be behind what the leader before us has written.
pub async fn refresh(pipeline: &Arc<Pipeline>, cluster: &Cluster) -> Result<(), ReconcileError> {
    let key = Key::of(pipeline.as_ref());
    let selector = format!("{}={}", label::PIPELINE, key.name);
    for kind in [
        ObjectKind::PipelineRun,
        ObjectKind::Release,
        ObjectKind::ControllerRevision,
    ] {
        let read = cluster.refresh(kind, &key.namespace, &selector).await;
        read.map_err(ReconcileError::Observe)?;
    }
    Ok(())
}

/// Commits that need no run any more: those that have a Release, and those that were made for one.
pub fn released(releases: &[Arc<Release>], runs: &[Arc<PipelineRun>]) -> Vec<String> {
    let made = releases.iter().flat_map(|release| {
        let commit = std::iter::once(&release.spec.commit.sha);
        commit.chain(&release.spec.published)
    });
    let statuses = runs.iter().filter_map(|run| run.status.as_ref());
    let published = statuses.flat_map(|status| &status.published);
    made.chain(published).cloned().collect()
}

/// Versions that were given to commits of branches. Those that people gave, with a tag, are not among them.
fn versions(releases: &[Arc<Release>], runs: &[Arc<PipelineRun>]) -> BTreeSet<String> {
    let made = releases
        .iter()
        .filter(|release| tag_of(&release.spec.git_ref).is_none())
        .filter_map(|release| release.spec.version.clone());
    let runs = runs
        .iter()
        .filter(|run| tag_of(&run.spec.git_ref).is_none());
    let statuses = runs.filter_map(|run| run.status.as_ref());
    let given = statuses
        .filter(|status| has_begun_to_publish(status))
        .filter_map(|status| status.version.as_ref()?.number.clone());
    made.chain(given).collect()
}

/// Releases of a Pipeline that an Environment has, wants, waits for or would go back to, or at which people keep it.
fn in_use(pipeline: &Key, cluster: &Cluster) -> BTreeSet<String> {
    let environments = &cluster.caches.environments;
    let all = environments.keys().into_iter();
    let own = all.filter(|key| key.namespace == pipeline.namespace);
    let mut names = BTreeSet::new();
    for environment in own.filter_map(|key| environments.get(&key)) {
        let Some(status) = &environment.status else {
            continue;
        };
        let deployed = [&status.desired, &status.current, &status.last_good];
        let deployed: Vec<_> = deployed.into_iter().flatten().collect();
        let members = deployed.iter().flat_map(|one| &one.members);
        let waiting = status.candidate.iter().flat_map(|one| &one.members);
        let members = members.chain(waiting).map(|member| &member.release);
        let deployed = deployed.iter().map(|one| &one.release).chain(members);
        let pins = status.pins.iter().filter_map(|pin| pin.release.as_ref());
        let candidate = status.candidate.iter().map(|candidate| &candidate.release);
        names.extend(deployed.chain(pins).chain(candidate).cloned());
    }
    names
}

/// Environments of a Pipeline's namespace.
fn environments(pipeline: &Key, cluster: &Cluster) -> impl Iterator<Item = Arc<Environment>> {
    let environments = &cluster.caches.environments;
    let namespace = pipeline.namespace.clone();
    let all = environments.keys().into_iter();
    let own = all.filter(move |key| key.namespace == namespace);
    own.filter_map(move |key| environments.get(&key))
}

/// Runs of a Pipeline that previews show, or are to show.
fn previewed(pipeline: &Key, cluster: &Cluster) -> BTreeSet<String> {
    environments(pipeline, cluster)
        .flat_map(|environment| environment.previewed_runs(&pipeline.name))
        .collect()
}

/// Labels that previews of a Pipeline ask of its pull requests.
pub fn wanted_labels(pipeline: &Key, cluster: &Cluster) -> BTreeSet<String> {
    let all = environments(pipeline, cluster);
    let of_it = all.filter_map(|environment| {
        let previews = environment.spec.previews.as_ref()?;
        (previews.pipeline == pipeline.name).then(|| previews.which.labels.clone())
    });
    labelled::wanted(of_it.flatten())
}

/// Pull requests that previews of a Pipeline are of, the newest ones; without those that are over.
fn shown(key: &Key, pipeline: &Pipeline, cluster: &Cluster) -> BTreeSet<u64> {
    let status = pipeline.status.as_ref();
    let is_over = |number: &u64| {
        let mut closed = status.iter().flat_map(|status| &status.closed);
        closed.any(|closed| closed.number == *number)
    };
    let all = environments(key, cluster);
    let numbers = all.flat_map(|environment| environment.previewed_numbers(&key.name));
    let numbers: BTreeSet<u64> = numbers.filter(|number| !is_over(number)).collect();
    numbers.into_iter().rev().take(ASKED_ABOUT).collect()
}

/// Whether a run is pushing commits of its own now, or has been and has not told which.
fn is_publishing(status: &PipelineRunStatus) -> bool {
    let mut stages = status.stages.iter();
    stages.any(|stage| stage.type_ == StageType::Release && stage.phase == StagePhase::Running)
}

/// Whether a run may have pushed the tag of its version.
fn has_begun_to_publish(status: &PipelineRunStatus) -> bool {
    let mut stages = status.stages.iter();
    stages.any(|stage| {
        stage.type_ == StageType::Release
            && !matches!(stage.phase, StagePhase::Pending | StagePhase::Skipped)
    })
}

fn read_run(run: &PipelineRun, cluster: &Cluster) -> Run {
    let status = run.status.as_ref();
    let created = run.metadata.creation_timestamp.as_ref();
    let created_at = created.map(|Time(at)| *at).unwrap_or_default();
    let has_started = status.is_some_and(|status| status.started_at.is_some());
    Run {
        target: Target::of(ObjectKind::PipelineRun, run),
        created_at,
        git_ref: run.spec.git_ref.clone(),
        is_whole: run.spec.stages.is_empty(),
        started_by: run.spec.trigger.started_by().unwrap_or(created_at),
        has_started,
        awaits_approval: !has_started && awaits_approval(run, cluster),
        sha: status
            .and_then(|status| status.sha.clone())
            .or_else(|| run.spec.sha.clone()),
        phase: status.and_then(|status| status.phase).unwrap_or_default(),
        finished_at: status
            .and_then(|status| status.finished_at.as_ref())
            .map(|Time(at)| *at),
        release: status.and_then(|status| status.release.clone()),
        revision: status.and_then(|status| status.revision.clone()),
        is_publishing: status.is_some_and(is_publishing),
        has_leftovers: leftover::may_leave(run),
    }
}

/// The newest Decision to pause or resume a Pipeline, if it is a pause.
pub fn pause(pipeline: &Key, cluster: &Cluster) -> Option<Pause> {
    let decisions = &cluster.caches.decisions;
    let decisions = decisions.children_of(ObjectKind::Pipeline, pipeline);
    let acts = Act::read_all(decisions.iter().map(AsRef::as_ref));
    let is_meant = |act: &&Act| {
        act.spec.action == DecisionAction::Pause || act.spec.action == DecisionAction::Resume
    };
    let newest = acts.iter().rfind(is_meant)?;
    (newest.spec.action == DecisionAction::Pause).then(|| Pause {
        by: newest.spec.user.clone(),
        until: newest.spec.expires_at.as_ref().map(|Time(at)| *at),
    })
}

/// Whether a run waits for somebody to approve it, as far as Decisions tell.
pub fn awaits_approval(run: &PipelineRun, cluster: &Cluster) -> bool {
    if run.spec.trigger.needs_approval != Some(true) {
        return false;
    }
    let key = Key::of(run);
    let decisions = &cluster.caches.decisions;
    let decisions = decisions.children_of(ObjectKind::PipelineRun, &key);
    let approves = |decision: &Arc<Decision>| decision.spec.action == DecisionAction::Approve;
    !decisions.iter().any(approves)
}

/// Reads the CA bundle that a source names. ConfigMaps are not cached: few sources have one.
pub async fn authorities(
    git: &GitSource,
    namespace: &str,
    cluster: &Cluster,
) -> Result<Authorities, ReconcileError> {
    let Some(bundle) = &git.ca_bundle else {
        return Ok(Authorities::System);
    };
    let name = &bundle.config_map_name;
    let api: Api<ConfigMap> = Api::namespaced(cluster.client().clone(), namespace);
    let found = api.get_opt(name).await;
    let found = found.map_err(|error| ReconcileError::Observe(Box::new(error)))?;
    let Some(map) = found else {
        return Ok(Authorities::Missing(format!(
            "there is no ConfigMap {name}; create it, or change source.git.caBundle"
        )));
    };
    let pem = map.data.and_then(|mut data| data.remove(&bundle.key));
    Ok(pem.map_or_else(
        || {
            let key = &bundle.key;
            Authorities::Missing(format!("ConfigMap {name} has no key {key}; add it"))
        },
        Authorities::Bundle,
    ))
}
