//! A simulated cluster with a data plane that lags, pods that fail, caches that are old and an operator that
//! is killed after any write. Whatever happens, no request is lost and every change comes to its end.

mod any;
mod asked;
mod chaos;
mod cluster;
mod held;
mod judge;
mod lent;
mod mutant;
mod random;
mod rest;
mod server;
mod stories;
mod story;
mod verdict;
mod view;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::api::{FailureReason, Phase, RolloutStatus, StableScale, Taken, Tally};
use super::super::observed::{ForeignService, Hook, Observed, Pod, Service, Set, Trouble, Wanted};
use super::super::spec::{Routing, Spec};
use super::super::status;
use super::super::testing::{self, later, routed_steps, spec, untouched};
use super::{Memory, Rules, plan_with};
use crate::analysis::api::SampleResult;
use crate::check;
use crate::decision::act::Act;
use crate::decision::api::DecisionAction;
use crate::model::action::{Action, Eviction, Outcome, Reply};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::plan::Plan;
use crate::model::reason;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::Side;
use crate::traffic::division::Division;
use crate::traffic::router::{Route, Scene};
use random::Random;
use stories::STORIES;
use story::*;

/// Seconds for which the data plane may go on using what was changed.
const LAG: i64 = 3;
/// Seconds before the first request.
const OPENING: i64 = 20;
/// Seconds that a request may take.
const LONGEST_REQUEST: i64 = 5;
const REPLICAS: i32 = 4;
/// Seconds for which a cache may be behind.
const OLDEST: usize = 8;
/// Seconds for which pods go on serving while they end, where they do.
const DRAIN: i64 = 10;
/// Seconds in which the place of a pod that went by itself is taken.
const RECOVERY: i64 = 20;
const SIDES: [Side; 2] = [Side::Stable, Side::Canary];

/// What is simulated, besides the rules of the planner.
#[derive(Clone, Copy)]
struct Habits {
    rules: Rules,
    /// 6. The status is written before the actions.
    intent_first: bool,
    /// 7. Nothing is decided on anything older than our own last write. Without it every object is still
    ///    guarded by its own version, which is not enough: a Service and the route are two objects.
    reads_own_writes: bool,
}

const GOOD: Habits = Habits {
    rules: Rules::ALL,
    intent_first: true,
    reads_own_writes: true,
};

#[derive(Clone)]
struct SimPod {
    uid: String,
    revision: Revision,
    created_at: i64,
    /// When it becomes ready, if ever.
    ready_at: Option<i64>,
    /// It was told to end and has: at once, as pods without a preStop hook may.
    dead: bool,
    /// It was told to end, and goes on serving until then.
    ends_at: Option<i64>,
}

#[derive(Clone)]
struct SimSet {
    revision: Revision,
    ordinal: u64,
    replicas: i32,
    version: u64,
    promoted_at: Option<jiff::Timestamp>,
    failed: Option<String>,
}

/// The spec of every version.
type Specs = BTreeMap<&'static str, Arc<Spec>>;

/// What a route is rendered from: the version wanted, that of the route, its division, and whether it was taken in.
type Rendered = (&'static str, u64, Division, bool);

/// The objects, as the API server has them.
#[derive(Clone, Default)]
struct Objects {
    sets: Vec<SimSet>,
    services: [Option<(Revision, u64)>; 2],
    route: Option<(u8, u64)>,
    /// What the route adds to the weight.
    on_top: Division,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that may go wrong by itself"
)]
struct World {
    habits: Habits,
    random: Random,
    now: i64,
    version: u64,
    wanted: &'static str,
    /// Versions whose pods never become ready.
    broken: BTreeSet<&'static str>,
    /// Versions whose metric is bad.
    bad: BTreeSet<&'static str>,
    /// The metric has no data.
    silent: bool,
    /// How often samples are good, bad, neither, without data, and errors, where that is left to chance.
    moods: Option<[u64; 5]>,
    /// What the last answers are, by the key of their question.
    answered: BTreeMap<String, SampleResult>,
    /// Samples that were counted, by metric, since its counts began.
    counted: BTreeMap<String, Vec<SampleResult>>,
    /// Pods crash for a moment.
    is_flapping: bool,
    /// The data plane takes in nothing.
    is_deaf: bool,
    /// Seconds that the operator's clock is behind.
    behind: i64,
    objects: Objects,
    /// What a cache that lags would show, latest last.
    old: VecDeque<Objects>,
    pods: Vec<SimPod>,
    status: RolloutStatus,
    /// The data plane: weight, and pods per Service, as of now.
    weight: u8,
    on_top: Division,
    generation: u64,
    endpoints: [BTreeSet<String>; 2],
    /// When requests come: once the first revision is there, and has had time to arrive everywhere.
    opens_at: Option<i64>,
    /// Last second in which the data plane sent something to a pod.
    served_at: BTreeMap<String, i64>,
    lost: Vec<String>,
    /// Writes that make things worse than they are.
    wrong: Vec<String>,
    /// Every plan is made twice.
    is_doubted: bool,
    peak: BTreeMap<Revision, u8>,
    /// Revisions that traffic was taken from.
    left: BTreeSet<Revision>,
    /// Pods go on serving for the drain time while they end.
    is_graceful: bool,
    /// The most pods that there should have been at any time since v2 was wanted.
    most: i32,
    /// The fewest pods that were asked for so far: a share of the requests needs its share of these.
    fewest: i32,
    /// Pods that people have said may be missing.
    spared: i32,
    /// Until when pods that went by themselves may be missing.
    unwell_until: i64,
    /// The router reports nothing, and takes its time.
    is_silent: bool,
    /// Since when a weight is written that the data plane has not taken in.
    unread_since: Option<i64>,
    /// The stable Service is people's: it was there before, with pods of others behind it, and may be widened.
    is_lent: bool,
    widened_at: i64,
    decisions: Vec<Act>,
    /// Somebody approves whatever waits for it.
    says_yes: bool,
    /// Hooks, and when they end.
    jobs: BTreeMap<String, i64>,
    /// They fail then.
    hooks_fail: bool,
    specs: Specs,
    /// The route as it was last seen, and what it was rendered from.
    last_route: RefCell<Option<(Rendered, Route)>>,
}

impl World {
    fn new(seed: u64, habits: Habits, extra: &Value) -> Self {
        let specs = specs(extra);
        Self {
            habits,
            random: Random(seed),
            now: 0,
            version: 1,
            wanted: "1",
            broken: BTreeSet::new(),
            bad: BTreeSet::new(),
            silent: false,
            moods: None,
            answered: BTreeMap::new(),
            counted: BTreeMap::new(),
            is_flapping: false,
            is_deaf: false,
            behind: 0,
            objects: Objects {
                // One of people's is there before.
                route: extra["traffic"]["traefik"].is_object().then_some((0, 1)),
                ..Objects::default()
            },
            old: VecDeque::new(),
            pods: Vec::new(),
            status: RolloutStatus {
                observed_generation: -1,
                ..RolloutStatus::default()
            },
            weight: 0,
            on_top: Division::NONE,
            generation: 0,
            endpoints: [BTreeSet::new(), BTreeSet::new()],
            opens_at: None,
            served_at: BTreeMap::new(),
            lost: Vec::new(),
            wrong: Vec::new(),
            is_doubted: false,
            peak: BTreeMap::new(),
            left: BTreeSet::new(),
            most: 0,
            fewest: i32::MAX,
            spared: 0,
            unwell_until: 0,
            is_silent: extra["traffic"]["traefik"].is_object(),
            unread_since: None,
            is_lent: false,
            widened_at: 0,
            decisions: Vec::new(),
            says_yes: false,
            jobs: BTreeMap::new(),
            hooks_fail: false,
            is_graceful: extra["gracefulShutdown"] != "Off",
            specs,
            last_route: RefCell::default(),
        }
    }

    fn revision(&self, version: &str) -> Revision {
        self.specs[version].revision.clone()
    }

    /// One second of everything.
    fn tick(&mut self) {
        self.now += 1;
        self.replica_sets();
        self.data_plane();
        self.requests();
        if self.says_yes && self.asks() {
            self.decision(DecisionAction::Approve);
        }
        // Sometimes nobody is there to reconcile.
        if !self.random.one_in(4) {
            for _ in 0..3 {
                let stale = self.random.one_in(6) && !self.habits.reads_own_writes;
                if !self.reconcile(stale) {
                    break;
                }
            }
        }
        if !self.habits.reads_own_writes {
            self.old.push_back(self.objects.clone());
            if self.old.len() > OLDEST {
                self.old.pop_front();
            }
        }
    }

    /// What the operator sees: now and then not the latest of the objects.
    fn seen(&mut self, stale: bool) -> Observed {
        let age = usize::try_from(self.random.below(OLDEST as u64)).unwrap() + 1;
        let old = self.old.len().checked_sub(age).filter(|_| stale);
        self.observed(old.map_or(&self.objects, |index| &self.old[index]))
    }

    /// One pass of the driver, possibly cut short. Whether there is more to do.
    fn reconcile(&mut self, stale: bool) -> bool {
        let mut seen = self.seen(stale);
        // What both have need not be copied: each has it while it is needed there.
        seen.status = std::mem::take(&mut self.status);
        seen.decisions = std::mem::take(&mut self.decisions);
        let now = later(self.now - self.behind);
        let plan = plan_with(self.habits.rules, &seen, now);
        if self.is_doubted {
            self.assert_repeatable(&seen, &plan, now);
        }
        assert!(plan.wake.is_none_or(|wake| wake > now), "{plan:?}");
        assert!(reason::is_known("Rollout", plan.why.reason), "{plan:?}");
        let intended = status::status(&seen, &plan, &Outcome::default(), now);
        self.status = std::mem::take(&mut seen.status);
        self.decisions = std::mem::take(&mut seen.decisions);
        if self.random.one_in(20) {
            return false;
        }
        let mut unwritten = Some(intended);
        if self.habits.intent_first
            && let Some(intended) = unwritten.take()
            && !self.may_wait(&seen, &intended)
        {
            self.status = intended;
        }
        let is_killed_half_way = self.random.one_in(6);
        if self.habits.intent_first && is_killed_half_way {
            return false;
        }
        let mut outcome = Outcome::default();
        for action in &plan.actions {
            // Killed before this write.
            if self.random.one_in(20) || !self.act(action, &mut outcome) {
                return false;
            }
        }
        if let Some(intended) = unwritten {
            if is_killed_half_way {
                return false;
            }
            self.status = intended;
        }
        if !outcome.replies.is_empty() || !outcome.evictions.is_empty() {
            self.note_samples(&plan.progress.tallies, &outcome);
            seen.status.clone_from(&self.status);
            self.status = status::status(&seen, &plan, &outcome, now);
        }
        !plan.actions.is_empty()
    }

    /// Whether this status is not written now: what only informs waits, sooner or later with nobody to write it.
    fn may_wait(&mut self, seen: &Observed, status: &RolloutStatus) -> bool {
        if self.status == *status {
            return true;
        }
        status::has_same_essence(seen, &self.status, status) && !self.random.one_in(4)
    }
}

fn target(kind: ObjectKind, name: &str, version: u64) -> Target {
    let key = Key::new("shop", name);
    Target {
        kind,
        key,
        uid: name.to_owned(),
        resource_version: version.to_string(),
    }
}

/// The specs. Read once per thread: a world takes less time than that.
fn specs(extra: &Value) -> Specs {
    thread_local!(static READ: RefCell<BTreeMap<String, Specs>> = RefCell::default());
    let read = |version| (version, Arc::new(spec(version, extra)));
    READ.with_borrow_mut(|known| {
        let specs = known.entry(extra.to_string());
        specs
            .or_insert_with(|| ["1", "2", "3"].map(read).into())
            .clone()
    })
}

#[test]
fn no_world_loses_a_request_and_every_change_ends() {
    for (name, story) in STORIES {
        for_each_seed(name, 2 * STORIES.len() as u64, |seed| {
            let world = story(seed, GOOD);
            assert!(
                world.lost.is_empty(),
                "{name}, seed {seed}: {:?}",
                world.lost.first()
            );
            world.assert_sound(seed);
        });
    }
}

/// Which worlds of all that there are: after the first `SLIPWAY_WORLDS_FROM` as many as `SLIPWAY_WORLDS` says, or as an
/// unoptimised build gets through in a minute or two.
#[expect(
    clippy::disallowed_methods,
    reason = "which ones is said by whoever runs the tests"
)]
fn worlds() -> Range<u64> {
    let said = |name, otherwise| {
        let said = std::env::var(name).ok();
        said.and_then(|number| number.parse().ok())
            .unwrap_or(otherwise)
    };
    let from = said("SLIPWAY_WORLDS_FROM", 0);
    from..from + said("SLIPWAY_WORLDS", 1200)
}

/// Checks one in so many of all worlds, on all cores. Their seeds are 0 and up.
pub(super) fn for_each_seed(what: &str, one_in: u64, check: impl Fn(u64) + Sync) {
    let Range { start, end } = worlds();
    let seeds = start / one_in..end / one_in;
    println!("{what}: seeds {seeds:?}");
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let check = &check;
    std::thread::scope(|scope| {
        for first in 0..workers {
            let own = seeds.clone().skip(first).step_by(workers);
            scope.spawn(move || own.for_each(check));
        }
    });
}

#[test]
fn gateway_weight_is_read_as_written() {
    let seen = World::new(0, GOOD, &steps()).observed(&Objects::default());
    let Wanted::Spec(wanted) = &seen.wanted else {
        panic!("a spec is needed")
    };
    let routing = wanted.routing.as_ref().unwrap();
    let (backends, router) = (seen.backends(), &routing.routers[0]);
    let there = [seen.route_with(25, true)];
    let scene = Scene {
        routes: &there,
        ..seen.scene(&backends, 80)
    };
    let reading = router.read(&scene).unwrap();
    assert_eq!(Some(reading.division.weight), Weight::new(25));
    assert_eq!(REPLICAS, 4);
}
