//! Cuts a summary that came from a pod to what a status holds: whoever wrote it may not be our runner. No I/O.

use super::finding::{MARK, MAX_MARKS, MAX_WORST, printable};
use super::{benchmark, licence, missing};
use crate::pipeline_run::api::{FindingSet, ReportSummary};

/// Leaves out what is beyond the bounds, and what is no number.
pub fn keep(summary: &mut ReportSummary) {
    missing::keep(summary);
    summary.findings.truncate(8);
    let mut seen = Vec::new();
    summary.findings.retain(|set| {
        let is_new = !seen.contains(&set.category);
        seen.push(set.category);
        is_new
    });
    summary.findings.iter_mut().for_each(keep_findings);
    let licences = std::mem::take(&mut summary.licences);
    for (name, number) in licences {
        licence::add(summary, printable(&name, 80), number);
    }
    summary.benchmarks.retain(|one| one.value.is_finite());
    for one in &mut summary.benchmarks {
        one.name = printable(&one.name, 96);
        one.unit = printable(&one.unit, 16);
        one.deviation = one.deviation.filter(|deviation| deviation.is_finite());
    }
    summary.benchmarks.retain(|one| !one.name.is_empty());
    summary.benchmarks.truncate(benchmark::MAX_BENCHMARKS);
    summary.benchmarks.dedup_by(|a, b| a.name == b.name);
    for one in &mut summary.latency {
        one.name = printable(&one.name, 96);
    }
    summary.latency.retain(|one| !one.name.is_empty());
    summary.latency.truncate(8);
    summary.latency.dedup_by(|a, b| a.name == b.name);
    if let Some(complexity) = &mut summary.complexity {
        let at = complexity.highest_at.take();
        complexity.highest_at = at.map(|at| printable(&at, 160));
    }
}

fn keep_findings(set: &mut FindingSet) {
    let is_whole = set.marks.is_ascii()
        && set.marks.len().is_multiple_of(MARK)
        && set.marks.len() <= MAX_MARKS * MARK
        && set.each_mark().count() == set.marks.len() / MARK;
    if !is_whole {
        set.marks.clear();
    }
    set.worst.truncate(MAX_WORST);
    for finding in &mut set.worst {
        finding.id = printable(&finding.id, 64);
        finding.at = printable(&finding.at, 120);
        finding.text = printable(&finding.text, 100);
    }
}
