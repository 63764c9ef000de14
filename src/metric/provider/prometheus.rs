//! Prometheus: renders an instant query and reads the answer. No I/O.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::{Sample, Subjects};
use crate::analysis::api::provider::PrometheusQuery;
use crate::model::action::{Reply, Request};

/// Longest wait for an answer. An analysis that hangs is an error, soon.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The request for one instant query.
pub fn request(query: &PrometheusQuery, subjects: &Subjects) -> Request {
    let text = subjects.fill(&query.query);
    let url = format!("{}/api/v1/query", query.address.trim_end_matches('/'));
    let body = format!("query={}", encode(&text));
    Request::post(url, "application/x-www-form-urlencoded", body, TIMEOUT)
}

/// A text as it stands in a form.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// An answer that is whole.
///
/// # Errors
/// Why it cannot be relied on.
pub fn answer(reply: &Reply) -> Result<Value, String> {
    let Ok(answer) = serde_json::from_slice::<Value>(&reply.body) else {
        return Err(format!(
            "status {}, and not an answer of Prometheus",
            reply.status
        ));
    };
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    if text("status") != Some("success") {
        let error = text("error").unwrap_or("no reason given");
        return Err(format!("status {}: {error}", reply.status));
    }
    // A partial answer would count too little, on whichever side is missing.
    if let Some(warning) = answer.pointer("/warnings/0").and_then(Value::as_str) {
        return Err(format!("the answer is not complete: {warning}"));
    }
    Ok(answer)
}

/// The answer to a query that should yield one number.
pub fn read(reply: &Reply) -> Sample {
    let answer = match answer(reply) {
        Ok(answer) => answer,
        Err(error) => return Sample::Error(error),
    };
    let result = answer.pointer("/data/result");
    match answer.pointer("/data/resultType").and_then(Value::as_str) {
        Some("scalar") => number(result.and_then(|scalar| scalar.get(1))),
        Some("vector") => match result.and_then(Value::as_array).map(Vec::as_slice) {
            Some([]) => Sample::Empty,
            Some([one]) => number(one.pointer("/value/1")),
            Some(many) => Sample::Error(format!(
                "the query yields {} series; aggregate them into one, for example with sum()",
                many.len()
            )),
            None => Sample::Error("an answer without a result".to_owned()),
        },
        other => Sample::Error(format!(
            "the query yields a {}; an instant vector or a scalar is needed",
            other.unwrap_or("value without a type")
        )),
    }
}

/// Prometheus writes numbers as text. Nothing divided by nothing is no data.
fn number(value: Option<&Value>) -> Sample {
    match value.and_then(Value::as_str).map(str::parse::<f64>) {
        Some(Ok(number)) if number.is_nan() => Sample::Empty,
        Some(Ok(number)) => Sample::Value(number),
        _ => Sample::Error(format!("not a number: {}", value.unwrap_or(&Value::Null))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(body: &Value) -> Sample {
        read(&Reply {
            status: 200,
            body: body.to_string().into_bytes(),
        })
    }

    fn vector(values: &[&str]) -> Value {
        let series: Vec<Value> = values.iter().map(|v| json!({"value": [1.0, v]})).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": series}})
    }

    #[test]
    fn one_series_is_a_value() {
        assert_eq!(sample(&vector(&["0.25"])), Sample::Value(0.25));
        assert_eq!(sample(&vector(&["+Inf"])), Sample::Value(f64::INFINITY));
    }

    #[test]
    fn nothing_is_never_zero() {
        assert_eq!(sample(&vector(&[])), Sample::Empty);
        assert_eq!(sample(&vector(&["NaN"])), Sample::Empty);
    }

    #[test]
    fn what_cannot_be_relied_on_is_an_error() {
        assert!(matches!(sample(&vector(&["1", "2"])), Sample::Error(e) if e.contains("2 series")));
        let mut partial = vector(&["1"]);
        partial["warnings"] = json!(["store unavailable"]);
        assert!(matches!(sample(&partial), Sample::Error(e) if e.contains("store unavailable")));
        let refused = json!({"status": "error", "error": "parse error"});
        assert!(matches!(sample(&refused), Sample::Error(e) if e.contains("parse error")));
        let page = Reply {
            status: 502,
            body: b"<html>".to_vec(),
        };
        assert!(matches!(read(&page), Sample::Error(e) if e.contains("502")));
    }

    #[test]
    fn a_query_is_sent_as_a_form_with_its_subjects_filled_in() {
        let query = PrometheusQuery {
            address: "http://prom:9090/".into(),
            query: r#"sum(up{pod=~"{{canary.pods}}"})"#.into(),
        };
        let subjects = Subjects {
            canary_pods: "api-b-.*".into(),
            stable_pods: "api-a-.*".into(),
        };
        let request = request(&query, &subjects);
        assert_eq!(request.url, "http://prom:9090/api/v1/query");
        assert_eq!(
            request.body.as_deref(),
            Some("query=sum%28up%7Bpod%3D~%22api-b-.%2A%22%7D%29")
        );
    }
}
