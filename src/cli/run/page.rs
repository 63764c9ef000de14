//! A run as a page of its own, and its coverage as a badge. No I/O.
//!
//! What people's code says is text: it is escaped, and the page has no script and loads nothing.

use std::fmt::Write;

use kube::ResourceExt;

use crate::cli::text::escaped;
use crate::gate::coverage::shown;
use crate::gate::{Evidence, finding};
use crate::pipeline_run::api::{Artifact, Coverage, PipelineRun, PipelineRunStatus};

/// Looks of the page.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}";
/// Width of a character of the badge, in pixels.
const WIDE: usize = 7;

/// The page.
pub fn page(run: &PipelineRun) -> String {
    let status = run.status.clone().unwrap_or_default();
    let name = escaped(&run.name_any());
    let phase = status.phase.unwrap_or_default();
    let message = escaped(status.message.as_deref().unwrap_or_default());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title><style>{STYLE}</style></head><body>\n\
         <h1>{name}: {phase}</h1>\n<p>{message}</p>\n"
    );
    table(&mut page, "Run", &facts(run, &status));
    let stages = status.stages.iter().map(|stage| {
        let said = stage.message.clone().unwrap_or_default();
        vec![stage.name.clone(), stage.phase.to_string(), said]
    });
    table(&mut page, "Stages", &stages.collect::<Vec<_>>());
    let gates = status.gates.iter().map(|gate| {
        let measured = gate.measured.clone().unwrap_or_default();
        let asked = gate.threshold.clone().unwrap_or_default();
        vec![gate.name.clone(), gate.result.to_string(), measured, asked]
    });
    table(&mut page, "Gates", &gates.collect::<Vec<_>>());
    let failed = status.stages.iter().flat_map(|stage| {
        let tests = stage.failed_tests.iter();
        tests.map(|test| {
            let said = test.message.clone().unwrap_or_default();
            vec![stage.name.clone(), test.name.clone(), said]
        })
    });
    table(&mut page, "Tests that failed", &failed.collect::<Vec<_>>());
    table(&mut page, "Findings", &findings(&status));
    page.push_str("</body></html>\n");
    page
}

/// The share of lines that tests reached, as an SVG badge.
///
/// # Errors
/// If no stage left a report of coverage.
pub fn badge(run: &PipelineRun) -> Result<String, String> {
    let status = run.status.clone().unwrap_or_default();
    let percent = coverage(&status).and_then(|coverage| coverage.line_percent());
    let percent = percent.ok_or_else(|| {
        format!(
            "no stage of run {} left a report of coverage",
            run.name_any()
        )
    })?;
    let colour = match percent {
        80.0.. => "#2e7d32",
        50.0.. => "#b26a00",
        _ => "#b71c1c",
    };
    let said = format!("{} %", shown(percent));
    let (left, right) = ("coverage".len() * WIDE + 12, said.len() * WIDE + 12);
    let whole = left + right;
    let (first, second) = (left / 2, left + right / 2);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"coverage: {said}\">\
         <rect width=\"{left}\" height=\"20\" fill=\"#555\"/><rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"sans-serif\" font-size=\"11\">\
         <text x=\"{first}\" y=\"14\">coverage</text><text x=\"{second}\" y=\"14\">{said}</text></g></svg>\n"
    ))
}

fn facts(run: &PipelineRun, status: &PipelineRunStatus) -> Vec<Vec<String>> {
    let tests = status.tests.map(|tests| {
        let (passed, total, flaky) = (tests.passed, tests.total, tests.flaky);
        format!("{passed} of {total} passed, {flaky} of them flaky")
    });
    let covered = coverage(status).and_then(|coverage| coverage.line_percent());
    let made = status.artifacts.iter().map(Artifact::pinned);
    let made: Vec<String> = made.collect();
    let all = [
        ("Pipeline", Some(run.spec.pipeline_ref.name.clone())),
        ("Ref", Some(run.spec.git_ref.clone())),
        ("Commit", status.sha.clone()),
        ("Tests", tests),
        (
            "Coverage",
            covered.map(|covered| format!("{} % of lines", shown(covered))),
        ),
        ("Made", (!made.is_empty()).then(|| made.join(", "))),
        ("Release", status.release.clone()),
    ];
    let known = all.into_iter();
    known
        .filter_map(|(name, value)| Some(vec![name.to_owned(), value?]))
        .collect()
}

fn coverage(status: &PipelineRunStatus) -> Option<Coverage> {
    let evidence = Evidence {
        stages: &status.stages,
        made: &[],
        baseline: None,
    };
    evidence.scope(&[]).now.coverage
}

fn findings(status: &PipelineRunStatus) -> Vec<Vec<String>> {
    let stages = status.stages.iter();
    let found = stages.flat_map(|stage| {
        let sets = stage.reports.iter().flat_map(|reports| &reports.findings);
        let worst = sets.flat_map(|set| &set.worst);
        worst.map(|found| {
            let severity = finding::word(found.severity).to_owned();
            vec![stage.name.clone(), severity, finding::words(found)]
        })
    });
    found.collect()
}

fn table(page: &mut String, heading: &str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    // Writing to a text does not fail.
    let _ = write!(page, "<h2>{heading}</h2>\n<table>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escaped(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> PipelineRun {
        serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "api-1"},
            "spec": {"pipelineRef": {"name": "api"}, "ref": "refs/heads/main", "sha": "a".repeat(40),
                     "trigger": {"kind": "Push", "actor": "slipway"}},
            "status": {
                "phase": "Failed", "message": "stage unit: 1 of 12 tests failed", "sha": "a".repeat(40),
                "tests": {"total": 12, "passed": 11, "failed": 1, "skipped": 0},
                "stages": [{"name": "unit", "type": "Test", "phase": "Failed", "message": "1 of 12 tests failed",
                    "failedTests": [{"name": "<script>alert(1)</script>", "message": "a & \"b\""}],
                    "reports": {"coverage": {"lines": 200, "coveredLines": 163, "branches": 0, "coveredBranches": 0}}}],
                "gates": [{"name": "tests", "result": "Failed", "measured": "1 failed"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_run_is_a_page_of_its_own() {
        let page = page(&run());
        assert!(!page.contains("<script"), "{page}");
        insta::assert_snapshot!(page);
    }

    #[test]
    fn coverage_is_a_badge_where_there_is_any() {
        insta::assert_snapshot!(badge(&run()).unwrap());
        let mut none = run();
        none.status = None;
        assert!(badge(&none).unwrap_err().contains("api-1"));
    }
}
