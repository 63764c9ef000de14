//! What fuzzers drive: everything that reads what code of other people's wrote. No I/O.
//!
//! Each function takes any bytes, and fails when what must hold does not. `fuzz/` has a target for each; a short run with
//! the same functions is part of the tests.

use crate::pipeline::api::{ProblemMatcher, ReportFormat};
use crate::pipeline_run::api::ReportSummary;
use crate::report::changed::{self, Changed};
use crate::report::problem::Problems;
use crate::report::{Collected, bounds};
use crate::runner::report::{LIMIT, SourceReport, StageReport};

/// A report: the first byte chooses its format.
///
/// # Panics
/// If what must hold does not.
pub fn report(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let at = usize::from(*first) % ReportFormat::ALL.len();
    let Some(format) = ReportFormat::ALL.get(at) else {
        return;
    };
    let mut collected = Collected {
        changed: Some(Changed::new(changed::read(bytes), "/workspace/source")),
        ..Collected::default()
    };
    let before = collected.clone();
    if collected.add(*format, "fuzz", bytes).is_err() {
        assert_eq!(collected, before, "what cannot be read adds nothing");
        return;
    }
    is_bounded(&collected.summary);
    let twice = collected.summary.clone();
    if collected.summary.merge(twice).is_ok() {
        is_bounded(&collected.summary);
    }
    let (tests, failed, flaky) = match collected.tests {
        Some(tests) => (Some(tests.counts), tests.failed, tests.flaky),
        None => (None, Vec::new(), Vec::new()),
    };
    let report = StageReport {
        tests,
        failed_tests: failed,
        flaky_tests: flaky,
        reports: Some(collected.summary),
        ..StageReport::default()
    };
    for limit in [LIMIT, 1024] {
        let text = report.clone().encode_within(limit);
        assert!(text.len() <= limit, "{} bytes", text.len());
        assert!(StageReport::parse(&text).is_some(), "{text}");
    }
}

/// What a container left as its last words: a script can write them itself.
///
/// # Panics
/// If what must hold does not.
pub fn termination_message(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(report) = StageReport::parse(&text) {
        if let Some(summary) = &report.reports {
            is_bounded(summary);
        }
        let text = report.encode();
        assert!(text.len() <= LIMIT, "{} bytes", text.len());
    }
    if let Some(report) = SourceReport::parse(&text) {
        let _ = report.commits();
    }
}

/// The output of a script.
///
/// # Panics
/// If what must hold does not.
pub fn output(data: &[u8]) {
    let mut problems = Problems::of(ProblemMatcher::ALL);
    for piece in data.chunks(13) {
        problems.take_in(piece);
    }
    let findings = problems.finish().into_iter().collect();
    is_bounded(&ReportSummary {
        findings,
        ..ReportSummary::default()
    });
}

/// What a summary holds is within what a status takes.
fn is_bounded(summary: &ReportSummary) {
    let mut kept = summary.clone();
    bounds::keep(&mut kept);
    assert_eq!(&kept, summary, "beyond the bounds");
    let size = serde_json::to_vec(summary).map_or(0, |bytes| bytes.len());
    assert!(size < 48 << 10, "{size} bytes");
}

#[cfg(test)]
mod tests;
