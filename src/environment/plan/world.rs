//! Properties over any story: what must hold after every write (see `World::check`), that a crash at any
//! write changes nothing in the end, and that lost statuses come back.

use proptest::prelude::*;
use serde_json::json;

use crate::environment::api::EnvironmentPhase;
use crate::environment::testing::{Nature, Play, World};
use crate::model::object::ObjectKind;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Release(Nature),
    Mend,
    Decide {
        user: usize,
        action: &'static str,
        on: usize,
        release: u32,
    },
    Settle,
    Step,
    Tick(i64),
    Restart,
    Receiver(u16),
    /// Requests fail whatever runs, or do no more.
    Outage(bool),
    /// Prometheus answers, or does not.
    Prometheus(bool),
    /// An alert of that number fires since so many seconds, or has ended; delivered, or delivered again.
    Alert(u8, i64, bool),
    /// So many requests of checks are not answered.
    Unanswered(u32),
    /// A phase of migrations does that from now on, or does well.
    Database(&'static str, Option<Play>),
    Wipe(ObjectKind, prop::sample::Index),
    WipeAll,
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];
const ACTIONS: [&str; 9] = [
    "Approve", "Approve", "Reject", "Promote", "Hold", "Resume", "Veto", "Rollback", "Retry",
];

fn natures() -> impl Strategy<Value = Nature> {
    prop_oneof![3 => Just(Nature::Good), 1 => Just(Nature::Breaks), 1 => Just(Nature::FailsSmoke)]
}

fn events() -> impl Strategy<Value = Event> {
    let decision = (
        0..USERS.len(),
        prop::sample::select(&ACTIONS[..]),
        0..2_usize,
        0..4_u32,
    );
    prop_oneof![
        4 => natures().prop_map(Event::Release),
        1 => Just(Event::Mend),
        8 => decision.prop_map(|(user, action, on, release)| Event::Decide { user, action, on, release }),
        4 => Just(Event::Settle),
        4 => Just(Event::Step),
        2 => (1..5000_i64).prop_map(Event::Tick),
        1 => Just(Event::Restart),
        1 => prop_oneof![Just(200), Just(500)].prop_map(Event::Receiver),
    ]
}

/// What happens where there are SLOs.
fn burns() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Release(Nature::Burns)),
        2 => any::<bool>().prop_map(Event::Outage),
        1 => any::<bool>().prop_map(Event::Prometheus),
    ]
}

/// What happens where there are alerts.
fn alerts() -> impl Strategy<Value = Event> {
    (0..3_u8, 0..4000_i64, any::<bool>())
        .prop_map(|(number, ago, has_ended)| Event::Alert(number, ago, has_ended))
}

const PHASES: [&str; 7] = [
    "validate",
    "backup",
    "restore-test",
    "run",
    "verify",
    "down",
    "contract",
];

/// What happens where there is a database. What is lost twice, the record and the Job, cannot be known.
fn databases(may_vanish: bool) -> impl Strategy<Value = Event> {
    let destructive = "destructive V2: DROP";
    let plays = prop_oneof![
        4 => Just(None),
        2 => Just(Some(Play::Exit(1))),
        1 => Just(Some(Play::Exit(137))),
        1 => Just(Some(Play::Mute)),
        1 => Just(Some(Play::Tells(destructive))),
        1 => Just(Some(Play::Tells("uptodate"))),
        1 => Just(Some(Play::Vanish).filter(|_| may_vanish)),
    ];
    let plays = (prop::sample::select(&PHASES[..]), plays);
    let asks = (0..USERS.len(), 0..4_u32).prop_map(|(user, release)| Event::Decide {
        user,
        action: "Migrate",
        on: 1,
        release,
    });
    prop_oneof![
        3 => plays.prop_map(|(phase, play)| Event::Database(phase, play)),
        1 => asks,
    ]
}

fn shop_with_a_database() -> World {
    let mut world = with_sink(World::shop_with_a_database());
    let contract = json!({"after": "30m", "command": ["db", "contract"]});
    world.edit("production", &json!({"migrations": {"contract": contract}}));
    world
}

fn wipes() -> impl Strategy<Value = Event> {
    let kinds = [
        ObjectKind::Environment,
        ObjectKind::Promotion,
        ObjectKind::Rollout,
    ];
    prop_oneof![
        3 => (prop::sample::select(kinds.to_vec()), any::<prop::sample::Index>())
            .prop_map(|(kind, which)| Event::Wipe(kind, which)),
        1 => Just(Event::WipeAll),
    ]
}

fn shop() -> World {
    with_sink(World::shop())
}

fn with_sink(mut world: World) -> World {
    let on = json!([
        "PromotionSucceeded",
        "PromotionFailed",
        "RolledBack",
        "ApprovalNeeded"
    ]);
    let sink = json!([{"name": "team", "webhook": {"url": "http://hooks.example/x"}, "on": on}]);
    world.edit("production", &json!({"notifications": sink}));
    world
}

/// How Releases come, in which order Rollouts follow, and how they are looked at.
#[derive(Clone, Debug)]
struct Chain {
    in_order: [bool; 2],
    max_hold: Option<u32>,
    timeout: Option<u32>,
    has_web: bool,
    asks: bool,
    revokes: bool,
}

fn chains() -> impl Strategy<Value = Chain> {
    let times = || prop::option::of(1..4000_u32);
    let flags = any::<(bool, bool, bool)>();
    (any::<[bool; 2]>(), times(), times(), flags).prop_map(
        |(in_order, max_hold, timeout, (has_web, asks, revokes))| Chain {
            in_order,
            max_hold,
            timeout,
            has_web,
            asks,
            revokes,
        },
    )
}

/// The shop, with its chain.
fn chained(chain: &Chain) -> World {
    let mut world = shop();
    for (name, in_order) in ENVIRONMENTS.iter().zip(chain.in_order) {
        let max_hold = chain.max_hold.filter(|_| !in_order);
        let seconds = |number: Option<u32>| number.map(|number| format!("{number}s"));
        let order = if in_order { "InOrder" } else { "Latest" };
        world.edit(
            name,
            &json!({"promotion": {"order": order, "maxHold": seconds(max_hold), "timeout": seconds(chain.timeout)}}),
        );
        if chain.has_web {
            let (api, web) = (format!("{name}-api"), format!("{name}-web"));
            let rollouts = json!([{"name": web, "dependsOn": [api]}, {"name": api}]);
            world.edit(name, &json!({"rollouts": rollouts}));
            world.rollout(&format!("{name}-web"), name);
        }
        if chain.asks {
            let requests =
                json!([{"name": "a", "url": "http://a/"}, {"name": "b", "url": "http://b/"}]);
            world.edit(
                name,
                &json!({"smokeTests": [{"name": "front", "http": {"requests": requests}}]}),
            );
        }
    }
    if chain.revokes {
        let causes = ["RolloutFailed", "SmokeFailed", "GateRevoked"];
        world.edit("production", &json!({"rollback": {"on": causes}}));
    }
    world
}

/// What happens to checks.
fn losses() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Release(Nature::LosesSmoke)),
        (1..12_u32).prop_map(Event::Unanswered),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let releases = u32::try_from(world.names(ObjectKind::Release).len()).unwrap();
    match event {
        Event::Release(nature) => world.release(releases + 1, *nature),
        Event::Mend => (1..=releases).for_each(|number| world.set_nature(number, Nature::Good)),
        Event::Decide {
            user,
            action,
            on,
            release,
        } => {
            // Mostly about late Releases; 0 names none, where the action allows that.
            let number = releases.saturating_sub(*release).max(1);
            let needs = ["Approve", "Reject", "Promote", "Veto"].contains(action);
            let rest = if needs || release % 2 == 1 {
                json!({"release": format!("shop-{number}")})
            } else {
                json!({})
            };
            world.decide(USERS[*user], action, ENVIRONMENTS[*on], &rest);
        }
        Event::Settle => world.settle(),
        Event::Step => {
            world.settle_once();
        }
        Event::Tick(seconds) => world.tick(*seconds),
        Event::Restart => world.restart(),
        Event::Receiver(status) => world.receiver = *status,
        Event::Outage(has_outage) => world.has_outage = *has_outage,
        Event::Prometheus(answers) => world.has_prometheus = *answers,
        Event::Unanswered(count) => world.unanswered = *count,
        Event::Alert(number, ago, has_ended) => {
            world.deliver("production", &format!("a{number}"), *ago, *has_ended);
        }
        Event::Database(phase, Some(play)) => drop(world.plays.insert(*phase, *play)),
        Event::Database(phase, None) => drop(world.plays.remove(phase)),
        Event::Wipe(kind, which) => {
            let names = world.names(*kind);
            if !names.is_empty() {
                world.wipe(*kind, &names[which.index(names.len())]);
            }
        }
        Event::WipeAll => wipe_all(world),
    }
}

fn wipe_all(world: &mut World) {
    for kind in [
        ObjectKind::Environment,
        ObjectKind::Promotion,
        ObjectKind::Rollout,
    ] {
        world.wipe_all(kind);
    }
}

/// What a world looks like to people, but for times.
fn looks(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ENVIRONMENTS {
        lines.extend(world.told(name));
        let holds = world.status(name).holds;
        let held = holds.iter().map(|hold| hold.release.clone());
        lines.push(format!(
            "{name} {:?} holds {:?}",
            world.runs(name),
            held.collect::<Vec<_>>()
        ));
        lines.push(format!("{name} {:?}", world.status(name).phase));
        lines.push(format!(
            "{name} serves {:?}",
            world.serves(&format!("{name}-api"))
        ));
    }
    lines
}

/// Some cases each time, many in the long version.
fn config() -> ProptestConfig {
    let is_full = std::env::var_os("SLIPWAY_TEST_FULL").is_some();
    ProptestConfig {
        cases: if is_full { 3000 } else { 48 },
        max_shrink_iters: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// One active promotion, only approved ones start, what has ended stays as it is, every chain verifies;
    /// and whatever happened, the world comes to rest.
    #[test]
    fn the_rules_hold_whatever_happens(
        events in proptest::collection::vec(prop_oneof![8 => events(), 1 => wipes()], 1..40),
    ) {
        let mut world = shop();
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        let writes = world.writes;
        for name in ENVIRONMENTS {
            world.reconcile(name);
        }
        prop_assert_eq!(world.writes, writes, "a world at rest is left alone");
    }

    /// The same whatever the chain is like and whoever dies when; and a Rollout that comes later never runs what the one
    /// before it was not healthy on.
    #[test]
    fn the_rules_hold_in_any_chain(
        chain in chains(),
        events in proptest::collection::vec(prop_oneof![6 => events(), 2 => losses(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = chained(&chain);
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut world, event);
            if world.fuse.is_none() {
                world.fuse = fuses.next();
            }
        }
        world.fuse = None;
        world.settle();
        let writes = world.writes;
        for name in ENVIRONMENTS {
            world.reconcile(name);
        }
        prop_assert_eq!(world.writes, writes, "a world at rest is left alone");
    }

    /// The same where budgets burn, whatever of it is known: see `World::check_burns`.
    #[test]
    fn no_burn_takes_back_a_way_back_or_anything_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 4 => burns(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = with_sink(World::shop_with_slos());
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut world, event);
            if world.fuse.is_none() {
                world.fuse = fuses.next();
            }
        }
        world.settle();
    }

    /// The same where alerts take back, whoever dies when: see `World::check_burns`. Of a Promotion one incident is open at
    /// most, and once nothing fires and something good serves, none is.
    #[test]
    fn no_alert_takes_back_a_way_back_or_anything_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 5 => alerts(), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = shop();
        let takes = json!({"alertmanager": {"secretRef": {"name": "s", "key": "token"}}});
        world.edit("production", &json!({"incidents": takes, "rollback": {"on": ["RolloutFailed", "SmokeFailed", "AlertFiring"]}}));
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut world, event);
            if world.fuse.is_none() {
                world.fuse = fuses.next();
            }
        }
        world.fuse = None;
        world.settle();
        for number in 0..3 {
            world.deliver("production", &format!("a{number}"), 0, true);
        }
        world.settle();
        let writes = world.writes;
        world.reconcile("production");
        prop_assert_eq!(world.writes, writes, "a world at rest is left alone");
        let alerts = world.status("production").alerts;
        prop_assert!(alerts.iter().all(|alert| alert.ends_at.is_some()), "{:?}", alerts);
    }

    /// Whoever dies when, whatever fails or vanishes: nothing is done to a database twice, nothing by two at a time, and no
    /// traffic moves before (see `World::check_migrations` and `World::migrates`).
    #[test]
    fn no_migration_is_done_twice_whoever_dies_when(
        events in proptest::collection::vec(prop_oneof![6 => events(), 4 => databases(true)], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..4),
    ) {
        let mut world = shop_with_a_database();
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut world, event);
            if world.fuse.is_none() {
                world.fuse = fuses.next();
            }
        }
        world.fuse = None;
        world.settle();
        let writes = world.writes;
        world.reconcile("production");
        prop_assert_eq!(world.writes, writes, "a world at rest is left alone");
    }

    /// The same where statuses are lost: their Jobs tell what was done.
    #[test]
    fn no_lost_status_has_a_migration_done_twice(
        events in proptest::collection::vec(prop_oneof![6 => events(), 3 => databases(false), 1 => wipes()], 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = shop_with_a_database();
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut world, event);
            if world.fuse.is_none() {
                world.fuse = fuses.next();
            }
        }
        world.settle();
    }

    /// A crash changes nothing of what is done to a database in the end, and nothing is left that holds it.
    #[test]
    fn a_crash_changes_nothing_of_a_database(
        events in proptest::collection::vec(events(), 1..12),
        fuses in proptest::collection::vec(0..40_usize, 1..4),
    ) {
        let mut calm = with_sink(World::shop_with_a_database());
        let mut shaken = with_sink(World::shop_with_a_database());
        let mut fuses = fuses.into_iter();
        for event in &events {
            for world in [&mut calm, &mut shaken] {
                happen(world, event);
            }
            if shaken.fuse.is_none() {
                shaken.fuse = fuses.next();
            }
            calm.settle();
            shaken.settle();
        }
        shaken.fuse = None;
        for world in [&mut calm, &mut shaken] {
            world.settle();
        }
        prop_assert_eq!(looks(&calm), looks(&shaken));
        prop_assert_eq!(&calm.ledger, &shaken.ledger);
        prop_assert_eq!(shaken.holders(), [""; 0]);
    }

    /// What is not known of SLOs changes nothing.
    #[test]
    fn without_prometheus_it_is_as_without_slos(events in proptest::collection::vec(events(), 1..20)) {
        let mut plain = shop();
        let mut blind = with_sink(World::shop_with_slos());
        blind.has_prometheus = false;
        for event in &events {
            for world in [&mut plain, &mut blind] {
                happen(world, event);
            }
        }
        plain.settle();
        blind.settle();
        let told = |world: &World| ENVIRONMENTS.map(|name| world.told(name));
        prop_assert_eq!(told(&plain), told(&blind));
    }

    /// The operator may die after any write.
    #[test]
    fn a_crash_changes_nothing_in_the_end(
        events in proptest::collection::vec(events(), 1..15),
        fuses in proptest::collection::vec(0..30_usize, 1..4),
    ) {
        let mut calm = shop();
        let mut shaken = shop();
        let mut fuses = fuses.into_iter();
        for event in &events {
            for world in [&mut calm, &mut shaken] {
                happen(world, event);
            }
            if shaken.fuse.is_none() {
                shaken.fuse = fuses.next();
            }
            calm.settle();
            shaken.settle();
        }
        prop_assert_eq!(looks(&calm), looks(&shaken));
    }

    /// What serves goes on serving, and is known again.
    #[test]
    fn lost_statuses_come_back(events in proptest::collection::vec(events(), 1..20)) {
        let mut world = shop();
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
        let before = looks(&world);
        let told = ENVIRONMENTS.map(|name| world.told(name));
        let runs = ENVIRONMENTS.map(|name| world.runs(name));
        let serves = ENVIRONMENTS.map(|name| world.serves(&format!("{name}-api")));
        // What had failed is tried again when nothing is left that says so. Of a Release that was refused, retried and
        // refused again, nothing tells any more which refusal was about which attempt.
        let has_failed =
            |told: &Vec<String>| told.last().is_some_and(|last| last.ends_with("Failed"));
        let is_calm = !told.iter().any(has_failed)
            && ENVIRONMENTS
                .iter()
                .all(|name| world.status(name).phase == Some(EnvironmentPhase::Steady));

        world.wipe_all(ObjectKind::Environment);
        world.settle();
        prop_assert_eq!(&looks(&world), &before, "from the Promotions");

        world.wipe_all(ObjectKind::Promotion);
        world.settle();
        prop_assert_eq!(ENVIRONMENTS.map(|name| world.runs(name)), runs.clone(), "from the Environment");

        wipe_all(&mut world);
        world.restart();
        for name in ENVIRONMENTS {
            world.settle_once();
            let index = usize::from(name == "production");
            prop_assert_eq!(world.serves(&format!("{name}-api")), serves[index], "{}", name);
        }
        world.settle();
        for (index, name) in ENVIRONMENTS.iter().enumerate() {
            if is_calm {
                prop_assert_eq!(&world.runs(name), &runs[index], "from the Rollouts: {:?} {:?}", told, world.told(name));
            }
        }
    }
}
