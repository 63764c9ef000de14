//! What an analysis would have said of a time in the past: its samples, counted and judged as the operator does. No I/O.
//!
//! It is as if a change had got its first weight at the beginning of that time, and had to be good at its end. Samples are
//! taken when the planner would have taken them ([`Analysis::due`]), counted and judged by [`judge`], and the first bad
//! verdict ends it ([`Analysis::failure`]). `subject` is what is replayed.

pub mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::api::{FailureReason, Tally};
use super::explain::Judgement;
use super::spec::Analysis;
use crate::analysis::api::compare::Worse;
use crate::analysis::api::{Metric, SampleResult};
use crate::metric::history::Schedule;
use crate::metric::judge::{self, Verdict};
use crate::metric::threshold::thresholds;
use crate::metric::{Sample, history};
use crate::model::span::after;
use crate::schema::closed_set;
use subject::LeftOut;

closed_set! {
    /// What would have become of the change.
    pub enum Outcome {
        /// Every metric that decides is good at the end.
        Promoted,
        /// It is given up.
        RolledBack,
        /// It stays where it is until people decide.
        Held,
    }
}

/// A time in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// When the change got its first weight.
    pub from: Timestamp,
    /// When it had to be good.
    pub to: Timestamp,
}

/// What follows from a bad verdict, and from none.
#[derive(Clone, Debug, PartialEq)]
pub struct Consequences {
    /// Failures that take a change back; the others hold it.
    pub rollback_on: BTreeSet<FailureReason>,
    /// How long a verdict is waited for after the end, where that is known.
    pub patience: Option<Duration>,
}

/// How it would have ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What would have become of the change.
    pub outcome: Outcome,
    /// Why, if it was not promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// When: at the bad verdict; else when the time was over, or a verdict was waited for no longer.
    pub at: Timestamp,
    /// The verdict, or the counts, in words.
    pub message: String,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Name of the metric.
    pub name: String,
    /// Time between two samples.
    #[serde(rename = "intervalSeconds", serialize_with = "in_seconds")]
    pub interval: Duration,
    /// Whether it only watches.
    pub is_dry_run: bool,
    /// Whether its values are by how many percent the canary is above stable.
    pub is_comparison: bool,
    /// Numbers that its values are compared with, as far as they can be told.
    pub thresholds: Vec<f64>,
    /// The verdict at the end.
    pub verdict: Judgement,
    /// When it fell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_at: Option<Timestamp>,
    /// The bad verdict, or the counts, in words.
    pub because: String,
    /// The samples that would have been taken, with the counts after each.
    pub samples: Vec<Taken>,
    /// Those that would not have been, because it was over.
    pub not_taken: Vec<NotTaken>,
}

/// What would have been.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Kind of what was replayed.
    pub kind: &'static str,
    /// Its namespace, where the file says one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When the change got its first weight.
    pub from: Timestamp,
    /// When it had to be good.
    pub to: Timestamp,
    /// How it would have ended.
    pub end: End,
    /// The metrics that were replayed.
    pub metrics: Vec<Replayed>,
    /// What was not.
    pub left_out: Vec<LeftOut>,
}

/// A sample that would have been taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// Its value as a number; of a comparison by how many percent the canary is above stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its value as the status would have shown it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// What it is.
    pub result: SampleResult,
    /// What was wrong with it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Good samples so far.
    pub passed: u32,
    /// Bad samples so far.
    pub failed: u32,
    /// Samples so far that were neither.
    pub inconclusive: u32,
    /// Errors in a row.
    pub errors: u32,
    /// Samples without data in a row.
    pub no_data: u32,
    /// Good samples in a row.
    pub successes: u32,
    /// The verdict with it.
    pub verdict: Judgement,
}

/// A sample that would not have been taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotTaken {
    /// When it would have been due.
    pub at: Timestamp,
    /// Its value as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

fn in_seconds<S: serde::Serializer>(of: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(of.as_secs_f64())
}

/// Samples of a metric and the times at which they would have been taken.
pub type Samples = Vec<(Timestamp, Sample)>;

/// When a metric with this interval would have been measured. There is an end to it: more than are replayed is too many.
pub fn schedule(analysis: &Analysis, interval: Duration, time: Time) -> Schedule {
    let mut times = Vec::new();
    let mut last = None;
    while times.len() <= history::MOST_SAMPLES {
        let at = analysis.due(interval, time.from, last);
        if at > time.to || Some(at) == last {
            break;
        }
        times.push(at);
        last = Some(at);
    }
    Schedule {
        begin: analysis.begin(interval, time.from),
        interval,
        times,
    }
}

/// Lets the time pass. Metrics of the analysis without samples are such that took none.
pub fn replay(
    analysis: &Analysis,
    samples: &BTreeMap<String, Samples>,
    time: Time,
    consequences: &Consequences,
) -> (End, Vec<Replayed>) {
    let of = |name: &str| samples.get(name).map_or(&[][..], Vec::as_slice);
    let mut tracks: Vec<Track> = analysis
        .metrics
        .iter()
        .map(|(metric, interval)| Track::new(metric, *interval, of(&metric.name)))
        .collect();
    let times: BTreeSet<Timestamp> = samples.values().flatten().map(|(at, _)| *at).collect();
    let mut tallies = Vec::new();
    let mut bad = None;
    for at in times {
        for track in &mut tracks {
            track.take(at, &mut tallies);
        }
        bad = analysis.failure(&tallies).map(|message| (at, message));
        if bad.is_some() {
            break;
        }
    }
    let end = match bad {
        Some((at, message)) => consequences.of(FailureReason::AnalysisFailed, at, message),
        None => at_the_end(analysis, &tallies, time.to, consequences),
    };
    let metrics = tracks.into_iter().map(|track| track.replayed(&tallies));
    (end, metrics.collect())
}

/// What becomes of a change that no bad verdict has ended.
fn at_the_end(
    analysis: &Analysis,
    tallies: &[Tally],
    to: Timestamp,
    consequences: &Consequences,
) -> End {
    let of = |metric: &Metric| Tally::among(tallies, &metric.name);
    let is_good = |metric: &Metric| {
        let verdict = of(metric).map(|tally| judge::verdict(metric, tally));
        verdict == Some(Verdict::Good)
    };
    let words = analysis
        .deciding()
        .map(|metric| judge::words(metric, of(metric)));
    let message = words.collect::<Vec<_>>().join("; ");
    if analysis.deciding().all(is_good) {
        return End {
            outcome: Outcome::Promoted,
            reason: None,
            at: to,
            message,
        };
    }
    let at = consequences
        .patience
        .map_or(to, |patience| after(to, patience));
    consequences.of(FailureReason::NoVerdict, at, message)
}

impl Consequences {
    fn of(&self, reason: FailureReason, at: Timestamp, message: String) -> End {
        let outcome = if self.rollback_on.contains(&reason) {
            Outcome::RolledBack
        } else {
            Outcome::Held
        };
        End {
            outcome,
            reason: Some(reason),
            at,
            message,
        }
    }
}

/// A metric on its way through the time.
struct Track<'a> {
    metric: &'a Metric,
    /// The same, with the one sample kept that is shown.
    kept: Metric,
    interval: Duration,
    to_come: &'a [(Timestamp, Sample)],
    taken: Vec<Taken>,
    verdict_at: Option<Timestamp>,
}

impl<'a> Track<'a> {
    fn new(metric: &'a Metric, interval: Duration, samples: &'a [(Timestamp, Sample)]) -> Self {
        Self {
            metric,
            kept: Metric {
                retain: Some(1),
                ..metric.clone()
            },
            interval,
            to_come: samples,
            taken: Vec::new(),
            verdict_at: None,
        }
    }

    /// Takes the sample that is due, unless the metric is not measured any more.
    fn take(&mut self, at: Timestamp, tallies: &mut Vec<Tally>) {
        let name = &self.metric.name;
        let Some(((_, sample), rest)) = self
            .to_come
            .split_first()
            .filter(|((due, _), _)| *due == at)
        else {
            return;
        };
        let known = Tally::among(tallies, name);
        if known.is_some_and(|tally| judge::is_complete(self.metric, tally)) {
            return;
        }
        self.to_come = rest;
        judge::add(tallies, &self.kept, sample, at);
        let Some(tally) = Tally::among(tallies, name) else {
            return;
        };
        let verdict = judgement(&judge::verdict(self.metric, tally));
        let before = self
            .taken
            .last()
            .map_or(Judgement::Undecided, |last| last.verdict);
        if verdict != before {
            self.verdict_at = Some(at);
        }
        let last = tally.measurements.last();
        self.taken.push(Taken {
            at,
            value: number(sample, tally),
            shown: tally.value.clone(),
            result: last.map_or(SampleResult::Error, |last| last.result),
            message: tally.message.clone(),
            passed: tally.passed,
            failed: tally.failed,
            inconclusive: tally.inconclusive,
            errors: tally.errors,
            no_data: tally.no_data,
            successes: tally.successes,
            verdict,
        });
    }

    fn replayed(self, tallies: &[Tally]) -> Replayed {
        let metric = self.metric;
        let tally = Tally::among(tallies, &metric.name);
        let none = Tally::of(&metric.name);
        let verdict = judge::verdict(metric, tally.unwrap_or(&none));
        let not_taken = self.to_come.iter().map(|(at, sample)| NotTaken {
            at: *at,
            value: number(sample, &none),
        });
        Replayed {
            name: metric.name.clone(),
            interval: self.interval,
            is_dry_run: metric.is_dry_run(),
            is_comparison: metric.provider.compare.is_some(),
            thresholds: thresholds_of(metric),
            verdict: judgement(&verdict),
            verdict_at: self.verdict_at,
            because: match verdict {
                Verdict::Bad(because) => because,
                Verdict::Undecided | Verdict::Good => judge::words(metric, tally),
            },
            samples: self.taken,
            not_taken: not_taken.collect(),
        }
    }
}

fn judgement(verdict: &Verdict) -> Judgement {
    match verdict {
        Verdict::Undecided => Judgement::Undecided,
        Verdict::Good => Judgement::Good,
        Verdict::Bad(_) => Judgement::Bad,
    }
}

/// A sample as a number. Of several it is the one that the judge shows, else the last.
fn number(sample: &Sample, tally: &Tally) -> Option<f64> {
    let number = match sample {
        Sample::Value(value) => Some(*value),
        Sample::Values(values) => {
            let shown = tally.value.as_deref().and_then(|value| value.parse().ok());
            shown.or_else(|| values.last().copied())
        }
        Sample::Compared(look) => Some(look.evidence.shift * 100.0),
        Sample::Verdict { .. } | Sample::Empty | Sample::Error(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// What the values of a metric are compared with.
fn thresholds_of(metric: &Metric) -> Vec<f64> {
    if let Some(of) = &metric.provider.compare {
        let percent = of.tolerance() * 100.0;
        return match of.worse() {
            Worse::Higher => vec![percent],
            Worse::Lower => vec![-percent],
        };
    }
    let mut all: Vec<f64> = metric
        .conditions()
        .flat_map(|(_, text)| thresholds(text))
        .collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
