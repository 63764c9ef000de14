//! Datadog: renders a query of time series (API v1) and reads the points. No I/O.

use std::time::Duration;

use serde_json::Value;

use super::{Credentials, Sample, WINDOW, answer, placed, reduced};
use crate::analysis::api::provider::Reduce;
use crate::analysis::api::provider::hosted::DatadogQuery;
use crate::model::access::{FROM, TO, form};
use crate::model::action::{Reply, Request};

/// Site of an organisation that does not say its own.
const SITE: &str = "datadoghq.com";

/// The request.
pub fn request(query: &DatadogQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let site = query.site.as_deref().unwrap_or(SITE);
    let text = query.query.as_str();
    let query_string = form(&[("from", FROM), ("to", TO), ("query", text)]);
    let url = format!("https://api.{site}/api/v1/query?{query_string}");
    let mut request = Request::get(url, timeout);
    let mut access = credentials.access();
    access.window = Some(query.for_.map_or(WINDOW, Duration::from));
    for (name, secret) in [
        ("dd-api-key", &query.api_key),
        ("dd-application-key", &query.app_key),
    ] {
        let value = placed(&mut access, secret);
        request.headers.insert(name.to_owned(), value);
    }
    request.access = Some(Box::new(access));
    request
}

/// The points of the one series.
pub fn read(query: &DatadogQuery, reply: &Reply) -> Result<Sample, String> {
    let body = answer::json(reply)?;
    // What is wrong with a query comes with status 200.
    if body.get("status").and_then(Value::as_str) == Some("error") {
        return Err(answer::refusal(reply, Some(&body)));
    }
    let series = body.get("series").and_then(Value::as_array);
    let series = series.ok_or("an answer without series")?;
    let Some(one) = answer::one(series, "query", "sum: and without `by`")? else {
        return Ok(Sample::Empty);
    };
    let points = one.get("pointlist").and_then(Value::as_array);
    let points = points.ok_or("an answer without series")?;
    // A point without a value is null.
    let values = points
        .iter()
        .filter_map(|point| point.get(1).and_then(answer::number));
    Ok(reduced(values, query.reduce.unwrap_or(Reduce::Last)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{sent, told};
    use super::*;

    fn query(extra: &Value) -> Value {
        let secret = |key: &str| json!({"name": "datadog", "key": key});
        let mut query = json!({"datadog": {
            "query": "sum:trace.http.request.errors{service:api,version:{{canary.revision}}}.as_rate()",
            "apiKey": secret("api-key"), "appKey": secret("app-key"),
        }});
        json_patch::merge(&mut query, &json!({"datadog": extra}));
        query
    }

    fn recorded(points: &Value) -> String {
        let series = json!({
            "unit": null, "tag_set": [], "aggr": "sum", "metric": "trace.http.request.errors", "interval": 20,
            "scope": "service:api,version:b", "start": 1_575_317_847_000_i64, "end": 1_575_317_886_999_i64,
            "length": 2, "query_index": 0, "attributes": {}, "display_name": "trace.http.request.errors",
            "expression": "sum:trace.http.request.errors{service:api,version:b}.as_rate()", "pointlist": points,
        });
        json!({
            "status": "ok", "resp_version": 1, "res_type": "time_series", "query": "q", "group_by": [], "values": [],
            "times": [], "message": "", "from_date": 1_575_317_847_000_i64, "to_date": 1_575_317_887_000_i64,
            "series": [series],
        })
        .to_string()
    }

    #[test]
    fn a_window_is_asked_for_with_both_keys() {
        insta::assert_snapshot!(sent(&query(&json!({"site": "datadoghq.eu", "for": "10m"}))));
    }

    #[test]
    fn the_last_point_counts_or_what_the_metric_says() {
        let body = recorded(&json!([
            [1_575_317_847_000.0, 0.5],
            [1_575_317_867_000.0, 0.25],
            [1_575_317_887_000.0, null]
        ]));
        assert_eq!(told(&query(&json!({})), 200, &body), Sample::Value(0.25));
        let max = query(&json!({"reduce": "Max"}));
        assert_eq!(told(&max, 200, &body), Sample::Value(0.5));
    }

    #[test]
    fn no_series_and_no_points_are_no_data() {
        let empty = json!({"status": "ok", "series": [], "message": "", "query": "q"}).to_string();
        assert_eq!(told(&query(&json!({})), 200, &empty), Sample::Empty);
        assert_eq!(
            told(&query(&json!({})), 200, &recorded(&json!([]))),
            Sample::Empty
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let error = |status, body: &str| match told(&query(&json!({})), status, body) {
            Sample::Error(error) => error,
            other => panic!("{other:?}"),
        };
        let bad = json!({"status": "error", "error": "Error parsing query: unable to parse sum:", "series": []});
        assert!(error(200, &bad.to_string()).contains("Error parsing query"));
        assert!(
            error(403, r#"{"errors": ["Forbidden"]}"#).contains("Forbidden; check the credentials")
        );
        let limited = r#"{"errors": ["Rate limit of 1600 requests in 3600 seconds reached. Please try again later."]}"#;
        assert!(error(429, limited).contains("asked too often"));
        let two = json!({"status": "ok", "series": [{"pointlist": []}, {"pointlist": []}]});
        assert!(error(200, &two.to_string()).contains("2 series"));
        assert!(error(200, r#"{"status": "ok"}"#).contains("without series"));
    }
}
