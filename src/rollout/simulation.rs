//! What a change of a Rollout goes through, found out before anything is applied: the planner's own decisions, carried
//! out in an ideal world. No I/O.
//!
//! The same template runs as stable, but for an annotation; then the spec's own revision is wanted. `ideal` carries out
//! what the planner says, `script` writes down what can be seen of it. Pods are ready at once, the data plane takes in
//! everything at once, every sample is good, every hook passes at once, and people say yes as soon as they are asked.

mod happening;
mod ideal;
mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::adopt::standing_in;
use super::api::{FailureReason, Phase, RiskLevel, Rollout, RolloutSpec, Shape, StrategyType};
use super::plan::Memory;
use super::spec::{Around, Images, Invalid, Spec, Step};
use crate::analysis::template::Templates;
use crate::decision::api::DecisionAction;
use crate::model::json::set;
use crate::model::key::Key;
use crate::model::plan::Plan;
pub use happening::{Happening, What};
pub(super) use ideal::World;
use script::Script;
pub use script::{Event, Row};

/// Looks of the planner after which a change counts as one without an end.
const MAX_LOOKS: usize = 100_000;
/// Annotation that tells the template of the revision before from the one that is wanted.
const BEFORE: &str = "slipway.dev/revision-before";
/// The digest of an image whose Release is not known.
const NO_DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What a change goes through.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Namespace, where the file says one.
    pub namespace: String,
    /// Name of the Rollout.
    pub name: String,
    /// The shape of the change.
    pub strategy: StrategyType,
    /// With strategy `Auto`: the risk that is assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskLevel>,
    /// With strategy `Auto`: what a change of this risk gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Pods that serve.
    pub replicas: i32,
    /// Whether requests come through Services of the Rollout; otherwise weights are ratios of pods.
    pub is_routed: bool,
    /// What divides between these Services, by kind and name; where nothing does, the stable Service is switched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub divided_by: Vec<String>,
    /// Whether hooks run: here they pass at once.
    pub has_hooks: bool,
    /// Failures that hold the change for people instead of taking it back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_for: Vec<FailureReason>,
    /// What is added to the template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<Injected>,
    /// Image of a Release by container, where images come from one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub release_images: BTreeMap<String, String>,
    /// What happens, in order.
    pub rows: Vec<Row>,
    /// The most pods that there should be at any time.
    pub most_pods: i32,
    /// How long it takes, without the time of pods, data plane and people.
    #[serde(rename = "tookSeconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Why it was given up, where that is what was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<String>,
    /// Why it does not end with the revision being stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What makes pods go on serving while they end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Injected {
    /// Containers that get a preStop sleep.
    pub containers: Vec<String>,
    /// Seconds of it.
    pub pre_stop_sleep_seconds: u64,
    /// `terminationGracePeriodSeconds` with it.
    pub termination_grace_period_seconds: u64,
}

fn seconds<S: serde::Serializer>(of: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(of.as_secs_f64())
}

/// Goes through a change of this Rollout, with the AnalysisTemplates that are known. With strategy `Auto` it is one of this
/// risk: nothing is known of the change itself.
///
/// # Errors
/// Everything that is wrong with the spec.
pub fn simulate(
    rollout: &Rollout,
    templates: &Templates,
    level: RiskLevel,
) -> Result<Simulation, Vec<Invalid>> {
    simulate_with(rollout, templates, level, &[])
}

/// The same, where all goes well but for what happens.
///
/// # Errors
/// Everything that is wrong with the spec.
pub fn simulate_with(
    rollout: &Rollout,
    templates: &Templates,
    level: RiskLevel,
    happenings: &[Happening],
) -> Result<Simulation, Vec<Invalid>> {
    let raw = &standing_in(&rollout.spec);
    let images = placeholders(raw);
    let around = Around {
        templates: templates.clone(),
        ..Around::of(rollout)
    };
    let spec = Spec::parse_with(raw, &images, &around)?;
    let shape = spec.by_risk.as_ref().map(|by_risk| by_risk.shape(level));
    let spec = spec.at_risk(level);
    let before = before(raw, &images, &around)?.at_risk(level);
    let mut world = World::new(around.key.clone(), before);
    let injected = injected(&raw.template.value(), &spec);
    let (replicas, is_routed) = (spec.replicas, spec.routing.is_some());
    let is_hook = |step: &Step| matches!(step, Step::Run { .. });
    let has_hooks = spec.steps.iter().any(is_hook);
    let all = FailureReason::ALL.iter().copied();
    let held_for = all.filter(|reason| !spec.rollback_on.contains(reason));
    let held_for = held_for.collect();
    let mut problem = run(&mut world, &mut Calm);
    let mut script = Script::new(&spec, world.stable(), world.now());
    script.expect(happenings);
    if problem.is_none() {
        world.want(spec.clone());
        problem = run(&mut world, &mut script);
    }
    let given_up = script.given_up().filter(|_| !happenings.is_empty());
    let (rows, most_pods, took) = script.finish(problem.is_none() && given_up.is_none());
    let strategy = raw.strategy.as_ref().and_then(|strategy| strategy.type_);
    let release = raw.release.as_ref();
    let Key { namespace, name } = around.key;
    let divided_by = divided_by(&spec, &name);
    Ok(Simulation {
        namespace,
        name,
        strategy: strategy.unwrap_or_default(),
        risk: shape.map(|_| level),
        shape,
        replicas,
        is_routed,
        divided_by,
        has_hooks,
        held_for,
        injected,
        release_images: release
            .map(|release| release.images.clone())
            .unwrap_or_default(),
        rows,
        most_pods,
        took,
        given_up,
        problem,
    })
}

/// The objects that carry the division, each once.
fn divided_by(spec: &Spec, name: &str) -> Vec<String> {
    let routers = spec.routing.iter().flat_map(|routing| &routing.routers);
    let mut all: Vec<String> = Vec::new();
    for (kind, carrier) in routers.map(|router| router.carried_by(name)) {
        let carrier = format!("{} {carrier}", kind.kind());
        if !all.contains(&carrier) {
            all.push(carrier);
        }
    }
    all
}

/// Images for containers that take theirs from a Release.
pub(super) fn placeholders(raw: &RolloutSpec) -> Images {
    let images = raw.release.iter().flat_map(|release| &release.images);
    let placeholder = |image: &String| format!("{image}@{NO_DIGEST}");
    images
        .map(|(container, image)| (container.clone(), placeholder(image)))
        .collect()
}

/// The spec of the revision that runs already.
fn before(raw: &RolloutSpec, images: &Images, around: &Around) -> Result<Spec, Vec<Invalid>> {
    let mut before = raw.clone();
    before.paused = None;
    let path = ["metadata", "annotations", BEFORE];
    let mut template = before.template.value();
    if !set(&mut template, &path, "true") {
        let path = "spec.template.metadata.annotations";
        return Err(vec![Invalid::new(path, "must be an object")]);
    }
    before.template = template.into();
    Spec::parse_with(&before, images, around)
}

fn injected(raw: &Value, spec: &Spec) -> Option<Injected> {
    let containers = |template: &Value| {
        let containers = template.pointer("/spec/containers").cloned();
        containers
            .and_then(|containers| containers.as_array().cloned())
            .unwrap_or_default()
    };
    let sleep = |container: &Value| {
        container
            .pointer("/lifecycle/preStop/sleep/seconds")
            .and_then(Value::as_u64)
    };
    let (raw, complete) = (containers(raw), containers(&spec.template));
    let pairs = raw.iter().zip(&complete);
    let changed: Vec<&Value> = pairs
        .filter(|(raw, complete)| raw.get("lifecycle") != complete.get("lifecycle"))
        .map(|(_, complete)| complete)
        .collect();
    let name = |container: &&Value| container["name"].as_str().unwrap_or_default().to_owned();
    Some(Injected {
        pre_stop_sleep_seconds: sleep(changed.first()?)?,
        containers: changed.iter().map(name).collect(),
        termination_grace_period_seconds: spec
            .template
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_u64)?,
    })
}

/// What watches a run, and what happens in it.
trait Witness {
    /// Sees a look of the planner, with the world as it was when it looked.
    fn note(&mut self, plan: &Plan<Memory>, world: &World, at: Timestamp);
    /// Whether a change that is given up is an answer, and no mistake.
    fn may_fail(&self) -> bool;
    /// What happens by now, once.
    fn due(&mut self, now: Timestamp) -> Option<What>;
    /// When the next thing happens.
    fn next(&self) -> Option<Timestamp>;
}

/// Nothing happens, and nobody watches.
struct Calm;

impl Witness for Calm {
    fn note(&mut self, _: &Plan<Memory>, _: &World, _: Timestamp) {}

    fn may_fail(&self) -> bool {
        false
    }

    fn due(&mut self, _: Timestamp) -> Option<What> {
        None
    }

    fn next(&self) -> Option<Timestamp> {
        None
    }
}

/// Lets time pass until nothing is left to do. Says why it does not end, if it does not.
fn run(world: &mut World, witness: &mut impl Witness) -> Option<String> {
    for _ in 0..MAX_LOOKS {
        while let Some(what) = witness.due(world.now()) {
            world.suffer(&what);
        }
        let plan = world.look();
        witness.note(&plan, world, world.now());
        let progress = &plan.progress.progress;
        if let Some(failed) = progress.failed.as_ref().filter(|_| !witness.may_fail()) {
            return Some(format!(
                "even if all goes well, it is given up: {}: {}",
                failed.reason, failed.message
            ));
        }
        if world.carry_out(&plan) || ask_people(world, &plan) {
            continue;
        }
        let phase = plan.progress.shown.phase;
        let is_settled = phase == Phase::Healthy || phase == Phase::RolledBack;
        let next = witness.next();
        if plan.wake.is_none() && is_settled && progress.change.is_none() && next.is_none() {
            return None;
        }
        if !world.pass_time_until(&plan, next) {
            return Some(format!("it does not go on: {}", plan.why.message));
        }
    }
    Some(format!("it has no end within {MAX_LOOKS} looks"))
}

/// What people are asked for, they give. Whether they were.
fn ask_people(world: &mut World, plan: &Plan<Memory>) -> bool {
    if plan.progress.shown.phase != Phase::Paused {
        return false;
    }
    if world.spec().is_paused {
        world.go_on();
        return true;
    }
    let change = plan.progress.progress.change.as_ref();
    let step = change.and_then(|change| usize::try_from(change.step).ok());
    match step.and_then(|step| world.spec().steps.get(step)).cloned() {
        Some(Step::Pause(None)) => world.decide(DecisionAction::Resume, "somebody", &[]),
        Some(Step::Approve { required, groups }) => {
            for person in 1..=required {
                world.decide(
                    DecisionAction::Approve,
                    &format!("person-{person}"),
                    &groups,
                );
            }
        }
        Some(
            Step::Pause(Some(_))
            | Step::SetWeight(_)
            | Step::Route(_)
            | Step::Mirror(_)
            | Step::Scale(_)
            | Step::Analyse { .. }
            | Step::Run { .. },
        )
        | None => return false,
    }
    true
}

#[cfg(test)]
mod tests;
