//! Worlds: whatever is lost on the way, a run comes to the same end.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::api::PipelineRunStatus;
use super::super::observed::Trouble;
use super::super::status::status;
use super::super::testing::{a_job, a_run, built, tested};
use super::*;
use crate::model::action::Outcome;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::StageType;
use crate::pipeline::testing::{NOW, spec};

/// How a stage's pod fares.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    Bad,
    NoImage,
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
    fates: Vec<Fate>,
    made: BTreeMap<String, u32>,
}

impl World {
    fn new(fates: Vec<Fate>, diamond: bool) -> Self {
        let mut seen = a_run();
        if diamond && let Some(pipeline) = &mut seen.pipeline {
            let mut spec = spec();
            let mut other = spec.stages[0].clone();
            other.name = "lint".into();
            let mut last = spec.stages[1].clone();
            last.name = "second".into();
            last.needs = vec!["image".into(), "lint".into()];
            spec.stages.insert(0, last);
            spec.stages.push(other);
            pipeline.spec = spec;
        }
        Self {
            seen,
            fates,
            made: BTreeMap::new(),
        }
    }

    /// One pass of the driver. Tells whether it had nothing to do.
    fn pass(&mut self, crash: Crash) -> bool {
        let plan = plan(&self.seen, NOW);
        if matches!(crash, Crash::BeforeStatus) {
            return false;
        }
        self.seen.status = status(&self.seen, &plan, &Outcome::default(), NOW);
        let count = match crash {
            Crash::AfterActions(count) => count,
            Crash::No | Crash::BeforeStatus => usize::MAX,
        };
        for action in plan.actions.iter().take(count) {
            self.apply(action);
        }
        plan.actions.is_empty()
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
                self.seen.jobs.insert(name.clone(), a_job(&name));
            }
            ObjectKind::Release if self.seen.release(&name).is_none() => {
                *self.made.entry(name).or_default() += 1;
                let release = serde_json::from_value(manifest.body.clone()).unwrap();
                self.seen.releases.push(Arc::new(release));
            }
            _ => {}
        }
    }

    /// Lets the cluster do one thing: a pod starts, or ends. Tells whether there was one.
    fn elapse(&mut self) -> bool {
        let names: Vec<String> = self.seen.jobs.keys().cloned().collect();
        for name in names {
            let job = self.seen.jobs.get_mut(&name).unwrap();
            if job.state != JobState::Active {
                continue;
            }
            let stages = &self.seen.status.stages;
            let of_job = |s: &super::super::api::StageStatus| s.job.as_ref() == Some(&name);
            let index = stages.iter().position(of_job).unwrap();
            let is_build = stages[index].type_ == StageType::Build;
            let fate = self.fates[index % self.fates.len()];
            if job.pod.is_none() {
                *job = job.clone().running();
                if matches!(fate, Fate::NoImage) {
                    let trouble = Trouble {
                        container: "main".into(),
                        message: "ImagePullBackOff".into(),
                    };
                    *job = job.clone().with_pod(|pod| pod.trouble = Some(trouble));
                }
                return true;
            }
            let report = if is_build { built('7') } else { tested(5, 0) };
            match fate {
                Fate::Good => *job = job.clone().over(NOW, 0, report),
                Fate::Bad => *job = job.clone().over(NOW, 1, tested(5, 1)),
                Fate::NoImage => continue,
            }
            return true;
        }
        false
    }

    /// Runs until nothing moves.
    fn settle(&mut self, crashes: &[Crash]) {
        let mut crashes = crashes.iter().copied();
        for _ in 0..200 {
            let crash = crashes.next().unwrap_or(Crash::No);
            let rests = self.pass(crash) && matches!(crash, Crash::No);
            if rests && !self.elapse() {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.seen.status);
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Good),
        1 => Just(Fate::Bad),
        1 => Just(Fate::NoImage)
    ]
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
        fates in proptest::collection::vec(fate(), 1..5),
        diamond in any::<bool>(),
        crashes in proptest::collection::vec(crash(), 0..40),
    ) {
        let mut calm = World::new(fates.clone(), diamond);
        calm.settle(&[]);
        let mut rough = World::new(fates, diamond);
        rough.settle(&crashes);
        prop_assert!(calm.seen.status.phase.unwrap().is_finished());
        prop_assert_eq!(&rough.seen.status, &calm.seen.status);
        prop_assert_eq!(&rough.made, &calm.made);
        prop_assert!(rough.made.values().all(|count| *count == 1), "{:?}", rough.made);
        let stages = &rough.seen.status.stages;
        prop_assert!(stages.iter().all(|stage| stage::is_over(stage.phase)));
    }

    #[test]
    fn what_is_over_is_final(fates in proptest::collection::vec(fate(), 1..4), lost in any::<bool>()) {
        let mut world = World::new(fates, false);
        world.settle(&[]);
        let end: PipelineRunStatus = world.seen.status.clone();
        world.seen.jobs.clear();
        if lost {
            world.seen.snapshot = Snapshot::Missing;
            world.seen.pipeline = None;
            world.seen.releases.clear();
        }
        prop_assert!(world.pass(Crash::No));
        prop_assert_eq!(world.seen.status, end);
    }

    #[test]
    fn a_plan_is_the_same_twice(crashes in proptest::collection::vec(crash(), 0..10)) {
        let mut world = World::new(vec![Fate::Good], true);
        for crash in crashes {
            prop_assert_eq!(plan(&world.seen, NOW), plan(&world.seen, NOW));
            world.pass(crash);
            world.elapse();
        }
    }
}
