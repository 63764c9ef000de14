//! What an outbox looks like in a status. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, closed_set};

closed_set! {
    /// Where a message is.
    #[derive(Default)]
    pub enum OutboxState {
        /// It will be sent, or sent again.
        #[default]
        Pending,
        /// The receiver has it.
        Sent,
        /// It was given up.
        Failed,
    }
}

/// A message that leaves the cluster, at least once.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OutboxEntry {
    /// What the message is about; the same message always has the same key.
    #[schemars(transform = schema::some_text::<253>)]
    pub key: String,
    /// Name of the receiver: one in `spec.notifications` of the Environment or Pipeline, or `provider`.
    #[schemars(transform = schema::name)]
    pub sink: String,
    /// Hash of what the receiver is to know, where the message is kept up to date: when that changes, it is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<64>)]
    pub content: Option<String>,
    /// `Pending`, `Sent` or `Failed`.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Time>,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<512>)]
    pub last_error: Option<String>,
}
