//! What incidents of an Environment look like in YAML: how alerts reach it, and those that did. No I/O.

use std::collections::BTreeMap;
use std::time;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::SecretKey;
use crate::schema;

/// Where alerts come from, and which promotion they are of.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Incidents {
    /// Takes what an Alertmanager sends to `/hooks/alertmanager/<namespace>/<name of the Environment>`.
    pub alertmanager: Alertmanager,
    /// How long after the start of a promotion an alert that starts is an incident of that promotion; later ones are
    /// nobody's. A duration; default `1h`. Example: `30m`.
    #[serde(default = "attribution_window")]
    #[schemars(transform = schema::duration)]
    pub attribution_window: Duration,
}

/// Who may deliver alerts, and which of them concern the Environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Alertmanager {
    /// The token that Alertmanager has to send, as `Authorization: Bearer`: a key of a Secret of the same namespace that
    /// carries the label `slipway.dev/use`. Example: `{name: alertmanager, key: token}`.
    pub secret_ref: SecretKey,
    /// Labels that an alert must have to concern the Environment, at most 8; others are taken and forgotten.
    /// Default: none, every alert that is delivered does. Example: `{team: shop}`.
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<8>)]
    pub match_labels: BTreeMap<String, String>,
}

fn attribution_window() -> Duration {
    time::Duration::from_hours(1).into()
}

/// An alert that was delivered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// What tells it apart: the fingerprint that Alertmanager gave it, and the second in which it began.
    #[schemars(transform = schema::some_text::<128>)]
    pub key: String,
    /// Its label `alertname`.
    #[schemars(transform = schema::text::<128>)]
    pub name: String,
    /// Its other labels that matter: `severity`, and those of `match`; values are cut at 64 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = schema::text_map::<16>)]
    pub labels: BTreeMap<String, String>,
    /// Its annotation `summary`, or `description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::text::<256>)]
    pub summary: Option<String>,
    /// When it began.
    pub starts_at: Time,
    /// When it ended; absent while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,
    /// The Promotion that it is of; absent where it is of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = schema::record_name)]
    pub promotion: Option<String>,
}
