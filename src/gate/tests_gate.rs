//! The gate on test reports: enough tests, and not too many failures. No I/O.

use super::{Check, Finding};
use crate::pipeline::api::TestsGate;
use crate::pipeline_run::api::TestCounts;

/// Holds the counts of a run against the limits. Tests that were skipped have not run.
pub fn check(limits: &TestsGate, counts: Option<TestCounts>) -> Check {
    let (max, min) = (limits.max_failures(), limits.min_tests());
    let threshold = format!(
        "at most {}, at least {}",
        count(max, "failure"),
        count(min, "test")
    );
    let Some(counts) = counts else {
        let message = "no stage left a report; set reports.junit on the stage that runs the tests";
        return Check {
            measured: None,
            threshold,
            finding: Finding::NoData(message.to_owned()),
        };
    };
    let ran = counts.total.saturating_sub(counts.skipped);
    let measured = format!("{} of {} failed", counts.failed, count(ran, "test"));
    let finding = if counts.failed > max {
        Finding::Bad(format!(
            "{measured}, accepted: {max}; fix the tests or what they test"
        ))
    } else if ran < min {
        Finding::Bad(format!(
            "{} ran, needed: {min}; the report is not complete, or minTests is too high",
            count(ran, "test")
        ))
    } else {
        Finding::Good
    };
    Check {
        measured: Some(measured),
        threshold,
        finding,
    }
}

fn count(number: u32, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_failures: Option<u32>, min_tests: Option<u32>) -> TestsGate {
        TestsGate {
            max_failures,
            min_tests,
        }
    }

    fn counts(total: u32, failed: u32, skipped: u32) -> TestCounts {
        TestCounts {
            total,
            failed,
            skipped,
            passed: total - failed - skipped,
        }
    }

    #[test]
    fn the_limits_are_inclusive() {
        let limits = limits(Some(2), Some(10));
        assert_eq!(
            check(&limits, Some(counts(10, 2, 0))).finding,
            Finding::Good
        );
        assert!(matches!(
            check(&limits, Some(counts(10, 3, 0))).finding,
            Finding::Bad(_)
        ));
        assert!(matches!(
            check(&limits, Some(counts(9, 0, 0))).finding,
            Finding::Bad(_)
        ));
    }

    #[test]
    fn skipped_tests_do_not_count_as_tests_that_ran() {
        let finding = check(&limits(None, Some(5)), Some(counts(5, 0, 1))).finding;
        assert!(matches!(finding, Finding::Bad(message) if message.starts_with("4 tests ran")));
    }

    #[test]
    fn by_default_one_test_has_to_run_and_none_may_fail() {
        let limits = limits(None, None);
        let good = check(&limits, Some(counts(1, 0, 0)));
        assert_eq!(good.threshold, "at most 0 failures, at least 1 test");
        assert_eq!(good.measured.as_deref(), Some("0 of 1 test failed"));
        assert_eq!(good.finding, Finding::Good);
        let empty = check(&limits, Some(counts(0, 0, 0)));
        assert!(matches!(empty.finding, Finding::Bad(_)));
    }
}
