//! What is said instead of an answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// When to come back to a server that has too much to do, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    reason: &'static str,
    message: String,
}

impl Problem {
    /// A problem with this status of HTTP.
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code).ok();
        let is_error = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        let status = status.filter(is_error);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            status,
            reason: reason(status.as_u16()),
            message: message.into(),
        }
    }

    /// The same with another word for it.
    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }
}

/// The word that the API server has for a status.
fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 => "RequestTimeout",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        421 => "Misdirected",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(json!({"message": self.message, "reason": self.reason}));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_status_and_the_word_of_the_api_server() {
        let response = Problem::new(403, "olga may not").into_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(Problem::new(404, "").reason, "NotFound");
        assert_eq!(
            Problem::new(502, "").because("Unauthorized").reason,
            "Unauthorized"
        );
        let busy = Problem::new(503, "").into_response();
        assert_eq!(busy.headers()[header::RETRY_AFTER], "5");
        let unknown = Problem::new(401, "").into_response();
        assert!(unknown.headers().contains_key(header::WWW_AUTHENTICATE));
    }

    #[test]
    fn what_is_no_status_of_an_error_is_a_mistake_here() {
        for code in [0, 200, 304, 1000] {
            let status = Problem::new(code, "").status;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{code}");
        }
    }
}
