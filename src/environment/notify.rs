//! What receivers are told of an Environment: messages made from records. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::api::NotificationEvent;
use super::observed::Observed;
use crate::model::action::Request;
use crate::model::json::set;
use crate::model::key::Key;
use crate::notification::{self, Message, Stage};
use crate::outbox::api::OutboxEntry;
use crate::promotion::api::{Incident, PromotionKind, PromotionSpec, PromotionStatus};
use crate::release::api::Release;

/// The request that brings a message to its receiver.
///
/// # Errors
/// Why the message cannot be made any more.
pub fn request(seen: &Observed, entry: &OutboxEntry) -> Result<Request, String> {
    let mut receivers = seen.spec.notifications.iter();
    let receiver = receivers.find(|receiver| receiver.name == entry.sink);
    let receiver = receiver.ok_or("the receiver is no longer in spec.notifications")?;
    // receiver/event/promotion or receiver/event/promotion/incident, see `announce` in `plan.rs`
    let mut parts = entry.key.splitn(4, '/').skip(1);
    let (event, promotion) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let mut events = NotificationEvent::ALL.iter();
    let event = *events
        .find(|known| known.as_str() == event)
        .ok_or("the event is not known here")?;
    let record = seen.promotion(promotion);
    let record = record.ok_or_else(|| format!("Promotion {promotion} is gone"))?;
    let about =
        About {
            environment: &seen.key,
            promotion,
            created_at: record.created_at,
            spec: &record.spec,
            status: &record.status,
            release: release(&seen.releases, &record.spec.release),
            incident: match parts.next() {
                Some(key) => Some(incident(&record.status, key).ok_or_else(|| {
                    format!("the incident {key} of Promotion {promotion} is gone")
                })?),
                None => None,
            },
        };
    let is_over = about.incident.is_some_and(|one| one.resolved_at.is_some());
    if receiver.is_paged()
        && is_over
        && entry.attempts > 0
        && event == NotificationEvent::IncidentOpened
    {
        // What is tried again may come after the end, and would open again what that has closed.
        return Err("it is over by now, and only its end is told".to_owned());
    }
    let message = message(event, &about, &format!("{}/{}", seen.key, entry.key));
    notification::request(receiver, &message, &seen.key.namespace)
}

/// What a message is about.
pub struct About<'a> {
    /// The Environment.
    pub environment: &'a Key,
    /// Name of the Promotion.
    pub promotion: &'a str,
    /// When that was made.
    pub created_at: Timestamp,
    /// What it brings.
    pub spec: &'a PromotionSpec,
    /// How far it is.
    pub status: &'a PromotionStatus,
    /// Its Release, where that is there.
    pub release: Option<&'a Release>,
    /// The incident of it.
    pub incident: Option<&'a Incident>,
}

/// The Release of that name.
pub fn release<'a>(all: &'a [Arc<Release>], name: &str) -> Option<&'a Release> {
    let mut all = all.iter().map(AsRef::as_ref);
    all.find(|release: &&Release| release.name_any() == name)
}

fn incident<'a>(status: &'a PromotionStatus, key: &str) -> Option<&'a Incident> {
    status.incidents.iter().find(|incident| incident.key == key)
}

/// What is told of an event.
pub fn message(event: NotificationEvent, about: &About, key: &str) -> Message {
    let stage = match event {
        NotificationEvent::IncidentOpened => Stage::Begins,
        NotificationEvent::IncidentResolved => Stage::Ends,
        NotificationEvent::PromotionSucceeded
        | NotificationEvent::PromotionFailed
        | NotificationEvent::RolledBack
        | NotificationEvent::ApprovalNeeded
        | NotificationEvent::GateOverridden
        | NotificationEvent::FreezeBlocked => Stage::News,
    };
    let finished = about.status.finished_at.as_ref();
    let mut at = finished.map_or(about.created_at, |at| at.0);
    let mut since = at;
    if let Some(incident) = about.incident {
        since = incident.started_at.0;
        let end = incident.resolved_at.as_ref();
        at = end
            .filter(|_| stage == Stage::Ends)
            .map_or(since, |end| end.0);
    }
    let said = match about.incident {
        Some(incident) => Some(incident.message.as_str()),
        None => about.status.message.as_deref(),
    };
    let is_forward = matches!(
        about.spec.kind,
        PromotionKind::Promote | PromotionKind::Config
    );
    let news = about.release.filter(|_| {
        is_forward
            && matches!(
                event,
                NotificationEvent::PromotionSucceeded | NotificationEvent::ApprovalNeeded
            )
    });
    let notes = news.and_then(|release| release.spec.changelog.clone());
    let incident = about.incident.map_or("", |incident| incident.key.as_str());
    let environment = about.environment;
    Message {
        event: event.as_str(),
        cloud_type: event.cloud_type(),
        severity: event.severity(),
        stage,
        subject: (
            "Environment",
            environment.namespace.clone(),
            environment.name.clone(),
        ),
        title: title(event, about),
        message: said.unwrap_or_default().to_owned(),
        facts: facts(about),
        notes: notes.unwrap_or_default(),
        at,
        since,
        thread: format!("{environment}/{}/{incident}", about.promotion),
        key: key.to_owned(),
        body: body(event, about, (at, key)),
    }
}

fn title(event: NotificationEvent, about: &About) -> String {
    let (name, release) = (&about.environment.name, &about.spec.release);
    match event {
        NotificationEvent::PromotionSucceeded => format!("{name} runs {release}"),
        NotificationEvent::PromotionFailed => format!("{release} failed in {name}"),
        NotificationEvent::RolledBack => format!("{name} went back to {release}"),
        NotificationEvent::ApprovalNeeded => format!("{release} waits for approval in {name}"),
        NotificationEvent::IncidentOpened => format!("incident in {name}, because of {release}"),
        NotificationEvent::IncidentResolved => format!("incident in {name} is over"),
        NotificationEvent::GateOverridden => {
            format!("{release} starts in {name} though a gate stands against it")
        }
        NotificationEvent::FreezeBlocked => format!("{release} waits for a freeze in {name}"),
    }
}

fn facts(about: &About) -> BTreeMap<&'static str, String> {
    let spec = about.spec;
    let version = about
        .release
        .and_then(|release| release.spec.version.clone());
    let known = [
        ("environment", Some(about.environment.name.clone())),
        ("pipeline", Some(spec.pipeline.clone())),
        ("release", Some(spec.release.clone())),
        ("version", version),
        ("promotion", Some(about.promotion.to_owned())),
        ("commit", spec.commit.clone()),
        ("reason", spec.reason.clone()),
        (
            "incident",
            about.incident.map(|incident| incident.key.clone()),
        ),
    ];
    let known = known.into_iter();
    known
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What a webhook gets. Its fields are an interface.
fn body(event: NotificationEvent, about: &About, (at, key): (Timestamp, &str)) -> Value {
    let mut body = json!({
        "event": event,
        "severity": event.severity(),
        "namespace": about.environment.namespace,
        "environment": about.environment.name,
        "release": about.spec.release,
        "promotion": about.promotion,
        "message": about.status.message,
        "reason": about.spec.reason,
        "at": at.to_string(),
        "key": key,
    });
    if let Some(incident) = about.incident {
        set(&mut body, &["message"], incident.message.as_str());
        set(&mut body, &["incident"], json!(incident));
    }
    let release = about.release.map(|release| &release.spec);
    if let Some(notes) = release.and_then(|release| release.changelog.as_deref())
        && event == NotificationEvent::PromotionSucceeded
    {
        set(&mut body, &["notes"], notes);
    }
    body
}
