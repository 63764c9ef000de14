//! What must hold before a promotion starts. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RequireSigned;
use crate::schema;

/// What must hold before a promotion starts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    /// People who must agree. Default: nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// What must be signed for each image. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_signed: Option<RequireSigned>,
}

/// People who must agree to a promotion. A rollback needs no approval.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// Number of different people who must approve, 0 to 10. Example: `2`.
    #[schemars(range(min = 0, max = 10))]
    pub required: u32,
    /// Does not count the approval of the person who asked for the promotion. Default `true`.
    #[serde(default = "yes")]
    pub prevent_self_approval: bool,
    /// How long an approval counts. A duration; default `168h` (seven days). Example: `24h`.
    #[serde(default = "approval_valid_for")]
    #[schemars(transform = schema::duration)]
    pub valid_for: Duration,
}

fn approval_valid_for() -> Duration {
    time::Duration::from_hours(168).into()
}

fn yes() -> bool {
    true
}
