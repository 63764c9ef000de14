//! The answer to the range query of a comparison: intervals of counts, or pairs of values. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::UNTOLD;
use super::rank::Pair;
use super::ratio::{Events, Interval};
use crate::metric::provider::prometheus::millis;

/// The label that tells the parts of the answer apart.
pub const LABEL: &str = "slipway_part";

/// A part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A point at every time that was asked for.
    Grid,
    /// The canary's values, or its counters of bad events.
    Canary,
    /// Its counters of all events.
    CanaryTotal,
    /// Stable's values, or its counters of bad events.
    Stable,
    /// Its counters of all events.
    StableTotal,
}

impl Part {
    const ALL: [Self; 5] = [
        Self::Grid,
        Self::Canary,
        Self::CanaryTotal,
        Self::Stable,
        Self::StableTotal,
    ];

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Canary => "canary",
            Self::CanaryTotal => "canary-total",
            Self::Stable => "stable",
            Self::StableTotal => "stable-total",
        }
    }
}

/// All series of the answer on one grid of times.
#[derive(Debug)]
pub struct Series {
    /// Times, in milliseconds.
    times: Vec<i64>,
    /// Values at each of these times, series by series.
    parts: BTreeMap<Part, Vec<Vec<Option<f64>>>>,
}

fn number(point: &Value) -> Option<f64> {
    let value = point.get(1)?.as_str()?.parse::<f64>().ok()?;
    Some(value).filter(|value| !value.is_nan())
}

impl Series {
    /// Sorts an answer by its parts. The error is for people.
    pub fn of(answer: &Value) -> Result<Self, String> {
        let is_matrix =
            answer.pointer("/data/resultType").and_then(Value::as_str) == Some("matrix");
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        let series = result.filter(|_| is_matrix);
        let series = series.ok_or("an answer that is no range of values")?;
        let part_of = |series: &Value| {
            let label = series.get("metric")?.get(LABEL)?.as_str()?;
            Part::ALL.into_iter().find(|part| part.as_str() == label)
        };
        let points = |series: &Value| {
            let points = series.get("values").and_then(Value::as_array);
            points.cloned().unwrap_or_default()
        };
        let grid = series
            .iter()
            .find(|series| part_of(series) == Some(Part::Grid));
        let grid = grid.map(points).unwrap_or_default();
        let times: Vec<i64> = grid.iter().filter_map(millis).collect();
        let mut parts: BTreeMap<Part, Vec<Vec<Option<f64>>>> = BTreeMap::new();
        for one in series {
            let Some(part) = part_of(one).filter(|part| *part != Part::Grid) else {
                continue;
            };
            let mut values = vec![None; times.len()];
            for point in points(one) {
                let place = millis(&point).and_then(|at| times.binary_search(&at).ok());
                if let Some(value) = place.and_then(|place| values.get_mut(place)) {
                    *value = number(&point);
                }
            }
            parts.entry(part).or_default().push(values);
        }
        Ok(Self { times, parts })
    }

    /// When the comparison began.
    pub fn since(&self) -> Timestamp {
        let first = self.times.first().copied().unwrap_or(0);
        Timestamp::from_millisecond(first).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Time from one point to the next.
    pub fn step(&self) -> Duration {
        let mut times = self.times.iter();
        let step = times.next().zip(times.next()).map(|(one, two)| two - one);
        let step = step.and_then(|step| u64::try_from(step).ok());
        step.map_or(UNTOLD, Duration::from_millis)
    }

    /// Pairs of values, interval by interval; nothing where a side has none. The error is for people.
    pub fn pairs(&self) -> Result<Vec<Option<Pair>>, String> {
        let (canary, stable) = (self.values(Part::Canary)?, self.values(Part::Stable)?);
        let both = canary.into_iter().zip(stable);
        // The first point is of the time before.
        let pairs = both.skip(1).map(|(canary, stable)| {
            Some(Pair {
                canary: canary?,
                stable: stable?,
            })
        });
        Ok(pairs.collect())
    }

    fn values(&self, part: Part) -> Result<Vec<Option<f64>>, String> {
        match self.parts.get(&part).map(Vec::as_slice) {
            None | Some([]) => Ok(vec![None; self.times.len()]),
            Some([one]) => Ok(one.clone()),
            Some(many) => Err(format!(
                "the query for {} yields {} series; aggregate them into one, for example with sum() or histogram_quantile()",
                part.as_str(),
                many.len()
            )),
        }
    }

    /// Counts of events, interval by interval. The error is for people.
    pub fn intervals(&self) -> Result<Vec<Interval>, String> {
        let bad = self
            .events(Part::Canary)?
            .into_iter()
            .zip(self.events(Part::Stable)?);
        let all = self
            .events(Part::CanaryTotal)?
            .into_iter()
            .zip(self.events(Part::StableTotal)?);
        // Counters of one pod are not read at exactly one moment.
        let side = |bad: f64, all: f64| Events {
            bad: bad.min(all),
            all,
        };
        let intervals = bad.zip(all).map(|((canary, stable), totals)| Interval {
            canary: side(canary, totals.0),
            stable: side(stable, totals.1),
        });
        Ok(intervals.collect())
    }

    /// By how much all counters of a part grew in each interval.
    fn events(&self, part: Part) -> Result<Vec<f64>, String> {
        let mut grown = vec![0.0; self.times.len().saturating_sub(1)];
        let (mut steps, mut drops) = (0_usize, 0_usize);
        for series in self.parts.get(&part).map(Vec::as_slice).unwrap_or_default() {
            let mut before: Option<f64> = None;
            for (index, value) in series.iter().enumerate() {
                let Some(value) = *value else { continue };
                let growth = match before {
                    Some(before) if value >= before => value - before,
                    Some(_) => {
                        drops += 1;
                        value
                    }
                    // A counter that comes to be later began at nothing: an error has no series before it happens.
                    None => value,
                };
                steps += usize::from(before.is_some());
                before = Some(value);
                if let Some(sum) = index.checked_sub(1).and_then(|index| grown.get_mut(index)) {
                    *sum += growth;
                }
            }
        }
        // A counter starts afresh with its pod. What goes down all the time is something else.
        if drops >= 3 && drops * 4 > steps {
            return Err(format!(
                "the query for {} yields values that go down again and again; a Ratio needs counters as they are, without rate() or increase()",
                part.as_str()
            ));
        }
        Ok(grown)
    }
}
