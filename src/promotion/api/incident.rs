//! What an incident of a Promotion looks like in YAML. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// How an incident became known.
    pub enum IncidentSource {
        /// An alert of Prometheus.
        Alert,
        /// The budget of an SLO burnt.
        SLOBurn,
        /// The promotion failed after it had started.
        Failure,
        /// A person said so, with a Decision `LinkIncident`.
        Decision,
    }
}

/// Something that went wrong because of a promotion. What comes while it is open belongs to it: one cause, one incident.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// What tells it apart; the same incident always has the same key.
    #[schemars(transform = schema::some_text::<128>)]
    pub key: String,
    /// How it became known: `Alert`, `SLOBurn`, `Failure` or `Decision`.
    pub source: IncidentSource,
    /// What happened, in one sentence.
    #[schemars(transform = schema::text::<512>)]
    pub message: String,
    /// When it began, as far as known.
    pub started_at: Time,
    /// When it was over; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// What the Environment did about it, in one sentence; absent where it did nothing. Example: `going back to api-3f9c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub response: Option<String>,
    /// The person who said that the promotion caused it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub linked_by: Option<String>,
    /// Alerts that belong to it, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(transform = schema::by_entry_key::<16>)]
    pub alerts: Vec<LinkedAlert>,
}

/// An alert that belongs to an incident.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LinkedAlert {
    /// What tells it apart: the fingerprint that Alertmanager gave it, and the second in which it began.
    #[schemars(transform = schema::some_text::<128>)]
    pub key: String,
    /// Its label `alertname`.
    #[schemars(transform = schema::text::<128>)]
    pub name: String,
    /// When it began.
    pub starts_at: Time,
    /// When it ended; absent while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,
}
