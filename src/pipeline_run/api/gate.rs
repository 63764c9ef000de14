//! What gates found. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// What a gate found.
    pub enum GateResult {
        /// What it asks for holds.
        Passed,
        /// It does not hold, and the run fails.
        Failed,
        /// It does not hold, and the gate only warns.
        Warned,
        /// It does not hold, and a waiver leaves that out until a day.
        Waived,
        /// Nothing to judge; in mode Enforce the run fails.
        NoData,
    }
}

/// What one gate found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateVerdict {
    /// Name of the gate.
    #[schemars(transform = schema::name)]
    pub name: String,
    /// `Passed`, `Failed`, `Warned`, `Waived` or `NoData`.
    pub result: GateResult,
    /// What was found. Example: `2 of 120 tests failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub measured: Option<String>,
    /// What was asked for. Example: `at most 0 failures, at least 1 test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub threshold: Option<String>,
    /// What it means and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<1024>)]
    pub message: Option<String>,
    /// What did not count, until when, and who answers for it; at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::texts::<8, 512>)]
    pub waivers: Vec<String>,
}
