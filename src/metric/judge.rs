//! From samples to a verdict: counts, and what they mean. No I/O.
//!
//! A sample is bad when `fail` holds, good when `pass` does, and inconclusive otherwise. The counts are judged by rules, of
//! which the first that applies counts:
//!
//! | | the analysis of the metric is |
//! |---|---|
//! | 1 | bad, when more samples were bad than `failureLimit` |
//! | 2 | bad, when more errors came in a row than `errorLimit` |
//! | 3 | bad, when more samples were inconclusive than `inconclusiveLimit` |
//! | 4 | good, with `minSamples` good ones and, where it is set, `successLimit` good ones in a row |
//! | 5 | bad, when what is left of `count` cannot make it good any more |
//! | 6 | undecided |
//!
//! No data is not success.

use jiff::Timestamp;

use super::Sample;
use super::compare::claim::Found;
use crate::analysis::api::{Metric, NoData, SampleResult};
use crate::expression::{self, Fact, Scope};
use crate::model::text::truncate;
use crate::rollout::api::{Measurement, Tally};

/// What the samples of a metric mean so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too few samples to tell.
    Undecided,
    /// Enough good samples, and no limit passed.
    Good,
    /// A limit was passed; the sentence says which.
    Bad(String),
}

/// Longest problem that is remembered, in bytes: a server may answer with a page.
const MAX_PROBLEM: usize = 256;

/// A value as people read it: as short as it can be, also for the huge and the tiny.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e15).contains(&size) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

/// A sample that has been judged.
struct Judged {
    result: SampleResult,
    value: Option<String>,
    message: Option<String>,
}

impl Judged {
    fn error(problem: &str) -> Self {
        let message = Some(problem.to_owned());
        Self {
            result: SampleResult::Error,
            value: None,
            message,
        }
    }
}

/// Counts one more sample of a metric among all counts.
pub fn add(tallies: &mut Vec<Tally>, metric: &Metric, sample: &Sample, now: Timestamp) {
    if let Some(tally) = tallies.iter_mut().find(|tally| tally.name == metric.name) {
        *tally = count(metric, tally, sample, now);
    } else {
        tallies.push(count(metric, &Tally::of(&metric.name), sample, now));
    }
}

/// Counts one more sample.
#[must_use]
pub fn count(metric: &Metric, tally: &Tally, sample: &Sample, now: Timestamp) -> Tally {
    let Judged {
        result,
        value,
        message,
    } = judged(metric, sample);
    let mut tally = Tally {
        at: Some(now),
        message: message.map(|problem| truncate(&problem, MAX_PROBLEM).to_owned()),
        value: value.clone(),
        ..match sample {
            Sample::Compared(look) => look.counted(metric, tally),
            Sample::Value(_)
            | Sample::Values(_)
            | Sample::Verdict { .. }
            | Sample::Empty
            | Sample::Error(_) => counted(metric, tally, result),
        }
    };
    let measurement = Measurement {
        at: now,
        value,
        result,
    };
    tally.measurements.push(measurement);
    let surplus = tally.measurements.len().saturating_sub(metric.retain());
    tally.measurements.drain(..surplus);
    tally
}

fn judged(metric: &Metric, sample: &Sample) -> Judged {
    match sample {
        Sample::Value(value) => worst(metric, &[*value]),
        Sample::Values(values) => worst(metric, values),
        Sample::Compared(look) => Judged {
            result: if look.evidence.found == Found::Worse {
                SampleResult::Bad
            } else {
                SampleResult::Good
            },
            value: Some(look.to_string()),
            message: None,
        },
        Sample::Verdict { is_good, message } => Judged {
            result: if *is_good {
                SampleResult::Good
            } else {
                SampleResult::Bad
            },
            value: None,
            message: Some(message.clone()),
        },
        Sample::Empty => Judged {
            result: SampleResult::NoData,
            value: None,
            message: Some("no data".to_owned()),
        },
        Sample::Error(problem) => Judged::error(problem),
    }
}

/// Several numbers are as good as the worst of them, which is the one to show; of several that are as bad, the latest.
fn worst(metric: &Metric, values: &[f64]) -> Judged {
    let rank = |result: SampleResult| match result {
        SampleResult::Bad => 2,
        SampleResult::Inconclusive => 1,
        SampleResult::Good | SampleResult::NoData | SampleResult::Error => 0,
    };
    let mut worst: Option<(SampleResult, f64)> = None;
    for value in values {
        let result = match judge(metric, *value) {
            Ok(result) => result,
            Err(problem) => {
                let value = Some(shown(*value));
                return Judged {
                    value,
                    ..Judged::error(&problem)
                };
            }
        };
        if worst.is_none_or(|(known, _)| rank(result) >= rank(known)) {
            worst = Some((result, *value));
        }
    }
    let Some((result, value)) = worst else {
        return Judged::error("an answer without numbers");
    };
    Judged {
        result,
        value: Some(shown(value)),
        message: None,
    }
}

/// The counts with one more sample of this kind.
fn counted(metric: &Metric, tally: &Tally, result: SampleResult) -> Tally {
    let mut tally = tally.clone();
    let add = |count: &mut u32| *count = count.saturating_add(1);
    add(&mut tally.taken);
    if result == SampleResult::Error {
        add(&mut tally.errors);
    } else {
        tally.errors = 0;
    }
    // Whether there was data is not known of an error.
    if result == SampleResult::NoData {
        add(&mut tally.no_data);
    } else if result != SampleResult::Error {
        tally.no_data = 0;
    }
    match worth(metric, result) {
        Some(SampleResult::Good) => {
            add(&mut tally.passed);
            add(&mut tally.successes);
            return tally;
        }
        Some(SampleResult::Bad) => add(&mut tally.failed),
        Some(SampleResult::Inconclusive) => add(&mut tally.inconclusive),
        Some(SampleResult::NoData | SampleResult::Error) | None => {}
    }
    tally.successes = 0;
    tally
}

/// What a sample counts as, if it counts.
fn worth(metric: &Metric, result: SampleResult) -> Option<SampleResult> {
    match result {
        SampleResult::NoData => match metric.no_data() {
            NoData::Wait => None,
            NoData::Fail => Some(SampleResult::Bad),
            NoData::Pass => Some(SampleResult::Good),
        },
        SampleResult::Error => None,
        SampleResult::Good | SampleResult::Bad | SampleResult::Inconclusive => Some(result),
    }
}

/// Numbers on which a condition is tried out: together they reach both sides of it.
const TRIALS: [f64; 4] = [0.0, 1.0, -1.0, 1e9];

/// What a condition may name: `value`, the number that was measured.
fn measured(value: f64) -> Scope {
    Scope::new([("value", Fact::Number(value))])
}

/// Checks that a condition can be used. The error is for people.
pub fn check(condition: &str) -> Result<(), String> {
    expression::check(condition, &TRIALS.map(measured))
}

/// What a value is. One condition does for simple cases: then whatever is not good is bad, or the other way round.
fn judge(metric: &Metric, value: f64) -> Result<SampleResult, String> {
    let holds = |condition: &Option<String>| {
        let condition = condition.as_deref();
        let held = condition.map(|text| expression::evaluate(text, measured(value)));
        held.transpose()
    };
    if holds(&metric.fail)? == Some(true) {
        return Ok(SampleResult::Bad);
    }
    Ok(match (holds(&metric.pass)?, &metric.fail) {
        (Some(true), _) | (None, Some(_)) => SampleResult::Good,
        (Some(false), None) => SampleResult::Bad,
        (Some(false), Some(_)) => SampleResult::Inconclusive,
        (None, None) => return Err("there is neither pass nor fail to judge it by".to_owned()),
    })
}

/// What the counts mean, by the first rule that applies.
pub fn verdict(metric: &Metric, tally: &Tally) -> Verdict {
    let value = tally.value.as_deref().unwrap_or("none");
    let name = &metric.name;
    let judged = samples(tally);
    if tally.failed > metric.failure_limit() {
        return Verdict::Bad(format!(
            "{name}: {} of {judged} samples are bad, {} forgiven; last value {value}",
            tally.failed,
            metric.failure_limit()
        ));
    }
    if tally.errors > metric.error_limit() {
        let problem = tally.message.as_deref().unwrap_or("no answer");
        return Verdict::Bad(format!(
            "{name}: {} errors in a row, {} forgiven; last: {problem}",
            tally.errors,
            metric.error_limit()
        ));
    }
    if tally.inconclusive > metric.inconclusive_limit() {
        return Verdict::Bad(format!(
            "{name}: {} of {judged} samples are neither good nor bad, {} forgiven; last value {value}",
            tally.inconclusive,
            metric.inconclusive_limit()
        ));
    }
    if is_good(metric, tally, 0) {
        return Verdict::Good;
    }
    // Looks of a comparison that were forgiven are not missing from those that are planned.
    if let Some(count) = metric.count
        && metric.provider.compare.is_none()
        && !is_good(metric, tally, count.saturating_sub(judged))
    {
        return Verdict::Bad(format!(
            "{name}: {judged} of {count} samples are taken, and the others cannot make it good any more ({}); \
             last value {value}",
            progress(metric, tally)
        ));
    }
    Verdict::Undecided
}

/// Whether it would be good after so many more good samples.
fn is_good(metric: &Metric, tally: &Tally, more: u32) -> bool {
    let row = metric.success_limit.unwrap_or(0);
    tally.passed.saturating_add(more) >= metric.min_samples()
        && tally.successes.saturating_add(more) >= row
}

/// Whether the metric is not measured again: it has its `count`, or is settled.
pub fn is_complete(metric: &Metric, tally: &Tally) -> bool {
    let has_all = metric.count.is_some_and(|count| samples(tally) >= count);
    let is_settled = metric.success_limit.is_some() && is_good(metric, tally, 0);
    has_all || is_settled
}

/// Samples that were judged.
pub fn samples(tally: &Tally) -> u32 {
    let decided = tally.passed.saturating_add(tally.failed);
    decided.saturating_add(tally.inconclusive)
}

/// How many of how many good samples there are.
fn progress(metric: &Metric, tally: &Tally) -> String {
    let wanted = metric.min_samples();
    let passed = format!("{}/{wanted} passed", tally.passed);
    match metric.success_limit {
        Some(row) if wanted > 1 => format!("{passed}, {}/{row} in a row", tally.successes),
        Some(row) => format!("{}/{row} passed in a row", tally.successes),
        None => passed,
    }
}

/// Where a metric is, for people: which one, how many of how many, and what speaks against it.
pub fn words(metric: &Metric, tally: Option<&Tally>) -> String {
    let none = Tally::default();
    let tally = tally.unwrap_or(&none);
    let mut words = format!("{} {}", metric.name, progress(metric, tally));
    let mut add = |count: u32, limit: u32, what: &str| {
        if count > 0 {
            words = format!("{words}, {count} {what} ({limit} forgiven)");
        }
    };
    add(tally.failed, metric.failure_limit(), "bad");
    let limit = metric.inconclusive_limit();
    add(tally.inconclusive, limit, "neither");
    add(tally.errors, metric.error_limit(), "errors in a row");
    if tally.no_data > 0 {
        words = format!("{words}, {} without data", tally.no_data);
    }
    if metric.is_dry_run() {
        words = format!("{words}, dry run");
    }
    words
}

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
