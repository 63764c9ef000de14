//! Builders for tests of gates.

use crate::pipeline::api::Waiver;
pub(crate) use crate::pipeline::testing::NOW;
use crate::pipeline_run::api::{StagePhase, StageStatus, TestCounts};

/// A stage that succeeded, with these tests.
pub(crate) fn stage(name: &str, tests: Option<TestCounts>) -> StageStatus {
    let status = serde_json::json!({"name": name, "type": "Test", "phase": "Succeeded"});
    StageStatus {
        tests,
        phase: StagePhase::Succeeded,
        ..serde_json::from_value(status).unwrap()
    }
}

/// A waiver of a whole gate.
pub(crate) fn waiver(gate: &str, until: &str) -> Waiver {
    Waiver {
        gate: gate.to_owned(),
        id: None,
        at: None,
        reason: "it does no harm".to_owned(),
        owner: "alice@example.com".to_owned(),
        until: until.to_owned(),
    }
}
