//! The series of Rollouts. There may be ten thousand, so what is known of each is a few bytes, and becomes series when somebody
//! asks. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::model::key::Key;
use crate::rollout::api::{EndingResult, Phase};
use crate::telemetry::series::{self, Series, SeriesType};

/// The series of Rollouts. Cloning clones handles.
#[derive(Clone, Debug)]
pub(super) struct RolloutSeries {
    known: Arc<Mutex<HashMap<Key, Known>>>,
    descriptions: Arc<[Desc]>,
}

/// What is known of a Rollout.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    now: Option<Now>,
    /// How many of its changes have ended in each way.
    endings: [u32; EndingResult::ALL.len()],
}

/// What it does with its traffic.
#[derive(Clone, Copy, Debug)]
struct Now {
    phase: Option<Phase>,
    weight: u8,
}

impl RolloutSeries {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let all = [
            &series::ROLLOUT_WEIGHT,
            &series::ROLLOUT_PHASE,
            &series::CHANGES,
        ];
        let descriptions: Vec<Desc> = all.into_iter().map(describe).collect::<Result<_, _>>()?;
        let made = Self {
            known: Arc::default(),
            descriptions: descriptions.into(),
        };
        registry.register(Box::new(made.clone()))?;
        Ok(made)
    }

    /// What a Rollout does with its traffic.
    pub(super) fn show(&self, key: &Key, phase: &str, weight: u8) {
        let mut phases = Phase::ALL.iter().copied();
        let phase = phases.find(|word| word.as_str() == phase);
        let mut known = self.known();
        // A key that is known is not made again: this is done with every plan.
        let now = Some(Now { phase, weight });
        if let Some(known) = known.get_mut(key) {
            known.now = now;
            return;
        }
        let first = Known {
            now,
            ..Known::default()
        };
        known.insert(key.clone(), first);
    }

    /// A change of a Rollout has ended.
    pub(super) fn ended(&self, key: &Key, result: EndingResult) {
        let mut all = self.known();
        let known = all.entry(key.clone()).or_default();
        for (count, of) in known.endings.iter_mut().zip(EndingResult::ALL) {
            *count += u32::from(*of == result);
        }
    }

    /// A Rollout is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.known().remove(key);
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn known(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for RolloutSeries {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut weights, mut phases, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        // Every plan of a Rollout takes the lock: what is known is copied under it, and becomes series after that.
        let all: Vec<(Key, Known)> = {
            let known = self.known();
            known.iter().map(|(key, of)| (key.clone(), *of)).collect()
        };
        for (Key { namespace, name }, known) in &all {
            if let Some(now) = known.now {
                let weight = f64::from(now.weight);
                let labels = [namespace.as_str(), name];
                weights.push(sample(&series::ROLLOUT_WEIGHT, &labels, weight));
                let labels = |phase: Phase| [namespace.as_str(), name, phase.as_str()];
                phases.extend(
                    now.phase
                        .map(|phase| sample(&series::ROLLOUT_PHASE, &labels(phase), 1.0)),
                );
            }
            // A counter that begins with its first event hides that event from `increase`.
            for (result, count) in EndingResult::ALL.iter().zip(known.endings) {
                let labels = [namespace.as_str(), name, result.as_str()];
                changes.push(sample(&series::CHANGES, &labels, f64::from(count)));
            }
        }
        vec![
            family(&series::ROLLOUT_WEIGHT, weights),
            family(&series::ROLLOUT_PHASE, phases),
            family(&series::CHANGES, changes),
        ]
    }
}

fn describe(series: &Series) -> Result<Desc, prometheus::Error> {
    let labels = series.label_names().into_iter().map(str::to_owned);
    let (name, help) = (series.name.to_owned(), series.help.to_owned());
    Desc::new(name, help, labels.collect(), HashMap::new())
}

/// One number of a series, with the values of its labels in the order in which the series lists them.
fn sample(series: &Series, values: &[&str], value: f64) -> Metric {
    let pairs = series.label_names().into_iter().zip(values);
    let mut labels: Vec<LabelPair> = pairs
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value((*value).to_owned());
            pair
        })
        .collect();
    // As the library writes those of its own series.
    labels.sort_by(|one, other| one.name().cmp(other.name()));
    let mut metric = Metric::from_label(labels);
    if series.type_ == SeriesType::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn family(series: &Series, samples: Vec<Metric>) -> MetricFamily {
    let type_ = if series.type_ == SeriesType::Counter {
        MetricType::COUNTER
    } else {
        MetricType::GAUGE
    };
    let mut family = MetricFamily::default();
    family.set_name(series.name.to_owned());
    family.set_help(series.help.to_owned());
    family.set_field_type(type_);
    family.set_metric(samples);
    family
}
