//! Rollouts in the middle of things, as the operator leaves them on record.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::key::Key;
use crate::model::plan::Plan;
use crate::rollout::api::{Phase, Progress, Rollout, RolloutSpec, RolloutStatus};
use crate::rollout::observed::{Trouble, Wanted};
use crate::rollout::plan::Memory;
use crate::rollout::simulation::World;
use crate::rollout::spec::{Images, Invalid, Spec};

/// A Rollout that is gone through, and how far.
pub(crate) struct Story {
    pub(super) world: World,
    raw: Value,
}

fn raw(version: &str, extra: &Value) -> Value {
    let mut raw = json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "api"}},
        "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [{"name": "web", "image": format!("api:{version}")}]},
        },
        "strategy": {"steps": [
            {"setWeight": {"weight": 25}},
            {"pause": {"for": "15m"}},
            {"analyse": {"metrics": ["success-rate"], "for": "5m"}},
            {"approve": {"required": 2, "groups": ["leads"]}},
            {"setWeight": {"weight": 50}},
            {"pause": {}},
        ]},
        "analysis": {"interval": "30s", "metrics": [{
            "name": "success-rate", "pass": "value >= 0.99", "minSamples": 3,
            "prometheus": {"address": "http://prometheus:9090", "query": "up"},
        }]},
        "traffic": {"drain": "10s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
    });
    json_patch::merge(&mut raw, extra);
    raw
}

fn parsed(raw: &Value) -> Result<Spec, Vec<Invalid>> {
    let raw: RolloutSpec = serde_json::from_value(raw.clone()).unwrap();
    Spec::parse(&raw, &Images::new())
}

impl Story {
    /// Version 1 runs.
    pub(crate) fn begun(extra: &Value) -> Self {
        let raw = raw("1", extra);
        let world = World::new(Key::new("shop", "api"), parsed(&raw).unwrap());
        let mut story = Self { world, raw };
        story.until(|status| status.phase == Some(Phase::Healthy));
        story
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Another version is wanted.
    pub(crate) fn want(&mut self, version: &str, extra: &Value) {
        self.raw = raw(version, extra);
        match parsed(&self.raw) {
            Ok(spec) => self.world.want(spec),
            Err(problems) => self.want_invalid(problems),
        }
    }

    fn want_invalid(&mut self, problems: Vec<Invalid>) {
        let raw: RolloutSpec = serde_json::from_value(self.raw.clone()).unwrap();
        let (spec, _) = Spec::read(&raw, &Images::new());
        let seen = self.world.seen_mut();
        let asked = seen
            .status
            .progress
            .as_ref()
            .and_then(Progress::asked)
            .cloned();
        let held = asked.map(|revision| Box::new(spec.holding(revision)));
        seen.generation += 1;
        seen.wanted = Wanted::Invalid(problems, held);
    }

    /// The planner looks once.
    pub(crate) fn look(&mut self) -> Plan<Memory> {
        self.world.look()
    }

    /// Lets things happen until the status is like this, at a time at which nothing is left to do.
    pub(crate) fn until(&mut self, check: impl Fn(&RolloutStatus) -> bool) {
        for _ in 0..1000 {
            let plan = self.world.look();
            if self.world.carry_out(&plan) {
                continue;
            }
            if check(&self.world.seen().status) {
                return;
            }
            assert!(self.world.pass_time(&plan), "{}", plan.why.message);
        }
        panic!("not within 1000 looks: {:?}", self.world.seen().status);
    }

    /// Until the step of this number is being done.
    pub(crate) fn until_step(&mut self, number: u32) {
        self.until(|status| {
            status
                .step
                .as_ref()
                .is_some_and(|step| step.index == number)
        });
    }

    /// All pods of the canary crash.
    pub(crate) fn crash(&mut self) {
        let canary = self.world.seen().status.canary.clone().unwrap();
        let pods = &mut self.world.seen_mut().pods;
        for pod in pods
            .iter_mut()
            .filter(|pod| pod.revision.as_str() == canary.revision)
        {
            pod.is_ready = false;
            pod.trouble = Some(Trouble {
                reason: "CrashLoop",
                message: "container web: CrashLoopBackOff: back-off 10s, last exit code 1".into(),
            });
        }
        let sets = &mut self.world.seen_mut().sets;
        for set in sets
            .iter_mut()
            .filter(|set| set.revision.as_str() == canary.revision)
        {
            set.available = 0;
        }
    }

    /// The object, as it is in the cluster.
    pub(crate) fn rollout(&self) -> Rollout {
        let spec: RolloutSpec = serde_json::from_value(self.raw.clone()).unwrap();
        let mut rollout = Rollout::new("api", spec);
        rollout.metadata.namespace = Some("shop".into());
        rollout.metadata.generation = Some(self.world.seen().generation);
        rollout.status = Some(self.world.seen().status.clone());
        rollout
    }
}

/// Rollouts in every phase that people ask about.
pub(crate) fn stories() -> Vec<(&'static str, Story)> {
    use crate::decision::api::DecisionAction;
    let none = json!({});
    let at = |step| {
        let mut story = Story::begun(&none);
        story.want("2", &none);
        approving(&mut story, step);
        story
    };
    let mut held = at(2);
    held.world.decide(DecisionAction::Pause, "olga", &[]);
    held.until(|status| status.phase == Some(Phase::Paused));
    let mut back = at(2);
    back.crash();
    back.until(|status| status.phase == Some(Phase::RolledBack));
    let mut over = at(6);
    over.world.decide(DecisionAction::Resume, "olga", &[]);
    over.until(|status| {
        let is_drained = |progress: &Progress| progress.draining.is_empty();
        status.phase == Some(Phase::Healthy) && status.progress.as_ref().is_some_and(is_drained)
    });
    let mut draining = at(6);
    draining.world.decide(DecisionAction::Resume, "olga", &[]);
    while draining.world.seen().status.phase != Some(Phase::Healthy) {
        let plan = draining.look();
        draining.world.carry_out(&plan);
    }
    let mut undone = at(6);
    undone.world.decide(DecisionAction::Undo, "olga", &[]);
    undone.until(|status| status.phase == Some(Phase::RolledBack));
    let paused = json!({"paused": true});
    let mut spec_paused = Story::begun(&none);
    spec_paused.want("2", &paused);
    spec_paused.until(|status| status.phase == Some(Phase::Paused));
    let mut invalid = Story::begun(&none);
    invalid.want(
        "2",
        &json!({"traffic": null, "strategy": {"keepOldFor": "1m"}}),
    );
    invalid.look();
    let hook = json!({"strategy": {"steps": [
        {"scale": {"canary": 1}}, {"run": {"name": "smoke", "job": {"image": "smoke:1"}}}, {"setWeight": {"weight": 50}}]}});
    let mut runs = Story::begun(&none);
    runs.want("2", &hook);
    while runs
        .world
        .seen()
        .status
        .step
        .as_ref()
        .is_none_or(|step| step.index != 2)
    {
        let plan = runs.look();
        // The Job is not there yet.
        if runs
            .world
            .seen()
            .status
            .step
            .as_ref()
            .is_none_or(|step| step.index != 2)
        {
            runs.world.carry_out(&plan);
        }
    }
    vec![
        ("runs a hook", runs),
        ("pauses for a time", at(2)),
        ("analyses", at(3)),
        ("waits for approvals", at(4)),
        ("pauses without an end", at(6)),
        ("is held by a person", held),
        ("is held by its spec", spec_paused),
        ("was given up", back),
        ("is over", over),
        ("drains", draining),
        ("was undone", undone),
        ("cannot be used", invalid),
    ]
}

/// Goes to a step; one person has approved, and the second does.
fn approving(story: &mut Story, step: u32) {
    use crate::decision::api::DecisionAction;
    let leads = ["leads".to_owned()];
    if step >= 4 {
        story.until_step(4);
        story.world.decide(DecisionAction::Approve, "olga", &leads);
        story.until(|_| true);
    }
    if step > 4 {
        story.world.decide(DecisionAction::Approve, "dana", &leads);
        story.until(|_| true);
    }
    story.until_step(step);
}
