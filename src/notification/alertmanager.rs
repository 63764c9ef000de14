//! An alert of an Alertmanager, through its API v2: it fires when something begins, and ends when it is over. No I/O.
//!
//! An alert that nobody repeats is over for Alertmanager after its `resolve_timeout`, unless it says itself until when it
//! fires. So it says so, far ahead, and the end takes that back.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::api::{AlertReceiver, Severity};
use super::text::Style;
use super::{Message, Stage, TIMEOUT};
use crate::git::refs;
use crate::metric::provider::{Credentials, connected};
use crate::model::access::Purpose;
use crate::model::action::Request;

/// How long an alert fires that nobody ends.
const FIRES_FOR: SignedDuration = SignedDuration::from_hours(24);
/// By how much the clock of an Alertmanager may be late: an alert that ends only later is not over for it.
const LATE: SignedDuration = SignedDuration::from_mins(1);
/// Name of the alert of an Environment.
const INCIDENT: &str = "SlipwayIncident";
/// Name of the alert of a Pipeline.
const RUN: &str = "SlipwayRunFailed";
/// Names of the alerts that come from here.
pub const OWN: [&str; 2] = [INCIDENT, RUN];
/// Longest value of a label, in bytes.
const MAX_LABEL: usize = 256;
/// Longest annotation, in bytes.
const MAX_ANNOTATION: usize = 2000;

/// The request.
pub fn request(receiver: &AlertReceiver, message: &Message, namespace: &str) -> Request {
    let url = format!("{}/api/v2/alerts", receiver.address.trim_end_matches('/'));
    let ends = match message.stage {
        Stage::Ends => {
            let at = message.at.checked_sub(LATE).unwrap_or(message.at);
            at.max(message.since)
        }
        Stage::Begins | Stage::News => message.since.checked_add(FIRES_FOR).unwrap_or(message.at),
    };
    let summary = Style::Plain.written(&message.title, MAX_ANNOTATION);
    let description = Style::Plain.written(&message.message, MAX_ANNOTATION);
    let alert = json!({
        "labels": labels(message),
        "annotations": {"summary": summary, "description": description},
        "startsAt": message.since.to_string(),
        "endsAt": ends.to_string(),
    });
    let body = json!([alert]).to_string();
    let request = Request::post(url, "application/json", body, TIMEOUT);
    let credentials = Credentials {
        namespace: namespace.to_owned(),
        ..Credentials::default()
    };
    let mut request = connected(request, &receiver.connection, &credentials);
    if let Some(access) = &mut request.access {
        access.purpose = Purpose::Notification;
    }
    request
}

/// What tells the alert apart: the same at the beginning and at the end.
fn labels(message: &Message) -> BTreeMap<&'static str, String> {
    let (kind, namespace, name) = &message.subject;
    let (alert, label) = if *kind == "Environment" {
        (INCIDENT, "environment")
    } else {
        (RUN, "pipeline")
    };
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let mut labels = BTreeMap::from([
        ("alertname", alert.to_owned()),
        ("severity", severity.to_owned()),
        ("namespace", namespace.clone()),
        (label, name.clone()),
    ]);
    for fact in ["promotion", "incident", "branch"] {
        if let Some(value) = message.facts.get(fact) {
            labels.insert(fact, Style::Plain.written(value, MAX_LABEL));
        }
    }
    // A branch may have the name of a tag.
    let git_ref = message.body.get("ref").and_then(Value::as_str);
    if let Some(tag) = git_ref.filter(|git_ref| refs::tag_of(git_ref).is_some()) {
        labels.insert("branch", Style::Plain.written(tag, MAX_LABEL));
    }
    labels
}
