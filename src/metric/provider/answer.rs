//! What servers answer that do not answer the question: in words for people. No I/O.

use serde_json::Value;

use crate::model::action::Reply;
use crate::model::text::one_line;

/// Longest part of an answer that is told, in bytes.
const MAX_EXCERPT: usize = 200;

/// The JSON of an answer that is a good one.
pub(super) fn json(reply: &Reply) -> Result<Value, String> {
    let body = serde_json::from_slice::<Value>(&reply.body);
    if !(200..300).contains(&reply.status) {
        return Err(refusal(reply, body.ok().as_ref()));
    }
    body.map_err(|_| {
        let excerpt = excerpt(&reply.body);
        format!("status {}, and no JSON: {excerpt}", reply.status)
    })
}

/// Why a server does not answer, and what could be done about it.
pub(super) fn refusal(reply: &Reply, body: Option<&Value>) -> String {
    let status = reply.status;
    let words = body
        .and_then(words)
        .map_or_else(|| excerpt(&reply.body), |words| cut(&words));
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    let advice = match status {
        300..=399 => {
            "; redirects to other addresses are not followed: name the address where it leads to"
        }
        401 | 403 => "; check the credentials, and what they may read",
        404 => "; check the address",
        429 => "; it is asked too often: a longer interval asks less",
        _ => "",
    };
    format!("status {status}{words}{advice}")
}

/// Where the servers that we know put their words.
fn words(body: &Value) -> Option<String> {
    let places = [
        "/error",
        "/error/message",
        "/errors/0/message",
        "/errors/0",
        "/errors/0/detail",
        "/message",
        "/Message",
        "/detail",
    ];
    let mut found = places
        .iter()
        .filter_map(|place| body.pointer(place)?.as_str());
    found.next().map(str::to_owned)
}

/// The one series of an answer, or nothing where there is none. `what` is asked, and `with` makes one series of several.
pub(super) fn one<'a>(
    found: &'a [Value],
    what: &str,
    with: &str,
) -> Result<Option<&'a Value>, String> {
    match found {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        many => Err(format!(
            "the {what} yields {} series; aggregate them into one, for example with {with}",
            many.len()
        )),
    }
}

/// The beginning of an answer that is not what it should be.
pub(super) fn excerpt(body: &[u8]) -> String {
    // Cut first: a page may be long.
    let start = body.get(..4 * MAX_EXCERPT).unwrap_or(body);
    cut(&String::from_utf8_lossy(start))
}

/// On one line, and short.
pub(super) fn cut(text: &str) -> String {
    one_line(text, MAX_EXCERPT)
}

/// A number, as JSON has it or as a text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> String {
        let body = body.as_bytes().to_vec();
        json(&Reply { status, body }).unwrap_err()
    }

    #[test]
    fn the_servers_words_are_told_and_what_to_do() {
        assert_eq!(
            told(403, r#"{"errors": ["Forbidden"]}"#),
            "status 403: Forbidden; check the credentials, and what they may read"
        );
        assert_eq!(
            told(429, r#"{"errors": [{"message": "Rate limit"}]}"#),
            "status 429: Rate limit; it is asked too often: a longer interval asks less"
        );
        assert!(told(302, "").starts_with("status 302; redirects"));
        assert_eq!(
            told(502, "<html>\n  <b>Bad</b>\u{7} Gateway"),
            "status 502: <html> <b>Bad</b> Gateway"
        );
        assert_eq!(told(200, "hello"), "status 200, and no JSON: hello");
        assert!(told(500, &"x".repeat(1 << 20)).len() < 300);
    }
}
