//! Gates: what must hold before a commit may become a Release. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// What a failed gate does.
    #[derive(Default)]
    pub enum GateMode {
        /// The run fails.
        #[default]
        Enforce,
        /// The run goes on and shows the warning.
        Warn,
    }
}

/// One thing that must hold before a commit may become a Release.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::Rules(&[
    ("has(self.tests)",
     "a gate needs a check: set tests"),
]))]
pub struct Gate {
    /// Name of the gate. Example: `tests`.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// What a failure does: `Enforce` fails the run, `Warn` only shows it. No data is a failure.
    /// Default `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// Judges the test reports of all stages of the run together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsGate>,
}

/// Limits for the test reports of a run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TestsGate {
    /// Number of failed tests that are accepted. Default `0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub max_failures: Option<u32>,
    /// Number of tests that must have run, so that an empty report does not pass. Default `1`. Example: `100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub min_tests: Option<u32>,
}

impl Gate {
    /// What a failure of the gate does.
    pub fn mode(&self) -> GateMode {
        self.mode.unwrap_or_default()
    }
}

impl TestsGate {
    /// Failed tests that are accepted.
    pub fn max_failures(&self) -> u32 {
        self.max_failures.unwrap_or(0)
    }

    /// Tests that must have run.
    pub fn min_tests(&self) -> u32 {
        self.min_tests.unwrap_or(1)
    }
}
