//! Tests that nobody can rely on, and what is done about them. No I/O.

use std::time;

use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// When flaky tests go into quarantine: they still run, and their failures are not held against a commit.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineRule {
    /// Number of runs of the release branch in which a test was flaky. Default `2`. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub after: Option<u32>,
    /// How long such a run counts. A duration; default `336h` (two weeks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::duration)]
    pub expire_after: Option<Duration>,
    /// Most tests in quarantine; those that were flaky most often come first. Default `20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub max_tests: Option<u32>,
}

impl QuarantineRule {
    /// Runs in which a test was flaky.
    pub fn after(&self) -> u32 {
        self.after.unwrap_or(2)
    }

    /// How long such a run counts.
    pub fn expire_after(&self) -> time::Duration {
        let two_weeks = time::Duration::from_hours(14 * 24);
        self.expire_after.map_or(two_weeks, Into::into)
    }

    /// Most tests in quarantine.
    pub fn max_tests(&self) -> usize {
        let most = self.max_tests.unwrap_or(20);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}
