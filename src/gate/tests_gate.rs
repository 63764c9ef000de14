//! The gate on test reports: enough tests, and not too many failures. No I/O.

use super::{Check, count};
use crate::pipeline::api::TestsGate;
use crate::pipeline_run::api::TestCounts;

/// Holds the counts of a run against the limits. Tests that were skipped have not run; failures in
/// quarantine do not count.
pub fn check(limits: &TestsGate, counts: Option<TestCounts>) -> Check {
    let (max, min) = (limits.max_failures(), limits.min_tests());
    let mut threshold = format!(
        "at most {}, at least {}",
        count(max, "failure"),
        count(min, "test")
    );
    if let Some(flaky) = limits.max_flaky {
        threshold = format!("{threshold}, at most {flaky} flaky");
    }
    let Some(counts) = counts else {
        let message = "no stage left a report; set reports.junit on the stage that runs the tests";
        return Check::no_data(threshold, message);
    };
    let ran = counts.total.saturating_sub(counts.skipped);
    let failed = counts.failed.saturating_sub(counts.quarantined);
    let mut measured = format!("{failed} of {} failed", count(ran, "test"));
    for (number, what) in [
        (counts.quarantined, "failed in quarantine"),
        (counts.flaky, "flaky"),
    ] {
        if number > 0 {
            measured = format!("{measured}, {number} {what}");
        }
    }
    let bad = if failed > max {
        Some(format!(
            "{measured}, accepted: {max}; fix the tests or what they test"
        ))
    } else if ran < min {
        Some(format!(
            "{} ran, needed: {min}; the report is not complete, or minTests is too high",
            count(ran, "test")
        ))
    } else {
        let max = limits.max_flaky.filter(|max| counts.flaky > *max);
        max.map(|max| {
            let flaky = counts.flaky;
            format!("{flaky} tests failed and then passed, accepted: {max}; make them reliable")
        })
    };
    Check::measured(measured, threshold, bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Finding;

    fn limits(max_failures: Option<u32>, min_tests: Option<u32>) -> TestsGate {
        TestsGate {
            max_failures,
            min_tests,
            max_flaky: None,
        }
    }

    fn counts(total: u32, failed: u32, skipped: u32) -> TestCounts {
        TestCounts {
            total,
            failed,
            skipped,
            passed: total - failed - skipped,
            ..TestCounts::default()
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

    #[test]
    fn quarantine_excuses_failures_and_flaky_tests_have_a_limit_of_their_own() {
        let counts = TestCounts {
            quarantined: 2,
            flaky: 3,
            ..counts(10, 2, 0)
        };
        let good = check(&limits(None, None), Some(counts));
        assert_eq!(good.finding, Finding::Good);
        let measured = "0 of 10 tests failed, 2 failed in quarantine, 3 flaky";
        assert_eq!(good.measured.as_deref(), Some(measured));
        let strict = TestsGate {
            max_flaky: Some(2),
            ..TestsGate::default()
        };
        assert!(matches!(
            check(&strict, Some(counts)).finding,
            Finding::Bad(_)
        ));
    }
}
