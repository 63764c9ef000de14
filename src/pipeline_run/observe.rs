//! Reads the caches, and the ConfigMap of a CA bundle where the run still has to ask the repository.
//! Talks to the API server.

mod job;
mod preview;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Resource, ResourceExt};

use super::api::{PipelineRun, PipelineRunStatus, RunPhase};
use super::observed::{
    Answer, Branch, Observed, Origin, Peer, PipelineNow, Retry, Snapshot, Tried, Versioned,
};
use super::plan::uses_version;
use super::{notify, render, tell};
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::decision::act::Act;
use crate::decision::api::DecisionAction;
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline::observe::{authorities, awaits_approval, pause};
use crate::pipeline::observed::Authorities;
use crate::pipeline::secret::{self, Facts, Named, Secrets};
use crate::report::quarantine::FlakyRun;

/// Reads everything a plan may need.
pub async fn observe(
    run: &Arc<PipelineRun>,
    cluster: &Cluster,
) -> Result<Observed, ReconcileError> {
    let key = Key::of(run.as_ref());
    let caches = &cluster.caches;
    let of = |name: &str| Key::new(key.namespace.clone(), name);
    let status = run.status.clone().unwrap_or_default();
    let pipeline_key = of(&run.spec.pipeline_ref.name);
    let pipeline = caches.pipelines.get(&pipeline_key);
    let pipeline = pipeline.map(|pipeline| now(&pipeline, cluster));
    let created = run.metadata.creation_timestamp.as_ref();
    let origin = origin(run, cluster);
    let revision = |name: &str| caches.controller_revisions.get(&of(name));
    let snapshot = match followed(&status, &origin) {
        Some(name) => snapshot(revision(name).as_deref()),
        // What the repository adds to it is not known here.
        None if adds_to(pipeline.as_ref()) => Snapshot::Missing,
        None => shared(pipeline.as_ref(), &run.spec.pipeline_ref.name, revision),
    };
    let mut seen = Observed {
        owner: run.controller_owner_ref(&()).unwrap_or_default(),
        generation: run.metadata.generation.unwrap_or_default(),
        created_at: created.map(|Time(at)| *at).unwrap_or_default(),
        is_deleted: run.metadata.deletion_timestamp.is_some(),
        spec: run.spec.clone(),
        pipeline,
        snapshot,
        origin,
        jobs: job::jobs(&key, cluster),
        gone: BTreeMap::new(),
        releases: caches
            .releases
            .children_of(ObjectKind::Pipeline, &pipeline_key),
        flaky: Vec::new(),
        versioned: Vec::new(),
        asked_at: None,
        authorities: Authorities::System,
        secrets: Secrets::Known(BTreeMap::new()),
        cancelled_by: cancelled_by(&key, cluster),
        answer: answer(run, cluster),
        retries: retries(&key, cluster),
        branch: Branch::default(),
        peers: Vec::new(),
        is_outrun: is_outrun(
            run,
            &caches
                .pipeline_runs
                .children_of(ObjectKind::Pipeline, &pipeline_key),
        ),
        previews: BTreeMap::new(),
        images: cluster.images().clone(),
        status,
        key,
    };
    seen.gone = job::gone(&seen, cluster);
    look_around(&mut seen, &pipeline_key, cluster);
    ask_outside(&mut seen, cluster).await?;
    Ok(seen)
}

/// Adds what is of other objects, each where a plan may need it.
fn look_around(seen: &mut Observed, pipeline_key: &Key, cluster: &Cluster) {
    let pipeline = seen.pipeline.as_ref();
    if pipeline.is_some_and(|pipeline| pipeline.spec.concurrency.is_some())
        && !seen.status.phase.unwrap_or_default().is_finished()
    {
        seen.peers = peers(&seen.key, pipeline_key, cluster);
    }
    if notify::may_tell(seen) {
        seen.branch = branch(seen, pipeline_key, cluster);
    }
    // Once a run has begun, what is in quarantine is on record.
    if seen.status.started_at.is_none() {
        seen.flaky = flaky(pipeline_key, cluster);
    }
    seen.previews = preview::previews(seen, cluster);
    seen.versioned = versioned(seen, pipeline_key, cluster);
}

/// What is not in the caches: it is read only where a plan may need it.
async fn ask_outside(seen: &mut Observed, cluster: &Cluster) -> Result<(), ReconcileError> {
    let asks_by = seen.asks_by();
    let tells_by = tell::spec_of(seen, &seen.status).filter(|spec| tell::has_news(seen, spec));
    let question = asks_by.map(|spec| seen.question(spec));
    if let Some(git) = asks_by.or(tells_by).map(|spec| &spec.source.git) {
        seen.authorities = authorities(git, &seen.key.namespace, cluster).await?;
    }
    if let Some(question) = question {
        seen.asked_at = cluster
            .asked
            .at(ObjectKind::PipelineRun, &seen.key, &question);
    }
    if let Snapshot::Taken(spec) = &seen.snapshot
        && seen.status.started_at.is_none()
    {
        seen.secrets = secrets(secret::named(spec), &seen.key.namespace, cluster).await?;
    }
    Ok(())
}

/// A Pipeline as it is now.
fn now(pipeline: &Pipeline, cluster: &Cluster) -> PipelineNow {
    let status = pipeline.status.as_ref();
    PipelineNow {
        owner: pipeline.controller_owner_ref(&()).unwrap_or_default(),
        generation: pipeline.metadata.generation.unwrap_or_default(),
        spec: pipeline.spec.clone(),
        admitted: status.map_or_else(Vec::new, |status| status.admitted.clone()),
        pause: pause(&Key::of(pipeline), cluster),
    }
}

/// Looks at the Secrets that a spec names, and keeps nothing of what is in them. They are not cached.
pub async fn secrets(
    named: BTreeMap<String, Named>,
    namespace: &str,
    cluster: &Cluster,
) -> Result<Secrets, ReconcileError> {
    if !cluster.reads_stage_secrets() && !named.is_empty() {
        return Ok(Secrets::NotAllowed);
    }
    let api: Api<core::Secret> = Api::namespaced(cluster.client().clone(), namespace);
    let mut known = BTreeMap::new();
    for name in named.into_keys() {
        let found = api.get_opt(&name).await;
        let found = found.map_err(|error| ReconcileError::Observe(Box::new(error)))?;
        known.insert(name, found.as_ref().map(facts));
    }
    Ok(Secrets::Known(known))
}

fn facts(secret: &core::Secret) -> Facts {
    Facts {
        is_labelled: secret.labels().contains_key(label::USE),
        keys: secret
            .data
            .iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect(),
    }
}

/// How the other runs of a Pipeline on the branch of this one have ended.
fn branch(seen: &Observed, pipeline: &Key, cluster: &Cluster) -> Branch {
    let runs = &cluster.caches.pipeline_runs;
    let runs = runs.children_of(ObjectKind::Pipeline, pipeline);
    let is_other = |run: &&Arc<PipelineRun>| {
        let is_whole = run.spec.stages.is_empty() && run.spec.git_ref == seen.spec.git_ref;
        is_whole && run.name_any() != seen.key.name
    };
    let ended = |run: &Arc<PipelineRun>| {
        let phase = run.status.as_ref()?.phase?;
        let has_succeeded = match phase {
            RunPhase::Succeeded => true,
            RunPhase::Failed | RunPhase::TimedOut => false,
            RunPhase::Queued | RunPhase::Running | RunPhase::Cancelled => return None,
        };
        Some((created(run.as_ref()), run.name_any(), has_succeeded))
    };
    let ended: Vec<_> = runs.iter().filter(is_other).filter_map(ended).collect();
    let own = (seen.created_at, seen.key.name.as_str());
    let is_before = |at: Timestamp, name: &str| (at, name) < own;
    let before = ended.iter().filter(|(at, name, _)| is_before(*at, name));
    let last = before.max_by_key(|(at, name, _)| (*at, name.clone()));
    let mut later = ended.iter().filter(|(at, name, _)| !is_before(*at, name));
    Branch {
        had_failed: last.is_some_and(|(_, _, has_succeeded)| !has_succeeded),
        has_recovered: later.any(|(_, _, has_succeeded)| *has_succeeded),
    }
}

/// The finished runs of a Pipeline in which tests were flaky.
fn flaky(pipeline: &Key, cluster: &Cluster) -> Vec<FlakyRun> {
    let runs = &cluster.caches.pipeline_runs;
    let runs = runs.children_of(ObjectKind::Pipeline, pipeline);
    runs.iter().filter_map(|run| flaky_run(run)).collect()
}

/// A finished run, if tests were flaky in it. What it has taken over was seen in another run, and counts there.
fn flaky_run(run: &PipelineRun) -> Option<FlakyRun> {
    let status = run.status.as_ref()?;
    let Time(at) = status.finished_at.as_ref()?;
    let own = status.stages.iter();
    let own = own.filter(|stage| stage.taken_from.is_none());
    let tests = own.flat_map(|stage| &stage.flaky_tests);
    let tests: BTreeSet<String> = tests.cloned().collect();
    (!tests.is_empty()).then(|| FlakyRun {
        git_ref: run.spec.git_ref.clone(),
        at: *at,
        tests,
    })
}

/// Other runs of a Pipeline that go on and have a version, where the run makes versions.
fn versioned(seen: &Observed, pipeline: &Key, cluster: &Cluster) -> Vec<Versioned> {
    let makes_versions = match &seen.snapshot {
        Snapshot::Taken(spec) => spec.release.version.is_some(),
        Snapshot::Missing | Snapshot::Unreadable(_) => false,
    };
    if !makes_versions || seen.status.phase.is_some_and(RunPhase::is_finished) {
        return Vec::new();
    }
    let runs = &cluster.caches.pipeline_runs;
    let runs = runs.children_of(ObjectKind::Pipeline, pipeline);
    let versioned = |run: &Arc<PipelineRun>| {
        let status = run.status.as_ref()?;
        let makes_one = status.version.as_ref()?.number.is_some();
        let is_over = status.phase.is_some_and(RunPhase::is_finished);
        (makes_one && !is_over && Key::of(run.as_ref()) != seen.key).then(|| Versioned {
            name: run.name_any(),
            created_at: created(run.as_ref()),
            has_begun: uses_version(status),
        })
    };
    runs.iter().filter_map(versioned).collect()
}

/// Reads the children from the server: the watches may be behind what the leader before us has written.
pub async fn refresh(run: &Arc<PipelineRun>, cluster: &Cluster) -> Result<(), ReconcileError> {
    let key = Key::of(run.as_ref());
    let own = format!("{}={}", label::PIPELINE_RUN, key.name);
    let shared = format!("{}={}", label::PIPELINE, run.spec.pipeline_ref.name);
    let all = [
        (ObjectKind::Release, &shared),
        (ObjectKind::Job, &own),
        (ObjectKind::Pod, &own),
        (ObjectKind::ControllerRevision, &shared),
    ];
    // Nothing has been made for a run that nobody has looked at, because that would be on record first; and if it is, our
    // own record, which comes before our first action, is refused.
    let status = run.status.as_ref();
    let is_new = status.is_none_or(|status| status.observed_generation.unwrap_or(-1) < 0);
    let needed = if is_new { 1 } else { all.len() };
    for (kind, selector) in all.into_iter().take(needed) {
        let read = if selector == &shared {
            cluster.refresh_once(kind, &key.namespace, selector).await
        } else {
            cluster.refresh(kind, &key.namespace, selector).await
        };
        read.map_err(ReconcileError::Observe)?;
    }
    Ok(())
}

/// The run that this one tries again.
fn origin(run: &PipelineRun, cluster: &Cluster) -> Origin {
    let Some(name) = run.spec.retry_of.as_ref().map(|origin| &origin.name) else {
        return Origin::None;
    };
    let key = Key::new(Key::of(run).namespace, name.clone());
    let found = cluster.caches.pipeline_runs.get(&key);
    found.map_or_else(
        || Origin::Missing(name.clone()),
        |origin| {
            Origin::Found(Box::new(Tried {
                name: name.clone(),
                spec: origin.spec.clone(),
                status: origin.status.clone().unwrap_or_default(),
            }))
        },
    )
}

/// The user of the first Decision to stop the run. Who that is was proven when it was made.
fn cancelled_by(key: &Key, cluster: &Cluster) -> Option<String> {
    let decisions = cluster
        .caches
        .decisions
        .children_of(ObjectKind::PipelineRun, key);
    let cancels = decisions
        .iter()
        .filter(|decision| decision.spec.action == DecisionAction::Cancel);
    let first = cancels.min_by_key(|decision| (created(decision.as_ref()), decision.name_any()))?;
    Some(first.spec.user.clone())
}

/// The Decisions to try the run again.
fn retries(key: &Key, cluster: &Cluster) -> Vec<Retry> {
    let decisions = &cluster.caches.decisions;
    let decisions = decisions.children_of(ObjectKind::PipelineRun, key);
    let acts = Act::read_all(decisions.iter().map(AsRef::as_ref));
    let retries = acts.into_iter();
    let retries = retries.filter(|act| act.spec.action == DecisionAction::Retry);
    let retry = |act: Act| Retry {
        is_made: {
            let made = render::retry_key(key, &act.name);
            cluster.caches.pipeline_runs.get(&made).is_some()
        },
        decision: act.name,
        user: act.spec.user,
    };
    retries.map(retry).collect()
}

/// What the first Decision says that is about whether the run may begin, where that is asked.
fn answer(run: &PipelineRun, cluster: &Cluster) -> Option<Answer> {
    run.spec.trigger.needs_approval.filter(|needs| *needs)?;
    let key = Key::of(run);
    let decisions = &cluster.caches.decisions;
    let decisions = decisions.children_of(ObjectKind::PipelineRun, &key);
    let said = decisions.iter().filter_map(|decision| {
        let user = decision.spec.user.clone();
        let answer = if decision.spec.action == DecisionAction::Approve {
            Answer::Approved(user)
        } else if decision.spec.action == DecisionAction::Reject {
            Answer::Rejected(user)
        } else {
            return None;
        };
        Some((created(decision.as_ref()), decision.name_any(), answer))
    });
    let first = said.min_by_key(|(at, name, _)| (*at, name.clone()))?;
    Some(first.2)
}

/// The other runs of a Pipeline that are not over.
fn peers(own: &Key, pipeline: &Key, cluster: &Cluster) -> Vec<Peer> {
    let runs = &cluster.caches.pipeline_runs;
    let runs = runs.children_of(ObjectKind::Pipeline, pipeline);
    let is_open = |run: &&Arc<PipelineRun>| {
        let phase = run.status.as_ref().and_then(|status| status.phase);
        !phase.unwrap_or_default().is_finished() && run.name_any() != own.name
    };
    let peer = |run: &Arc<PipelineRun>| Peer {
        name: run.name_any(),
        git_ref: run.spec.git_ref.clone(),
        started_by: run
            .spec
            .trigger
            .started_by()
            .unwrap_or_else(|| created(run.as_ref())),
        awaits_approval: awaits_approval(run, cluster),
    };
    runs.iter().filter(is_open).map(peer).collect()
}

/// Whether one of these runs of the Pipeline is newer and about the same pull request. One of a few stages says nothing there.
fn is_outrun(run: &PipelineRun, runs: &[Arc<PipelineRun>]) -> bool {
    let Some(pull) = run.spec.pull_number() else {
        return false;
    };
    let age = |run: &PipelineRun| {
        let told = run.spec.trigger.started_by();
        (told.unwrap_or_else(|| created(run)), run.name_any())
    };
    let own = age(run);
    let mut others = runs.iter().filter(|other| other.spec.stages.is_empty());
    others.any(|other| other.spec.pull_number() == Some(pull) && age(other) > own)
}

/// The name of the snapshot that the run follows, or is to follow because another one did.
fn followed<'a>(status: &'a PipelineRunStatus, origin: &'a Origin) -> Option<&'a str> {
    let of_origin = match origin {
        Origin::Found(origin) => origin.status.revision.as_deref(),
        Origin::None | Origin::Missing(_) => None,
    };
    status.revision.as_deref().or(of_origin)
}

/// Whether the repository of a Pipeline may add to it.
fn adds_to(pipeline: Option<&PipelineNow>) -> bool {
    pipeline.is_some_and(|pipeline| pipeline.spec.definition.is_some())
}

fn snapshot(revision: Option<&ControllerRevision>) -> Snapshot {
    let Some(revision) = revision else {
        return Snapshot::Missing;
    };
    match serde_json::from_value(revision.data.0.clone()) {
        Ok(spec) => Snapshot::Taken(Box::new(spec)),
        Err(error) => Snapshot::Unreadable(error.to_string()),
    }
}

/// The snapshot of a Pipeline as it is now, if an earlier run has taken it: then this one need not.
fn shared(
    pipeline: Option<&PipelineNow>,
    name: &str,
    find: impl FnOnce(&str) -> Option<Arc<ControllerRevision>>,
) -> Snapshot {
    let taken = pipeline.and_then(|pipeline| {
        let revision = find(&render::snapshot_name(name, &pipeline.spec))?;
        let mut owners = revision.owner_references().iter();
        let is_ours = owners.any(|owner| owner.uid == pipeline.owner.uid);
        let is_ending = revision.metadata.deletion_timestamp.is_some();
        match snapshot(Some(&revision)) {
            Snapshot::Taken(spec) if is_ours && !is_ending && *spec == pipeline.spec => {
                Some(Snapshot::Taken(spec))
            }
            Snapshot::Taken(_) | Snapshot::Unreadable(_) | Snapshot::Missing => None,
        }
    });
    taken.unwrap_or(Snapshot::Missing)
}

fn created<K: ResourceExt>(object: &K) -> Timestamp {
    let created = object.creation_timestamp();
    created.map(|Time(at)| at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pipeline_run::testing::a_run;

    fn run(name: &str, at: &str, stages: &[&str]) -> Arc<PipelineRun> {
        let mut spec = a_run().spec;
        spec.git_ref = "refs/pull/7/head".into();
        spec.trigger.at = None;
        let mut spec = serde_json::to_value(spec).unwrap();
        spec["stages"] = stages.iter().copied().map(Value::from).collect();
        let run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "spec": spec,
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": at},
        });
        Arc::new(serde_json::from_value(run).unwrap())
    }

    #[test]
    fn a_flaky_test_counts_in_the_run_in_which_it_was_seen_and_not_in_those_that_take_it_over() {
        let with = |stage: Value| {
            let mut run = (*run("api-1", "2027-01-01T10:00:00Z", &[])).clone();
            run.status = serde_json::from_value(json!({
                "phase": "Succeeded", "finishedAt": "2027-01-01T10:05:00Z", "stages": [stage],
            }))
            .unwrap();
            flaky_run(&run).map(|run| run.tests)
        };
        let mut stage = json!({
            "name": "unit", "type": "Test", "phase": "Succeeded", "flakyTests": ["shop.clock"],
        });
        let seen = with(stage.clone()).unwrap();
        assert!(seen.contains("shop.clock"));
        stage["takenFrom"] = "api-0".into();
        assert_eq!(with(stage), None);
    }

    #[test]
    fn a_newer_run_of_all_stages_has_the_word() {
        let own = run("api-1", "2027-01-01T10:00:00Z", &[]);
        let older = run("api-0", "2027-01-01T09:00:00Z", &[]);
        let few = run("api-2", "2027-01-01T11:00:00Z", &["unit"]);
        let newer = run("api-3", "2027-01-01T12:00:00Z", &[]);
        assert!(!is_outrun(&own, &[own.clone(), older, few.clone()]));
        assert!(is_outrun(&own, &[own.clone(), few, newer]));
    }
}
