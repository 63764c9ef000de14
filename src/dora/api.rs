//! What figures of deliveries look like in the status of an Environment. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// How well teams do of which a figure is typical, by the clusters that DORA published.
    pub enum Band {
        /// As the best.
        Elite,
        /// Well.
        High,
        /// Not so well.
        Medium,
        /// Not well.
        Low,
    }
}

/// How well deliveries go, counted from the records of Promotions.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DoraStatus {
    /// When the windows end: at the last thing that counts, or at the last midnight in UTC if that was later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The figures by window: `7d`, `30d` and `90d`. One that begins before what is still known is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = by_window)]
    pub windows: Vec<DoraWindow>,
}

/// The five figures over a window. One of which nothing is known is absent, never 0.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DoraWindow {
    /// `7d`, `30d` or `90d`.
    #[schemars(transform = window)]
    pub window: String,
    /// How often something is deployed.
    pub frequency: DoraFrequency,
    /// How long commits take until they run here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time: Option<DoraSpan>,
    /// Share of the changes that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_failures: Option<DoraShare>,
    /// How long it takes until something good serves again after a deployment that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_time: Option<DoraSpan>,
    /// Number of failures that are not over yet; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub unrecovered: Option<u32>,
    /// Share of the deployments that nobody had planned: rollbacks and hotfixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rework: Option<DoraShare>,
}

/// How often something is deployed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DoraFrequency {
    /// Number of promotions that succeeded in the window, rollbacks not counted.
    pub deployments: u32,
    /// The same per day that the Environment has been there, 1 at least. Example: `"1.4000"`.
    #[schemars(transform = schema::text::<32>)]
    pub per_day: String,
    /// `Elite`, `High`, `Medium` or `Low`.
    pub band: Band,
}

/// How long something takes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DoraSpan {
    /// The median, in seconds.
    pub median_seconds: u64,
    /// The mean, in seconds.
    pub mean_seconds: u64,
    /// Number of spans that were measured.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// `Elite`, `High`, `Medium` or `Low`.
    pub band: Band,
}

/// How many of something are so.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DoraShare {
    /// Those that are so, of all. Example: `"0.0667"`.
    #[schemars(transform = schema::text::<32>)]
    pub ratio: String,
    /// Number of those that are so.
    pub count: u32,
    /// Number of all.
    #[schemars(range(min = 1))]
    pub of: u32,
    /// `Elite`, `High`, `Medium` or `Low`; absent where DORA has published none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<Band>,
}

fn by_window(schema: &mut schemars::Schema) {
    schema::by_key(schema, "window", 3);
}

fn window(schema: &mut schemars::Schema) {
    schema::text::<8>(schema);
}
