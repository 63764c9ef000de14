//! What tools have really written: ruff 0.17, bandit 1.9, radon 6, pip-audit 2.

use super::*;
use crate::pipeline_run::api::FindingCategory;

fn read(format: ReportFormat, text: &str) -> Result<ReportSummary, String> {
    let mut collected = Collected::default();
    let added = collected.add(format, "recorded", text.as_bytes());
    added.map_err(|error| error.to_string())?;
    Ok(collected.summary)
}

/// Ids and places of what was found in the code.
fn found(text: &str) -> Vec<(String, String)> {
    let summary = read(ReportFormat::Sarif, text).unwrap();
    let set = summary.findings_of(FindingCategory::Code).unwrap();
    let found = set.worst.iter();
    found.map(|one| (one.id.clone(), one.at.clone())).collect()
}

#[test]
fn linters_that_found_something_and_nothing_are_read() {
    for clean in [
        include_str!("../../tests/data/report/ruff-clean.sarif"),
        include_str!("../../tests/data/report/bandit-clean.sarif"),
    ] {
        assert_eq!(found(clean), []);
    }
    let ruff = found(include_str!("../../tests/data/report/ruff.sarif"));
    let place = "file:///workspace/source/a.py:1";
    assert_eq!(ruff, [("F401".to_owned(), place.to_owned())]);
    let bandit = found(include_str!("../../tests/data/report/bandit.sarif"));
    assert_eq!(bandit, [("B307".to_owned(), "a.py:6".to_owned())]);
    let radon = include_str!("../../tests/data/report/radon.json");
    let complexity = read(ReportFormat::Radon, radon)
        .unwrap()
        .complexity
        .unwrap();
    assert_eq!((complexity.functions, complexity.highest), (1, 2));
}

/// It ends with 0 and says that nothing is known, where its index has no such package: of a mirror, that is all of them.
#[test]
fn an_audit_that_has_audited_nothing_is_no_report() {
    let text = include_str!("../../tests/data/report/pip-audit-skipped.json");
    let said = read(ReportFormat::PipAudit, text).unwrap_err();
    assert_eq!(
        said,
        "pip-audit has audited none of the dependencies, 1 in all: Dependency not found on PyPI and could not be audited: jinja2 (2.10)"
    );
}
