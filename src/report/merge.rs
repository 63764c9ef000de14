//! Adds up what several reports say: of one stage, of the cells of a stage, of the stages of a run. No I/O.
//!
//! Counts are added; of what is measured several times, the worst is kept. Reports are not united: lines that
//! two reports list are counted twice on both sides.

use super::finding::MARK;
use super::{ReportError, benchmark, finding, licence, missing};
use crate::pipeline_run::api::{
    Benchmark, Better, ChangedLines, Complexity, Coverage, FindingSet, Latency, ReportSummary,
    Scores, Severity, TestCounts,
};

/// Load tests of a stage.
const MAX_LATENCY: usize = 8;

impl TestCounts {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            passed: self.passed.saturating_add(other.passed),
            failed: self.failed.saturating_add(other.failed),
            skipped: self.skipped.saturating_add(other.skipped),
            flaky: self.flaky.saturating_add(other.flaky),
            quarantined: self.quarantined.saturating_add(other.quarantined),
        }
    }
}

impl ReportSummary {
    /// Adds what another summary says.
    ///
    /// # Errors
    /// If both together have more benchmarks or load tests than can be kept; nothing is left out unseen.
    pub fn merge(&mut self, other: Self) -> Result<(), ReportError> {
        let mut all = self.clone();
        all.coverage = both(all.coverage, other.coverage, coverage);
        all.complexity = both(all.complexity, other.complexity, complexity);
        all.scores = both(all.scores, other.scores, scores);
        for set in other.findings {
            let known = all.findings.iter_mut();
            match known
                .into_iter()
                .find(|known| known.category == set.category)
            {
                Some(known) => add_findings(known, set),
                None => all.findings.push(set),
            }
        }
        licence::merge(&mut all, other.licences, other.unlisted_licences);
        for one in other.benchmarks {
            add_benchmark(&mut all.benchmarks, one)?;
        }
        for one in other.latency {
            add_latency(&mut all.latency, one)?;
        }
        missing::merge(&mut all, other.missing);
        all.is_cut |= other.is_cut;
        *self = all;
        Ok(())
    }
}

fn both<T>(a: Option<T>, b: Option<T>, join: fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(a, b)),
        (a, b) => a.or(b),
    }
}

fn coverage(a: Coverage, b: Coverage) -> Coverage {
    Coverage {
        lines: a.lines.saturating_add(b.lines),
        covered_lines: a.covered_lines.saturating_add(b.covered_lines),
        branches: a.branches.saturating_add(b.branches),
        covered_branches: a.covered_branches.saturating_add(b.covered_branches),
        changed: both(a.changed, b.changed, |a, b| ChangedLines {
            lines: a.lines.saturating_add(b.lines),
            covered_lines: a.covered_lines.saturating_add(b.covered_lines),
        }),
    }
}

fn complexity(a: Complexity, b: Complexity) -> Complexity {
    let (functions, sum) = (
        a.functions.saturating_add(b.functions),
        a.sum.saturating_add(b.sum),
    );
    let worse = if b.highest > a.highest { b } else { a };
    Complexity {
        functions,
        sum,
        ..worse
    }
}

fn scores(a: Scores, b: Scores) -> Scores {
    let lower = |a, b| both(a, b, u32::min);
    Scores {
        accessibility: lower(a.accessibility, b.accessibility),
        performance: lower(a.performance, b.performance),
        best_practices: lower(a.best_practices, b.best_practices),
        seo: lower(a.seo, b.seo),
    }
}

fn add_findings(into: &mut FindingSet, other: FindingSet) {
    for severity in Severity::ALL {
        for (to, from) in [
            (&mut into.total, other.total),
            (&mut into.unfixed, other.unfixed),
        ] {
            let number = to.of_mut(*severity);
            *number = number.saturating_add(from.of(*severity));
        }
    }
    into.worst.extend(other.worst);
    into.settle();
    let room = (finding::MAX_MARKS * MARK).saturating_sub(into.marks.len());
    into.marks.push_str(
        other
            .marks
            .get(..room.min(other.marks.len()))
            .unwrap_or_default(),
    );
}

fn add_benchmark(all: &mut Vec<Benchmark>, one: Benchmark) -> Result<(), ReportError> {
    if let Some(known) = all.iter_mut().find(|known| known.name == one.name) {
        let is_worse = match one.better {
            Better::Lower => one.value > known.value,
            Better::Higher => one.value < known.value,
        };
        if is_worse {
            *known = one;
        }
        return Ok(());
    }
    if all.len() >= benchmark::MAX_BENCHMARKS {
        return Err(benchmark::too_many());
    }
    all.push(one);
    Ok(())
}

fn add_latency(all: &mut Vec<Latency>, one: Latency) -> Result<(), ReportError> {
    if let Some(known) = all.iter_mut().find(|known| known.name == one.name) {
        known.requests = both(known.requests, one.requests, u64::min);
        for (to, from) in [
            (&mut known.failed_percent, one.failed_percent),
            (&mut known.p50, one.p50),
            (&mut known.p90, one.p90),
            (&mut known.p95, one.p95),
            (&mut known.p99, one.p99),
        ] {
            *to = both(*to, from, f64::max);
        }
        return Ok(());
    }
    if all.len() >= MAX_LATENCY {
        return Err(ReportError::Large(format!("{MAX_LATENCY} load tests")));
    }
    all.push(one);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline_run::api::FindingCategory;
    use crate::report::finding::Found;

    fn benchmark(name: &str, value: f64, better: Better) -> ReportSummary {
        ReportSummary {
            benchmarks: vec![Benchmark {
                name: name.to_owned(),
                value,
                unit: String::new(),
                better,
                deviation: None,
            }],
            ..ReportSummary::default()
        }
    }

    #[test]
    fn the_worst_of_what_was_measured_twice_is_kept() {
        let mut all = benchmark("a", 5.0, Better::Lower);
        all.merge(benchmark("a", 4.0, Better::Lower)).unwrap();
        all.merge(benchmark("a", 6.0, Better::Lower)).unwrap();
        assert_eq!(all, benchmark("a", 6.0, Better::Lower));
        let mut all = benchmark("a", 5.0, Better::Higher);
        all.merge(benchmark("a", 6.0, Better::Higher)).unwrap();
        assert_eq!(all, benchmark("a", 5.0, Better::Higher));
    }

    #[test]
    fn more_than_can_be_kept_is_an_error_and_adds_nothing() {
        let mut all = ReportSummary::default();
        for number in 0..40 {
            all.merge(benchmark(&format!("b{number}"), 1.0, Better::Lower))
                .unwrap();
        }
        let before = all.clone();
        assert!(
            all.merge(benchmark("one more", 1.0, Better::Lower))
                .is_err()
        );
        assert_eq!(all, before);
    }

    #[test]
    fn findings_of_a_category_are_one_set() {
        let set = |severity| {
            let mut set = FindingSet::none(FindingCategory::Code);
            for _ in 0..150 {
                set.push(&Found {
                    severity: Some(severity),
                    id: "X",
                    ..Found::default()
                });
            }
            ReportSummary {
                findings: vec![set.settled()],
                ..ReportSummary::default()
            }
        };
        let mut all = set(Severity::Low);
        all.merge(set(Severity::Critical)).unwrap();
        assert_eq!(all.findings.len(), 1);
        assert_eq!(
            (all.findings[0].total.low, all.findings[0].total.critical),
            (150, 150)
        );
        assert_eq!(all.findings[0].worst[0].severity, Severity::Critical);
        assert_eq!(all.findings[0].marks.len(), 1200);
    }

    #[test]
    fn coverage_is_added_up() {
        let one = |lines, covered_lines| ReportSummary {
            coverage: Some(Coverage {
                lines,
                covered_lines,
                ..Coverage::default()
            }),
            ..ReportSummary::default()
        };
        let mut all = one(100, 90);
        all.merge(one(100, 50)).unwrap();
        assert_eq!(all.coverage.unwrap().line_percent(), Some(70.0));
    }
}
