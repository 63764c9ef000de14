//! What happens in a world in which failures are left to people: v2 stays where it is, and they decide.

use super::*;

/// No failure takes a change back by itself.
pub(super) fn left_to_people(mut extra: Value) -> Value {
    extra["rollback"] = json!({"on": []});
    extra
}

/// Lets time pass until a failure holds v2.
fn until_held(world: &mut World, seed: u64) {
    let end = world.now + 400;
    while !world.is_stuck() && world.now < end {
        world.tick();
    }
    assert!(world.is_stuck(), "seed {seed}: {:?}", world.status);
}

/// v2 is bad by its metric, and stays with the weight that it has. Then people go on with it, or take it back.
pub(super) fn held(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, &left_to_people(extra.clone()));
    world.bad.insert("2");
    until_held(&mut world, seed);
    let before = (world.objects.route, world.objects.services.clone());
    for _ in 0..60 {
        world.tick();
    }
    let after = (world.objects.route, world.objects.services.clone());
    assert_eq!(before, after, "seed {seed}: it does not stay");
    let (action, phase) = match seed % 2 {
        0 => (DecisionAction::Promote, Phase::Healthy),
        _ => (DecisionAction::Abort, Phase::RolledBack),
    };
    world.decision(action);
    world.must_reach(400, phase, &format!("seed {seed}: {action}"));
    world
}

/// v2's pods die while they have weight, which leaves them; they come back, and it comes back when people say so.
pub(super) fn held_without_pods(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, &left_to_people(extra.clone()));
    let v2 = world.revision("2");
    while world.peak.get(&v2).copied().unwrap_or(0) == 0 && world.now < 200 {
        world.tick();
    }
    world.broken.insert("2");
    world.is_flapping = true;
    for pod in world.pods.iter_mut().filter(|pod| pod.revision == v2) {
        pod.ready_at = None;
    }
    // What a crashing pod loses is not the operator's doing, if it is short.
    let start = world.now;
    while world.weight > 0 && world.now < start + 60 {
        world.tick();
    }
    let took = world.now - start;
    assert!(
        took <= 20,
        "seed {seed}: {took} s to get away from dead pods"
    );
    world.lost.clear();
    for _ in 0..20 {
        world.tick();
    }
    world.broken.clear();
    let back = world.now + 1;
    for pod in world.pods.iter_mut().filter(|pod| pod.revision == v2) {
        pod.ready_at = Some(back);
    }
    for _ in 0..40 {
        world.tick();
    }
    assert!(
        world.is_stuck() && world.weight == 0,
        "seed {seed}: {:?}",
        world.status
    );
    // From here on its weight may go up again.
    world.left.clear();
    world.decision(DecisionAction::Retry);
    world.must_reach(400, Phase::Healthy, &format!("seed {seed}"));
    world
}
