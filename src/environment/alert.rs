//! What an Alertmanager delivers, and what of it is kept. No I/O.
//!
//! The receiver hands over what arrived; the next plan takes it in, and it is on record with the status that is written
//! then. Taking in is idempotent, so deliveries may be repeated, late and out of order, and to find nothing new to take in
//! is to know that all of it is on record.
//!
//! **What is one alert.** Alertmanager tells alerts apart by a fingerprint of their labels, and one that fires again has
//! another start. Of two Prometheus servers that send the same alert the earlier start counts there, so while an alert
//! fires here, an earlier start is the same one, and a later start is the next.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::api::{AlertStatus, Incidents};
use crate::model::span::whole_second;
use crate::model::text::truncate;
use crate::notification::alertmanager::OWN;

/// Alerts that are kept.
pub const CAP: usize = 64;
/// How long an alert is kept after its end: as long as it may be delivered again.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Longest name of an alert, in bytes.
const MAX_NAME: usize = 128;
/// Longest value of a label, in bytes.
const MAX_VALUE: usize = 64;
/// Longest summary, in bytes.
const MAX_SUMMARY: usize = 256;
/// Lengths of a fingerprint. Alertmanager's have 16.
const FINGERPRINT: Range<usize> = 1..65;
/// The version of the JSON that is understood.
const VERSION: &str = "4";
/// Label of every alert.
const ALERT_NAME: &str = "alertname";
/// Label that is kept wherever it is.
const SEVERITY: &str = "severity";

/// An alert as it was delivered.
#[derive(Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    status: DeliveredState,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    /// While it fires: the year 1, or when Alertmanager would take it for ended.
    ends_at: Timestamp,
    fingerprint: String,
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum DeliveredState {
    Firing,
    Resolved,
}

/// What Alertmanager sends to a webhook.
#[derive(Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    version: String,
    /// Alerts of the group that Alertmanager left out, by `max_alerts`.
    #[serde(default)]
    pub truncated_alerts: u64,
    /// The others.
    pub alerts: Vec<Delivered>,
}

/// What Alertmanager sends to a webhook.
///
/// # Errors
/// What is wrong with it, as a sentence for those who set Alertmanager up.
pub fn read(body: &[u8]) -> Result<Delivery, String> {
    let delivery: Delivery = serde_json::from_slice(body)
        .map_err(|error| format!("this is no webhook of Alertmanager: {error}"))?;
    if delivery.version != VERSION {
        return Err(format!(
            "version {:?} of Alertmanager's webhook is not known here, only {VERSION:?}",
            delivery.version
        ));
    }
    let is_odd = |alert: &&Delivered| {
        let plain = |c: char| c.is_ascii_alphanumeric();
        !FINGERPRINT.contains(&alert.fingerprint.len()) || !alert.fingerprint.chars().all(plain)
    };
    match delivery.alerts.iter().find(is_odd) {
        Some(_) => {
            Err("an alert has a fingerprint that is not of 1 to 64 letters and digits".to_owned())
        }
        None => Ok(delivery),
    }
}

impl Delivered {
    /// Whether it concerns an Environment.
    pub fn concerns(&self, rule: &Incidents) -> bool {
        // What we have told an Alertmanager ourselves is of an incident already, and would keep that open.
        let name = self.labels.get(ALERT_NAME).map(String::as_str);
        if name.is_some_and(|name| OWN.contains(&name)) {
            return false;
        }
        let mut wanted = rule.alertmanager.match_labels.iter();
        wanted.all(|(name, value)| self.labels.get(name) == Some(value))
    }

    fn start(&self) -> Timestamp {
        whole_second(self.starts_at)
    }

    /// When it ended; nothing, while it fires.
    fn end(&self) -> Option<Timestamp> {
        match self.status {
            DeliveredState::Firing => None,
            DeliveredState::Resolved => Some(whole_second(self.ends_at).max(self.start())),
        }
    }

    fn told(&self, rule: &Incidents) -> AlertStatus {
        let label = |name: &str| {
            self.labels
                .get(name)
                .map(|value| truncate(value, MAX_VALUE).to_owned())
        };
        let matched = rule.alertmanager.match_labels.keys().map(String::as_str);
        let names = matched.chain([SEVERITY]).filter(|name| *name != ALERT_NAME);
        let labels = names.filter_map(|name| Some((name.to_owned(), label(name)?)));
        let name = self.labels.get(ALERT_NAME).map_or("", String::as_str);
        let words = ["summary", "description"]
            .into_iter()
            .find_map(|name| self.annotations.get(name));
        AlertStatus {
            key: key(&self.fingerprint, self.start()),
            name: truncate(name, MAX_NAME).to_owned(),
            labels: labels.collect(),
            summary: words.map(|words| truncate(words, MAX_SUMMARY).to_owned()),
            starts_at: Time(self.start()),
            ends_at: self.end().map(Time),
            promotion: None,
        }
    }
}

fn key(fingerprint: &str, start: Timestamp) -> String {
    format!("{fingerprint}-{}", start.as_second())
}

/// Everything of a key but the start.
fn fingerprint(key: &str) -> &str {
    key.rsplit_once('-')
        .map_or(key, |(fingerprint, _)| fingerprint)
}

/// Whether an alert is a later one of the same labels.
pub fn follows(later: &AlertStatus, key: &str, starts_at: Timestamp) -> bool {
    fingerprint(&later.key) == fingerprint(key) && later.starts_at.0 > starts_at
}

/// What is kept of alerts: those that were known, and what was delivered of those that concern the Environment.
pub fn taken_in(
    known: &[AlertStatus],
    delivered: &[Delivered],
    rule: Option<&Incidents>,
    now: Timestamp,
) -> Vec<AlertStatus> {
    let Some(rule) = rule else {
        return Vec::new();
    };
    let mut all = known.to_vec();
    for alert in delivered.iter().filter(|alert| alert.concerns(rule)) {
        take_in(&mut all, alert, rule);
    }
    all.retain(|alert| {
        let end = alert.ends_at.as_ref().map(|end| end.0);
        end.is_none_or(|end| now.duration_since(end) < KEPT)
    });
    // Those that fire come first, and the newest of each; what does not fit is the same, however often it is delivered.
    all.sort_by(|a, b| rank(a).cmp(&rank(b)));
    all.truncate(CAP);
    all
}

fn rank(alert: &AlertStatus) -> (bool, std::cmp::Reverse<Timestamp>, &str) {
    (
        alert.ends_at.is_some(),
        std::cmp::Reverse(alert.starts_at.0),
        &alert.key,
    )
}

fn take_in(all: &mut Vec<AlertStatus>, alert: &Delivered, rule: &Incidents) {
    let (start, end) = (alert.start(), alert.end());
    let same = |known: &&mut AlertStatus| fingerprint(&known.key) == alert.fingerprint;
    let mut of_these: Vec<&mut AlertStatus> = all.iter_mut().filter(same).collect();
    // There is at most one that fires.
    let fires = of_these.iter_mut().find(|known| known.ends_at.is_none());
    if let Some(known) = fires {
        match end {
            // It is the same, as another Prometheus saw it, or it is told again.
            None if start <= known.starts_at.0 => return,
            // It is the next one, and that this one had ended was not told.
            None => known.ends_at = Some(Time(start)),
            Some(end) if end >= known.starts_at.0 => {
                known.ends_at = Some(Time(end));
                return;
            }
            // It is about one before, of which nothing was told.
            Some(_) => {}
        }
    }
    // What began before the end of one that is known to have ended is that one, told late.
    let is_late =
        |known: &&mut AlertStatus| known.ends_at.as_ref().is_some_and(|end| start < end.0);
    let is_known = of_these.iter().any(|known| known.starts_at.0 == start);
    if !is_known && !of_these.iter().any(is_late) {
        all.push(alert.told(rule));
    }
}

#[cfg(test)]
mod tests;
