//! Graphite: renders a target for the render API and reads the points. No I/O.

use std::time::Duration;

use serde_json::Value;

use super::{Credentials, Sample, WINDOW, answer, connected, reduced};
use crate::analysis::api::provider::Reduce;
use crate::analysis::api::provider::hosted::GraphiteQuery;
use crate::model::access::{FORM, form};
use crate::model::action::{Reply, Request};

/// The request.
pub fn request(query: &GraphiteQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let target = query.target.as_str();
    let window = query.for_.map_or(WINDOW, Duration::from);
    let from = format!("-{}s", window.as_secs().max(1));
    let body = form(&[
        ("target", target),
        ("from", &from),
        ("until", "now"),
        ("format", "json"),
    ]);
    let address = query.address.trim_end_matches('/');
    let request = Request::post(format!("{address}/render"), FORM, body, timeout);
    connected(request, &query.connection, credentials)
}

/// The points of the one series.
pub fn read(query: &GraphiteQuery, reply: &Reply) -> Result<Sample, String> {
    let body = answer::json(reply)?;
    let series = body.as_array().ok_or("an answer without points")?;
    let Some(one) = answer::one(series, "target", "sumSeries()")? else {
        return Ok(Sample::Empty);
    };
    let points = one.get("datapoints").and_then(Value::as_array);
    let points = points.ok_or("an answer without points")?;
    // A point is a value and its time; one without a value is null.
    let values = points
        .iter()
        .filter_map(|point| point.get(0).and_then(answer::number));
    Ok(reduced(values, query.reduce.unwrap_or(Reduce::Last)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{sent, told};
    use super::*;

    fn query(extra: &Value) -> Value {
        let mut query = json!({"graphite": {
            "address": "http://graphite.monitoring", "target": "sumSeries(api.{{canary.revision}}.*.errors)",
        }});
        json_patch::merge(&mut query, &json!({"graphite": extra}));
        query
    }

    #[test]
    fn a_target_is_asked_for_as_a_form() {
        let auth = json!({"auth": {"basic": {"username": "me", "password": {"name": "g", "key": "password"}}}});
        insta::assert_snapshot!(sent(&query(&auth)));
    }

    #[test]
    fn the_last_value_that_is_there_counts() {
        let body = json!([{
            "target": "sumSeries(api.b.*.errors)", "tags": {"name": "api.b.1.errors", "aggregatedBy": "sum"},
            "datapoints": [[1.0, 1_311_836_008], [5.0, 1_311_836_009], [3.0, 1_311_836_010], [null, 1_311_836_011]],
        }]);
        assert_eq!(
            told(&query(&json!({})), 200, &body.to_string()),
            Sample::Value(3.0)
        );
        let max = query(&json!({"reduce": "Max"}));
        assert_eq!(told(&max, 200, &body.to_string()), Sample::Value(5.0));
    }

    #[test]
    fn no_series_and_no_values_are_no_data() {
        assert_eq!(told(&query(&json!({})), 200, "[]"), Sample::Empty);
        let nulls = json!([{"target": "t", "datapoints": [[null, 1_311_836_008]]}]);
        assert_eq!(
            told(&query(&json!({})), 200, &nulls.to_string()),
            Sample::Empty
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let error = |status, body: &str| match told(&query(&json!({})), status, body) {
            Sample::Error(error) => error,
            other => panic!("{other:?}"),
        };
        assert!(
            error(400, "Error parsing target: unbalanced parentheses")
                .contains("unbalanced parentheses")
        );
        let two = json!([{"target": "a", "datapoints": []}, {"target": "b", "datapoints": []}]);
        assert!(error(200, &two.to_string()).contains("2 series"));
        assert!(error(429, "").contains("asked too often"));
        assert!(error(200, "<html>").contains("no JSON"));
        assert!(error(200, "{}").contains("without points"));
    }
}
