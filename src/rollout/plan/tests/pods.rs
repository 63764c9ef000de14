//! A simulated cluster without a router: pods of all revisions are behind one Service of the user's, and a pod that
//! ends goes on serving for a while. What counts is how many pods there are.
//!
//! Whatever happens, no write of ours asks for more than `replicas` + `maxSurge` pods, no pod that serves is taken
//! away below `replicas` − `maxUnavailable`, and every change comes to its end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::super::api::{FailureReason, Phase, RolloutStatus};
use super::super::super::observed::{Observed, Pod, Set, Trouble};
use super::super::super::spec::Spec;
use super::super::super::status;
use super::super::super::testing::{later, spec, untouched};
use super::super::world::for_each_seed;
use super::plan;
use crate::model::action::{Action, Outcome};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;

/// A small generator of pseudo-random numbers: seeded, so that a failure can be rerun.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

struct SimPod {
    revision: Revision,
    uid: u64,
    ready_at: i64,
}

/// A ReplicaSet, with a status that is as old as in Kubernetes: from before the pods were made or taken away.
#[derive(Clone)]
struct SimSet {
    revision: Revision,
    ordinal: u64,
    replicas: i32,
    version: u64,
    generation: u64,
    observed: u64,
    current: i32,
    available: i32,
    promoted_at: Option<jiff::Timestamp>,
    failed: Option<String>,
}

struct World {
    random: Random,
    specs: BTreeMap<&'static str, Spec>,
    replicas: i32,
    is_paused: bool,
    wanted: &'static str,
    broken: BTreeSet<Revision>,
    now: i64,
    version: u64,
    sets: Vec<SimSet>,
    pods: Vec<SimPod>,
    status: RolloutStatus,
    wrong: Vec<String>,
}

const NEVER: i64 = i64::MAX;

impl World {
    fn new(seed: u64, replicas: i32, surge: i32, unavailable: i32) -> Self {
        let extra = json!({
            "progressDeadlineSeconds": 60,
            "strategy": {"maxSurge": surge, "maxUnavailable": unavailable, "steps": [
                {"setWeight": {"weight": 25}}, {"pause": {"for": "3s"}},
                {"setWeight": {"weight": 50}}, {"pause": {"for": "2s"}},
                {"setWeight": {"weight": 100}}, {"pause": {"for": "2s"}},
            ]},
        });
        Self {
            random: Random(seed.wrapping_mul(7919) + 1),
            specs: ["1", "2", "3"]
                .map(|version| (version, spec(version, &extra)))
                .into(),
            replicas,
            is_paused: false,
            wanted: "1",
            broken: BTreeSet::new(),
            now: 0,
            version: 0,
            sets: Vec::new(),
            pods: Vec::new(),
            status: RolloutStatus::default(),
            wrong: Vec::new(),
        }
    }

    fn revision(&self, version: &str) -> Revision {
        self.specs[version].revision.clone()
    }

    /// A smaller number waits while revisions share the traffic, unless it is none.
    fn budgets(&self) -> (i32, i32) {
        let spec = &self.specs[self.wanted];
        let before = self.status.progress.as_ref();
        let before = before.and_then(|progress| progress.replicas);
        let kept = before.filter(|_| self.replicas > 0).unwrap_or(0);
        let replicas = self.replicas.max(kept);
        (replicas + spec.max_surge, replicas - spec.max_unavailable)
    }

    fn is_ready(&self, pod: &SimPod) -> bool {
        pod.ready_at <= self.now
    }

    fn serving(&self) -> i32 {
        i32::try_from(self.pods.iter().filter(|pod| self.is_ready(pod)).count()).unwrap()
    }

    fn tick(&mut self) {
        self.now += 1;
        for index in 0..self.sets.len() {
            if !self.random.one_in(3) {
                self.control(index);
            }
        }
        if !self.random.one_in(4) {
            for _ in 0..3 {
                if !self.reconcile() {
                    break;
                }
            }
        }
    }

    /// The ReplicaSet controller: its status tells of the pods before it makes or deletes some.
    fn control(&mut self, index: usize) {
        let set = self.sets[index].clone();
        let of_set = |pod: &&SimPod| pod.revision == set.revision;
        let has = i32::try_from(self.pods.iter().filter(of_set).count()).unwrap();
        let ready = self
            .pods
            .iter()
            .filter(of_set)
            .filter(|pod| self.is_ready(pod))
            .count();
        let status = &mut self.sets[index];
        status.current = has;
        status.available = i32::try_from(ready).unwrap();
        status.observed = set.generation;
        for _ in has..set.replicas {
            self.version += 1;
            let start = 1 + i64::try_from(self.random.below(3)).unwrap();
            let is_broken = self.broken.contains(&set.revision);
            self.pods.push(SimPod {
                revision: set.revision.clone(),
                uid: self.version,
                ready_at: if is_broken { NEVER } else { self.now + start },
            });
        }
        for _ in set.replicas..has {
            let mut of_set: Vec<usize> = (0..self.pods.len())
                .filter(|pod| self.pods[*pod].revision == set.revision)
                .collect();
            // Those that are not ready go first.
            of_set.sort_by_key(|pod| self.is_ready(&self.pods[*pod]));
            let gone = self.pods.remove(of_set[0]);
            let (_, least) = self.budgets();
            if self.is_ready(&gone) && self.serving() < least {
                self.wrong.push(format!(
                    "{}: {} of {least} pods serve",
                    self.now,
                    self.serving()
                ));
            }
        }
    }

    fn observed(&self) -> Observed {
        let mut spec = self.specs[self.wanted].clone();
        spec.replicas = self.replicas;
        spec.is_paused = self.is_paused;
        let mut seen = untouched(spec);
        seen.status = self.status.clone();
        seen.pods = self.pods.iter().map(|pod| self.seen_pod(pod)).collect();
        seen.sets = self.sets.iter().map(seen_set).collect();
        seen
    }

    fn seen_pod(&self, pod: &SimPod) -> Pod {
        let crashes = pod.ready_at == NEVER;
        Pod {
            name: pod.uid.to_string(),
            uid: pod.uid.to_string(),
            created_at: later(0),
            revision: pod.revision.clone(),
            is_ready: self.is_ready(pod),
            is_ending: false,
            trouble: crashes.then(|| Trouble {
                reason: FailureReason::CrashLoop,
                message: "exit 1".into(),
            }),
        }
    }

    /// One pass, possibly cut short by a crash before any of its writes.
    fn reconcile(&mut self) -> bool {
        let observed = self.observed();
        let now = later(self.now);
        let plan = plan(&observed, now);
        assert!(plan.wake.is_none_or(|wake| wake > now), "{plan:?}");
        if self.random.one_in(20) {
            return false;
        }
        self.status = status::status(&observed, &plan, &Outcome::default(), now);
        for action in &plan.actions {
            if self.random.one_in(15) {
                return false;
            }
            self.act(action);
        }
        !plan.actions.is_empty()
    }

    fn act(&mut self, action: &Action) {
        self.version += 1;
        let before: i32 = self.sets.iter().map(|set| set.replicas).sum();
        match action {
            Action::Create(manifest) => self.create(&manifest.body),
            Action::Patch { target, change } => self.patch(target, change),
            Action::Delete { target, .. } => {
                self.sets
                    .retain(|set| format!("api-{}", set.revision) != target.key.name);
            }
            other => panic!("{other:?}"),
        }
        let after: i32 = self.sets.iter().map(|set| set.replicas).sum();
        let (most, _) = self.budgets();
        if after > before && after > most {
            self.wrong
                .push(format!("{}: {after} pods wanted, {most} allowed", self.now));
        }
    }

    fn create(&mut self, body: &Value) {
        let label = &body["metadata"]["labels"]["slipway.dev/revision"];
        let ordinal = &body["metadata"]["annotations"]["slipway.dev/ordinal"];
        self.sets.push(SimSet {
            revision: Revision::from_label(label.as_str().unwrap()),
            ordinal: ordinal.as_str().unwrap().parse().unwrap(),
            replicas: i32::try_from(body["spec"]["replicas"].as_i64().unwrap()).unwrap(),
            version: self.version,
            generation: 1,
            observed: 0,
            current: 0,
            available: 0,
            promoted_at: None,
            failed: None,
        });
    }

    fn patch(&mut self, target: &Target, change: &Value) {
        let mut sets = self.sets.iter_mut();
        let set = sets
            .find(|set| format!("api-{}", set.revision) == target.key.name)
            .unwrap();
        assert_eq!(target.resource_version, set.version.to_string());
        set.version = self.version;
        if let Some(count) = change.pointer("/spec/replicas").and_then(Value::as_i64) {
            set.replicas = i32::try_from(count).unwrap();
            set.generation += 1;
        }
        let annotations = &change["metadata"]["annotations"];
        if let Some(at) = annotations["slipway.dev/promoted-at"].as_str() {
            set.promoted_at = Some(at.parse().unwrap());
        }
        if let Some(reason) = annotations.get("slipway.dev/failed") {
            set.failed = reason.as_str().map(str::to_owned);
        }
    }

    fn stable(&self) -> Option<Revision> {
        self.status.progress.as_ref()?.stable.clone()
    }

    /// Whether it comes to rest in this phase, with the pods of stable and no others.
    fn rests(&mut self, phase: Phase) -> bool {
        for _ in 0..400 {
            self.tick();
            let stable = self.stable();
            let is_wanted = stable == Some(self.revision(self.wanted));
            let are_right = self.sets.iter().all(|set| {
                let is_stable = Some(&set.revision) == stable.as_ref();
                set.replicas == if is_stable { self.replicas } else { 0 }
                    && set.current == set.replicas
            });
            if self.status.phase == Some(phase)
                && is_wanted == (phase == Phase::Healthy)
                && are_right
            {
                return true;
            }
        }
        false
    }

    fn started(seed: u64, config: (i32, i32, i32)) -> Self {
        let mut world = Self::new(seed, config.0, config.1, config.2);
        assert!(
            world.rests(Phase::Healthy),
            "seed {seed}, {config:?}: v1 does not start"
        );
        world.wanted = "2";
        world
    }

    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    fn ends(mut self, seed: u64, config: (i32, i32, i32), phase: Phase) {
        let rests = self.rests(phase);
        assert!(
            rests,
            "seed {seed}, {config:?}: gets stuck: {:#?}",
            self.status
        );
        assert!(
            self.wrong.is_empty(),
            "seed {seed}, {config:?}: {:?}",
            self.wrong.first()
        );
        // A full apply leaves nothing to do, and nothing new to say.
        self.run(30);
        let again = plan(&self.observed(), later(self.now));
        assert_eq!(again.actions, [], "seed {seed}, {config:?}");
    }
}

fn seen_set(set: &SimSet) -> Set {
    let name = format!("api-{}", set.revision);
    Set {
        target: Target {
            kind: ObjectKind::ReplicaSet,
            key: Key::new("shop", name.clone()),
            uid: name,
            resource_version: set.version.to_string(),
        },
        revision: set.revision.clone(),
        ordinal: set.ordinal,
        promoted_at: set.promoted_at,
        failed: set.failed.clone(),
        is_owned: true,
        images: BTreeMap::new(),
        template: None,
        source: None,
        configs: BTreeSet::new(),
        replicas: set.replicas,
        current: set.current,
        available: set.available,
        is_settled: set.observed >= set.generation,
    }
}

/// Replicas, surge, unavailable.
const CONFIGS: &[(i32, i32, i32)] = &[
    (4, 1, 0),
    (4, 0, 1),
    (4, 2, 1),
    (1, 1, 0),
    (1, 0, 1),
    (2, 1, 0),
    (5, 0, 2),
];

/// Of all worlds one in so many.
const ONE_IN: u64 = 200;

fn everywhere(story: fn(u64, (i32, i32, i32))) {
    for config in CONFIGS {
        for_each_seed(&format!("{config:?}"), ONE_IN, |seed| story(seed, *config));
    }
}

#[test]
fn an_update_keeps_enough_pods_and_never_has_too_many() {
    everywhere(|seed, config| World::started(seed, config).ends(seed, config, Phase::Healthy));
}

#[test]
fn an_abort_at_every_step_comes_back() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        let (v2, step) = (world.revision("2"), u32::try_from(seed).unwrap());
        let at = |world: &World| {
            let progress = world.status.progress.clone().unwrap_or_default();
            progress.change.map(|change| change.step)
        };
        while world.stable().as_ref() != Some(&v2) && at(&world) != Some(step) {
            world.tick();
        }
        if world.stable().as_ref() == Some(&v2) {
            return;
        }
        world.broken.insert(v2.clone());
        for pod in world.pods.iter_mut().filter(|pod| pod.revision == v2) {
            pod.ready_at = NEVER;
        }
        // What was asked for while it served is on its way.
        world.run(5);
        world.wrong.clear();
        world.ends(seed, config, Phase::RolledBack);
    });
}

#[test]
fn what_is_held_without_pods_that_serve_leaves_stable_all_of_its_own() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world
            .specs
            .values_mut()
            .for_each(|spec| spec.rollback_on.clear());
        let v2 = world.revision("2");
        world.broken.insert(v2);
        world.run(150);
        let has = |world: &World, version: &str| {
            let revision = world.revision(version);
            let mut sets = world.sets.iter();
            sets.find(|set| set.revision == revision)
                .map_or(0, |set| set.replicas)
        };
        assert_eq!(has(&world, "1"), config.0, "seed {seed}, {config:?}");
        assert_eq!(has(&world, "2"), config.1.min(1), "seed {seed}, {config:?}");
        assert_eq!(world.status.phase, Some(Phase::Paused));
        world.wanted = "3";
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn a_third_version_at_any_moment_takes_over() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world.run(seed * 4 + 1);
        world.wanted = "3";
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn going_back_by_the_spec_at_any_moment_ends_where_it_began() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world.run(seed * 4 + 1);
        world.wanted = "1";
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn scaling_in_flight_to_nothing_and_back_is_followed() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        for _ in 0..4 {
            let ticks = world.random.below(8);
            world.run(ticks);
            // What the number before does not need is on its way.
            for set in 0..world.sets.len() {
                world.control(set);
            }
            let sizes = [0, 1, 2, 4, 8];
            world.replicas = sizes[usize::try_from(world.random.below(5)).unwrap()];
            // Pods that a smaller number does not need may go below what was needed before.
            world.wrong.clear();
        }
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn a_change_without_pods_is_no_failure() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world.replicas = 0;
        world.run(80);
        assert_eq!(
            world.stable(),
            Some(world.revision("2")),
            "seed {seed}, {config:?}"
        );
        world.replicas = config.0;
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn a_pause_holds_for_longer_than_the_deadline_and_then_goes_on() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world.run(seed * 3);
        world.is_paused = true;
        world.run(90);
        world.is_paused = false;
        world.ends(seed, config, Phase::Healthy);
    });
}

#[test]
fn a_status_that_is_lost_at_any_moment_is_made_again() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        for _ in 0..3 {
            let ticks = world.random.below(12);
            world.run(ticks);
            world.status = RolloutStatus::default();
        }
        world.ends(seed, config, Phase::Healthy);
    });
}

/// All pods of stable are unready for a moment, and come back by themselves: they must not be gone by then.
#[test]
fn a_moment_of_unready_pods_costs_none_of_them() {
    everywhere(|seed, config| {
        let mut world = World::started(seed, config);
        world.run(seed * 2 + 3);
        let v1 = world.revision("1");
        let back = world.now + 4;
        for pod in world
            .pods
            .iter_mut()
            .filter(|pod| pod.revision == v1 && pod.ready_at <= back)
        {
            pod.ready_at = back;
        }
        let (_, least) = world.budgets();
        for _ in 0..5 {
            world.tick();
            let has: i32 = world.sets.iter().map(|set| set.replicas).sum();
            assert!(
                has >= least,
                "seed {seed}, {config:?}: {has} pods wanted, {least} needed"
            );
        }
        world.wrong.clear();
        world.ends(seed, config, Phase::Healthy);
    });
}
