//! The gate on coverage: enough, not much less than before, and of what is new. No I/O.

use super::{Check, Scope};
use crate::pipeline::api::CoverageGate;
use crate::pipeline_run::api::Coverage;

/// Holds the coverage of a run against the limits. Percentages are rounded down to hundredths, so that what is
/// shown never is more than what is there.
pub fn check(limits: &CoverageGate, scope: &Scope<'_>) -> Check {
    let threshold = threshold(limits);
    let lines = scope.now.coverage.as_ref().and_then(Coverage::line_percent);
    let (Some(coverage), Some(lines)) = (&scope.now.coverage, lines) else {
        let message = "no stage left a report of coverage with lines in it; set reports.cobertura, \
                       reports.lcov or reports.jacoco";
        return Check::no_data(threshold, message);
    };
    if limits.min_branches.is_some() && coverage.branch_percent().is_none() {
        let message = "the report tells nothing of branches; have the tool measure them";
        return Check::no_data(threshold, message);
    }
    // Without a Release, everything would be a change.
    let min_changed = limits.min_changed.filter(|_| scope.before.is_some());
    if min_changed.is_some() && coverage.changed.is_none() {
        let message = "the lines that changed since the newest Release are not known: the repository may not hand out its \
                       commit any more, which the log of the stage tells; a waiver lets this run pass";
        return Check::no_data(threshold, message);
    }
    let before = scope.before.as_ref().and_then(|before| before.coverage);
    let before = before.and_then(|coverage| coverage.line_percent());
    let bad = too_little(limits, coverage, lines)
        .or_else(|| too_little_of_changes(min_changed?, coverage.changed_percent()?))
        .or_else(|| too_much_less(limits.max_drop?, before?, lines));
    Check::measured(measured(coverage, lines), threshold, bad)
}

fn threshold(limits: &CoverageGate) -> String {
    let asked = [
        limits.min.map(|min| format!("at least {min} % of lines")),
        limits
            .min_branches
            .map(|min| format!("at least {min} % of branches")),
        limits
            .max_drop
            .map(|drop| format!("at most {drop} points less than before")),
        limits
            .min_changed
            .map(|min| format!("at least {min} % of the lines that changed")),
    ];
    asked.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn measured(coverage: &Coverage, lines: f64) -> String {
    let mut parts = vec![format!("{} % of lines", shown(lines))];
    if let Some(branches) = coverage.branch_percent() {
        parts.push(format!("{} % of branches", shown(branches)));
    }
    if let (Some(percent), Some(changed)) = (coverage.changed_percent(), coverage.changed) {
        let (percent, lines) = (shown(percent), super::count(changed.lines, "line"));
        parts.push(format!("{percent} % of {lines} that changed"));
    }
    parts.join(", ")
}

fn too_little(limits: &CoverageGate, coverage: &Coverage, lines: f64) -> Option<String> {
    if let Some(min) = limits.min.filter(|min| lines < *min) {
        return Some(format!(
            "{} % of lines are covered, needed: {min} %; test more of the code",
            shown(lines)
        ));
    }
    let branches = coverage.branch_percent()?;
    let min = limits.min_branches.filter(|min| branches < *min)?;
    Some(format!(
        "{} % of branches are covered, needed: {min} %; test more cases",
        shown(branches)
    ))
}

fn too_little_of_changes(min: f64, changed: f64) -> Option<String> {
    (changed < min).then(|| {
        let changed = shown(changed);
        format!(
            "{changed} % of the lines that changed are covered, needed: {min} %; test what is new"
        )
    })
}

fn too_much_less(drop: f64, before: f64, lines: f64) -> Option<String> {
    (before - lines > drop + 1e-9).then(|| {
        let (now, before) = (shown(lines), shown(before));
        format!("{now} % of lines are covered, {before} % were in the newest Release, accepted: {drop} points less; test what is new")
    })
}

/// Rounded down to hundredths.
/// A share as people read it: rounded down to hundredths.
pub fn shown(percent: f64) -> f64 {
    (percent * 100.0 + 1e-6).floor() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Finding;
    use crate::pipeline_run::api::{ChangedLines, ReportSummary};

    fn summary(covered_lines: u32, lines: u32) -> ReportSummary {
        ReportSummary {
            coverage: Some(Coverage {
                lines,
                covered_lines,
                ..Coverage::default()
            }),
            ..ReportSummary::default()
        }
    }

    fn found(limits: &CoverageGate, now: ReportSummary, before: Option<ReportSummary>) -> Check {
        let scope = Scope {
            now,
            before,
            ..Scope::default()
        };
        check(limits, &scope)
    }

    #[test]
    fn what_is_shown_is_never_more_than_what_is_there() {
        let limits = CoverageGate {
            min: Some(80.0),
            ..CoverageGate::default()
        };
        let good = found(&limits, summary(8000, 10_000), None);
        assert_eq!(good.finding, Finding::Good);
        let bad = found(&limits, summary(79_999, 100_000), None);
        assert_eq!(bad.measured.as_deref(), Some("79.99 % of lines"));
        assert!(matches!(bad.finding, Finding::Bad(_)));
        assert!(matches!(
            found(&limits, summary(0, 0), None).finding,
            Finding::NoData(_)
        ));
    }

    #[test]
    fn a_drop_is_measured_from_the_newest_release_if_there_is_one() {
        let limits = CoverageGate {
            max_drop: Some(0.5),
            ..CoverageGate::default()
        };
        let now = || summary(795, 1000);
        assert_eq!(found(&limits, now(), None).finding, Finding::Good);
        assert_eq!(
            found(&limits, now(), Some(summary(80, 100))).finding,
            Finding::Good
        );
        let bad = found(&limits, now(), Some(summary(801, 1000)));
        assert!(matches!(bad.finding, Finding::Bad(_)));
        // A Release without coverage is none to compare with.
        let none = Some(ReportSummary::default());
        assert_eq!(found(&limits, now(), none).finding, Finding::Good);
    }

    #[test]
    fn lines_that_changed_are_held_to_a_limit_of_their_own() {
        let limits = CoverageGate {
            min_changed: Some(90.0),
            ..CoverageGate::default()
        };
        let with = |changed: Option<(u32, u32)>| {
            let mut summary = summary(10, 1000);
            let changed = changed.map(|(covered_lines, lines)| ChangedLines {
                lines,
                covered_lines,
            });
            if let Some(coverage) = &mut summary.coverage {
                coverage.changed = changed;
            }
            summary
        };
        let before = || Some(summary(10, 1000));
        let good = found(&limits, with(Some((9, 10))), before());
        assert_eq!(good.finding, Finding::Good);
        assert_eq!(
            good.measured.as_deref(),
            Some("1 % of lines, 90 % of 10 lines that changed")
        );
        let bad = found(&limits, with(Some((8, 10))), before());
        let Finding::Bad(message) = bad.finding else {
            panic!("{bad:?}");
        };
        assert!(message.starts_with("80 % of the lines that changed"));
        // Nothing that could be tested has changed; nobody knows what has; there is nothing to compare with.
        let none = found(&limits, with(Some((0, 0))), before());
        assert_eq!(none.finding, Finding::Good);
        let unknown = found(&limits, with(None), before());
        assert!(matches!(unknown.finding, Finding::NoData(_)));
        assert_eq!(found(&limits, with(None), None).finding, Finding::Good);
    }

    #[test]
    fn branches_that_nobody_measured_are_no_data() {
        let limits = CoverageGate {
            min_branches: Some(1.0),
            ..CoverageGate::default()
        };
        assert!(matches!(
            found(&limits, summary(1, 1), None).finding,
            Finding::NoData(_)
        ));
    }
}
