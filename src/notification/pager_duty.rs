//! A page of PagerDuty, through its Events API v2: triggered when something begins, resolved when it is over. No I/O.
//!
//! Limits: <https://developer.pagerduty.com/docs/send-alert-event>: 1024 characters in a summary, 255 in a key.

use serde_json::{Map, Value, json};

use super::api::{PagerDuty, Severity};
use super::text::Style;
use super::{Message, Stage, TIMEOUT};
use crate::model::access::Access;
use crate::model::action::Request;
use crate::model::key::short_hash;

/// Where events go unless a receiver says otherwise.
const ENQUEUE: &str = "https://events.pagerduty.com/v2/enqueue";
const MAX_SUMMARY: usize = 1024;
const MAX_KEY: usize = 255;
const MAX_DETAIL: usize = 4000;

/// The request.
///
/// # Errors
/// The template cannot be filled in.
pub fn request(
    service: &PagerDuty,
    message: &Message,
    template: Option<&str>,
    access: Access,
) -> Result<Request, String> {
    let key = &service.secret_ref;
    let mut body = json!({
        "routing_key": key.to_string(),
        "dedup_key": dedup_key(&message.thread),
        "event_action": action(message.stage),
    });
    if let (Some(fields), true) = (body.as_object_mut(), message.stage != Stage::Ends) {
        fields.insert("payload".to_owned(), payload(message, template)?);
        fields.insert("client".to_owned(), "Slipway".into());
    }
    let url = service.url.as_deref().unwrap_or(ENQUEUE).to_owned();
    let mut request = Request::post(url, "application/json", body.to_string(), TIMEOUT);
    request.access = Some(Box::new(Access {
        secrets: [key.clone()].into(),
        ..access
    }));
    Ok(request)
}

fn payload(message: &Message, template: Option<&str>) -> Result<Value, String> {
    let (kind, namespace, name) = &message.subject;
    let usual = || {
        let text = format!("{}: {}", message.title, message.message);
        Style::Plain.written(&text, MAX_SUMMARY)
    };
    let summary = message.filled_if_any(template, Style::Plain, MAX_SUMMARY)?;
    let summary = summary.unwrap_or_else(usual);
    let details = message.shown().map(|(label, value)| {
        let value = Style::Plain.written(value, MAX_DETAIL);
        (label.to_owned(), Value::from(value))
    });
    let mut details: Map<String, Value> = details.collect();
    let message_ = Style::Plain.written(&message.message, MAX_DETAIL);
    details.insert("Message".to_owned(), message_.into());
    Ok(json!({
        "summary": summary,
        "source": format!("{kind} {namespace}/{name}"),
        "severity": severity(message.severity),
        "timestamp": message.since.to_string(),
        "component": name,
        "group": namespace,
        "class": message.event,
        "custom_details": details,
    }))
}

fn action(stage: Stage) -> &'static str {
    match stage {
        Stage::Ends => "resolve",
        Stage::Begins | Stage::News => "trigger",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// What is too long is told apart by its hash.
fn dedup_key(thread: &str) -> String {
    let key = format!("slipway/{thread}");
    if key.len() <= MAX_KEY {
        return key;
    }
    format!("slipway/{}", short_hash(thread.as_bytes(), 40))
}
