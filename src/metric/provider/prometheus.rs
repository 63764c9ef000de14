//! Prometheus, and what speaks like it: renders a query and reads the answer. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::answer::refusal;
use super::{Credentials, Sample, answer as answers, connected, reduced};
use crate::analysis::api::provider::{PrometheusQuery, Reduce};
use crate::model::access::{FORM, FROM, TO, form};
use crate::model::action::{Reply, Request};

/// The request for one query.
pub fn request(query: &PrometheusQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let times = query.range.as_ref().map(|range| Times {
        start: FROM.to_owned(),
        end: TO.to_owned(),
        step: range.step.into(),
    });
    let mut request = asked(query, credentials, timeout, times.as_ref());
    if let (Some(range), Some(access)) = (&query.range, &mut request.access) {
        access.window = Some(range.for_.into());
    }
    request
}

/// Times at which the value of a query is asked for, as Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The first.
    pub start: String,
    /// The last.
    pub end: String,
    /// From one to the next.
    pub step: Duration,
}

/// The request for the values of a query at these times, or at none in particular.
pub fn asked(
    query: &PrometheusQuery,
    credentials: &Credentials,
    timeout: Duration,
    times: Option<&Times>,
) -> Request {
    let text = query.query.as_str();
    let address = query.address.trim_end_matches('/');
    // The server gives up when nobody waits any more.
    let limit = format!("{}ms", timeout.as_millis());
    let common = [("query", text), ("timeout", &limit)];
    let (path, body) = match times {
        None => ("query", form(&common)),
        Some(Times { start, end, step }) => {
            let step = step.as_secs_f64().to_string();
            let times = [("start", start.as_str()), ("end", end), ("step", &step)];
            ("query_range", form(&[&common[..], &times[..]].concat()))
        }
    };
    let request = Request::post(format!("{address}/api/v1/{path}"), FORM, body, timeout);
    connected(request, &query.connection, credentials)
}

/// The answer, if it is one to rely on. The error is for people.
pub fn answer(reply: &Reply) -> Result<Value, String> {
    let Ok(answer) = serde_json::from_slice::<Value>(&reply.body) else {
        return Err(refusal(reply, None));
    };
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    if text("status") != Some("success") {
        return Err(refusal(reply, Some(&answer)));
    }
    // A partial answer would count too little, on whichever side is missing.
    if let Some(warning) = answer.pointer("/warnings/0").and_then(Value::as_str) {
        return Err(format!("the answer is not complete: {warning}"));
    }
    Ok(answer)
}

/// The answer to a query that should yield one series.
pub fn read(query: &PrometheusQuery, reply: &Reply) -> Result<Sample, String> {
    let answer = answer(reply)?;
    let result = answer.pointer("/data/result");
    let type_ = answer.pointer("/data/resultType").and_then(Value::as_str);
    match (type_, &query.range) {
        (Some("scalar"), _) => number(result.and_then(|scalar| scalar.get(1))),
        (Some("vector"), _) => match one(result)? {
            None => Ok(Sample::Empty),
            Some(series) => number(series.pointer("/value/1")),
        },
        (Some("matrix"), Some(range)) => match one(result)? {
            None => Ok(Sample::Empty),
            Some(series) => points(series, range.reduce),
        },
        (other, _) => Err(format!(
            "the query yields a {}; an instant vector or a scalar is needed",
            other.unwrap_or("value without a type")
        )),
    }
}

/// The one series of an answer, or none.
fn one(result: Option<&Value>) -> Result<Option<&Value>, String> {
    let found = result.and_then(Value::as_array);
    answers::one(found.ok_or("an answer without a result")?, "query", "sum()")
}

/// The samples that instant queries would have brought at these times, of an answer to the same query over all of them.
/// Prometheus leaves out times at which a series has no value.
pub fn samples(answer: &Value, times: &[Timestamp]) -> Result<Vec<Sample>, String> {
    let type_ = answer.pointer("/data/resultType").and_then(Value::as_str);
    let series = answer.pointer("/data/result").and_then(Value::as_array);
    let series = series.filter(|_| type_ == Some("matrix"));
    let series = series.ok_or("an answer that is no range of values")?;
    let mut found: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for one in series {
        let points = one.get("values").and_then(Value::as_array);
        for point in points.into_iter().flatten() {
            if let (Some(at), Some(value)) = (millis(point), point.get(1)) {
                found.entry(at).or_default().push(value.clone());
            }
        }
    }
    let sample = |at: &Timestamp| {
        let values = found.get(&at.as_millisecond());
        let value = answers::one(values.map_or(&[][..], Vec::as_slice), "query", "sum()");
        match value.and_then(|value| value.map_or(Ok(Sample::Empty), |value| number(Some(value)))) {
            Ok(sample) => sample,
            Err(problem) => Sample::Error(problem),
        }
    };
    Ok(times.iter().map(sample).collect())
}

/// The time of a point, in milliseconds, which is how exact Prometheus is.
pub fn millis(point: &Value) -> Option<i64> {
    let seconds = point.get(0)?.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "a time of today")]
    Some((seconds * 1000.0).round() as i64)
}

/// Prometheus writes numbers as text.
fn parsed(value: Option<&Value>) -> Result<f64, String> {
    let number = value.and_then(Value::as_str).map(str::parse::<f64>);
    let no_number = || format!("not a number: {}", value.unwrap_or(&Value::Null));
    number.and_then(Result::ok).ok_or_else(no_number)
}

fn number(value: Option<&Value>) -> Result<Sample, String> {
    // Nothing divided by nothing is no data.
    Ok(reduced([parsed(value)?], Reduce::Last))
}

fn points(series: &Value, reduce: Reduce) -> Result<Sample, String> {
    let values = series.get("values").and_then(Value::as_array);
    let points = values
        .into_iter()
        .flatten()
        .map(|point| parsed(point.get(1)));
    let points: Vec<f64> = points.collect::<Result<_, _>>()?;
    Ok(reduced(points, reduce))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{sent, told};
    use super::*;

    fn query(extra: &Value) -> Value {
        let mut query = json!({"prometheus": {"address": "http://prom:9090/", "query": "up"}});
        json_patch::merge(&mut query, &json!({"prometheus": extra}));
        query
    }

    fn answer(body: &Value) -> Sample {
        told(&query(&json!({})), 200, &body.to_string())
    }

    fn vector(values: &[&str]) -> Value {
        let series: Vec<Value> = values.iter().map(|v| json!({"value": [1.0, v]})).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": series}})
    }

    fn range(reduce: &str) -> Value {
        query(&json!({"range": {"for": "5m", "step": "500ms", "reduce": reduce}}))
    }

    #[test]
    fn one_series_is_a_value() {
        assert_eq!(answer(&vector(&["0.25"])), Sample::Value(0.25));
        assert_eq!(answer(&vector(&["+Inf"])), Sample::Value(f64::INFINITY));
        let scalar =
            json!({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "3"]}});
        assert_eq!(answer(&scalar), Sample::Value(3.0));
    }

    #[test]
    fn nothing_is_never_zero() {
        assert_eq!(answer(&vector(&[])), Sample::Empty);
        assert_eq!(answer(&vector(&["NaN"])), Sample::Empty);
    }

    #[test]
    fn a_range_is_reduced_as_its_metric_says() {
        let matrix = |values: &[&str]| {
            let values: Vec<Value> = values.iter().map(|v| json!([1.0, v])).collect();
            let data =
                json!({"resultType": "matrix", "result": [{"metric": {}, "values": values}]});
            json!({"status": "success", "data": data}).to_string()
        };
        let body = matrix(&["1", "NaN", "3"]);
        assert_eq!(told(&range("Max"), 200, &body), Sample::Value(3.0));
        let each = Sample::Values(vec![1.0, 3.0]);
        assert_eq!(told(&range("Each"), 200, &body), each);
        assert_eq!(told(&range("Sum"), 200, &matrix(&["NaN"])), Sample::Empty);
        let two =
            json!({"status": "success", "data": {"resultType": "matrix", "result": [{}, {}]}});
        let told = told(&range("Sum"), 200, &two.to_string());
        assert!(matches!(told, Sample::Error(e) if e.contains("2 series")));
    }

    #[test]
    fn many_values_are_what_each_would_have_been() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let series = |values: &[(i64, &str)]| {
            let values: Vec<Value> = values
                .iter()
                .map(|(at, value)| json!([at, value]))
                .collect();
            json!({"metric": {}, "values": values})
        };
        let matrix = |series: &[Value]| json!({"data": {"resultType": "matrix", "result": series}});
        let times = [at(10), at(20), at(30)];
        let one = matrix(&[series(&[(10, "0.5"), (30, "NaN")])]);
        let read = samples(&one, &times).unwrap();
        assert_eq!(read, [Sample::Value(0.5), Sample::Empty, Sample::Empty]);
        assert_eq!(samples(&matrix(&[]), &times[..1]), Ok(vec![Sample::Empty]));
        // Another series comes to be: from then on there are two.
        let two = matrix(&[
            series(&[(10, "1"), (20, "1")]),
            series(&[(20, "2"), (30, "2")]),
        ]);
        let read = samples(&two, &times).unwrap();
        assert_eq!(
            (&read[0], &read[2]),
            (&Sample::Value(1.0), &Sample::Value(2.0))
        );
        assert!(matches!(&read[1], Sample::Error(e) if e.contains("2 series")));
        let vector = json!({"data": {"resultType": "vector", "result": []}});
        assert!(samples(&vector, &times).is_err());
    }

    #[test]
    fn what_cannot_be_relied_on_is_an_error() {
        assert!(matches!(answer(&vector(&["1", "2"])), Sample::Error(e) if e.contains("2 series")));
        let mut partial = vector(&["1"]);
        partial["warnings"] = json!(["store unavailable"]);
        assert!(matches!(answer(&partial), Sample::Error(e) if e.contains("store unavailable")));
        let refused = json!({"status": "error", "errorType": "bad_data", "error": "parse error"});
        assert!(matches!(answer(&refused), Sample::Error(e) if e.contains("parse error")));
        let matrix = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
        assert!(matches!(answer(&matrix), Sample::Error(e) if e.contains("matrix")));
        let page = told(&query(&json!({})), 502, "<html>");
        assert!(matches!(page, Sample::Error(e) if e == "status 502: <html>"));
        let denied = told(&query(&json!({})), 401, "Unauthorized\n");
        assert!(matches!(denied, Sample::Error(e) if e.contains("check the credentials")));
    }

    #[test]
    fn a_query_is_sent_as_a_form_with_its_subjects_filled_in() {
        insta::assert_snapshot!(sent(&query(
            &json!({"query": r#"sum(up{pod=~"{{canary.pods}}"})"#})
        )));
    }

    #[test]
    fn a_range_is_asked_for_up_to_now() {
        insta::assert_snapshot!(sent(&range("Max")));
    }

    #[test]
    fn who_asks_stands_in_placeholders() {
        let secret = |key: &str| json!({"name": "prom", "key": key});
        let tls = json!({"ca": secret("ca.crt"), "clientCertificate": "prom-client"});
        let headers = json!([
            {"name": "X-Scope-OrgID", "value": "{{canary.revision}}"},
            {"name": "X-Key", "secretRef": secret("key")},
        ]);
        let token = json!({"auth": {"bearer": secret("token")}, "tls": tls, "headers": headers});
        insta::assert_snapshot!("token", sent(&query(&token)));
        let basic = json!({"auth": {"basic": {"username": "me", "password": secret("password")}}});
        insta::assert_snapshot!("basic", sent(&query(&basic)));
    }
}
