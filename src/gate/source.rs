//! Where the evidence for a gate comes from: which reports it judges, and whether any stage leaves one. No I/O.

use crate::pipeline::api::{Gate, ReportFormat, Reports, Stage};

/// What a gate lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It has no check.
    Check,
    /// No stage leaves a report for its check: the check's field, and the fields of reports that would do.
    Report(&'static str, &'static str),
}

/// The reports that a check judges.
struct Source {
    /// The check's field.
    check: &'static str,
    /// The fields of reports that would do, in words.
    wanted: &'static str,
    formats: &'static [ReportFormat],
}

/// What each check judges. A condition has the same names for it.
const SOURCES: &[Source] = {
    use ReportFormat as F;
    const fn source(
        check: &'static str,
        wanted: &'static str,
        formats: &'static [ReportFormat],
    ) -> Source {
        Source {
            check,
            wanted,
            formats,
        }
    }
    &[
        source("tests", "reports.junit", &[F::Junit]),
        source(
            "coverage",
            "reports.cobertura, lcov or jacoco",
            &[F::Cobertura, F::Lcov, F::Jacoco],
        ),
        source("complexity", "reports.radon", &[F::Radon]),
        source(
            "vulnerabilities",
            "reports.osv, pipAudit, npmAudit, cyclonedx or sarif",
            &[F::Osv, F::PipAudit, F::NpmAudit, F::CycloneDx, F::Sarif],
        ),
        source("findings", "reports.sarif or problems", &[F::Sarif]),
        source(
            "secrets",
            "reports.gitleaks or sarif",
            &[F::Gitleaks, F::Sarif],
        ),
        source("licences", "reports.cyclonedx", &[F::CycloneDx]),
        source("benchmarks", "reports.benchmarks", &[F::Benchmarks]),
        source("latency", "reports.k6", &[F::K6]),
        source(
            "accessibility",
            "reports.axe or lighthouse",
            &[F::Axe, F::Lighthouse],
        ),
    ]
};

/// What the check of a gate judges; nothing of one that judges something else, or whatever there is.
fn source(gate: &Gate) -> Option<&'static Source> {
    let checks = [
        ("tests", gate.tests.is_some()),
        ("coverage", gate.coverage.is_some()),
        ("complexity", gate.complexity.is_some()),
        ("vulnerabilities", gate.vulnerabilities.is_some()),
        ("findings", gate.findings.is_some()),
        ("secrets", gate.secrets.is_some()),
        ("licences", gate.licences.is_some()),
        ("benchmarks", gate.benchmarks.is_some()),
        ("latency", gate.latency.is_some()),
        ("accessibility", gate.accessibility.is_some()),
    ];
    let (check, _) = checks.into_iter().find(|(_, is_set)| *is_set)?;
    SOURCES.iter().find(|source| source.check == check)
}

/// Whether a gate judges reports of a format. A condition judges what it names.
pub fn judges(gate: &Gate, format: ReportFormat) -> bool {
    let has = |source: &Source| source.formats.contains(&format);
    let Some(condition) = &gate.cel else {
        return source(gate).is_some_and(has);
    };
    let mut named = SOURCES
        .iter()
        .filter(|source| condition.contains(source.check));
    named.any(has)
}

/// What a gate lacks, if anything.
pub fn missing(gate: &Gate, stages: &[Stage]) -> Option<Missing> {
    if gate.result.is_some() || gate.cel.is_some() {
        return None;
    }
    if gate.size.is_some() {
        let makes = |stage: &Stage| stage.build.is_some() || !stage.packages.is_empty();
        let is_made = in_scope(gate, stages).any(makes);
        return (!is_made).then_some(Missing::Report("size", "build or packages"));
    }
    let Some(source) = source(gate) else {
        return Some(Missing::Check);
    };
    if gate.findings.is_some() && in_scope(gate, stages).any(has_problems) {
        return None;
    }
    let has_one = in_scope(gate, stages).any(|stage| {
        let reports = stage.reports.as_ref();
        let mut left = reports.into_iter().flat_map(Reports::by_format);
        left.any(|(format, _)| source.formats.contains(&format))
    });
    (!has_one).then_some(Missing::Report(source.check, source.wanted))
}

fn in_scope<'a>(gate: &'a Gate, stages: &'a [Stage]) -> impl Iterator<Item = &'a Stage> {
    let is_in = |stage: &&Stage| gate.from.is_empty() || gate.from.contains(&stage.name);
    stages.iter().filter(is_in)
}

fn has_problems(stage: &Stage) -> bool {
    let reports = stage.reports.as_ref();
    reports.is_some_and(|reports| !reports.problems.is_empty())
}
