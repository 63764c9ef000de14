//! Somebody does all sorts of things to the objects, at any time. What is lost by that is theirs; but as soon as
//! they stop, the Rollout finds its way.

use super::super::super::spec::Step;
use super::asked::asking;
use super::held::left_to_people;
use super::*;

/// Seconds in which things are done to it, and in which it has to find its way afterwards.
const STORM: u64 = 120;
const CALM: i64 = 500;

fn weight(percent: i64) -> Step {
    Step::SetWeight(Weight::new(percent).unwrap())
}

impl World {
    pub(super) fn respec(&mut self, change: impl Fn(&mut Spec)) {
        let specs = self.specs.values_mut();
        specs.map(Arc::make_mut).for_each(change);
    }

    /// Somebody decides something, whether it makes sense or not.
    fn decide(&mut self) {
        let actions = [
            DecisionAction::Pause,
            DecisionAction::Resume,
            DecisionAction::Skip,
            DecisionAction::Promote,
            DecisionAction::Abort,
            DecisionAction::Approve,
            DecisionAction::Retry,
            DecisionAction::Undo,
            DecisionAction::Restart,
        ];
        let index = usize::try_from(self.random.below(9)).unwrap();
        self.decision(actions[index]);
    }

    pub(super) fn decision(&mut self, action: DecisionAction) {
        self.decision_on(action, None);
    }

    /// The same about a revision.
    pub(super) fn decision_on(&mut self, action: DecisionAction, revision: Option<&Revision>) {
        let spec = json!({
            "target": {"kind": "Rollout", "name": "api"}, "action": action, "user": "olga",
            "revision": revision,
        });
        self.version += 1;
        self.decisions.push(Act {
            name: format!("decision-{}", self.version),
            at: later(self.now),
            version: self.version,
            spec: serde_json::from_value(spec).unwrap(),
        });
    }

    /// Whether the last Decision was followed, and with it all before.
    fn has_followed_all(&self) -> bool {
        let last = self.decisions.last().map(|act| &act.name);
        let progress = self.status.progress.as_ref();
        let followed = progress.and_then(|progress| progress.decided.last());
        followed.map(|decided| &decided.name) == last
    }

    /// Whatever was done to it ends.
    pub(super) fn let_be(&mut self) {
        self.is_deaf = false;
        self.behind = 0;
        self.decision(DecisionAction::Resume);
        // An undo that was made in the storm and is followed late would be taken for one of what comes after it.
        while !self.has_followed_all() {
            self.tick();
        }
        self.respec(|spec| {
            spec.is_paused = false;
            spec.replicas = REPLICAS;
        });
    }

    /// A version that was never given up takes over, wherever it begins, and the next one loses nothing.
    pub(super) fn calms_down(&mut self, seed: u64) {
        self.wanted = "3";
        let is_there = self.run_until(CALM, Phase::Healthy);
        assert!(
            is_there,
            "seed {seed}: {:?}, {:?}, {:?}",
            self.status, self.objects.route, self.objects.services
        );
        // What was lost so far is the storm's, or what finding the way took, up to the last pod that arrives, and the last
        // that only a restart needed. From here on nothing is.
        let end = self.now + CALM;
        while self.has_spare_pods() && self.now < end {
            self.tick();
        }
        for _ in 0..=LAG {
            self.tick();
        }
        self.lost.clear();
        if self.is_silent {
            // Nobody can tell that a data plane takes nothing in that tells nothing.
            self.wrong.clear();
        }
        self.left.clear();
        self.fewest = REPLICAS;
        self.wanted = if seed.is_multiple_of(2) { "2" } else { "1" };
        self.tick();
        self.must_reach(CALM, Phase::Healthy, &format!("seed {seed}, in the calm"));
        // Steps of a storm may go down and up again.
        self.lost.retain(|text| !text.ends_with("again"));
        self.assert_sound(seed);
    }

    fn has_spare_pods(&self) -> bool {
        let asked = self.objects.sets.iter().map(|set| set.replicas);
        asked.sum::<i32>() > self.specs[self.wanted].replicas
    }

    /// Nothing is left to do once what was old has drained.
    pub(super) fn assert_at_rest(&mut self, seed: u64) {
        for _ in 0..30 {
            self.tick();
        }
        let mut observed = self.observed(&self.objects);
        observed.status = self.status.clone();
        observed.decisions.clone_from(&self.decisions);
        let again = plan_with(Rules::ALL, &observed, later(self.now));
        assert_eq!(again.actions, [], "seed {seed}");
        assert_eq!(again.wake, None, "seed {seed}");
    }

    /// One thing that a person, a tool or bad luck does.
    fn disturb(&mut self) {
        self.version += 1;
        let version = self.version;
        let side = usize::from(self.random.one_in(2));
        match self.random.below(16) {
            // One of people's is made by nobody again.
            0 if !self.is_silent => self.objects.route = None,
            1 => self.objects.services[side] = None,
            2 => {
                let percent = u8::try_from(self.random.below(101)).unwrap();
                self.objects.route = self.objects.route.map(|_| (percent, version));
            }
            3 => {
                if let Some(service) = &mut self.objects.services[side] {
                    *service = (Revision::unknown(), version);
                }
            }
            4 => {
                let count = self.objects.sets.len();
                if count > 0 {
                    let index = usize::try_from(self.random.below(8)).unwrap() % count;
                    let gone = self.objects.sets.remove(index);
                    self.pods.retain(|pod| pod.revision != gone.revision);
                }
            }
            5 => self.status = RolloutStatus::default(),
            6 => {
                let replicas = i32::try_from(self.random.below(7)).unwrap();
                self.respec(|spec| spec.replicas = replicas);
            }
            7 => {
                let is_paused = self.random.one_in(2);
                self.respec(|spec| spec.is_paused = is_paused);
            }
            8 | 9 => self.wanted = if self.random.one_in(2) { "1" } else { "2" },
            10 => {
                let keep = usize::try_from(self.random.below(6)).unwrap();
                self.respec(|spec| spec.steps.truncate(keep));
            }
            11 => {
                let percent = i64::try_from(self.random.below(101)).unwrap();
                let step = if self.is_switch() { 0 } else { percent };
                self.respec(|spec| spec.steps.insert(0, weight(step)));
            }
            12 => self.is_deaf = !self.is_deaf,
            13 | 14 => self.decide(),
            15 => self.behind = i64::try_from(self.random.below(3)).unwrap(),
            _ => {}
        }
    }
}

fn weathered(seed: u64) -> World {
    let strategies = [
        steps(),
        blue_green(),
        rolling(),
        with_weight(),
        switched(),
        on_top_of_weight(),
        auto("Canary"),
        left_to_people(steps()),
        silent(steps()),
        asking(),
    ];
    let count = strategies.len() as u64;
    let extra = &strategies[usize::try_from(seed % count).unwrap()];
    let mut world = World::new(seed, GOOD, extra);
    world.says_yes = true;
    for _ in 0..STORM {
        if world.random.one_in(4) {
            world.disturb();
        }
        world.tick();
    }
    world.let_be();
    world
}

#[test]
fn after_any_storm_a_version_takes_over() {
    for_each_seed("storms", 2, |seed| weathered(seed).calms_down(seed));
}

#[test]
fn after_any_storm_a_full_apply_leaves_nothing_to_do() {
    for seed in 60..90 {
        let mut world = weathered(seed);
        world.wanted = "3";
        world.must_reach(CALM, Phase::Healthy, &format!("seed {seed}"));
        world.assert_at_rest(seed);
    }
}

/// What serves and what is stable were both deleted, by somebody who is gone as well.
#[test]
fn a_service_that_is_switched_gets_away_from_revisions_that_are_gone() {
    let mut world = World::new(1, GOOD, &switched());
    world.must_reach(CALM, Phase::Healthy, "an earlier version gets stuck");
    world.wanted = "2";
    world.must_reach(CALM, Phase::Healthy, "an earlier version gets stuck");
    let older = world.revision("1");
    world.objects.sets.clear();
    world.pods.clear();
    world.objects.services[1] = Some((older.clone(), 1000));
    world.version = 1000;
    let progress = world.status.progress.as_mut();
    progress.unwrap().stable = Some(older);
    world.wanted = "3";
    world.must_reach(CALM, Phase::Healthy, "v3 gets stuck");
}

/// Stable was deleted after the Service was switched to v2, and v3 is wanted before v2 is stable.
#[test]
fn a_service_that_is_switched_gets_away_from_what_is_superseded_when_stable_is_gone() {
    let mut world = World::new(1, GOOD, &switched());
    world.must_reach(CALM, Phase::Healthy, "v1 does not start");
    world.wanted = "2";
    let (older, newer) = (world.revision("1"), world.revision("2"));
    let selects = |world: &World| world.objects.services[0].clone().unwrap().0;
    while selects(&world) != newer && world.now < CALM {
        world.tick();
    }
    let stable = world.status.progress.as_ref().unwrap().stable.clone();
    assert_eq!((selects(&world), stable), (newer, Some(older.clone())));
    world.objects.sets.retain(|set| set.revision != older);
    world.pods.retain(|pod| pod.revision != older);
    world.wanted = "3";
    // The data plane may still send requests to what is gone.
    for _ in 0..LAG {
        world.tick();
    }
    world.lost.clear();
    world.must_reach(CALM, Phase::Healthy, "v3 gets stuck");
    assert_eq!(world.lost, [""; 0], "v2 serves until v3 does");
}
