//! What receivers are told: messages made from records. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::api::Notification;
use super::observed::Observed;
use crate::model::action::Request;
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
    // receiver/event/promotion, see `announce` in `plan.rs`
    let mut parts = entry.key.splitn(3, '/').skip(1);
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
    let body = json!({
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
    let mut request = Request::post(
        webhook.url.clone(),
        "application/json",
        body.to_string(),
        TIMEOUT,
    );
    request.headers.insert("idempotency-key".to_owned(), key);
    Ok(request)
}
