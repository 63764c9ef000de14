//! Worlds: whatever is lost on the way, a run comes to the same end.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::api::PipelineRunStatus;
use super::super::observed::Trouble;
use super::super::status::{essence, status};
use super::super::testing::{a_job, a_run, built, receiver, tested};
use super::*;
use crate::model::action::Outcome;
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::reason::is_known;
use crate::pipeline::testing::NOW;

/// How the pods of a stage, or of a cell of it, fare.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    Bad,
    /// The first attempt fails.
    Flaky,
    NoImage,
    /// The first attempt is lost.
    LostOnce,
    Lost,
    /// The node of the first attempt is gone, and says nothing.
    Silent,
    NoNode,
}

/// What of a stage is left to chance.
#[derive(Clone, Debug)]
struct Shape {
    kind: What,
    needs: Vec<bool>,
    always: bool,
    cells: usize,
    fail_fast: bool,
    retry: u32,
    when: Option<bool>,
}

/// What a stage does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Script,
    Build,
    AtMostOnce,
}

/// What a run is about.
#[derive(Clone, Debug)]
struct Plot {
    stages: Vec<Shape>,
    fates: Vec<Fate>,
    /// After how many events of the cluster somebody cancels the run.
    cancel: Option<usize>,
    /// Whether the run has a short timeout.
    is_hurried: bool,
}

/// Where the operator dies in a pass.
#[derive(Clone, Copy, Debug)]
enum Crash {
    No,
    BeforeStatus,
    AfterActions(usize),
}

struct World {
    seen: Observed,
    plot: Plot,
    now: Timestamp,
    events: usize,
    made: BTreeMap<String, u32>,
    /// Whose Job it is, and of which attempt.
    jobs: BTreeMap<String, (String, String, u32)>,
}

fn stage(shapes: &[Shape], index: usize) -> Value {
    let shape = &shapes[index];
    let earlier = shapes[..index].iter().enumerate();
    let needs = earlier.filter(|(other, earlier)| {
        let is_needed = shape.needs.get(*other).copied().unwrap_or(false);
        is_needed && earlier.always == shape.always
    });
    let needs: Vec<String> = needs.map(|(other, _)| format!("s{other}")).collect();
    let mut stage = json!({"name": format!("s{index}"), "needs": needs, "always": shape.always});
    if let Some(holds) = shape.when {
        stage["when"] = if holds { "true" } else { "branch == 'other'" }.into();
    }
    if shape.kind == What::Build {
        stage["type"] = "Build".into();
        stage["build"] = json!({"image": "registry.example/shop/api"});
        return stage;
    }
    stage["type"] = if shape.kind == What::AtMostOnce {
        "Migrate"
    } else {
        "Test"
    }
    .into();
    stage["image"] = "i".into();
    stage["run"] = "true".into();
    if shape.kind != What::AtMostOnce {
        stage["retry"] = json!({"app": shape.retry, "infra": shape.retry});
    }
    if shape.cells > 0 {
        let values: Vec<String> = (0..shape.cells).map(|value| value.to_string()).collect();
        stage["matrix"] =
            json!({"axes": {"a": values}, "maxParallel": 2, "failFast": shape.fail_fast});
    }
    stage
}

impl World {
    fn new(plot: Plot) -> Self {
        let mut seen = a_run();
        seen.images.receiver = Some(receiver());
        if let Some(pipeline) = &mut seen.pipeline {
            let mut whole = serde_json::to_value(&pipeline.spec).unwrap();
            let stages = (0..plot.stages.len()).map(|index| stage(&plot.stages, index));
            whole["stages"] = stages.collect();
            whole["gates"] = json!([]);
            if plot.is_hurried {
                whole["timeout"] = "15s".into();
            }
            pipeline.spec = serde_json::from_value(whole).unwrap();
            assert_eq!(spec::problems(&pipeline.spec), []);
        }
        Self {
            seen,
            plot,
            now: NOW,
            events: 0,
            made: BTreeMap::new(),
            jobs: BTreeMap::new(),
        }
    }

    /// One pass of the driver. Tells whether it had nothing to do, and when it wants to look again.
    fn pass(&mut self, crash: Crash) -> (bool, Option<Timestamp>) {
        let is_cancelled = self.plot.cancel.is_some_and(|after| self.events >= after);
        self.seen.cancelled_by = is_cancelled.then(|| "alice".to_owned());
        let plan = plan(&self.seen, self.now);
        assert!(
            plan.wake.is_none_or(|wake| wake > self.now),
            "{:?}",
            plan.wake
        );
        let reason = plan.why.reason;
        assert!(is_known("PipelineRun", reason), "{reason}");
        if matches!(crash, Crash::BeforeStatus) {
            return (false, None);
        }
        // What only informs may wait for the next write, as long as there is something else to do.
        let next = status(&self.seen, &plan, &Outcome::default(), self.now);
        let spec = self.seen.snapshot.spec();
        let essence =
            |status: &PipelineRunStatus| essence(spec, &serde_json::to_value(status).unwrap());
        if plan.actions.is_empty() || essence(&self.seen.status) != essence(&next) {
            self.seen.status = next;
        }
        let count = match crash {
            Crash::AfterActions(count) => count,
            Crash::No | Crash::BeforeStatus => usize::MAX,
        };
        for action in plan.actions.iter().take(count) {
            self.apply(action);
        }
        (plan.actions.is_empty(), plan.wake)
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Create(manifest) => self.create(manifest),
            Action::Delete { target, .. } => drop(self.seen.jobs.remove(&target.key.name)),
            other => panic!("{other:?}"),
        }
    }

    fn create(&mut self, manifest: &Manifest) {
        let name = manifest.key.name.clone();
        match manifest.kind {
            ObjectKind::ControllerRevision => {
                let spec = serde_json::from_value(manifest.body["data"].clone()).unwrap();
                self.seen.snapshot = Snapshot::Taken(Box::new(spec));
            }
            ObjectKind::Job if !self.seen.jobs.contains_key(&name) => {
                *self.made.entry(name.clone()).or_default() += 1;
                let mut job = a_job(&name);
                job.created_at = self.now;
                self.seen.jobs.insert(name.clone(), job);
                let labels = &manifest.body["metadata"]["labels"];
                let text = |key: &str| labels[key].as_str().unwrap_or_default().to_owned();
                let attempt = text(label::ATTEMPT).parse().unwrap();
                let of = (text(label::STAGE), text(label::CELL), attempt);
                self.jobs.insert(name, of);
            }
            ObjectKind::Release if self.seen.release(&name).is_none() => {
                *self.made.entry(name).or_default() += 1;
                let release = serde_json::from_value(manifest.body.clone()).unwrap();
                self.seen.releases.push(Arc::new(release));
            }
            _ => {}
        }
    }

    fn fate(&self, stage: usize, cell: &str) -> Fate {
        let cell: usize = cell.parse().unwrap_or(0);
        let fates = &self.plot.fates;
        fates[(stage * 3 + cell) % fates.len()]
    }

    /// Lets the cluster do one thing: a pod starts, or ends. Tells whether there was one.
    fn elapse(&mut self) -> bool {
        let now = self.now;
        let names: Vec<String> = self.seen.jobs.keys().cloned().collect();
        for name in names {
            let (stage, cell, attempt) = self.jobs[&name].clone();
            let index: usize = stage[1..].parse().unwrap();
            let fate = self.fate(index, &cell);
            let is_build = self.plot.stages[index].kind == What::Build;
            let job = self.seen.jobs.get_mut(&name).unwrap();
            if job.state != JobState::Active || matches!(fate, Fate::NoNode) {
                continue;
            }
            let known = job.clone();
            if job.pod.is_none() {
                *job = known.running();
                if matches!(fate, Fate::NoImage) {
                    let trouble = Trouble {
                        container: "main".into(),
                        message: "ImagePullBackOff: not found".into(),
                    };
                    *job = job.clone().with_pod(|pod| pod.trouble = Some(trouble));
                }
                self.events += 1;
                return true;
            }
            let is_silent = matches!(fate, Fate::Silent) && attempt == 1;
            let is_leaving = job.pod.as_ref().is_some_and(|pod| pod.leaving_at.is_some());
            if is_silent && is_leaving {
                continue;
            }
            let report = if is_build { built('7') } else { tested(5, 0) };
            *job = match fate {
                Fate::Bad => known.over(now, 1, tested(5, 1)),
                Fate::Flaky if attempt == 1 => known.over(now, 1, tested(5, 1)),
                Fate::Lost => known.evicted(now),
                Fate::LostOnce if attempt == 1 => known.evicted(now),
                Fate::Silent if attempt == 1 => known.with_pod(|pod| pod.leaving_at = Some(now)),
                Fate::Good | Fate::Flaky | Fate::LostOnce | Fate::Silent => {
                    known.over(now, 0, report)
                }
                Fate::NoImage | Fate::NoNode => continue,
            };
            self.events += 1;
            return true;
        }
        false
    }

    /// Runs until nothing moves.
    fn settle(&mut self, crashes: &[Crash]) {
        let mut crashes = crashes.iter().copied();
        for _ in 0..2000 {
            let crash = crashes.next().unwrap_or(Crash::No);
            let (rests, wake) = self.pass(crash);
            if !rests || !matches!(crash, Crash::No) || self.elapse() {
                continue;
            }
            match wake {
                Some(wake) => self.now = wake,
                None => return,
            }
        }
        panic!("it does not settle: {:?}", self.seen.status);
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Good),
        1 => Just(Fate::Bad),
        1 => Just(Fate::Flaky),
        1 => Just(Fate::NoImage),
        1 => Just(Fate::LostOnce),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Silent),
        1 => Just(Fate::NoNode),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let kind = prop_oneof![
        5 => Just(What::Script),
        3 => Just(What::Build),
        1 => Just(What::AtMostOnce),
    ];
    let needs = proptest::collection::vec(any::<bool>(), 4);
    let matrix = (
        prop_oneof![2 => Just(0usize), 1 => 1usize..4],
        any::<bool>(),
    );
    let when = prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let always = prop::bool::weighted(0.25);
    (kind, needs, always, matrix, 0u32..3, when).prop_map(
        |(kind, needs, always, (cells, fail_fast), retry, when)| Shape {
            kind,
            needs,
            always,
            cells,
            fail_fast,
            retry,
            when,
        },
    )
}

fn plot() -> impl Strategy<Value = Plot> {
    let stages = proptest::collection::vec(shape(), 1..5);
    let fates = proptest::collection::vec(fate(), 1..8);
    let cancel = prop_oneof![3 => Just(None), 1 => (0usize..12).prop_map(Some)];
    let is_hurried = prop::bool::weighted(0.2);
    (stages, fates, cancel, is_hurried).prop_map(|(stages, fates, cancel, is_hurried)| Plot {
        stages,
        fates,
        cancel,
        is_hurried,
    })
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        2 => Just(Crash::No),
        1 => Just(Crash::BeforeStatus),
        2 => (0usize..3).prop_map(Crash::AfterActions),
    ]
}

proptest! {
    #[test]
    fn a_crash_anywhere_leads_to_the_same_end_and_no_job_is_made_twice(
        plot in plot(),
        crashes in proptest::collection::vec(crash(), 0..60),
    ) {
        let mut calm = World::new(plot.clone());
        calm.settle(&[]);
        let mut rough = World::new(plot);
        rough.settle(&crashes);
        prop_assert!(calm.seen.status.phase.unwrap().is_finished());
        prop_assert_eq!(&rough.seen.status, &calm.seen.status);
        prop_assert_eq!(&rough.made, &calm.made);
        prop_assert!(rough.made.values().all(|count| *count == 1), "{:?}", rough.made);
        prop_assert!(rough.seen.jobs.values().all(|job| job.state != JobState::Active));
        for stage in &rough.seen.status.stages {
            prop_assert!(stage.phase.is_over(), "{stage:?}");
            prop_assert!(stage.cells.iter().all(|cell| cell.phase.is_over()), "{stage:?}");
        }
    }

    #[test]
    fn a_run_succeeds_only_when_nothing_in_it_failed_and_always_runs_what_runs_always(plot in plot()) {
        let mut world = World::new(plot.clone());
        world.settle(&[]);
        let status = &world.seen.status;
        let is_good = |phase: StagePhase| matches!(phase, StagePhase::Succeeded | StagePhase::Skipped);
        let all_good = status.stages.iter().all(|stage| is_good(stage.phase));
        if status.phase == Some(RunPhase::Succeeded) {
            prop_assert!(all_good, "{status:?}");
        } else {
            prop_assert_eq!(status.release.as_ref(), None);
        }
        for (shape, stage) in plot.stages.iter().zip(&status.stages) {
            let is_wanted = shape.always && shape.when != Some(false);
            prop_assert!(!is_wanted || stage.phase != StagePhase::Skipped, "{stage:?}");
            let retries = stage.infra_retries + stage.app_retries;
            prop_assert!(shape.kind != What::AtMostOnce || retries == 0, "{stage:?}");
            for cell in &stage.cells {
                prop_assert!(cell.infra_retries <= shape.retry && cell.app_retries <= shape.retry);
            }
        }
    }

    #[test]
    fn what_is_over_is_final(plot in plot(), lost in any::<bool>()) {
        let mut world = World::new(plot);
        world.settle(&[]);
        let end: PipelineRunStatus = world.seen.status.clone();
        world.seen.jobs.clear();
        world.plot.cancel = Some(0);
        if lost {
            world.seen.snapshot = Snapshot::Missing;
            world.seen.pipeline = None;
            world.seen.releases.clear();
        }
        prop_assert!(world.pass(Crash::No).0);
        prop_assert_eq!(world.seen.status, end);
    }

    #[test]
    fn a_plan_is_the_same_twice(plot in plot(), crashes in proptest::collection::vec(crash(), 0..10)) {
        let mut world = World::new(plot);
        for crash in crashes {
            let now = world.now;
            prop_assert_eq!(plan(&world.seen, now), plan(&world.seen, now));
            world.pass(crash);
            world.elapse();
        }
    }
}
