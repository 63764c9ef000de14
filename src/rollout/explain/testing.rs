//! Rollouts in the middle of things, as the operator leaves them on record.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::decision::api::DecisionAction;
use crate::model::key::Key;
use crate::model::plan::Plan;
use crate::rollout::api::{FailureReason, Phase, Progress, Rollout, RolloutSpec, RolloutStatus};
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
                reason: FailureReason::CrashLoop,
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

/// How a story begins.
type Teller = fn() -> Story;

/// Rollouts in every phase that people ask about.
pub(crate) const STORIES: &[(&str, Teller)] = &[
    ("runs a hook", hook),
    ("pauses for a time", || at(2)),
    ("analyses", || at(3)),
    ("waits for approvals", || at(4)),
    ("pauses without an end", || at(6)),
    ("is held by a person", || {
        let mut held = at(2);
        held.world.decide(DecisionAction::Pause, "olga", &[]);
        held.until(|status| status.phase == Some(Phase::Paused));
        held
    }),
    ("is held by its spec", || {
        let mut held = Story::begun(&json!({}));
        held.want("2", &json!({"paused": true}));
        held.until(|status| status.phase == Some(Phase::Paused));
        held
    }),
    ("goes by its risk", || {
        let auto = json!({"strategy": {"type": "Auto"}});
        let mut auto_story = Story::begun(&auto);
        auto_story.want("2", &auto);
        auto_story.until_step(2);
        auto_story
    }),
    ("was given up", || {
        let mut back = at(2);
        back.crash();
        back.until(|status| status.phase == Some(Phase::RolledBack));
        back
    }),
    ("is held by its pods", || {
        let mut held = leaving_to_people(&["AnalysisFailed"]);
        held.crash();
        held.until(|status| status.phase == Some(Phase::Paused));
        held
    }),
    ("waits for a verdict that would hold it", || {
        let mut waiting = leaving_to_people(&["CrashLoop"]);
        waiting.until_step(3);
        waiting
    }),
    ("drains", over),
    ("is over", || {
        let mut over = over();
        over.until(|status| {
            let progress = status.progress.as_ref();
            progress.is_some_and(|progress| progress.draining.is_empty())
        });
        over
    }),
    ("was undone", || {
        let mut undone = at(6);
        undone.world.decide(DecisionAction::Undo, "olga", &[]);
        undone.until(|status| status.phase == Some(Phase::RolledBack));
        undone
    }),
    ("cannot be used", || {
        let mut invalid = Story::begun(&json!({}));
        let change = json!({"traffic": null, "strategy": {"keepOldFor": "1m"}});
        invalid.want("2", &change);
        invalid.look();
        invalid
    }),
];

/// The story of a name.
pub(crate) fn story(name: &str) -> Story {
    let found = STORIES.iter().find(|(known, _)| *known == name);
    found.unwrap().1()
}

/// Version 2 is in a step.
fn at(step: u32) -> Story {
    let mut story = Story::begun(&json!({}));
    story.want("2", &json!({}));
    approving(&mut story, step);
    story
}

/// Version 2 is at its first weight, and only these failures take it back.
fn leaving_to_people(on: &[&str]) -> Story {
    let on = json!({"rollback": {"on": on}});
    let mut story = Story::begun(&on);
    story.want("2", &on);
    story.until_step(2);
    story
}

/// Version 2 has just taken over.
fn over() -> Story {
    let mut story = at(6);
    story.world.decide(DecisionAction::Resume, "olga", &[]);
    while story.world.seen().status.phase != Some(Phase::Healthy) {
        let plan = story.look();
        story.world.carry_out(&plan);
    }
    story
}

/// The Job of a hook is about to be made.
fn hook() -> Story {
    let steps = json!({"strategy": {"steps": [
        {"scale": {"canary": 1}}, {"run": {"name": "smoke", "job": {"image": "smoke:1"}}}, {"setWeight": {"weight": 50}}]}});
    let mut story = Story::begun(&json!({}));
    story.want("2", &steps);
    loop {
        let plan = story.look();
        let step = story.world.seen().status.step.as_ref();
        if step.is_some_and(|step| step.index == 2) {
            return story;
        }
        story.world.carry_out(&plan);
    }
}

/// Goes to a step; one person has approved, and the second does.
fn approving(story: &mut Story, step: u32) {
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
