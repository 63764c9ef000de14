//! Gates: what must hold before a commit may become a Release. No I/O.

pub mod tests_gate;

use crate::pipeline::api::{Gate, GateMode};
use crate::pipeline_run::api::{GateResult, GateVerdict, TestCounts};

/// Everything that gates judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Tests of all reports together; nothing when no stage made a report.
    pub tests: Option<TestCounts>,
}

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

/// The verdict of one gate.
///
/// # Guarantees
/// - No data is never a pass; in mode `Enforce` it blocks.
/// - A gate in mode `Warn` never blocks.
pub fn judge(gate: &Gate, evidence: &Evidence) -> GateVerdict {
    let check = gate.tests.as_ref().map_or_else(
        || Check {
            measured: None,
            threshold: "a check".to_owned(),
            finding: Finding::NoData("the gate checks nothing; set tests".to_owned()),
        },
        |limits| tests_gate::check(limits, evidence.tests),
    );
    let is_enforced = gate.mode() == GateMode::Enforce;
    let (result, message) = match check.finding {
        Finding::Good => (GateResult::Passed, None),
        Finding::Bad(message) if is_enforced => (GateResult::Failed, Some(message)),
        Finding::NoData(message) if is_enforced => (GateResult::NoData, Some(message)),
        Finding::Bad(message) | Finding::NoData(message) => (GateResult::Warned, Some(message)),
    };
    GateVerdict {
        name: gate.name.clone(),
        result,
        measured: check.measured,
        threshold: Some(check.threshold),
        message,
    }
}

/// Whether a verdict keeps a run from passing.
pub fn blocks(verdict: &GateVerdict) -> bool {
    matches!(verdict.result, GateResult::Failed | GateResult::NoData)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::api::TestsGate;

    fn gate(mode: GateMode) -> Gate {
        Gate {
            name: "tests".into(),
            mode: Some(mode),
            tests: Some(TestsGate::default()),
        }
    }

    fn counts(total: u32, failed: u32) -> Evidence {
        let tests = TestCounts {
            total,
            passed: total - failed,
            failed,
            skipped: 0,
        };
        Evidence { tests: Some(tests) }
    }

    #[test]
    fn a_gate_that_holds_passes_in_either_mode() {
        for mode in [GateMode::Enforce, GateMode::Warn] {
            let verdict = judge(&gate(mode), &counts(3, 0));
            assert_eq!(verdict.result, GateResult::Passed);
            assert!(!blocks(&verdict));
        }
    }

    #[test]
    fn a_gate_that_does_not_hold_blocks_or_warns() {
        let enforced = judge(&gate(GateMode::Enforce), &counts(3, 1));
        assert_eq!(enforced.result, GateResult::Failed);
        assert!(blocks(&enforced));
        let warned = judge(&gate(GateMode::Warn), &counts(3, 1));
        assert_eq!(warned.result, GateResult::Warned);
        assert!(!blocks(&warned));
    }

    #[test]
    fn no_data_is_not_success() {
        let enforced = judge(&gate(GateMode::Enforce), &Evidence::default());
        assert_eq!(enforced.result, GateResult::NoData);
        assert!(blocks(&enforced));
        let warned = judge(&gate(GateMode::Warn), &Evidence::default());
        assert_eq!(warned.result, GateResult::Warned);
        let empty = Gate {
            tests: None,
            ..gate(GateMode::Enforce)
        };
        assert!(blocks(&judge(&empty, &counts(3, 0))));
    }
}
