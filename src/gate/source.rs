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

/// The reports that the check of a gate judges; nothing of one that judges something else, or whatever there is.
fn source(gate: &Gate) -> Option<Source> {
    use ReportFormat as F;
    let (check, wanted, formats): (_, _, &[F]) = if gate.tests.is_some() {
        ("tests", "reports.junit", &[F::Junit])
    } else if gate.coverage.is_some() {
        let wanted = "reports.cobertura, lcov or jacoco";
        ("coverage", wanted, &[F::Cobertura, F::Lcov, F::Jacoco])
    } else if gate.complexity.is_some() {
        ("complexity", "reports.radon", &[F::Radon])
    } else if gate.vulnerabilities.is_some() {
        let wanted = "reports.osv, pipAudit, npmAudit, cyclonedx or sarif";
        ("vulnerabilities", wanted, VULNERABILITIES)
    } else if gate.findings.is_some() {
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
    } else {
        return None;
    };
    Some(Source {
        check,
        wanted,
        formats,
    })
}

const VULNERABILITIES: &[ReportFormat] = &[
    ReportFormat::Osv,
    ReportFormat::PipAudit,
    ReportFormat::NpmAudit,
    ReportFormat::CycloneDx,
    ReportFormat::Sarif,
];

/// What conditions name, and the reports that tell it.
const NAMED: &[(&str, &[ReportFormat])] = {
    use ReportFormat as F;
    &[
        ("tests", &[F::Junit]),
        ("coverage", &[F::Cobertura, F::Lcov, F::Jacoco]),
        ("complexity", &[F::Radon]),
        ("vulnerabilities", VULNERABILITIES),
        ("findings", &[F::Sarif]),
        ("secrets", &[F::Gitleaks, F::Sarif]),
        ("accessibility", &[F::Axe, F::Lighthouse]),
        ("licences", &[F::CycloneDx]),
    ]
};

/// Whether a gate judges reports of a format. A condition judges what it names.
pub fn judges(gate: &Gate, format: ReportFormat) -> bool {
    let Some(condition) = &gate.cel else {
        return source(gate).is_some_and(|source| source.formats.contains(&format));
    };
    let mut named = NAMED.iter().filter(|(name, _)| condition.contains(name));
    named.any(|(_, formats)| formats.contains(&format))
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
