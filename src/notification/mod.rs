//! What people are told, and how it looks where they read it. Environments and runs say what happened ([`Message`]); each type
//! of receiver has a file that makes it the request which brings it there. No I/O.
//!
//! Texts are from outside: subjects of commits, names of branches, reasons that people give. Each receiver writes them so that
//! they stay text where they are shown, and so short that it is not refused.

pub mod alertmanager;
pub mod api;
pub mod cloud_events;
pub mod email;
pub mod pager_duty;
pub mod slack;
pub mod teams;
pub mod text;
pub mod webhook;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::metric::placeholder::replaced;
use crate::model::access::{Access, Login, Purpose};
use crate::model::action::Request;
use api::{Channel, Notification, Severity, VARIABLES};
use text::Style;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest value that is put in the place of a variable, in bytes.
const MAX_VALUE: usize = 2500;

/// Whether something begins with an event, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Neither.
    News,
    /// It begins.
    Begins,
    /// It is over.
    Ends,
}

/// What happened, for whoever is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The event.
    pub event: &'static str,
    /// What CloudEvents call it.
    pub cloud_type: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whether something begins with it, or ends.
    pub stage: Stage,
    /// Kind, namespace and name of the object that tells it.
    pub subject: (&'static str, String, String),
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub message: String,
    /// What else is known, by its name in [`VARIABLES`].
    pub facts: BTreeMap<&'static str, String>,
    /// The release notes, as Markdown; empty where there are none.
    pub notes: String,
    /// When it happened.
    pub at: Timestamp,
    /// When what it is about began.
    pub since: Timestamp,
    /// The same for the beginning and the end of one thing, and for nothing else.
    pub thread: String,
    /// The same for the same message, however often it is sent.
    pub key: String,
    /// What a webhook gets.
    pub body: Value,
}

/// Who is asked for in a message: what is known, with the words that stand in front of it.
const SHOWN: [(&str, &str); 9] = [
    ("Release", "release"),
    ("Version", "version"),
    ("Promotion", "promotion"),
    ("Pipeline", "pipeline"),
    ("Run", "run"),
    ("Branch", "branch"),
    ("Commit", "commit"),
    ("Reason", "reason"),
    ("Incident", "incident"),
];

impl Message {
    /// What stands for a variable; nothing, where there is none of that name.
    pub fn value(&self, name: &str) -> Option<String> {
        let known = VARIABLES.contains(&name);
        let (_, namespace, _) = &self.subject;
        let value = match name {
            "event" => self.event.to_owned(),
            "severity" => self.severity.to_string(),
            "title" => self.title.clone(),
            "message" => self.message.clone(),
            "namespace" => namespace.clone(),
            "time" => self.at.to_string(),
            "notes" => text::plain_notes(&self.notes),
            _ => self.facts.get(name).cloned().unwrap_or_default(),
        };
        known.then_some(value)
    }

    /// What is known of it besides its sentence, with a word for each.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        SHOWN.iter().filter_map(|(label, name)| {
            let value = self.facts.get(name)?;
            (!value.is_empty()).then_some((*label, value.as_str()))
        })
    }

    /// The text of the template, if there is one and anything comes of it: services refuse a message without a text.
    ///
    /// # Errors
    /// Names the variable that there is none of.
    pub fn filled_if_any(
        &self,
        template: Option<&str>,
        style: Style,
        limit: usize,
    ) -> Result<Option<String>, String> {
        let filled = template.map(|template| self.filled(template, style, limit));
        let filled = filled.transpose()?;
        Ok(filled.filter(|text| !text::is_blank(text)))
    }

    /// The text of a template, written for the place where it is shown.
    ///
    /// # Errors
    /// Names the variable that there is none of.
    pub fn filled(&self, template: &str, style: Style, limit: usize) -> Result<String, String> {
        let value = |name: &str| match self.value(name) {
            Some(value) => Ok(Some(style.written(&value, MAX_VALUE))),
            None => Err(format!("there is {}", VARIABLES.join(", "))),
        };
        let filled = replaced(template, &value);
        let filled = filled
            .map_err(|(name, known)| format!("the template names {{{{{name}}}}}; {known}"))?;
        Ok(text::cut(&filled, limit))
    }
}

/// The request that brings a message to its receiver. Secrets of it are in this namespace.
///
/// # Errors
/// Why it cannot be made, for people.
pub fn request<E>(
    receiver: &Notification<E>,
    message: &Message,
    namespace: &str,
) -> Result<Request, String> {
    let access = Access {
        purpose: Purpose::Notification,
        namespace: namespace.to_owned(),
        ..Access::default()
    };
    let template = receiver.template.as_deref();
    if let Some(webhook) = &receiver.webhook {
        return webhook::request(webhook, message, template, access);
    }
    if let Some(channel) = &receiver.slack {
        let body = slack::body(message, template)?;
        return Ok(to_channel(channel, "slack", &body, access));
    }
    if let Some(channel) = &receiver.teams {
        let body = teams::body(message, template)?;
        return Ok(to_channel(channel, "teams", &body, access));
    }
    if let Some(email) = &receiver.email {
        return email::request(email, message, template, access);
    }
    if let Some(service) = &receiver.pager_duty {
        return pager_duty::request(service, message, template, access);
    }
    if let Some(alertmanager) = &receiver.alertmanager {
        return Ok(alertmanager::request(alertmanager, message, namespace));
    }
    if let Some(sink) = &receiver.cloud_events {
        return cloud_events::request(sink, message, template, access);
    }
    Err("it names no type of receiver that is known here".to_owned())
}

/// A message to a channel whose URL is secret; `place` stands in its stead where people read of it.
fn to_channel(channel: &Channel, place: &str, body: &Value, access: Access) -> Request {
    let (place, body) = (place.to_owned(), body.to_string());
    let mut request = Request::post(place, "application/json", body, TIMEOUT);
    let url = channel.secret_ref.clone();
    let login = Some(Login::Url { url });
    request.access = Some(Box::new(Access { login, ..access }));
    request
}

/// The type of a receiver, as its field is called.
pub fn type_of<E>(receiver: &Notification<E>) -> &'static str {
    let all = [
        ("webhook", receiver.webhook.is_some()),
        ("slack", receiver.slack.is_some()),
        ("teams", receiver.teams.is_some()),
        ("email", receiver.email.is_some()),
        ("pagerDuty", receiver.pager_duty.is_some()),
        ("alertmanager", receiver.alertmanager.is_some()),
        ("cloudEvents", receiver.cloud_events.is_some()),
    ];
    let found = all.iter().find(|(_, is_set)| *is_set);
    found.map_or("unknown", |(name, _)| name)
}
