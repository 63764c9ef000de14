//! What happens in a world: the specs, and the stories that are told with them.

use super::*;

pub(super) fn steps() -> Value {
    let mut extra = routed_steps(&json!([
        {"setWeight": {"weight": 25}}, {"pause": {"for": "5s"}},
        {"setWeight": {"weight": 45}}, {"pause": {"for": "3s"}},
        {"setWeight": {"weight": 50}}, {"analyse": {"metrics": ["errors"], "for": "6s"}},
    ]));
    extra["gracefulShutdown"] = "Off".into();
    extra["progressDeadlineSeconds"] = 60.into();
    extra["analysis"] = json!({"interval": "2s", "startAt": {"weight": 50}, "metrics": [{
        "name": "errors", "pass": "value < 0.01", "minSamples": 2,
        "prometheus": {"address": "http://prom", "query": "errors"},
    }]});
    extra
}

/// v1 runs; then v2 is wanted, and what becomes of it depends on the world.
pub(super) fn started(seed: u64, habits: Habits) -> World {
    started_with(seed, habits, &steps())
}

/// The same with another spec.
pub(super) fn started_with(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = World::new(seed, habits, extra);
    world.must_reach(
        60,
        Phase::Healthy,
        &format!("seed {seed}: v1 does not start"),
    );
    // The first pods have time to arrive everywhere.
    while world.now < 25 {
        world.tick();
    }
    world.wanted = "2";
    world
}

pub(super) type Story = fn(u64, Habits) -> World;

/// v2 is good: it becomes stable.
pub(super) fn good(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    world.tick();
    world.must_reach(300, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    let stable = world.status.progress.as_ref().unwrap().stable.clone();
    assert_eq!(stable, Some(world.revision("2")), "seed {seed}");
    // Weight goes one way only when nothing fails.
    let peak = world
        .status
        .history
        .first()
        .map(|ending| ending.peak_weight);
    assert_eq!(peak, Some(100), "seed {seed}");
    world
}

/// v2 is bad by its metric: it never gets more than the weight at which that is seen.
pub(super) fn bad_metric(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    world.bad.insert("2");
    world.must_reach(300, Phase::RolledBack, &format!("seed {seed}"));
    let peak = world.peak.get(&world.revision("2")).copied().unwrap_or(0);
    assert!(peak <= 50, "seed {seed}: v2 had {peak} %");
    world
}

/// v2 has no data: it is not promoted.
pub(super) fn no_data(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    world.silent = true;
    world.must_reach(400, Phase::RolledBack, &format!("seed {seed}"));
    world
}

/// v2 is superseded by v3 at some point, while one stable pod is not ready.
pub(super) fn superseded(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    let moment = 5 + i64::try_from(world.random.below(20)).unwrap();
    for _ in 0..moment {
        world.tick();
    }
    let back = world.now + 30;
    let stable = world.revision("1");
    if let Some(pod) = world.pods.iter_mut().find(|pod| pod.revision == stable) {
        pod.ready_at = Some(back);
    }
    world.wanted = "3";
    world.tick();
    world.must_reach(400, Phase::Healthy, &format!("seed {seed}: v3 gets stuck"));
    world
}

/// v2 fails by its metric while some stable pods are gone for good and v2's own pods die.
pub(super) fn failing_all_over(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    let v2 = world.revision("2");
    while world.peak.get(&v2).copied().unwrap_or(0) == 0 && world.now < 200 {
        world.tick();
    }
    let v1 = world.revision("1");
    let sick: Vec<usize> = (0..world.pods.len())
        .filter(|i| world.pods[*i].revision == v1)
        .collect();
    world.pods[sick[0]].ready_at = Some(i64::MAX);
    for pod in world.pods.iter_mut().filter(|pod| pod.revision == v2) {
        pod.ready_at = None;
    }
    world.lost.clear();
    let start = world.now;
    while world.weight > 0 && world.now < start + 60 {
        world.tick();
    }
    // The bad pods lose requests until the weight is gone: that is theirs, and must be short.
    let took = world.now - start;
    assert!(
        world.weight == 0 && took <= 20,
        "seed {seed}: {took} s to get away from a dead canary"
    );
    world.lost.clear();
    world
}

/// v2's pods crash for a moment: whoever has seen it gives v2 up for good, even when killed right after.
pub(super) fn flapping(seed: u64, habits: Habits) -> World {
    let mut world = started(seed, habits);
    world.is_flapping = true;
    let v2 = world.revision("2");
    while world.peak.get(&v2).copied().unwrap_or(0) == 0 && world.now < 200 {
        world.tick();
    }
    let good_again = world.now + 1;
    world
        .pods
        .iter_mut()
        .filter(|p| p.revision == v2)
        .for_each(|pod| pod.ready_at = None);
    world.tick();
    for pod in world.pods.iter_mut().filter(|pod| pod.revision == v2) {
        pod.ready_at = Some(good_again);
    }
    // What a crashing pod loses is not the operator's doing.
    world.lost.clear();
    for _ in 0..60 {
        world.tick();
    }
    world.lost.retain(|text| text.ends_with("again"));
    world
}

/// The strategies that are presets, each with a metric that is looked at.
pub(super) fn strategy(strategy: &Value) -> Value {
    let mut extra = steps();
    extra["strategy"] = strategy.clone();
    extra["gracefulShutdown"] = "Inject".into();
    extra
}

pub(super) fn blue_green() -> Value {
    strategy(&json!({"type": "BlueGreen", "blueGreen": {
        "previewReplicas": 1, "prePromotion": [{"run": {"name": "smoke", "job": {"image": "smoke:1"}}}],
        "postPromotion": [{"analyse": {"metrics": ["errors"], "for": "6s"}}],
    }}))
}

/// The same, where the stable Service is switched.
pub(super) fn switched() -> Value {
    let mut extra = blue_green();
    extra["traffic"] = testing::switched()["traffic"].clone();
    extra
}

/// Requests with a header first, then copies, then a share.
pub(super) fn on_top_of_weight() -> Value {
    strategy(&json!({"steps": [
        {"route": {"headers": [{"name": "x-canary", "value": "yes"}]}}, {"pause": {"for": "4s"}},
        {"mirror": {"percent": 50}}, {"pause": {"for": "4s"}}, {"setWeight": {"weight": 50}},
        {"mirror": {"percent": 0}}, {"analyse": {"metrics": ["errors"], "for": "6s"}},
    ]}))
}

/// The same, through a router of people's that reports nothing.
pub(super) fn silent(mut extra: Value) -> Value {
    extra["traffic"] = json!({
        "drain": "10s", "allowForeign": true, "traefik": {"services": ["edge"]},
    });
    extra
}

pub(super) fn rolling() -> Value {
    strategy(&json!({"type": "Rolling"}))
}

/// What went badly makes the next change go pod by pod, with a look at the metric at the end.
pub(super) fn auto(medium: &str) -> Value {
    let mut extra = strategy(&json!({"type": "Auto", "auto": {
        "signals": {"recentFailureRate": {"0.1": "High"}}, "medium": medium,
    }}));
    extra["strategy"]["steps"] = steps()["strategy"]["steps"].clone();
    extra
}

pub(super) fn with_weight() -> Value {
    let mut with_weight = steps();
    with_weight["strategy"]["stableScale"] = "WithWeight".into();
    with_weight["gracefulShutdown"] = "Inject".into();
    with_weight
}

pub(super) fn taken_over(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, extra);
    world.tick();
    world.must_reach(400, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    world
}

/// The same, and there are never many more pods than replicas.
pub(super) fn taken_over_in_place(seed: u64, habits: Habits, extra: &Value) -> World {
    let world = taken_over(seed, habits, extra);
    let most = world.most;
    assert!(
        most <= REPLICAS + 1,
        "seed {seed}: {most} pods, with a surge of 1"
    );
    world
}

/// v2 is bad by its metric, and gets no more than `limit` before that is seen.
pub(super) fn sent_back(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, extra);
    world.bad.insert("2");
    world.must_reach(400, Phase::RolledBack, &format!("seed {seed}"));
    let v1 = world.revision("1");
    let stable = world.objects.sets.iter().find(|set| set.revision == v1);
    assert_eq!(
        stable.map(|set| set.replicas),
        Some(REPLICAS),
        "seed {seed}"
    );
    world
}

/// v3 comes in the middle of v2.
pub(super) fn overtaken(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut world = started_with(seed, habits, extra);
    for _ in 0..5 + world.random.below(25) {
        world.tick();
    }
    world.wanted = "3";
    world.tick();
    world.must_reach(500, Phase::Healthy, &format!("seed {seed}: v3 gets stuck"));
    let (most, scale) = (world.most, world.specs["3"].stable_scale);
    assert!(
        most <= 2 * REPLICAS || scale == StableScale::WithWeight,
        "seed {seed}: {most} pods"
    );
    world
}

/// The number of pods goes up and down in the middle of v2.
pub(super) fn resized(seed: u64, habits: Habits, extra: &Value) -> World {
    let mut extra = extra.clone();
    extra["strategy"]["maxSurge"] = 1.into();
    let mut world = started_with(seed, habits, &extra);
    for replicas in [REPLICAS + 2, REPLICAS - 2] {
        for _ in 0..2 + world.random.below(20) {
            world.tick();
        }
        extra["replicas"] = replicas.into();
        world.specs = specs(&extra);
    }
    world.tick();
    world.must_reach(400, Phase::Healthy, &format!("seed {seed}: v2 gets stuck"));
    let progress = world.status.progress.as_ref().unwrap();
    assert_eq!(progress.replicas, None, "seed {seed}");
    world
}

/// v2 takes over, v1 is kept, and comes back at once.
pub(super) fn kept(seed: u64, habits: Habits) -> World {
    let mut extra = steps();
    extra["strategy"]["keepOldFor"] = "10m".into();
    let mut world = started_with(seed, habits, &extra);
    let v2 = world.revision("2");
    while world
        .status
        .progress
        .as_ref()
        .and_then(|p| p.stable.clone())
        != Some(v2.clone())
        && world.now < 300
    {
        world.tick();
    }
    // Long after the drain time.
    for _ in 0..30 {
        world.tick();
    }
    let v1 = world.revision("1");
    let set = world.objects.sets.iter().find(|set| set.revision == v1);
    assert_eq!(
        set.map(|set| set.replicas),
        Some(REPLICAS),
        "seed {seed}: v1 is not kept"
    );
    world.wanted = "1";
    let start = world.now;
    while world
        .status
        .progress
        .as_ref()
        .and_then(|p| p.stable.clone())
        != Some(v1.clone())
        && world.now < start + 200
    {
        world.tick();
    }
    let took = world.now - start;
    assert!(
        took <= 60,
        "seed {seed}: {took} s to go back to what is kept"
    );
    // Going back is no second rise of something that was left.
    world.lost.retain(|text| !text.ends_with("again"));
    world
}

/// All pods are new before long, and all but one serve at any time.
pub(super) fn until_renewed(world: &mut World, seed: u64) {
    world.spared = 1;
    world.decision(DecisionAction::Restart);
    let since = world.now;
    let is_old = |pod: &SimPod| pod.created_at < since && pod.ends_at.is_none();
    while world.pods.iter().any(is_old) && world.now < since + 300 {
        world.tick();
        let ready = world.pods.iter().filter(|pod| world.is_ready(pod)).count();
        let wanted: i32 = world.objects.sets.iter().map(|set| set.replicas).sum();
        if i32::try_from(ready).unwrap() < (wanted - 1).max(1) {
            let text = format!("{}: {ready} of {wanted} pods are ready", world.now);
            world.lost.push(text);
        }
    }
    let is_renewed = !world.pods.iter().any(is_old);
    assert!(is_renewed, "seed {seed}: {:?}", world.status);
}

/// Somebody restarts v1 while nothing else goes on.
pub(super) fn restarted(seed: u64, habits: Habits, replicas: i32) -> World {
    let mut world = started_with(seed, habits, &with_weight());
    world.wanted = "1";
    world.respec(|spec| spec.replicas = replicas);
    world.must_reach(60, Phase::Healthy, &format!("seed {seed}"));
    for _ in 0..10 {
        world.tick();
    }
    until_renewed(&mut world, seed);
    world.must_reach(100, Phase::Healthy, &format!("seed {seed}"));
    let progress = world.status.progress.as_ref();
    assert!(
        progress.is_some_and(|progress| progress.restart.is_none()),
        "seed {seed}"
    );
    world
}

/// Somebody restarts both revisions while v2 waits for time to pass.
pub(super) fn restarted_in_a_pause(seed: u64, habits: Habits) -> World {
    let mut extra = with_weight();
    extra["strategy"]["steps"] = json!([{"setWeight": {"weight": 25}}, {"pause": {"for": "10m"}}]);
    let mut world = started_with(seed, habits, &extra);
    while world.status.phase != Some(Phase::Paused) && world.now < 200 {
        world.tick();
    }
    for _ in 0..10 {
        world.tick();
    }
    until_renewed(&mut world, seed);
    world.decision(DecisionAction::Skip);
    world.must_reach(300, Phase::Healthy, &format!("seed {seed}"));
    world
}
