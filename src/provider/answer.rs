//! What providers answer, and what does not answer the question, in words for people. No I/O.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::action::Reply;
use crate::model::text::{one_line, truncate};

/// Longest part of an answer that is told, in bytes.
const MAX_EXCERPT: usize = 200;

/// Why a provider does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// It does not take the token, or the token may not do this.
    Login,
    /// What is asked about is not there, or cannot be seen with this token.
    NotFound,
    /// It is there already, or is in another state than it has to be.
    Conflict,
    /// It wants to be asked less often.
    Limited,
    /// It takes the request for a wrong one.
    Invalid,
    /// It has a problem of its own, or does not answer: it can be asked again.
    Server,
}

/// Why a provider does not do what it is asked, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What sort of problem it is.
    pub kind: RefusalKind,
    /// One sentence: what it said, and what to do.
    pub message: String,
}

impl Refusal {
    /// Whether it may go away by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, RefusalKind::Limited | RefusalKind::Server)
    }
}

/// The body of an answer that is a good one.
pub(super) fn body(reply: &Result<Reply, String>) -> Result<&[u8], Refusal> {
    match reply {
        Ok(reply) if (200..300).contains(&reply.status) => Ok(&reply.body),
        Ok(reply) => Err(refusal(reply)),
        Err(error) => Err(Refusal {
            kind: RefusalKind::Server,
            message: truncate(error, 512).to_owned(),
        }),
    }
}

/// The JSON of an answer that is a good one.
pub(super) fn json<T: DeserializeOwned>(reply: &Result<Reply, String>) -> Result<T, Refusal> {
    let body = body(reply)?;
    serde_json::from_slice(body).map_err(|error| Refusal {
        kind: RefusalKind::Server,
        message: format!(
            "the answer is not the provider's (no such JSON, at line {}, column {}); check source.git.provider",
            error.line(),
            error.column()
        ),
    })
}

/// The same, where nothing may be there.
pub(super) fn found<T: DeserializeOwned>(
    reply: &Result<Reply, String>,
) -> Result<Option<T>, Refusal> {
    match json(reply) {
        Ok(it) => Ok(Some(it)),
        Err(refusal) if refusal.kind == RefusalKind::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Whether a refusal says that what was to be made is there.
pub(super) fn is_there(refusal: &Refusal) -> bool {
    let says = |word: &str| refusal.message.contains(word);
    refusal.kind == RefusalKind::Conflict
        || (refusal.kind == RefusalKind::Invalid && says("already") && says("exist"))
}

fn refusal(reply: &Reply) -> Refusal {
    let status = reply.status;
    let words = words(&reply.body);
    let is_limit = words.to_lowercase().contains("rate limit");
    let (kind, advice) = match status {
        403 if is_limit => (RefusalKind::Limited, "it is asked again later"),
        401 | 403 => (
            RefusalKind::Login,
            "check the token of source.git.provider, and what it may do",
        ),
        404 | 410 => (
            RefusalKind::NotFound,
            "it is not there, or the token of source.git.provider may not see it",
        ),
        409 => (
            RefusalKind::Conflict,
            "it is there already, or was changed meanwhile",
        ),
        429 => (RefusalKind::Limited, "it is asked again later"),
        408 | 500.. => (RefusalKind::Server, "it is asked again"),
        300..=399 => (
            RefusalKind::Invalid,
            "the API is at another address; check source.git.provider.apiUrl",
        ),
        _ => (RefusalKind::Invalid, "the provider does not take this"),
    };
    let words = if words.is_empty() {
        words
    } else {
        format!(" ({words})")
    };
    Refusal {
        kind,
        message: format!("HTTP status {status}{words}: {advice}"),
    }
}

/// Where the providers put their words. Nothing else of an answer is told: people who may write the address of an API are not to
/// read, in a status, what servers say that only the operator reaches.
fn words(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    // What API servers of Kubernetes say has a message too.
    if json.get("apiVersion").is_some() {
        return String::new();
    }
    let general = ["/message", "/error", "/error_description"];
    let particular = ["/errors/0/message", "/errors/0/code", "/errors/0"];
    let of = |places: &[&str]| {
        let mut found = places.iter().filter_map(|place| json.pointer(place));
        found.find_map(said)
    };
    let both = [of(&general), of(&particular)];
    let both: Vec<String> = both.into_iter().flatten().collect();
    one_line(&both.join(": "), MAX_EXCERPT)
}

/// A text, a list of them, or, as GitLab has it, such a list for each field.
fn said(value: &Value) -> Option<String> {
    let are_texts = |value: &Value| {
        value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string))
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) => are_texts(value).then(|| value.to_string()),
        Value::Object(fields) => fields.values().all(are_texts).then(|| value.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: u16, text: &str) -> Refusal {
        let text = text.as_bytes().to_vec();
        body(&Ok(Reply { status, body: text })).unwrap_err()
    }

    #[test]
    fn what_may_go_away_by_itself_is_told_from_what_takes_people() {
        assert!(told(503, "").is_transient());
        assert!(told(429, "{}").is_transient());
        assert!(
            told(
                403,
                r#"{"message": "API rate limit exceeded for 10.0.0.1."}"#
            )
            .is_transient()
        );
        assert_eq!(
            told(403, r#"{"message": "Forbidden"}"#).kind,
            RefusalKind::Login
        );
        let silence = Err("no answer from git.example within 20 s".into());
        let none = body(&silence);
        assert!(none.unwrap_err().is_transient());
    }

    #[test]
    fn the_providers_words_are_told_and_what_to_do() {
        let text = r#"{"message": "Validation Failed", "errors": [{"code": "already_exists"}]}"#;
        assert_eq!(
            told(422, text).message,
            "HTTP status 422 (Validation Failed: already_exists): the provider does not take this"
        );
        let gitlab = r#"{"message": {"name": ["is too long"]}}"#;
        assert!(told(400, gitlab).message.contains("is too long"));
        let long = json!({"message": "x ".repeat(1 << 19)}).to_string();
        assert!(told(502, &long).message.len() < 400);
    }

    #[test]
    fn nothing_is_told_that_is_not_in_the_providers_form() {
        for text in [
            "ami-0abc role=hunter2",
            "<html><title>hunter2</title></html>",
            r#""hunter2""#,
            r#"{"token": "hunter2"}"#,
            r#"{"message": {"data": {"key": "hunter2"}}}"#,
            r#"{"kind": "Status", "apiVersion": "v1", "message": "secrets \"hunter2\" not found"}"#,
        ] {
            for status in [302, 404, 500] {
                let message = told(status, text).message;
                assert!(!message.contains("hunter2"), "{status}: {message}");
            }
        }
    }
}
