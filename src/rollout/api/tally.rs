//! What a Rollout says about the metrics of its analysis. Types only. No I/O.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::api::SampleResult;
use crate::schema;

/// What the samples of one metric say so far.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Name of the metric.
    pub name: String,
    /// Good samples.
    pub passed: u32,
    /// Bad samples.
    pub failed: u32,
    /// Samples that were neither.
    pub inconclusive: u32,
    /// Errors in a row.
    pub errors: u32,
    /// Samples without data in a row.
    pub no_data: u32,
    /// Good samples in a row.
    #[serde(default)]
    pub successes: u32,
    /// Samples of any kind, since the change began.
    #[serde(default)]
    pub taken: u32,
    /// Of a comparison, when it began: all data since then are compared at every look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// The last value; of a comparison what it has found so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What was wrong with the last sample, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the last sample was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    /// The last samples, latest last; as many as the metric's `retain`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::list::<20>)]
    pub measurements: Vec<Measurement>,
}

impl Tally {
    /// The counts of a metric of which there are none.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The counts of a metric, among those of all.
    pub fn among<'a>(all: &'a [Self], name: &str) -> Option<&'a Self> {
        all.iter().find(|tally| tally.name == name)
    }

    /// The same metric with nothing counted. How many samples there were stays, so that none is taken for an earlier one.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self {
            taken: self.taken,
            ..Self::of(&self.name)
        }
    }
}

/// One sample.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// When it was taken.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Its value, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What it is.
    pub result: SampleResult,
}
