//! Where the evidence for a gate comes from: whether any stage leaves a report that it could judge. No I/O.

use crate::pipeline::api::{Gate, ReportFormat, Reports, Stage};

/// What a gate lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It has no check.
    Check,
    /// No stage leaves a report for its check: the check's field, and the fields of reports that would do.
    Report(&'static str, &'static str),
}

/// What a gate lacks, if anything.
pub fn missing(gate: &Gate, stages: &[Stage]) -> Option<Missing> {
    use ReportFormat as F;
    let (check, wanted, formats): (_, _, &[F]) = if gate.result.is_some() || gate.cel.is_some() {
        return None;
    } else if gate.tests.is_some() {
        ("tests", "reports.junit", &[F::Junit])
    } else if gate.coverage.is_some() {
        let wanted = "reports.cobertura, lcov or jacoco";
        ("coverage", wanted, &[F::Cobertura, F::Lcov, F::Jacoco])
    } else if gate.complexity.is_some() {
        ("complexity", "reports.radon", &[F::Radon])
    } else if gate.vulnerabilities.is_some() {
        let wanted = "reports.osv, pipAudit, npmAudit, cyclonedx or sarif";
        let formats = &[F::Osv, F::PipAudit, F::NpmAudit, F::CycloneDx, F::Sarif];
        ("vulnerabilities", wanted, formats)
    } else if gate.findings.is_some() {
        if in_scope(gate, stages).any(has_problems) {
            return None;
        }
        ("findings", "reports.sarif or problems", &[F::Sarif])
    } else if gate.secrets.is_some() {
        let formats = &[F::Gitleaks, F::Sarif];
        ("secrets", "reports.gitleaks or sarif", formats)
    } else if gate.licences.is_some() {
        ("licences", "reports.cyclonedx", &[F::CycloneDx])
    } else if gate.benchmarks.is_some() {
        ("benchmarks", "reports.benchmarks", &[F::Benchmarks])
    } else if gate.latency.is_some() {
        ("latency", "reports.k6", &[F::K6])
    } else if gate.accessibility.is_some() {
        let formats = &[F::Axe, F::Lighthouse];
        ("accessibility", "reports.axe or lighthouse", formats)
    } else if gate.size.is_some() {
        let makes = |stage: &Stage| stage.build.is_some() || !stage.packages.is_empty();
        let is_made = in_scope(gate, stages).any(makes);
        return (!is_made).then_some(Missing::Report("size", "build or packages"));
    } else {
        return Some(Missing::Check);
    };
    let has_one = in_scope(gate, stages).any(|stage| {
        let reports = stage.reports.as_ref();
        let mut left = reports.into_iter().flat_map(Reports::by_format);
        left.any(|(format, _)| formats.contains(&format))
    });
    (!has_one).then_some(Missing::Report(check, wanted))
}

fn in_scope<'a>(gate: &'a Gate, stages: &'a [Stage]) -> impl Iterator<Item = &'a Stage> {
    let is_in = |stage: &&Stage| gate.from.is_empty() || gate.from.contains(&stage.name);
    stages.iter().filter(is_in)
}

fn has_problems(stage: &Stage) -> bool {
    let reports = stage.reports.as_ref();
    reports.is_some_and(|reports| !reports.problems.is_empty())
}
