//! The stable Service is people's, which serves before there is a Rollout, and is widened in the middle of a change.

use super::story::steps;
use super::*;

/// The stable Service is people's and serves already; while v2 is on its way, somebody widens it again.
fn lent(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = World::new(seed, habits, extra);
    world.is_lent = true;
    world.widen();
    world.must_reach(
        60,
        Phase::Healthy,
        &format!("seed {seed}: v1 does not take over"),
    );
    while world.now < 25 {
        world.tick();
    }
    world.wanted = "2";
    for _ in 0..world.random.below(20) {
        world.tick();
    }
    world.widen();
    world
}

pub(super) fn good(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = lent(seed, habits, extra);
    world.tick();
    world.must_reach(300, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    world
}

pub(super) fn bad(seed: u64, habits: Habits) -> World {
    let mut world = lent(seed, habits, &steps());
    world.bad.insert("2");
    world.must_reach(300, Phase::RolledBack, &format!("seed {seed}"));
    world
}
