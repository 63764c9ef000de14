//! The rules once more, over the whole history of a metric instead of counts: what the judge is compared with. For tests.
//! No I/O.

use crate::analysis::api::{Metric, NoData, SampleResult};

/// What each sample counts as.
fn marks(metric: &Metric, history: &[SampleResult]) -> String {
    let mark = |result: &SampleResult| match (result, metric.no_data.unwrap_or_default()) {
        (SampleResult::Good, _) | (SampleResult::NoData, NoData::Pass) => '+',
        (SampleResult::Bad, _) | (SampleResult::NoData, NoData::Fail) => '-',
        (SampleResult::Inconclusive, _) => '?',
        (SampleResult::NoData, NoData::Wait) => ' ',
        (SampleResult::Error, _) => '!',
    };
    history.iter().map(mark).collect()
}

fn is_good(metric: &Metric, marks: &str) -> bool {
    let row = "+".repeat(metric.success_limit.map_or(0, |limit| limit as usize));
    let enough = marks.matches('+').count() >= metric.min_samples.map_or(1, |min| min as usize);
    enough && marks.ends_with(&row)
}

fn exceeds(marks: &str, mark: char, limit: Option<u32>, default: usize) -> bool {
    marks.matches(mark).count() > limit.map_or(default, |limit| limit as usize)
}

fn left(metric: &Metric, marks: &str) -> Option<usize> {
    let judged = marks.matches(['+', '-', '?']).count();
    let count = metric.count? as usize;
    Some(count.saturating_sub(judged))
}

/// `Some(true)` for good, `Some(false)` for bad.
pub(crate) fn verdict(metric: &Metric, history: &[SampleResult]) -> Option<bool> {
    let marks = marks(metric, history);
    let trailing = marks.chars().rev().take_while(|mark| *mark == '!');
    let errors: String = trailing.collect();
    let is_bad = exceeds(&marks, '-', metric.failure_limit, 0)
        || exceeds(&errors, '!', metric.error_limit, 4)
        || exceeds(&marks, '?', metric.inconclusive_limit, 3);
    if is_bad {
        return Some(false);
    }
    if is_good(metric, &marks) {
        return Some(true);
    }
    let best = left(metric, &marks).map(|left| marks + &"+".repeat(left));
    best.filter(|best| !is_good(metric, best)).map(|_| false)
}

/// Whether the metric is not measured again.
pub(super) fn is_over(metric: &Metric, history: &[SampleResult]) -> bool {
    let marks = marks(metric, history);
    left(metric, &marks) == Some(0) || (metric.success_limit.is_some() && is_good(metric, &marks))
}
