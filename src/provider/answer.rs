//! What providers answer, and what does not answer the question, in words for people. No I/O.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::action::Reply;
use crate::model::condition::truncate;

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
            "the answer is not the provider's ({error}); check source.git.provider: {}",
            cut(&excerpt(body))
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

/// Where the providers put their words.
fn words(body: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return cut(&excerpt(body));
    };
    let general = ["/message", "/error", "/error_description"];
    let particular = ["/errors/0/message", "/errors/0/code", "/errors/0"];
    let of = |places: &[&str]| {
        let mut found = places.iter().filter_map(|place| json.pointer(place));
        found.find_map(|found| match found {
            Value::String(text) => Some(text.clone()),
            Value::Array(_) | Value::Object(_) => Some(found.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        })
    };
    let both = [of(&general), of(&particular)];
    let both: Vec<String> = both.into_iter().flatten().collect();
    cut(&both.join(": "))
}

fn excerpt(body: &[u8]) -> String {
    let start = body.get(..4 * MAX_EXCERPT).unwrap_or(body);
    String::from_utf8_lossy(start).into_owned()
}

/// On one line, and short.
fn cut(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    truncate(&line, MAX_EXCERPT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, text: &str) -> Refusal {
        let body = text.as_bytes().to_vec();
        json::<Value>(&Ok(Reply { status, body })).unwrap_err()
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
        assert_eq!(told(200, "<html>").kind, RefusalKind::Server);
        let none = json::<Value>(&Err("no answer from git.example within 20 s".into()));
        assert!(none.unwrap_err().is_transient());
    }

    #[test]
    fn the_providers_words_are_told_and_what_to_do() {
        let body = r#"{"message": "Validation Failed", "errors": [{"code": "already_exists"}]}"#;
        assert_eq!(
            told(422, body).message,
            "HTTP status 422 (Validation Failed: already_exists): the provider does not take this"
        );
        let gitlab = r#"{"message": {"name": ["is too long"]}}"#;
        assert!(told(400, gitlab).message.contains("is too long"));
        assert!(told(502, &"x ".repeat(1 << 19)).message.len() < 400);
    }
}
