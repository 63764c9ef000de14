//! The gate on accessibility: rules that pages break, and the score of Lighthouse. No I/O.

use super::finding::{self, Limits};
use super::waiver::Waivers;
use super::{Check, Finding, Scope};
use crate::pipeline::api::AccessibilityGate;
use crate::pipeline_run::api::FindingCategory;

/// Holds what is known of pages against the limits: what axe found where there is a report or a limit for it,
/// and the score where one is asked for.
pub fn check(
    limits: &AccessibilityGate,
    scope: &Scope<'_>,
    waivers: &Waivers<'_>,
    used: &mut Vec<String>,
) -> Check {
    let category = FindingCategory::Accessibility;
    let has_findings = scope.now.findings_of(category).is_some();
    let asks_for_findings = limits.max.is_some() || limits.min_score.is_none();
    let found = (has_findings || asks_for_findings).then(|| {
        let limits = Limits {
            max: limits.max.as_ref(),
            ..Limits::default()
        };
        finding::check(category, &limits, scope, waivers, used)
    });
    let scored = limits.min_score.map(|min| score(min, scope));
    match (found, scored) {
        (Some(found), Some(scored)) => both(found, scored),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Check::no_data("a limit", "the gate has no limit"),
    }
}

fn score(min: u32, scope: &Scope<'_>) -> Check {
    let threshold = format!("a score of at least {min}");
    let points = scope.now.scores.and_then(|scores| scores.accessibility);
    let Some(points) = points else {
        let message = "no stage left a score for accessibility; set reports.lighthouse";
        return Check::no_data(threshold, message);
    };
    let bad = (points < min).then(|| {
        format!("the lowest score is {points}, needed: {min}; the report of Lighthouse says what to change")
    });
    Check::measured(format!("a score of {points}"), threshold, bad)
}

/// Both have to hold; what is missing weighs less than what is bad.
fn both(a: Check, b: Check) -> Check {
    let measured = [a.measured, b.measured];
    let measured: Vec<String> = measured.into_iter().flatten().collect();
    Check {
        measured: (!measured.is_empty()).then(|| measured.join(", ")),
        threshold: format!("{}, {}", a.threshold, b.threshold),
        finding: match (a.finding, b.finding) {
            (Finding::Good, other) | (other, Finding::Good) => other,
            (Finding::Bad(a), Finding::Bad(b)) => Finding::Bad(format!("{a}; {b}")),
            (bad @ Finding::Bad(_), Finding::NoData(_))
            | (Finding::NoData(_), bad @ Finding::Bad(_)) => bad,
            (missing @ Finding::NoData(_), Finding::NoData(_)) => missing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::NOW;
    use crate::pipeline_run::api::{FindingSet, ReportSummary, Scores, Severity};
    use crate::report::finding::Found;

    fn found(min_score: Option<u32>, points: Option<u32>, broken: Option<u32>) -> Finding {
        let set = broken.map(|broken| {
            let mut set = FindingSet::none(FindingCategory::Accessibility);
            for _ in 0..broken {
                set.push(&Found {
                    severity: Some(Severity::Critical),
                    ..Found::default()
                });
            }
            set
        });
        let now = ReportSummary {
            scores: points.map(|points| Scores {
                accessibility: Some(points),
                ..Scores::default()
            }),
            findings: set.into_iter().collect(),
            ..ReportSummary::default()
        };
        let scope = Scope {
            now,
            ..Scope::default()
        };
        let limits = AccessibilityGate {
            max: None,
            min_score,
        };
        check(
            &limits,
            &scope,
            &Waivers::of("a", &[], NOW),
            &mut Vec::new(),
        )
        .finding
    }

    #[test]
    fn scores_and_findings_both_have_to_hold() {
        assert_eq!(found(Some(90), Some(90), None), Finding::Good);
        assert_eq!(found(Some(90), Some(90), Some(0)), Finding::Good);
        assert!(matches!(
            found(Some(90), Some(89), Some(0)),
            Finding::Bad(_)
        ));
        assert!(matches!(
            found(Some(90), Some(95), Some(1)),
            Finding::Bad(_)
        ));
        assert!(matches!(found(None, Some(95), None), Finding::NoData(_)));
        assert!(matches!(found(Some(90), None, Some(0)), Finding::NoData(_)));
        assert!(matches!(found(Some(90), None, Some(1)), Finding::Bad(_)));
    }
}
