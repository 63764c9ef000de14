//! The gate on results: stages have run, and succeeded. No I/O.

use super::{Check, Scope, count};
use crate::pipeline_run::api::StagePhase;

/// Asks every stage that is over for its result. One that was left out has none.
pub fn check(scope: &Scope<'_>) -> Check {
    let threshold = "every stage succeeded";
    let over: Vec<_> = scope.over().collect();
    if over.is_empty() {
        return Check::no_data(threshold, "no stage has run; change from");
    }
    let lost = over
        .iter()
        .filter(|stage| stage.phase != StagePhase::Succeeded);
    let lost: Vec<String> = lost.map(|s| format!("{} {}", s.name, s.phase)).collect();
    let all = count(u32::try_from(over.len()).unwrap_or(u32::MAX), "stage");
    let measured = format!("{} of {all} succeeded", over.len() - lost.len());
    let bad = (!lost.is_empty()).then(|| format!("{measured}: {}", lost.join(", ")));
    Check::measured(measured, threshold, bad)
}
