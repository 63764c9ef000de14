//! An event of CloudEvents 1.0, through its binding to HTTP: its attributes as header fields beside the data (binary mode), or
//! all of it in one JSON (structured mode). No I/O.
//!
//! Rules: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use super::api::{CloudEventMode, CloudEventSink, Severity};
use super::text::Style;
use super::{Message, TIMEOUT};
use crate::model::access::{Access, Login};
use crate::model::action::Request;
use crate::model::json::set;
use crate::model::object::ObjectKind;

/// The version of the specification.
const VERSION: &str = "1.0";
const JSON: &str = "application/json";
/// An event that is JSON as a whole.
const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
/// Longest text of a template, in bytes.
const MAX_TEXT: usize = 16 << 10;
/// What is escaped in a header field, beside all that is not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The request.
///
/// # Errors
/// The template cannot be filled in.
pub fn request(
    sink: &CloudEventSink,
    message: &Message,
    template: Option<&str>,
    access: Access,
) -> Result<Request, String> {
    let mut data = message.body.clone();
    if let Some(template) = template {
        let text = message.filled(template, Style::Plain, MAX_TEXT)?;
        set(&mut data, &["text"], text);
    }
    let attributes = attributes(sink.source.as_deref(), message);
    let (url, login) = match (&sink.url, &sink.secret_ref) {
        (Some(url), _) => (url.as_str(), None),
        (None, Some(secret)) => (
            "cloudevents",
            Some(Login::Url {
                url: secret.clone(),
            }),
        ),
        (None, None) => return Err("the receiver of CloudEvents has no URL".to_owned()),
    };
    let post = |type_: &str, body: String| Request::post(url.to_owned(), type_, body, TIMEOUT);
    let mut request = match sink.mode.unwrap_or_default() {
        CloudEventMode::Binary => {
            let mut request = post(JSON, data.to_string());
            let fields = attributes.into_iter().map(|(name, value)| {
                let value = utf8_percent_encode(&value, ESCAPED).to_string();
                (format!("ce-{name}"), value)
            });
            request.headers.extend(fields);
            request
        }
        CloudEventMode::Structured => {
            let attributes = attributes.into_iter();
            let fields = attributes.map(|(name, value)| (name.to_owned(), Value::from(value)));
            let mut event: Map<String, Value> = fields.collect();
            event.insert("datacontenttype".to_owned(), JSON.into());
            event.insert("data".to_owned(), data);
            post(STRUCTURED, Value::Object(event).to_string())
        }
    };
    request.access = Some(Box::new(Access { login, ..access }));
    Ok(request)
}

/// What is said of an event beside its data. None is empty: the rules do not allow that.
fn attributes(source: Option<&str>, message: &Message) -> Vec<(&'static str, String)> {
    let severity = match message.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let mut attributes = vec![
        ("specversion", VERSION.to_owned()),
        ("id", message.key.clone()),
        ("source", source_of(source, message)),
        ("type", message.cloud_type.to_owned()),
        ("time", message.at.to_string()),
        ("severity", severity.to_owned()),
    ];
    let subject = ["promotion", "run"].map(|fact| message.facts.get(fact));
    let mut subject = subject.into_iter().flatten();
    if let Some(subject) = subject.find(|subject| !subject.is_empty()) {
        attributes.push(("subject", subject.clone()));
    }
    attributes
}

/// Where an event comes from: the path of the object at the API server, below what tells clusters apart.
fn source_of(source: Option<&str>, message: &Message) -> String {
    let (kind, namespace, name) = &message.subject;
    let before = source.unwrap_or_default().trim_end_matches('/');
    let object = ObjectKind::own(kind);
    let version = object.map_or_else(String::new, ObjectKind::api_version);
    let plural = object.map_or("", ObjectKind::plural);
    format!("{before}/apis/{version}/namespaces/{namespace}/{plural}/{name}")
}
