//! Properties of Releases that are promoted as one: whatever happens and whoever dies when, no part of a set goes out, and all of
//! it goes back (see `World::check_sets`).

use proptest::prelude::*;
use serde_json::json;

use super::{ENVIRONMENTS, config};
use crate::environment::testing::{Nature, World};
use crate::model::object::ObjectKind;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A Pipeline makes a Release of the commit of its number.
    Part(usize, Nature),
    /// Somebody says something of the set that came last, or of the newest Release of a Pipeline.
    Decide(usize, &'static str, usize, Option<usize>),
    Settle,
    Step,
    Tick(i64),
    Restart,
    Wipe(ObjectKind, prop::sample::Index),
}

const PIPELINES: [&str; 2] = ["api", "web"];
const ACTIONS: [&str; 8] = [
    "Approve", "Approve", "Reject", "Promote", "Hold", "Resume", "Veto", "Rollback",
];

fn events() -> impl Strategy<Value = Event> {
    let nature = prop_oneof![4 => Just(Nature::Good), 1 => Just(Nature::Breaks)];
    let action = prop::sample::select(&ACTIONS[..]);
    let member = prop::option::of(0..2_usize);
    let kind = prop::sample::select(vec![ObjectKind::Environment, ObjectKind::Promotion]);
    prop_oneof![
        6 => (0..2_usize, nature).prop_map(|(of, nature)| Event::Part(of, nature)),
        4 => (0..3_usize, action, 0..2_usize, member)
            .prop_map(|(user, action, on, member)| Event::Decide(user, action, on, member)),
        3 => Just(Event::Settle),
        2 => Just(Event::Step),
        1 => (1..4000_i64).prop_map(Event::Tick),
        1 => Just(Event::Restart),
        1 => (kind, any::<prop::sample::Index>()).prop_map(|(kind, at)| Event::Wipe(kind, at)),
    ]
}

fn count(world: &World, pipeline: &str) -> u32 {
    let names = world.names(ObjectKind::Release);
    let own = names.iter().filter(|name| name.starts_with(pipeline));
    u32::try_from(own.count()).unwrap()
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Part(of, nature) => {
            let number = count(world, PIPELINES[*of]) + 1;
            if number < 90 {
                world.part(PIPELINES[*of], (number, number), *nature);
            }
        }
        Event::Decide(user, action, on, member) => {
            let user = ["alice", "bob", "carol"][*user];
            let on = ENVIRONMENTS[*on];
            let last = world.promotions_of(on).pop();
            let release = member.map_or_else(
                || last.map(|last| last.spec.release),
                |of| {
                    Some(format!(
                        "{}-{}",
                        PIPELINES[of],
                        count(world, PIPELINES[of]).max(1)
                    ))
                },
            );
            let rest = match *action {
                "Rollback" => json!({}),
                _ => json!({"release": release}),
            };
            if *action != "Promote" || release.is_some() {
                world.decide(user, action, on, &rest);
            }
        }
        Event::Settle => world.settle(),
        Event::Step => {
            world.settle_once();
        }
        Event::Tick(seconds) => world.tick(*seconds),
        Event::Restart => world.restart(),
        Event::Wipe(kind, at) => {
            let names = world.names(*kind);
            if !names.is_empty() {
                let name: &String = at.get(&names);
                world.wipe(*kind, name);
            }
        }
    }
}

/// Each Promotion is of a whole set.
fn are_whole(world: &World) -> bool {
    let all = ENVIRONMENTS
        .iter()
        .flat_map(|name| world.promotions_of(name));
    let mut all = all.filter(|promotion| promotion.spec.members.len() != PIPELINES.len());
    all.next().is_none()
}

proptest! {
    #![proptest_config(config())]

    /// No part of a set goes out, whatever happens.
    #[test]
    fn no_part_of_a_set_goes_out(
        together in prop::sample::select(vec!["Commit", "Newest"]),
        events in proptest::collection::vec(events(), 1..40),
        fuses in proptest::collection::vec(0..60_usize, 0..3),
    ) {
        let mut world = World::sets(together);
        world.play(&events, fuses, happen);
        world.fuse = None;
        world.settle();
        prop_assert!(are_whole(&world), "a part of a set went out alone");
        prop_assert_eq!(world.writes_at_rest(&ENVIRONMENTS), 0, "a world at rest is left alone");
    }

    /// The operator may die after any write: the same sets run in the end.
    #[test]
    fn a_crash_changes_nothing_of_a_set(
        together in prop::sample::select(vec!["Commit", "Newest"]),
        events in proptest::collection::vec(
            events().prop_filter("nothing is lost", |event| !matches!(event, Event::Wipe(..))), 1..15),
        fuses in proptest::collection::vec(0..30_usize, 1..4),
    ) {
        let (mut calm, mut shaken) = (World::sets(together), World::sets(together));
        let mut fuses = fuses.into_iter();
        for event in &events {
            happen(&mut calm, event);
            happen(&mut shaken, event);
            if shaken.fuse.is_none() {
                shaken.fuse = fuses.next();
            }
            calm.settle();
            shaken.settle();
        }
        prop_assert!(are_whole(&calm) && are_whole(&shaken), "a part of a set went out alone");
        for name in ENVIRONMENTS {
            prop_assert_eq!(calm.told_of_parts(name), shaken.told_of_parts(name));
            prop_assert_eq!(calm.runs(name), shaken.runs(name));
            prop_assert_eq!(calm.serves_both(name), shaken.serves_both(name));
        }
    }
}
