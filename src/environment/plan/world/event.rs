//! What happens in worlds, and the worlds that it happens in.

use proptest::prelude::*;
use serde_json::json;

use super::ENVIRONMENTS;
use crate::environment::testing::{FIRST, Nature, Play, World};
use crate::model::object::ObjectKind;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
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
    /// Somebody edits the template of production's Rollout: to one of a few, or to one that does not come up.
    Template(u8),
    /// So many requests of checks are not answered.
    Unanswered(u32),
    /// A phase of migrations does that from now on, or does well.
    Database(&'static str, Option<Play>),
    Wipe(ObjectKind, prop::sample::Index),
    WipeAll,
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const ACTIONS: [&str; 9] = [
    "Approve", "Approve", "Reject", "Promote", "Hold", "Resume", "Veto", "Rollback", "Retry",
];

fn natures() -> impl Strategy<Value = Nature> {
    prop_oneof![3 => Just(Nature::Good), 1 => Just(Nature::Breaks), 1 => Just(Nature::FailsSmoke)]
}

pub(super) fn events() -> impl Strategy<Value = Event> {
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
pub(super) fn burns() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Release(Nature::Burns)),
        2 => any::<bool>().prop_map(Event::Outage),
        1 => any::<bool>().prop_map(Event::Prometheus),
    ]
}

/// What happens where templates are edited.
pub(super) fn edits() -> impl Strategy<Value = Event> {
    (0..4_u8).prop_map(Event::Template)
}

/// The shop, with a Release in production whose template is brought by Promotions.
pub(super) fn shop_with_templates() -> World {
    let mut world = shop();
    world.edit_template("production-api", FIRST);
    world.release(1, Nature::Good);
    world.settle();
    let release = json!({"release": "shop-1"});
    world.decide("bob", "Approve", "production", &release);
    world.settle();
    world
}

/// What happens where there are alerts.
pub(super) fn alerts() -> impl Strategy<Value = Event> {
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
pub(super) fn databases(may_vanish: bool) -> impl Strategy<Value = Event> {
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

pub(super) fn shop_with_a_database() -> World {
    let mut world = with_sink(World::shop_with_a_database());
    let contract = json!({"after": "30m", "command": ["db", "contract"]});
    world.edit("production", &json!({"migrations": {"contract": contract}}));
    world
}

pub(super) fn wipes() -> impl Strategy<Value = Event> {
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

pub(super) fn shop() -> World {
    with_sink(World::shop())
}

pub(super) fn with_sink(mut world: World) -> World {
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
pub(super) struct Chain {
    in_order: [bool; 2],
    max_hold: Option<u32>,
    timeout: Option<u32>,
    has_web: bool,
    asks: bool,
    revokes: bool,
}

pub(super) fn chains() -> impl Strategy<Value = Chain> {
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
pub(super) fn chained(chain: &Chain) -> World {
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
pub(super) fn losses() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Release(Nature::LosesSmoke)),
        (1..12_u32).prop_map(Event::Unanswered),
    ]
}

pub(super) fn happen(world: &mut World, event: &Event) {
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
        Event::Template(0) => world.edit_template("production-api", "bad"),
        Event::Template(number) => {
            world.edit_template("production-api", &format!("t{number}"));
        }
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

pub(super) fn wipe_all(world: &mut World) {
    for kind in [
        ObjectKind::Environment,
        ObjectKind::Promotion,
        ObjectKind::Rollout,
    ] {
        world.wipe_all(kind);
    }
}
