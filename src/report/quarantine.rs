//! Which tests are in quarantine: a function of the runs that are kept. No I/O.
//!
//! Nothing is remembered beside them: a test leaves when the runs that speak against it are too old, or gone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::pipeline::api::QuarantineRule;

/// A finished run in which tests were flaky.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlakyRun {
    /// Full ref of the branch.
    pub git_ref: String,
    /// When it ended.
    pub at: Timestamp,
    /// The tests.
    pub tests: BTreeSet<String>,
}

/// The tests in quarantine, those first that were flaky most often. Only runs of the branch speak against a test: what
/// a change breaks is never excused by the change itself.
pub fn quarantined(
    rule: &QuarantineRule,
    git_ref: &str,
    runs: &[FlakyRun],
    now: Timestamp,
) -> Vec<String> {
    let age = SignedDuration::try_from(rule.expire_after()).unwrap_or(SignedDuration::MAX);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let counts_now = |run: &&FlakyRun| run.git_ref == git_ref && now.duration_since(run.at) < age;
    for run in runs.iter().filter(counts_now) {
        for test in &run.tests {
            *counts.entry(test).or_default() += 1;
        }
    }
    let mut often: Vec<(&str, u32)> = counts.into_iter().collect();
    often.retain(|(_, count)| *count >= rule.after());
    often.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let tests = often.into_iter().take(rule.max_tests());
    tests.map(|(test, _)| test.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing::NOW;

    const MAIN: &str = "refs/heads/main";

    fn run(hours_ago: i64, tests: &[&str]) -> FlakyRun {
        FlakyRun {
            git_ref: "refs/heads/main".into(),
            at: NOW - SignedDuration::from_hours(hours_ago),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        }
    }

    #[test]
    fn a_test_goes_in_when_it_was_flaky_often_enough_and_out_with_time() {
        let rule = QuarantineRule::default();
        let runs = [run(1, &["a", "b"]), run(2, &["a"]), run(400, &["b"])];
        assert_eq!(quarantined(&rule, MAIN, &runs, NOW), ["a"]);
        let later = NOW + SignedDuration::from_hours(335);
        assert!(quarantined(&rule, MAIN, &runs, later).is_empty());
        assert!(quarantined(&rule, "refs/heads/next", &runs, NOW).is_empty());
    }

    #[test]
    fn there_are_only_so_many_and_the_worst_come_first() {
        let rule = QuarantineRule {
            after: Some(1),
            max_tests: Some(2),
            ..QuarantineRule::default()
        };
        let runs = [run(1, &["a", "b", "c"]), run(2, &["c"])];
        assert_eq!(quarantined(&rule, MAIN, &runs, NOW), ["c", "a"]);
    }
}
