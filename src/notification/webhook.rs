//! A POST with JSON, for programs. No I/O.

use super::api::Webhook;
use super::text::Style;
use super::{Message, TIMEOUT};
use crate::model::access::{Access, Login};
use crate::model::action::Request;
use crate::model::json::set;

/// Longest text of a template, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// The request; the key of the message is a header field too.
///
/// # Errors
/// The template cannot be filled in.
pub fn request(
    webhook: &Webhook,
    message: &Message,
    template: Option<&str>,
    access: Access,
) -> Result<Request, String> {
    let mut body = message.body.clone();
    if let Some(template) = template {
        let text = message.filled(template, Style::Plain, MAX_TEXT)?;
        set(&mut body, &["text"], text);
    }
    let post = |url: &str| {
        let (type_, body) = ("application/json", body.to_string());
        Request::post(url.to_owned(), type_, body, TIMEOUT)
    };
    let mut request = match (&webhook.url, &webhook.secret_ref) {
        (Some(url), _) => post(url),
        (None, Some(secret)) => Request {
            access: Some(Box::new(Access {
                login: Some(Login::Url {
                    url: secret.clone(),
                }),
                ..access
            })),
            ..post("webhook")
        },
        (None, None) => return Err("the webhook has no URL".to_owned()),
    };
    let (name, key) = ("idempotency-key".to_owned(), message.key.clone());
    request.headers.insert(name, key);
    Ok(request)
}
