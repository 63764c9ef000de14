//! The gate on anything: a condition in CEL over all of the evidence. No I/O.
//!
//! What no report tells is not there: a condition that asks for it has no data, which is no pass. So a typing
//! mistake is told when the Pipeline is read (every name is known then), and a missing report when it is judged.

use std::collections::BTreeMap;

use super::{Check, Finding, Scope};
use crate::expression::{self, Fact};
use crate::pipeline_run::api::{
    Complexity, Coverage, FindingCategory, FindingSet, ReportSummary, Severities, TestCounts,
};

/// Holds the evidence against a condition.
pub fn check(condition: &str, scope: &Scope<'_>) -> Check {
    let facts = facts(scope.tests, &scope.now);
    match expression::evaluate(condition, expression::Scope::new(facts)) {
        Ok(true) => Check::measured("it holds", condition, None),
        Ok(false) => {
            let bad = "the condition does not hold; the reports of the stages say more".to_owned();
            Check::measured("it does not hold", condition, Some(bad))
        }
        Err(error) => Check {
            measured: None,
            threshold: condition.to_owned(),
            finding: Finding::NoData(format!(
                "{error}; a stage has to leave the report that the condition asks for"
            )),
        },
    }
}

/// Checks that a condition can be used. The error is for people.
pub fn problem(condition: &str) -> Option<String> {
    let trials = [0_u32, 1, 100].map(|number| expression::Scope::new(trial(number)));
    expression::check(condition, &trials).err()
}

type Group = BTreeMap<&'static str, Fact>;

fn facts(tests: Option<TestCounts>, reports: &ReportSummary) -> Vec<(&'static str, Fact)> {
    let groups = [
        ("tests", tests.map(of_tests)),
        ("coverage", reports.coverage.as_ref().and_then(of_coverage)),
        (
            "complexity",
            reports.complexity.as_ref().and_then(of_complexity),
        ),
        (
            "vulnerabilities",
            of_findings(reports, FindingCategory::Vulnerability),
        ),
        ("findings", of_findings(reports, FindingCategory::Code)),
        ("secrets", of_findings(reports, FindingCategory::Secret)),
        ("accessibility", of_pages(reports)),
        ("licences", of_licences(reports)),
    ];
    let groups = groups.into_iter();
    // A name that nothing is known of stays a name: what is asked below it is an error then.
    groups
        .map(|(name, group)| (name, Fact::Group(group.unwrap_or_default())))
        .collect()
}

fn whole(number: u32) -> Fact {
    Fact::Count(i64::from(number))
}

fn of_tests(counts: TestCounts) -> Group {
    let counts = [
        ("total", counts.total),
        ("passed", counts.passed),
        ("failed", counts.failed),
        ("skipped", counts.skipped),
        ("flaky", counts.flaky),
        ("quarantined", counts.quarantined),
    ];
    counts
        .into_iter()
        .map(|(name, number)| (name, whole(number)))
        .collect()
}

fn of_coverage(coverage: &Coverage) -> Option<Group> {
    let mut group = Group::from([("line", Fact::Number(coverage.line_percent()?))]);
    if let Some(branch) = coverage.branch_percent() {
        group.insert("branch", Fact::Number(branch));
    }
    Some(group)
}

fn of_complexity(complexity: &Complexity) -> Option<Group> {
    let average = Fact::Number(complexity.average()?);
    let (max, functions) = (whole(complexity.highest), whole(complexity.functions));
    Some(Group::from([
        ("max", max),
        ("average", average),
        ("functions", functions),
    ]))
}

fn of_findings(reports: &ReportSummary, category: FindingCategory) -> Option<Group> {
    let set: &FindingSet = reports.findings_of(category)?;
    let mut group = severities(&set.total);
    if category == FindingCategory::Vulnerability {
        group.insert("unfixed", whole(set.unfixed.sum()));
    }
    Some(group)
}

fn severities(counts: &Severities) -> Group {
    Group::from([
        ("critical", whole(counts.critical)),
        ("high", whole(counts.high)),
        ("medium", whole(counts.medium)),
        ("low", whole(counts.low)),
        ("total", whole(counts.sum())),
    ])
}

fn of_pages(reports: &ReportSummary) -> Option<Group> {
    let mut group = of_findings(reports, FindingCategory::Accessibility).unwrap_or_default();
    if let Some(score) = reports.scores.and_then(|scores| scores.accessibility) {
        group.insert("score", whole(score));
    }
    (!group.is_empty()).then_some(group)
}

fn of_licences(reports: &ReportSummary) -> Option<Group> {
    let names: Vec<String> = reports.licences.keys().cloned().collect();
    let is_known = !names.is_empty();
    is_known.then(|| Group::from([("names", Fact::Texts(names))]))
}

/// Everything that there may be, with the same number everywhere.
fn trial(number: u32) -> Vec<(&'static str, Fact)> {
    let counts = Severities {
        critical: number,
        high: number,
        medium: number,
        low: number,
    };
    let set = |category| FindingSet {
        total: counts,
        unfixed: counts,
        ..FindingSet::none(category)
    };
    let tests = TestCounts {
        total: number,
        passed: number,
        failed: number,
        skipped: number,
        flaky: number,
        quarantined: number,
    };
    let reports = ReportSummary {
        coverage: Some(Coverage {
            lines: 100,
            covered_lines: number,
            branches: 100,
            covered_branches: number,
            changed: None,
        }),
        complexity: Some(Complexity {
            functions: 1,
            sum: number,
            highest: number,
            highest_at: None,
        }),
        findings: FindingCategory::ALL
            .iter()
            .map(|category| set(*category))
            .collect(),
        licences: BTreeMap::from([("MIT".to_owned(), number)]),
        scores: Some(crate::pipeline_run::api::Scores {
            accessibility: Some(number),
            ..Default::default()
        }),
        ..ReportSummary::default()
    };
    facts(Some(tests), &reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(condition: &str, lines: u32) -> Finding {
        let mut scope = Scope::default();
        scope.now.coverage = Some(Coverage {
            lines,
            covered_lines: 80,
            ..Coverage::default()
        });
        check(condition, &scope).finding
    }

    #[test]
    fn a_condition_may_ask_for_several_reports() {
        let condition = "coverage.line >= 80.0";
        assert_eq!(found(condition, 100), Finding::Good);
        assert!(matches!(found(condition, 101), Finding::Bad(_)));
        assert!(matches!(
            found("secrets.total == 0", 100),
            Finding::NoData(_)
        ));
        assert!(matches!(
            found("coverage.branch > 1.0", 100),
            Finding::NoData(_)
        ));
    }

    #[test]
    fn mistakes_are_found_when_a_pipeline_is_read() {
        for good in [
            "coverage.line >= 80.0 && findings.total == 0",
            "vulnerabilities.critical == 0 && vulnerabilities.unfixed < 5",
            "'AGPL-3.0-only' in licences.names || tests.flaky < 3",
            "accessibility.score >= 90 && complexity.average < 5.0",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "coverage.lines > 1.0",
            "coverage.line",
            "stages.total > 1",
            "tests.total +",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
