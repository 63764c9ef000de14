//! From samples to a verdict: counts, and what they mean. No I/O.
//!
//! A sample is bad when `fail` holds, good when `pass` does, and inconclusive otherwise. An analysis is
//! over as soon as one limit is passed; it is good only with enough good samples. No data is not success.

use jiff::Timestamp;

use super::{Sample, expression};
use crate::analysis::api::{Metric, NoData};
use crate::model::condition::truncate;
use crate::rollout::api::Tally;

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

/// Counts one more sample.
#[must_use]
pub fn count(metric: &Metric, tally: &Tally, sample: &Sample, now: Timestamp) -> Tally {
    let mut tally = Tally {
        at: Some(now),
        message: None,
        value: None,
        ..tally.clone()
    };
    match sample {
        Sample::Value(value) => {
            tally.value = Some(shown(*value));
            tally.no_data = 0;
            match judge(metric, *value) {
                Ok(Some(true)) => tally.passed = tally.passed.saturating_add(1),
                Ok(Some(false)) => tally.failed = tally.failed.saturating_add(1),
                Ok(None) => tally.inconclusive = tally.inconclusive.saturating_add(1),
                Err(problem) => return errored(tally, &problem),
            }
            tally.errors = 0;
        }
        Sample::Values(values) => return count_worst(metric, tally, values),
        Sample::Verdict { is_good, message } => {
            tally.errors = 0;
            tally.no_data = 0;
            tally.message = Some(truncate(message, MAX_PROBLEM).to_owned());
            if *is_good {
                tally.passed = tally.passed.saturating_add(1);
            } else {
                tally.failed = tally.failed.saturating_add(1);
            }
        }
        Sample::Empty => {
            tally.errors = 0;
            tally.no_data = tally.no_data.saturating_add(1);
            tally.message = Some("no data".to_owned());
            match metric.no_data() {
                NoData::Wait => {}
                NoData::Fail => tally.failed = tally.failed.saturating_add(1),
                NoData::Pass => tally.passed = tally.passed.saturating_add(1),
            }
        }
        Sample::Error(problem) => return errored(tally, problem),
    }
    tally
}

/// Counts one sample of several numbers: as bad, in between or good as the worst of them, which is the one to show.
fn count_worst(metric: &Metric, mut tally: Tally, values: &[f64]) -> Tally {
    let mut worst: Option<(Option<bool>, f64)> = None;
    for value in values {
        let judged = match judge(metric, *value) {
            Ok(judged) => judged,
            Err(problem) => return errored(tally, &problem),
        };
        let rank = |judged: Option<bool>| match judged {
            Some(false) => 2,
            None => 1,
            Some(true) => 0,
        };
        // Of several that are as bad, the latest.
        if worst.is_none_or(|(known, _)| rank(judged) >= rank(known)) {
            worst = Some((judged, *value));
        }
    }
    let Some((judged, value)) = worst else {
        return errored(tally, "an answer without numbers");
    };
    let counter = match judged {
        Some(true) => &mut tally.passed,
        Some(false) => &mut tally.failed,
        None => &mut tally.inconclusive,
    };
    *counter = counter.saturating_add(1);
    tally.value = Some(shown(value));
    tally.errors = 0;
    tally.no_data = 0;
    tally
}

fn errored(mut tally: Tally, problem: &str) -> Tally {
    tally.errors = tally.errors.saturating_add(1);
    tally.message = Some(truncate(problem, MAX_PROBLEM).to_owned());
    tally
}

/// True for good, false for bad, nothing for neither.
fn judge(metric: &Metric, value: f64) -> Result<Option<bool>, String> {
    let pass = metric.pass.as_ref().ok_or("the metric has no `pass`")?;
    if let Some(fail) = &metric.fail
        && expression::evaluate(fail, value)?
    {
        return Ok(Some(false));
    }
    let passes = expression::evaluate(pass, value)?;
    // Without a `fail`, whatever does not pass is bad: one condition should do for simple cases.
    Ok(match (passes, &metric.fail) {
        (true, _) => Some(true),
        (false, None) => Some(false),
        (false, Some(_)) => None,
    })
}

/// What the counts mean.
pub fn verdict(metric: &Metric, tally: &Tally) -> Verdict {
    let value = tally.value.as_deref().unwrap_or("none");
    let name = &metric.name;
    if tally.failed > metric.failure_limit() {
        let limit = metric.failure_limit();
        let count = tally.failed;
        return Verdict::Bad(format!(
            "{name}: {count} bad samples, {limit} forgiven; last value {value}"
        ));
    }
    if tally.errors > metric.error_limit() {
        let problem = tally.message.as_deref().unwrap_or("no answer");
        return Verdict::Bad(format!(
            "{name}: {} errors in a row; last: {problem}",
            tally.errors
        ));
    }
    if tally.inconclusive > metric.inconclusive_limit() {
        let count = tally.inconclusive;
        return Verdict::Bad(format!(
            "{name}: {count} samples neither good nor bad; last value {value}"
        ));
    }
    if tally.passed >= metric.min_samples() {
        Verdict::Good
    } else {
        Verdict::Undecided
    }
}

/// Whether the metric is measured again.
pub fn is_complete(metric: &Metric, tally: &Tally) -> bool {
    metric.count.is_some_and(|count| samples(tally) >= count)
}

/// Samples that were judged.
pub fn samples(tally: &Tally) -> u32 {
    let decided = tally.passed.saturating_add(tally.failed);
    decided.saturating_add(tally.inconclusive)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn metric(extra: &Value) -> Metric {
        let mut metric = json!({
            "name": "success-rate", "pass": "value >= 0.99", "fail": "value < 0.95",
            "prometheus": {"address": "http://prom", "query": "up"},
        });
        json_patch::merge(&mut metric, extra);
        serde_json::from_value(metric).unwrap()
    }

    fn after(metric: &Metric, samples: &[Sample]) -> (Tally, Verdict) {
        let tally = samples
            .iter()
            .fold(Tally::default(), |tally, s| count(metric, &tally, s, NOW));
        let verdict = verdict(metric, &tally);
        (tally, verdict)
    }

    fn error() -> Sample {
        Sample::Error("refused".into())
    }

    #[test]
    fn verdicts() {
        use Sample::{Empty, Value};
        let forgiving = metric(&json!({"failureLimit": 1}));
        let strict = metric(&json!({}));
        let patient = metric(&json!({"minSamples": 3}));
        let one_condition = metric(&json!({"fail": null}));
        let table: &[(&str, &Metric, Vec<Sample>, bool, bool)] = &[
            (
                "nothing measured decides nothing",
                &strict,
                vec![],
                false,
                false,
            ),
            (
                "one good sample is enough by default",
                &strict,
                vec![Value(1.0)],
                true,
                false,
            ),
            (
                "one bad sample is too much by default",
                &strict,
                vec![Value(0.5)],
                false,
                true,
            ),
            (
                "a forgiven sample is no success",
                &forgiving,
                vec![Value(0.5)],
                false,
                false,
            ),
            (
                "nor is it a failure",
                &forgiving,
                vec![Value(0.5), Value(1.0)],
                true,
                false,
            ),
            (
                "one more is",
                &forgiving,
                vec![Value(0.5), Value(1.0), Value(0.5)],
                false,
                true,
            ),
            (
                "min samples are waited for",
                &patient,
                vec![Value(1.0), Value(1.0)],
                false,
                false,
            ),
            (
                "no data is not success",
                &patient,
                vec![Empty; 50],
                false,
                false,
            ),
            (
                "in between is neither",
                &strict,
                vec![Value(0.97); 3],
                false,
                false,
            ),
            (
                "but not for ever",
                &strict,
                vec![Value(0.97); 4],
                false,
                true,
            ),
            (
                "with one condition there is no between",
                &one_condition,
                vec![Value(0.97)],
                false,
                true,
            ),
            (
                "errors are forgiven",
                &strict,
                vec![error(), error(), Value(1.0)],
                true,
                false,
            ),
            (
                "but not in a row for ever",
                &strict,
                vec![error(); 5],
                false,
                true,
            ),
            (
                "infinity is a value",
                &strict,
                vec![Value(f64::INFINITY)],
                true,
                false,
            ),
        ];
        for (claim, metric, samples, good, bad) in table {
            let (tally, verdict) = after(metric, samples);
            assert_eq!(verdict == Verdict::Good, *good, "{claim}: {tally:?}");
            assert_eq!(
                matches!(verdict, Verdict::Bad(_)),
                *bad,
                "{claim}: {tally:?}"
            );
        }
    }

    #[test]
    fn what_is_remembered_of_a_sample_is_short() {
        let page = Sample::Error("x".repeat(1 << 20));
        let (tally, _) = after(&metric(&json!({})), &[page]);
        assert_eq!(tally.message.unwrap().len(), MAX_PROBLEM);
        for (value, text) in [
            (f64::MAX, "1.7976931348623157e308"),
            (1e-300, "1e-300"),
            (0.25, "0.25"),
        ] {
            let (tally, _) = after(&metric(&json!({})), &[Sample::Value(value)]);
            assert_eq!(tally.value.unwrap(), text);
        }
    }

    #[test]
    fn several_numbers_are_as_good_as_the_worst_of_them() {
        let strict = metric(&json!({}));
        for (values, passed, failed, shown) in [
            (vec![1.0, 0.999], 1, 0, "0.999"),
            (vec![1.0, 0.97, 1.0], 0, 0, "0.97"),
            (vec![0.5, 0.97, 1.0], 0, 1, "0.5"),
        ] {
            let (tally, _) = after(&strict, &[Sample::Values(values)]);
            assert_eq!((tally.passed, tally.failed), (passed, failed));
            assert_eq!(tally.value.as_deref(), Some(shown));
        }
        let (tally, _) = after(&strict, &[Sample::Values(Vec::new())]);
        assert_eq!(tally.errors, 1);
    }

    #[test]
    fn a_verdict_of_others_is_counted_as_it_is() {
        let verdict = |is_good| Sample::Verdict {
            is_good,
            message: "as the Job says".into(),
        };
        let good = after(&metric(&json!({})), &[verdict(true)]);
        assert_eq!(good.1, Verdict::Good);
        let bad = after(&metric(&json!({})), &[verdict(false)]);
        assert!(matches!(bad.1, Verdict::Bad(_)));
    }

    #[test]
    fn an_answer_ends_a_row_of_errors() {
        let (tally, _) = after(&metric(&json!({})), &[error(), error(), Sample::Empty]);
        assert_eq!(tally.errors, 0);
    }

    #[test]
    fn what_no_data_means_can_be_chosen() {
        let empty = [Sample::Empty];
        let bad = after(&metric(&json!({"noData": "Fail"})), &empty).1;
        assert!(matches!(bad, Verdict::Bad(_)));
        assert_eq!(
            after(&metric(&json!({"noData": "Pass"})), &empty).1,
            Verdict::Good
        );
    }
}
