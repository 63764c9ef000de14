//! The gate on benchmarks: none is worse than in the newest Release by more than is accepted, and by more than
//! noise explains. No I/O.

use super::waiver::Waivers;
use super::{Check, Scope, count};
use crate::pipeline::api::BenchmarksGate;
use crate::pipeline_run::api::{Benchmark, Better};

/// Standard deviations of the difference that are noise.
const NOISE: f64 = 2.0;

/// Compares the benchmarks of a run with those of the newest Release. A waiver names one of them.
pub fn check(
    limits: &BenchmarksGate,
    scope: &Scope<'_>,
    waivers: &Waivers<'_>,
    used: &mut Vec<String>,
) -> Check {
    let max = limits.max_regression();
    let threshold = format!("at most {max} % worse than before");
    let now = &scope.now.benchmarks;
    if now.is_empty() {
        let message = "no stage left a report of benchmarks; set reports.benchmarks";
        return Check::no_data(threshold, message);
    }
    let before = scope
        .before
        .as_ref()
        .map(|before| before.benchmarks.as_slice());
    let before = before.unwrap_or_default();
    let mut bad = Vec::new();
    for old in before {
        let problem = match now.iter().find(|new| new.name == old.name) {
            Some(new) => compare(old, new, max),
            None if limits.allow_missing.unwrap_or(false) => None,
            None => Some("is missing".to_owned()),
        };
        let Some(problem) = problem else { continue };
        match waivers.find(&old.name, "") {
            Some(sentence) => used.push(sentence),
            None => bad.push(format!("{} {problem}", old.name)),
        }
    }
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let is_known = |new: &&Benchmark| before.iter().any(|old| old.name == new.name);
    let compared = number(now.iter().filter(is_known).count());
    let measured = format!(
        "{} of {} compared, {} worse",
        compared,
        count(number(now.len()), "benchmark"),
        bad.len()
    );
    let bad = (!bad.is_empty()).then(|| {
        bad.truncate(5);
        format!(
            "{}; make it fast again, or waive what is meant to be so",
            bad.join(", ")
        )
    });
    Check::measured(measured, threshold, bad)
}

/// What is wrong with a benchmark, if anything is.
fn compare(old: &Benchmark, new: &Benchmark, max: f64) -> Option<String> {
    if old.unit != new.unit {
        let (old, new) = (&old.unit, &new.unit);
        return Some(format!(
            "is in {new} and was in {old}, give it another name"
        ));
    }
    let worse_by = match new.better {
        Better::Lower => new.value - old.value,
        Better::Higher => old.value - new.value,
    };
    if worse_by <= 0.0 || worse_by <= old.value.abs() * max / 100.0 {
        return None;
    }
    if let (Some(a), Some(b)) = (old.deviation, new.deviation)
        && worse_by <= NOISE * a.hypot(b)
    {
        return None;
    }
    let change = if old.value == 0.0 {
        String::new()
    } else {
        format!(
            " ({:+.1} %)",
            (new.value - old.value) * 100.0 / old.value.abs()
        )
    };
    let unit = &new.unit;
    Some(format!(
        "went from {} to {} {unit}{change}",
        old.value, new.value
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn benchmark(value: f64, better: Better, deviation: Option<f64>) -> Benchmark {
        Benchmark {
            name: "parse".into(),
            value,
            unit: "ms".into(),
            better,
            deviation,
        }
    }

    fn is_worse(old: f64, new: f64, better: Better, deviation: Option<f64>) -> bool {
        let (old, new) = (
            benchmark(old, better, deviation),
            benchmark(new, better, deviation),
        );
        compare(&old, &new, 10.0).is_some()
    }

    #[test]
    fn worse_is_up_or_down() {
        assert!(is_worse(100.0, 111.0, Better::Lower, None));
        assert!(!is_worse(100.0, 110.0, Better::Lower, None));
        assert!(!is_worse(100.0, 50.0, Better::Lower, None));
        assert!(is_worse(100.0, 89.0, Better::Higher, None));
        assert!(!is_worse(100.0, 200.0, Better::Higher, None));
    }

    #[test]
    fn noise_is_no_difference() {
        // Two deviations of the difference are 2 · √(8² + 8²) = 22.6.
        assert!(!is_worse(100.0, 122.0, Better::Lower, Some(8.0)));
        assert!(is_worse(100.0, 123.0, Better::Lower, Some(8.0)));
        // Steady numbers do not make a small change a large one.
        assert!(!is_worse(100.0, 109.0, Better::Lower, Some(0.1)));
    }

    #[test]
    fn nothing_can_be_worse_than_nothing_and_units_are_kept() {
        assert!(!is_worse(0.0, 0.0, Better::Lower, None));
        assert!(is_worse(0.0, 1.0, Better::Lower, None));
        let old = benchmark(1.0, Better::Lower, None);
        let new = Benchmark {
            unit: "s".into(),
            ..old.clone()
        };
        assert!(compare(&old, &new, 10.0).unwrap().contains("another name"));
    }
}
