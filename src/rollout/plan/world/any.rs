//! Worlds that begin anywhere: whatever Services select, routes divide, ReplicaSets have and the status says, no write makes
//! it worse, and the Rollout finds its way or says what it waits for.

use super::super::super::api::{Change, Failure, Hold, Progress, Restart, Stuck, Undo, Unreported};
use super::super::super::spec::Step;
use super::asked::asking;
use super::held::left_to_people;
use super::verdict::one_of;
use super::*;
use crate::traffic::division::Match;

/// Seconds in which it finds its way, or says what it waits for.
const END: i64 = 400;
/// Where it may stay without being at rest: for people.
const FOR_PEOPLE: &[&str] = &[
    "ApproveStep",
    "CrashLoop",
    "FailureHeld",
    "FieldContested",
    "Paused",
    "PauseStep",
    "StableDown",
];

/// Where it may stay while pods of stable do not come up.
const FOR_PODS: &[&str] = &["GoingBack", "RollingBack", "TakingOver"];

/// Without a router: the split is by numbers of pods.
fn unrouted(mut extra: Value) -> Value {
    extra["traffic"] = Value::Null;
    extra
}

fn any_strategy(random: &mut Random) -> Value {
    let strategies = [
        steps,
        blue_green,
        switched,
        rolling,
        with_weight,
        on_top_of_weight,
        asking,
        || auto("Canary"),
        || auto("Rolling"),
        || left_to_people(steps()),
        || left_to_people(blue_green()),
        || silent(steps()),
        || silent(blue_green()),
        || silent(with_weight()),
        || unrouted(steps()),
        || unrouted(rolling()),
        || unrouted(left_to_people(steps())),
    ];
    one_of(random, &strategies)()
}

fn some<T>(random: &mut Random, chance: u64, make: impl Fn(&mut Random) -> T) -> Option<T> {
    random.one_in(chance).then(|| make(random))
}

fn number(random: &mut Random, limit: u64) -> i32 {
    i32::try_from(random.below(limit)).unwrap()
}

/// A time around the beginning: clocks differ.
fn time(random: &mut Random) -> jiff::Timestamp {
    later(i64::from(number(random, 200)) - 180)
}

fn percent(random: &mut Random) -> u8 {
    let often = [0, 0, 25, 45, 50, 99, 100, 100];
    let any = u8::try_from(random.below(101)).unwrap();
    if random.one_in(4) {
        any
    } else {
        one_of(random, &often)
    }
}

/// Revisions that something may be about, in one world.
struct Cast {
    /// That of version 3, which is asked for in the end, is never said to be bad.
    known: Vec<Revision>,
}

impl Cast {
    fn one(&self, random: &mut Random) -> Revision {
        self.known[usize::try_from(random.below(self.known.len() as u64)).unwrap()].clone()
    }

    /// One that may be bad.
    fn bad(&self, random: &mut Random) -> Revision {
        self.known[usize::try_from(random.below(self.known.len() as u64 - 1)).unwrap()].clone()
    }

    /// What a Service may select.
    fn selected(&self, random: &mut Random) -> Revision {
        match random.below(8) {
            0 => Revision::unknown(),
            1 => Revision::from_label("gone"),
            _ => self.one(random),
        }
    }
}

impl World {
    fn cast(&self) -> Cast {
        Cast {
            known: vec![
                self.revision("1"),
                self.revision("2"),
                Revision::from_label("0ld"),
                self.revision("3"),
            ],
        }
    }

    /// A world that begins anywhere.
    fn anywhere(seed: u64, habits: Habits) -> Self {
        let mut random = Random(seed);
        let extra = any_strategy(&mut random);
        let mut world = Self::new(seed, habits, &extra);
        world.random = random;
        world.is_doubted = true;
        world.wanted = one_of(&mut world.random, &["1", "2"]);
        world.says_yes = world.random.one_in(2);
        if world.random.one_in(4) {
            world.broken.insert("2");
        }
        if world.random.one_in(4) {
            world.bad.insert(one_of(&mut world.random, &["1", "2"]));
        }
        world.any_size();
        let cast = world.cast();
        for revision in &cast.known {
            world.any_set(revision);
        }
        world.is_lent = world.is_routed() && !world.is_silent && world.random.one_in(8);
        world.any_traffic(&cast);
        world.any_data_plane(&cast);
        if !world.random.one_in(5) {
            world.any_status(&cast);
        }
        world.opens_at = Some(0);
        world
    }

    fn any_size(&mut self) {
        let random = &mut self.random;
        let (replicas, surge) = (number(random, 7), 1 + number(random, 3));
        let unavailable = number(random, 2);
        let is_paused = random.one_in(8);
        let index = random.below(4);
        let step = match random.below(8) {
            0 => Some(Step::Pause(None)),
            1 => Some(Step::SetWeight(Weight::FULL)),
            2 => Some(Step::SetWeight(Weight::ZERO)),
            _ => None,
        };
        let step = step.filter(|step| !self.is_switch() || matches!(step, Step::Pause(_)));
        self.respec(|spec| {
            spec.replicas = replicas;
            spec.max_surge = surge;
            spec.max_unavailable = unavailable;
            spec.is_paused = is_paused;
            let index = usize::try_from(index).unwrap().min(spec.steps.len());
            if let Some(step) = &step {
                spec.steps.insert(index, step.clone());
            }
        });
    }

    /// A ReplicaSet, or none, and pods, which may be more or fewer.
    fn any_set(&mut self, revision: &Revision) {
        let is_last = *revision == self.revision("3");
        let random = &mut self.random;
        if random.one_in(if is_last { 2 } else { 4 }) {
            return;
        }
        let promoted_at = some(random, 2, time);
        let failed = some(random, 4, |_| "AnalysisFailed".to_owned());
        self.objects.sets.push(SimSet {
            revision: revision.clone(),
            ordinal: random.below(6),
            replicas: number(random, 7),
            version: 1,
            promoted_at,
            failed: failed.filter(|_| !is_last),
        });
        let is_sick = random.one_in(4) && !is_last;
        for index in 0..random.below(8) {
            let created_at = -i64::from(number(random, 200));
            let is_late = random.one_in(6);
            let ready_at = created_at + i64::from(number(random, if is_late { 220 } else { 5 }));
            let ends_at = some(random, 8, |random| i64::from(number(random, 10)));
            let crashes = (is_sick && !random.one_in(4)) || (random.one_in(16) && !is_last);
            self.pods.push(SimPod {
                uid: format!("{revision}-first-{index}"),
                revision: revision.clone(),
                created_at,
                ready_at: (!crashes).then_some(ready_at),
                dead: false,
                ends_at,
            });
        }
    }

    fn any_traffic(&mut self, cast: &Cast) {
        let random = &mut self.random;
        self.version = 10;
        for side in [0, 1] {
            let selected = some(random, 1, |random| (cast.selected(random), 10));
            let is_missing = random.one_in(8) && !(self.is_lent && side == 0);
            self.objects.services[side] = selected.filter(|_| !is_missing);
        }
        if self.is_switch() {
            return;
        }
        let random = &mut self.random;
        let is_missing = random.one_in(8) && !self.is_silent;
        self.objects.route = (!is_missing).then(|| (percent(random), 10));
        let is_plain = self.is_silent || is_missing || !random.one_in(4);
        if !is_plain {
            let header = Match::Header {
                name: "x-canary".into(),
                value: "yes".into(),
            };
            let route = some(random, 2, |_| header.clone());
            self.objects.on_top = Division {
                weight: Weight::ZERO,
                route: route.into_iter().collect(),
                mirror: Weight::new(i64::from(percent(random))).unwrap(),
            };
        }
    }

    /// What the data plane knows: what is written, or something else that it has not been told of yet.
    fn any_data_plane(&mut self, cast: &Cast) {
        if !self.is_routed() {
            return;
        }
        for side in [0, 1] {
            let selected = self.objects.services[side].clone();
            let before = cast.one(&mut self.random);
            let is_behind = self.random.one_in(6);
            let revision = selected.map_or(before.clone(), |(revision, _)| revision);
            let mut there = self.ready_uids(if is_behind { &before } else { &revision });
            there.retain(|_| !self.random.one_in(6));
            self.endpoints[side] = there;
        }
        let Some((weight, version)) = self.objects.route else {
            return;
        };
        self.generation = version;
        (self.weight, self.on_top) = (weight, self.objects.on_top.clone());
        if self.random.one_in(3) {
            self.generation = version - 1;
            self.weight = percent(&mut self.random);
        }
    }

    fn any_status(&mut self, cast: &Cast) {
        let progress = self.any_progress(cast);
        self.status = RolloutStatus {
            observed_generation: 1,
            progress: Some(progress),
            ..RolloutStatus::default()
        };
    }

    fn any_progress(&mut self, cast: &Cast) -> Progress {
        let wanted = self.revision(self.wanted);
        let change = (!self.random.one_in(3)).then(|| self.any_change(cast));
        // Nobody but the status knows what a silent data plane has been told.
        let knows = self.generation == 10;
        let random = &mut self.random;
        let names = cast.known.iter().filter(|_| random.one_in(3));
        let names: Vec<String> = names.map(Revision::to_string).collect();
        let from = if random.one_in(3) {
            cast.one(random)
        } else {
            wanted
        };
        let unreported = some(random, 2, |random| Unreported {
            weight: percent(random),
            added: random.one_in(8),
            until: time(random),
        });
        Progress {
            stable: (!random.one_in(6)).then(|| cast.one(random)),
            change,
            failed: some(random, 3, |random| failure(cast, random)),
            draining: names.into_iter().map(|name| (name, time(random))).collect(),
            unreported: unreported.filter(|_| knows),
            down_since: some(random, 3, time),
            replicas: some(random, 3, |random| number(random, 9)),
            paused: some(random, 8, |_| Hold {
                by: "olga".to_owned(),
                reason: None,
            }),
            undo: some(random, 8, |random| Undo {
                from: from.clone(),
                to: cast.bad(random),
            }),
            restart: some(random, 8, |random| Restart {
                since: time(random),
                by: "olga".to_owned(),
                refused: None,
            }),
            ..Progress::default()
        }
    }

    fn any_change(&mut self, cast: &Cast) -> Change {
        let steps = self.specs[self.wanted].steps.clone();
        let random = &mut self.random;
        let step = random.below(steps.len() as u64 + 3);
        let begun = steps.iter().take(usize::try_from(step).unwrap() + 1);
        let trail: String = begun.map(Step::mark).collect();
        let revision = if random.one_in(3) {
            cast.one(random)
        } else {
            self.specs[self.wanted].revision.clone()
        };
        Change {
            revision,
            started_at: time(random),
            step: u32::try_from(step).unwrap(),
            step_started_at: time(random),
            ready: number(random, 6),
            progressed_at: time(random),
            peak_weight: percent(random),
            unmade_since: some(random, 8, time),
            measuring_since: some(random, 3, time),
            trail: match random.below(4) {
                0 => String::new(),
                1 => "of something else".to_owned(),
                _ => trail,
            },
            held: random.one_in(8),
            approvals: Vec::new(),
            stuck: some(random, 6, |random| Stuck {
                reason: one_of(random, FailureReason::ALL).as_str().to_owned(),
                message: "as it was then".to_owned(),
                since: time(random),
                withdrawn: random.one_in(2),
            }),
            overruled: Vec::new(),
            retries: 0,
        }
    }

    /// Whether it is where it may stay: at rest, or where only people can tell what is next, as with pods of stable that
    /// do not come up.
    fn may_stay(&self) -> bool {
        let is_at_rest = matches!(self.status.phase, Some(Phase::Healthy | Phase::RolledBack));
        let ready = self.status.conditions.iter().find(|it| it.type_ == "Ready");
        let reason = ready.map(|it| it.reason.as_str()).unwrap_or_default();
        let progress = self.status.progress.as_ref();
        let stable = progress.and_then(|progress| progress.stable.as_ref());
        let is_sick = stable.is_some_and(|stable| self.is_crashing(stable));
        (is_at_rest && self.settled())
            || FOR_PEOPLE.contains(&reason)
            || (is_sick && FOR_PODS.contains(&reason))
    }

    /// Pods that did not come up do.
    fn heal(&mut self) {
        self.broken.clear();
        self.bad.clear();
        let soon = self.now + 1;
        for pod in &mut self.pods {
            let ready_at = pod.ready_at.unwrap_or(soon);
            pod.ready_at = Some(ready_at.min(soon));
        }
    }

    /// Runs until it stays for a while where it may.
    fn finds_its_way(&mut self, seed: u64) {
        let end = self.now + END;
        let mut since = None;
        while self.now < end {
            self.tick();
            since = self
                .may_stay()
                .then(|| since.unwrap_or(self.now))
                .filter(|_| self.status.phase.is_some());
            if since.is_some_and(|since| self.now >= since + 2 * LAG) {
                return;
            }
        }
        panic!(
            "seed {seed}: {:?}, {:?}, {:?}, {:?}",
            self.status,
            self.objects.route,
            self.objects.services,
            self.objects
                .sets
                .iter()
                .map(|set| (&set.revision, set.replicas))
                .collect::<Vec<_>>()
        );
    }
}

fn failure(cast: &Cast, random: &mut Random) -> Failure {
    Failure {
        revision: cast.bad(random),
        reason: "AnalysisFailed".to_owned(),
        message: "errors".to_owned(),
        at: time(random),
        promotion: None,
    }
}

/// From anywhere to where it may stay, without a write that makes it worse; then, when nobody is in the way any more, to
/// a version that takes over.
pub(super) fn anything(seed: u64, habits: Habits) -> World {
    let mut world = World::anywhere(seed, habits);
    world.finds_its_way(seed);
    // What was lost so far is what it began with.
    world.lost.clear();
    world
}

fn found_and_calm(seed: u64) -> World {
    let mut world = anything(seed, GOOD);
    let wrong = world.wrong.first();
    assert!(wrong.is_none(), "seed {seed}: {wrong:?}");
    world.says_yes = true;
    world.heal();
    world.let_be();
    world.respec(|spec| {
        spec.max_surge = 1;
        spec.max_unavailable = 0;
        spec.steps.retain(|step| *step != Step::Pause(None));
    });
    world.calms_down(seed);
    world
}

#[test]
fn from_anywhere_no_write_makes_it_worse_and_it_finds_its_way() {
    for_each_seed("anywhere", 2, |seed| {
        found_and_calm(seed).assert_at_rest(seed);
    });
}
