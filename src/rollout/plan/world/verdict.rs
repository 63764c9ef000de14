//! Whatever is measured, and whatever happens meanwhile: no revision takes over without a good verdict of every metric, and
//! a bad one sends all of the traffic back to stable. Verdicts are those of the reference judge, over the samples that
//! were counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::analysis::api::NoData;
use crate::metric::judge::reference;

/// Seconds in which a change comes to its end.
const END: i64 = 600;

impl World {
    /// What the next sample is, where that is left to chance.
    pub(super) fn chance(&mut self) -> Option<SampleResult> {
        let moods = self.moods?;
        let mut at = self.random.below(moods.iter().sum());
        let all = SampleResult::ALL.iter().zip(moods);
        for (result, often) in all {
            if at < often {
                return Some(*result);
            }
            at -= often;
        }
        None
    }

    /// Notes what is counted by the write of a status. Counts that a plan has set to nothing began afresh.
    pub(super) fn note_samples(&mut self, before: &[Tally], outcome: &Outcome) {
        for (key, result) in std::mem::take(&mut self.answered) {
            let name = status::metric_of(&key).unwrap();
            let tally = Tally::among(before, name);
            let is_begun = tally.is_some_and(|tally| *tally != tally.afresh());
            let counted = self.counted.entry(name.to_owned()).or_default();
            if !is_begun {
                counted.clear();
            }
            if outcome.replies.contains_key(&key) {
                counted.push(result);
            }
        }
    }

    /// The verdicts of the metrics that decide.
    fn verdicts(&self) -> Vec<Option<bool>> {
        let analysis = self.specs[self.wanted].analysis.as_ref().unwrap();
        let verdict = |name: &str, metric| {
            let counted = self.counted.get(name).map(Vec::as_slice);
            reference::verdict(metric, counted.unwrap_or_default())
        };
        let metrics = analysis.deciding();
        metrics
            .map(|metric| verdict(&metric.name, metric))
            .collect()
    }

    fn stable(&self) -> Option<Revision> {
        self.status.progress.as_ref()?.stable.clone()
    }
}

pub(super) fn one_of<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[usize::try_from(random.below(of.len() as u64)).unwrap()]
}

fn some(random: &mut Random, chance: u64, most: u64) -> Value {
    if random.one_in(chance) {
        return Value::Null;
    }
    (1 + random.below(most)).into()
}

fn metric(random: &mut Random, name: &str) -> Value {
    let min_samples = some(random, 2, 4);
    let success_limit = some(random, 2, 3);
    let least = [&min_samples, &success_limit];
    let least = least.iter().filter_map(|it| it.as_u64()).max().unwrap_or(1);
    let count = some(random, 2, 6);
    let limit = |random: &mut Random, most| match some(random, 3, most) {
        Value::Null => Value::Null,
        limit => (limit.as_u64().unwrap() - 1).into(),
    };
    let mut metric = json!({
        "name": name, "prometheus": {"address": "http://prom", "query": name},
        "pass": "value < 0.01", "fail": "value > 0.1",
        "minSamples": min_samples, "successLimit": success_limit,
        "count": count.as_u64().map(|count| count.max(least)),
        "failureLimit": limit(random, 3), "inconclusiveLimit": limit(random, 3),
        "errorLimit": limit(random, 3), "noData": one_of(random, NoData::ALL),
        "interval": format!("{}s", 1 + random.below(3)),
    });
    let fields = metric.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    metric
}

/// Any strategy, with two metrics that decide and one that does not, which steps are about or not.
fn any_spec(random: &mut Random) -> Value {
    let mut extra = match random.below(7) {
        0 => steps(),
        1 => blue_green(),
        2 => switched(),
        3 => rolling(),
        4 => auto("Canary"),
        5 => with_weight(),
        _ => strategy(&json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {"for": "5s"}}]})),
    };
    if random.one_in(4) {
        extra["strategy"]["blueGreen"]["prePromotion"] =
            json!([{"analyse": {"metrics": ["errors"]}}]);
        extra["strategy"]["type"] = "BlueGreen".into();
        extra["strategy"]["steps"] = Value::Null;
        extra["strategy"]["stableScale"] = Value::Null;
        extra["strategy"]["auto"] = Value::Null;
    }
    let mut looked_at = metric(random, "looked-at");
    looked_at["dryRun"] = true.into();
    extra["analysis"] = json!({
        "startAt": {"weight": one_of(random, &[1, 25, 50, 100])},
        "metrics": [metric(random, "errors"), metric(random, "latency"), looked_at],
    });
    extra
}

/// Lets v2 come to its end, and says whether it took over.
fn judged(seed: u64) -> bool {
    let mut random = Random(seed);
    let extra = any_spec(&mut random);
    let mut moods = [1 + random.below(40), 0, 0, 0, 0];
    for mood in &mut moods[1..] {
        *mood = random.below(3).saturating_sub(1);
    }
    let mut world = started_with(seed, GOOD, &extra);
    world.moods = Some(moods);
    let (v1, v2) = (world.revision("1"), world.revision("2"));
    let told = |world: &World| format!("seed {seed}: {:?} {:?}", world.counted, world.status);
    let end = world.now + END;
    let mut was_bad = false;
    while world.now < end {
        world.tick();
        was_bad |= world.verdicts().contains(&Some(false));
        if world.stable() == Some(v2.clone()) {
            let verdicts = world.verdicts();
            let are_good = verdicts.iter().all(|verdict| *verdict == Some(true));
            assert!(are_good && !was_bad, "{verdicts:?} {}", told(&world));
            world.must_reach(END, Phase::Healthy, &told(&world));
            world.assert_sound(seed);
            return true;
        }
        if world.status.phase == Some(Phase::RolledBack) && world.settled() {
            break;
        }
    }
    // Bad, or without a verdict in time: all of the traffic is with stable.
    assert_eq!(
        world.status.phase,
        Some(Phase::RolledBack),
        "{}",
        told(&world)
    );
    assert!(
        world.settled() && world.stable() == Some(v1),
        "{}",
        told(&world)
    );
    world.assert_sound(seed);
    false
}

/// The operator is killed so often in this world that the first revision is not there after 20 s.
#[test]
fn nobody_asks_before_the_first_revision_is_there() {
    judged(24236);
}

#[test]
fn nothing_takes_over_without_good_verdicts_and_a_bad_one_sends_all_traffic_back() {
    let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
    for_each_seed("verdicts", 2, |seed| {
        let ended = if judged(seed) { &good } else { &bad };
        ended.fetch_add(1, Ordering::Relaxed);
    });
    let (good, bad) = (good.into_inner(), bad.into_inner());
    println!("{good} took over, {bad} went back");
    let few = worlds().count() as u64 / 20;
    assert!(good > few && bad > few, "{good} {bad}");
}
