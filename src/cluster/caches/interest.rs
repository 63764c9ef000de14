//! Whom else an object concerns than those it belongs to: who names what, and so hears of it.

use kube::ResourceExt;

use super::related;
use crate::cluster::cache::Parent;
use crate::environment::api::{ConditionKind, Environment};
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::pipeline_run::api::{PipelineRun, RunPhase};
use crate::rollout::api::Rollout;
use crate::rollout::config;
use crate::traffic::foreign;
/// A run that takes part in a group hears of its Pipeline, which says whose turn it is; one that waits for its preview, of the
/// Environment that makes it.
pub(super) fn awaited_by(run: &PipelineRun) -> Vec<Parent> {
    let status = run.status.as_ref();
    let is_open = |phase: Option<RunPhase>| !phase.unwrap_or_default().is_finished();
    let takes_part =
        status.is_some_and(|status| status.concurrency_group.is_some() && is_open(status.phase));
    let pipeline = takes_part.then_some(run.spec.pipeline_ref.name.as_str());
    let mut all = related(run, ObjectKind::Pipeline, pipeline);
    let open = status.filter(|status| is_open(status.phase));
    let preview = open.and_then(|status| status.preview.as_ref());
    let environment = preview.map(|preview| preview.environment.as_str());
    all.extend(related(run, ObjectKind::Environment, environment));
    all
}

/// A Rollout hears of the Environment that it takes its images from, of the AnalysisTemplates that it names, and of what it
/// divides traffic with.
pub(super) fn interests_of(rollout: &Rollout) -> Vec<Parent> {
    let release = rollout.spec.release.as_ref();
    let name = release.map(|release| release.environment.name.as_str());
    let mut all = related(rollout, ObjectKind::Environment, name);
    let templates = rollout.spec.template_names();
    all.extend(related(rollout, ObjectKind::AnalysisTemplate, templates));
    all.extend(named_by(rollout));
    all
}

/// What a Rollout divides traffic with, the ConfigMaps and Secrets that its revisions get copies of, and the Deployment that
/// it takes over.
pub(super) fn named_by(rollout: &Rollout) -> Vec<Parent> {
    let namespace = rollout.namespace().unwrap_or_default();
    let objects = foreign::objects_of(rollout).into_iter();
    let configs = config::copied(&rollout.spec).into_iter();
    let workload = rollout.spec.workload_ref.iter();
    let workload = workload.map(|workload| (ObjectKind::Deployment, workload.name.clone()));
    objects
        .chain(workload)
        .chain(configs.map(|named| (named.kind, named.name)))
        .map(|(kind, name)| Parent {
            kind,
            key: Key::new(namespace.clone(), name),
        })
        .collect()
}

/// An Environment hears of its Rollouts, of what it takes Releases from, and of what its gates look at.
pub(super) fn followed_by(environment: &Environment) -> Vec<Parent> {
    let spec = &environment.spec;
    let from = &spec.promotion.from;
    let rollouts = spec.rollouts.iter().map(|rollout| rollout.name.as_str());
    let pipelines = from.pipelines.iter().map(String::as_str);
    let environments = from.environments.iter().map(String::as_str);
    let mut all = related(environment, ObjectKind::Rollout, rollouts);
    all.extend(related(environment, ObjectKind::Pipeline, pipelines));
    let shown = spec.previews.iter();
    let shown = shown.map(|previews| previews.pipeline.as_str());
    all.extend(related(environment, ObjectKind::Pipeline, shown));
    all.extend(related(environment, ObjectKind::Environment, environments));
    let gates = spec.protection.gates.iter();
    for object in gates.filter_map(|gate| gate.object.as_ref()) {
        let kind = match object.kind {
            ConditionKind::Environment => ObjectKind::Environment,
            ConditionKind::Pipeline => ObjectKind::Pipeline,
            ConditionKind::Rollout => ObjectKind::Rollout,
        };
        all.extend(related(environment, kind, [object.name.as_str()]));
    }
    all
}
