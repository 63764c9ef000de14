//! An email. It is plain text: nothing in it is loaded from anywhere, and nobody has to see through markup. No I/O.

use super::api::{Email, Encryption};
use super::text::Style;
use super::{Message, TIMEOUT};
use crate::model::access::{Access, Login};
use crate::model::action::Request;
use crate::model::key::short_hash;
use crate::model::mail::{Mail, Transport};

const MAX_SUBJECT: usize = 200;
const MAX_TEXT: usize = 16 << 10;

/// The request.
///
/// # Errors
/// The template cannot be filled in.
pub fn request(
    email: &Email,
    message: &Message,
    template: Option<&str>,
    access: Access,
) -> Result<Request, String> {
    let text = message
        .filled_if_any(template, Style::Plain, MAX_TEXT)?
        .unwrap_or_else(|| text(message));
    let host = email.from.rsplit('@').next().unwrap_or_default();
    // The same message has the same id, so that mail servers and programs may see that they have it.
    let id = format!("<{}@{host}>", short_hash(message.key.as_bytes(), 32));
    let mail = Mail {
        host: email.host.clone(),
        port: email.port(),
        transport: match email.encryption() {
            Encryption::StartTls => Transport::StartTls,
            Encryption::Tls => Transport::Tls,
            Encryption::None => Transport::Plain,
        },
        from: email.from.clone(),
        to: email.to.clone(),
        subject: Style::Plain
            .written(&message.title, MAX_SUBJECT)
            .replace('\n', " "),
        text,
        id,
        at: message.at,
    };
    let login = email.auth.as_ref().map(|auth| Login::Basic {
        username: auth.username.clone(),
        password: auth.password.clone(),
    });
    let access = Access {
        login,
        ca: email.ca.clone(),
        ..access
    };
    // A mail server greets, and may take its time for it.
    Ok(Request::for_mail(mail, access, TIMEOUT * 4))
}

fn text(message: &Message) -> String {
    let written = |text: &str| Style::Plain.written(text, MAX_TEXT / 4);
    let mut parts = vec![written(&message.message)];
    let facts = message
        .shown()
        .map(|(label, value)| format!("{label}: {}", written(value)));
    parts.push(facts.collect::<Vec<_>>().join("\n"));
    parts.push(Style::Plain.notes(&message.notes, MAX_TEXT / 2));
    let (kind, namespace, name) = &message.subject;
    parts.push(format!(
        "-- \n{kind} {name}, namespace {namespace}: {}, {}, {}",
        message.event, message.severity, message.at
    ));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n") + "\n"
}
