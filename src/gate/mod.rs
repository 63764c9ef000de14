//! Gates: what must hold before a commit may become a Release. No I/O.
//!
//! A check only says what it found (`Finding`); what follows from it is the same for all of them, here.

pub mod accessibility;
pub mod benchmark;
pub mod complexity;
pub mod coverage;
pub mod evidence;
pub mod expression;
pub mod finding;
pub mod latency;
pub mod licence;
pub mod result;
pub mod size;
pub mod source;
pub mod tests_gate;
pub mod waiver;

use jiff::Timestamp;

use crate::pipeline::api::{Gate, GateMode, Waiver};
use crate::pipeline_run::api::{FindingCategory, GateResult, GateVerdict};
pub use evidence::{Evidence, Scope};
use waiver::Waivers;

/// Reports that are missing and are named.
const MAX_MISSING: usize = 4;

/// What a check found, whatever its gate makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// What it asks for holds.
    Good,
    /// It does not hold.
    Bad(String),
    /// There is nothing to judge.
    NoData(String),
}

/// One check, as a gate reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was found.
    pub measured: Option<String>,
    /// What was asked for.
    pub threshold: String,
    /// What it means.
    pub finding: Finding,
}

impl Check {
    /// Nothing to judge, and what would change that.
    pub fn no_data(threshold: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            measured: None,
            threshold: threshold.into(),
            finding: Finding::NoData(message.into()),
        }
    }

    /// What was measured, and what is wrong with it, if anything is.
    pub fn measured(
        measured: impl Into<String>,
        threshold: impl Into<String>,
        bad: Option<String>,
    ) -> Self {
        Self {
            measured: Some(measured.into()),
            threshold: threshold.into(),
            finding: bad.map_or(Finding::Good, Finding::Bad),
        }
    }
}

/// The verdicts of all gates, in their order.
///
/// # Guarantees
/// - No data is never a pass; in mode `Enforce` it blocks. Where a report is missing that the gate judges, there is no data.
/// - A gate in mode `Warn` never blocks.
/// - A waiver that is over leaves nothing out.
pub fn judge_all(
    gates: &[Gate],
    waivers: &[Waiver],
    evidence: &Evidence<'_>,
    now: Timestamp,
) -> Vec<GateVerdict> {
    let judge_one = |gate: &Gate| judge(gate, waivers, &evidence.scope(&gate.from), now);
    gates.iter().map(judge_one).collect()
}

/// The verdict of one gate on what was gathered for it; the same guarantees hold.
pub fn judge(gate: &Gate, waivers: &[Waiver], scope: &Scope<'_>, now: Timestamp) -> GateVerdict {
    let waivers = Waivers::of(&gate.name, waivers, now);
    let mut used = Vec::new();
    let mut check = check(gate, scope, &waivers, &mut used);
    if let Some(message) = half(gate, scope) {
        check.finding = match check.finding {
            Finding::Good | Finding::NoData(_) => Finding::NoData(message),
            bad @ Finding::Bad(_) => bad,
        };
    }
    let is_enforced = gate.mode() == GateMode::Enforce;
    let (mut result, message) = match check.finding {
        Finding::Good => (GateResult::Passed, None),
        Finding::Bad(message) if is_enforced => (GateResult::Failed, Some(message)),
        Finding::NoData(message) if is_enforced => (GateResult::NoData, Some(message)),
        Finding::Bad(message) | Finding::NoData(message) => (GateResult::Warned, Some(message)),
    };
    if result != GateResult::Passed
        && let Some(whole) = waivers.whole()
    {
        result = GateResult::Waived;
        used.push(waiver::sentence(whole));
    }
    let message = message.map(|message| match waivers.over() {
        Some(over) if result != GateResult::Waived => format!("{message}; {over}"),
        _ => message,
    });
    used.truncate(waiver::MAX_SHOWN);
    GateVerdict {
        name: gate.name.clone(),
        result,
        measured: check.measured.map(|text| clip(&text, 256)),
        threshold: Some(clip(&check.threshold, 256)),
        message: message.map(|text| clip(&text, 1024)),
        waivers: used,
    }
}

/// What of the reports that a gate judges is missing: the others are half of the evidence, which is none.
fn half(gate: &Gate, scope: &Scope<'_>) -> Option<String> {
    let missing = scope.missing.iter();
    let missing = missing.filter(|(format, _)| source::judges(gate, *format));
    let mut said: Vec<&str> = missing.map(|(_, text)| text.as_str()).collect();
    if said.is_empty() {
        return None;
    }
    let more = said.len().saturating_sub(MAX_MISSING);
    said.truncate(MAX_MISSING);
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    let said = said.join(", ");
    let advice = if scope.stages.is_empty() {
        "write it"
    } else {
        "write it, or list it in reports.optional of the stage"
    };
    Some(format!("{said}{more}; {advice}"))
}

fn clip(text: &str, limit: usize) -> String {
    crate::model::text::truncate(text, limit).to_owned()
}

fn check(gate: &Gate, scope: &Scope<'_>, waivers: &Waivers<'_>, used: &mut Vec<String>) -> Check {
    if let Some(problem) = &scope.problem {
        return Check::no_data("reports that go together", problem.clone());
    }
    if gate.result.is_some() {
        return result::check(scope);
    }
    if let Some(limits) = &gate.tests {
        return tests_gate::check(limits, scope.tests);
    }
    if let Some(limits) = &gate.coverage {
        return coverage::check(limits, scope);
    }
    if let Some(limits) = &gate.complexity {
        return complexity::check(limits, scope);
    }
    let mut findings = |category, limits: finding::Limits<'_>| {
        finding::check(category, &limits, scope, waivers, used)
    };
    if let Some(limits) = &gate.vulnerabilities {
        return findings(FindingCategory::Vulnerability, limits.into());
    }
    if let Some(limits) = &gate.findings {
        return findings(FindingCategory::Code, limits.into());
    }
    if let Some(limits) = &gate.secrets {
        return findings(FindingCategory::Secret, limits.into());
    }
    if let Some(limits) = &gate.accessibility {
        return accessibility::check(limits, scope, waivers, used);
    }
    if let Some(limits) = &gate.licences {
        return licence::check(limits, scope, waivers, used);
    }
    if let Some(limits) = &gate.benchmarks {
        return benchmark::check(limits, scope, waivers, used);
    }
    if let Some(limits) = &gate.latency {
        return latency::check(limits, scope);
    }
    if let Some(limit) = &gate.size {
        return size::check(limit, scope);
    }
    if let Some(condition) = &gate.cel {
        return expression::check(condition, scope);
    }
    Check::no_data("a check", "the gate checks nothing; set one of its checks")
}

/// Whether a verdict keeps a run from passing.
pub fn blocks(verdict: &GateVerdict) -> bool {
    matches!(verdict.result, GateResult::Failed | GateResult::NoData)
}

/// A number with its noun.
pub(crate) fn count(number: u32, what: &str) -> String {
    let plural = match what.strip_suffix('y') {
        _ if number == 1 => return format!("{number} {what}"),
        Some(stem) => format!("{stem}ies"),
        None => format!("{what}s"),
    };
    format!("{number} {plural}")
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
