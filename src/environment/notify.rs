//! What receivers are told: messages made from records. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::api::{Notification, NotificationEvent};
use super::observed::Observed;
use crate::model::action::Request;
use crate::model::json::set;
use crate::outbox::api::OutboxEntry;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The request that brings a message to its receiver.
///
/// # Errors
/// Why the message cannot be made any more.
pub fn request(seen: &Observed, entry: &OutboxEntry) -> Result<Request, String> {
    let mut receivers = seen.spec.notifications.iter();
    let receiver = receivers.find(|receiver| receiver.name == entry.sink);
    let Some(Notification {
        webhook: Some(webhook),
        ..
    }) = receiver
    else {
        return Err("the receiver is no longer in spec.notifications".to_owned());
    };
    // receiver/event/promotion or receiver/event/promotion/incident, see `announce` in `plan.rs`
    let mut parts = entry.key.splitn(4, '/').skip(1);
    let (event, promotion) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let Some(record) = seen.promotion(promotion) else {
        return Err(format!("Promotion {promotion} is gone"));
    };
    let at: Timestamp = record
        .status
        .finished_at
        .as_ref()
        .map_or(record.created_at, |at| at.0);
    let key = format!("{}/{}", seen.key, entry.key);
    let mut body = json!({
        "event": event,
        "namespace": seen.key.namespace,
        "environment": seen.key.name,
        "release": record.spec.release,
        "promotion": promotion,
        "message": record.status.message,
        "reason": record.spec.reason,
        "at": at.to_string(),
        "key": key,
    });
    if let Some(name) = parts.next() {
        let mut incidents = record.status.incidents.iter();
        let Some(incident) = incidents.find(|incident| incident.key == name) else {
            return Err(format!(
                "the incident {name} of Promotion {promotion} is gone"
            ));
        };
        let end = incident.resolved_at.as_ref();
        let at = end.filter(|_| event == NotificationEvent::IncidentResolved.as_str());
        set(&mut body, &["message"], incident.message.as_str());
        set(
            &mut body,
            &["at"],
            at.unwrap_or(&incident.started_at).0.to_string(),
        );
        set(&mut body, &["incident"], json!(incident));
    }
    let mut request = Request::post(
        webhook.url.clone(),
        "application/json",
        body.to_string(),
        TIMEOUT,
    );
    request.headers.insert("idempotency-key".to_owned(), key);
    Ok(request)
}
