//! What happens in a world in which people, and Jobs of theirs, have a say: v2 waits for them, whatever becomes of stable.

use super::story::{started_with, strategy, taken_over};
use super::*;

/// Pods before any weight, and a person who is asked before most of it.
pub(super) fn asking() -> Value {
    strategy(&json!({"steps": [
        {"scale": {"canary": 2}}, {"setWeight": {"weight": 25}}, {"approve": {}},
        {"setWeight": {"weight": 75}}, {"pause": {"for": "3s"}},
    ]}))
}

/// Whoever is asked says yes, but not at once.
pub(super) fn approved(seed: u64, habits: Habits) -> World {
    let mut world = started_with(seed, habits, &asking());
    let (v2, end) = (world.revision("2"), world.now + 200);
    while !world.asks() && world.now < end {
        world.tick();
    }
    for _ in 0..10 {
        world.tick();
    }
    let peak = world.peak.get(&v2).copied();
    assert_eq!(peak, Some(25), "seed {seed}: nobody has said yes");
    world.says_yes = true;
    world.must_reach(300, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    world
}

/// The hook that looks at the preview fails: no user sees v2.
pub(super) fn turned_down(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, extra);
    world.hooks_fail = true;
    world.must_reach(300, Phase::RolledBack, &format!("seed {seed}"));
    let v2 = world.revision("2");
    let peak = world.peak.get(&v2).copied().unwrap_or(0);
    assert_eq!(peak, 0, "seed {seed}: v2 had {peak} %");
    world
}

/// v3 has taken over, and somebody goes back to v1 by its name.
pub(super) fn undone(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = taken_over(seed, habits, extra);
    world.wanted = "3";
    world.tick();
    world.must_reach(400, Phase::Healthy, &format!("seed {seed}: v3 gets stuck"));
    for _ in 0..world.random.below(30) {
        world.tick();
    }
    let v1 = world.revision("1");
    world.left.clear();
    world.decision_on(DecisionAction::Undo, Some(&v1));
    let end = world.now + 200;
    let stable = |world: &World| world.status.progress.as_ref()?.stable.clone();
    while (stable(&world).as_ref() != Some(&v1) || !world.settled()) && world.now < end {
        world.tick();
    }
    assert!(
        stable(&world) == Some(v1) && world.settled(),
        "seed {seed}: {:?}",
        world.status
    );
    world
}

/// All pods of stable are unready, for a moment or for longer, while v2 waits for people with pods that are ready.
pub(super) fn stable_away(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut extra = extra.clone();
    extra["strategy"]["blueGreen"]["prePromotion"] = json!([{"pause": {}}]);
    extra["strategy"]["blueGreen"]["previewReplicas"] = Value::Null;
    let mut world = started_with(seed, habits, &extra);
    let (v1, v2, end) = (world.revision("1"), world.revision("2"), world.now + 200);
    while world.status.phase != Some(Phase::Paused) && world.now < end {
        world.tick();
    }
    let is_short = seed.is_multiple_of(2);
    let back = world.now + if is_short { 15 } else { 80 };
    for pod in world.pods.iter_mut().filter(|pod| pod.revision == v1) {
        pod.ready_at = Some(back);
    }
    while world.now < back + 60 {
        world.tick();
    }
    let peak = world.peak.get(&v2).copied().unwrap_or(0);
    assert_eq!(peak, if is_short { 0 } else { 100 }, "seed {seed}");
    let progress = world.status.progress.as_ref().unwrap();
    assert_eq!(progress.stable, Some(v1), "seed {seed}: nobody has said so");
    assert!(
        world.settled_at_stable(),
        "seed {seed}: {:?}, {:?}",
        world.status,
        world.objects.services
    );
    // What stable lost is its own doing.
    world.lost.clear();
    world.left.clear();
    world.decision(DecisionAction::Resume);
    world.must_reach(300, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    world
}
