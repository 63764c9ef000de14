//! What comes in over HTTP: alerts of Alertmanagers ([`alert`]); what git providers tell ([`hook`]); from the pods of stages, what they say and their claims, and
//! people who read that ([`stage`]).
//!
//! It decides nothing. Whatever may be better in a moment is 503: a process that does not lead, an API server that does not
//! answer, too much at once. Who calls is known by a token, and who has none learns nothing.

pub mod alert;
pub mod hook;
mod identity;
mod limit;
pub mod stage;
mod token;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Where the tokens of people are: the API server keeps `Authorization` to itself when it passes a call on.
pub const TOKEN_HEADER: &str = "x-slipway-token";
/// When to try again, in seconds.
const RETRY_AFTER: &str = "1";
/// What a process says that does not lead.
const NO_LEADER: &str = "this process does not lead; try again, another one does";
/// Time between two looks whether what was taken is on record.
const LOOK: Duration = Duration::from_millis(20);

/// What becomes of a call, if nothing good does.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// It may be taken in a moment.
    Later(&'static str),
    /// Who calls has not shown that they may.
    Unknown,
    /// It will never be taken.
    Never(StatusCode, String),
}

impl Refusal {
    /// The answer; `unknown` is what those hear who have not shown that they may.
    fn answer(self, unknown: &'static str) -> Response {
        match self {
            Self::Later(why) => {
                // On another connection it may come to another process.
                let fields = [
                    (header::RETRY_AFTER, RETRY_AFTER),
                    (header::CONNECTION, "close"),
                ];
                (StatusCode::SERVICE_UNAVAILABLE, fields, format!("{why}\n")).into_response()
            }
            Self::Unknown => {
                let fields = [(header::WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, fields, unknown).into_response()
            }
            Self::Never(status, why) => (status, format!("{why}\n")).into_response(),
        }
    }
}

/// Only the process that leads takes anything.
fn leads(flag: &AtomicBool) -> Result<(), Refusal> {
    if flag.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(Refusal::Later(NO_LEADER))
}

/// The body of a call, if it has at most so many bytes; `advice` ends what is said of a longer one.
async fn read_body(body: Body, limit: usize, advice: &str) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, limit).await.map_err(|_| {
        let problem = format!("the body has more than {limit} bytes, or was broken off{advice}");
        Refusal::Never(StatusCode::PAYLOAD_TOO_LARGE, problem)
    })
}

/// Looks until what was handed over is on record, as long as this process leads.
async fn until_on_record<T>(
    flag: &AtomicBool,
    look: impl Fn() -> Result<Option<T>, Refusal>,
) -> Result<T, Refusal> {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        if let Some(found) = look()? {
            return Ok(found);
        }
        leads(flag)?;
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let type_ = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let type_ = type_
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if type_.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let problem = "the content type must be application/json".to_owned();
    Err(Refusal::Never(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem))
}
