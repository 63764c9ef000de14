//! The gate on complexity: no function too complex, and not all of them together. No I/O.

use super::{Check, Scope, count};
use crate::pipeline::api::ComplexityGate;

/// Holds the complexity of functions against the limits.
pub fn check(limits: &ComplexityGate, scope: &Scope<'_>) -> Check {
    let asked = [
        limits.max.map(|max| format!("at most {max}")),
        limits
            .max_average
            .map(|max| format!("at most {max} on average")),
    ];
    let threshold = asked.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let complexity = scope.now.complexity.as_ref();
    let average = complexity.and_then(crate::pipeline_run::api::Complexity::average);
    let (Some(complexity), Some(average)) = (complexity, average) else {
        let message =
            "no stage left a report of complexity with functions in it; set reports.radon";
        return Check::no_data(threshold, message);
    };
    let measured = format!(
        "at most {}, {average:.2} on average, {}",
        complexity.highest,
        count(complexity.functions, "function")
    );
    let bad = if let Some(max) = limits.max.filter(|max| complexity.highest > *max) {
        let at = complexity.highest_at.as_deref().unwrap_or("a function");
        let highest = complexity.highest;
        Some(format!(
            "{at} has {highest}, accepted: {max}; take it apart"
        ))
    } else {
        let max = limits.max_average.filter(|max| average > *max);
        max.map(|max| format!("the average is {average:.2}, accepted: {max}; take the most complex functions apart"))
    };
    Check::measured(measured, threshold, bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Finding;
    use crate::pipeline_run::api::{Complexity, ReportSummary};

    fn found(max: Option<u32>, max_average: Option<f64>, functions: u32) -> Finding {
        let now = ReportSummary {
            complexity: Some(Complexity {
                functions,
                sum: 10,
                highest: 8,
                highest_at: Some("a.py:f".into()),
            }),
            ..ReportSummary::default()
        };
        let scope = Scope {
            now,
            ..Scope::default()
        };
        check(&ComplexityGate { max, max_average }, &scope).finding
    }

    #[test]
    fn the_worst_function_and_the_average_have_limits() {
        assert_eq!(found(Some(8), Some(5.0), 2), Finding::Good);
        assert!(
            matches!(found(Some(7), None, 2), Finding::Bad(m) if m.starts_with("a.py:f has 8"))
        );
        assert!(matches!(found(None, Some(4.9), 2), Finding::Bad(_)));
        assert!(matches!(found(Some(8), None, 0), Finding::NoData(_)));
    }
}
