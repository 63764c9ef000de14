//! New Relic: renders a query in NRQL for NerdGraph and reads the rows. No I/O.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Credentials, Sample, answer, placed, reduced};
use crate::analysis::api::provider::Reduce;
use crate::analysis::api::provider::hosted::{NewRelicQuery, NewRelicRegion};
use crate::model::action::{Reply, Request};

/// The question, in GraphQL. What people write are variables of it, so that nothing has to be escaped.
const QUESTION: &str = "query($account: Int!, $nrql: Nrql!, $timeout: Seconds) { actor { account(id: $account) { \
                        nrql(query: $nrql, timeout: $timeout) { results } } } }";

/// Columns that say which time a row is about.
const TIMES: [&str; 3] = ["beginTimeSeconds", "endTimeSeconds", "timestamp"];

/// The request.
pub fn request(query: &NewRelicQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let host = match query.region.unwrap_or_default() {
        NewRelicRegion::US => "api.newrelic.com",
        NewRelicRegion::EU => "api.eu.newrelic.com",
    };
    let variables = json!({
        "account": query.account, "nrql": query.query, "timeout": timeout.as_secs().max(1),
    });
    let body = json!({"query": QUESTION, "variables": variables}).to_string();
    let url = format!("https://{host}/graphql");
    let mut request = Request::post(url, "application/json", body, timeout);
    let mut access = credentials.access();
    let key = placed(&mut access, &query.api_key);
    request.headers.insert("api-key".to_owned(), key);
    request.access = Some(Box::new(access));
    request
}

/// The one number of each row.
pub fn read(query: &NewRelicQuery, reply: &Reply) -> Result<Sample, String> {
    let body = answer::json(reply)?;
    // An answer may have some data and errors as well, all with status 200: then it is not complete.
    if body
        .get("errors")
        .and_then(Value::as_array)
        .is_some_and(|errors| !errors.is_empty())
    {
        return Err(answer::refusal(reply, Some(&body)));
    }
    let rows = body.pointer("/data/actor/account/nrql/results");
    let rows = rows
        .and_then(Value::as_array)
        .ok_or("an answer without results")?;
    let has_times = rows
        .iter()
        .all(|row| TIMES.iter().any(|time| row.get(time).is_some()));
    if rows.len() > 1 && !has_times {
        return Err(format!(
            "the query yields {} rows; aggregate them into one (without FACET), or make them a TIMESERIES",
            rows.len()
        ));
    }
    let values: Vec<Option<f64>> = rows.iter().map(number_of).collect::<Result<_, _>>()?;
    let reduce = query.reduce.unwrap_or(Reduce::Last);
    Ok(reduced(values.into_iter().flatten(), reduce))
}

/// The only number of a row, which may stand in a list by percentile. Null is no data.
fn number_of(row: &Value) -> Result<Option<f64>, String> {
    let columns = row.as_object().ok_or("a row that has no columns")?;
    let of_interest = columns
        .iter()
        .filter(|(name, _)| !TIMES.contains(&name.as_str()) && *name != "facet");
    let leaves = of_interest.flat_map(|(_, value)| match value {
        Value::Object(inner) => inner.values().collect::<Vec<_>>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            vec![value]
        }
    });
    match leaves.collect::<Vec<_>>().as_slice() {
        [Value::Null] => Ok(None),
        [one] => match answer::number(one) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("not a number: {}", answer::cut(&one.to_string()))),
        },
        many => Err(format!("a row has {} columns; select one", many.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sent, told};
    use super::*;

    fn query(extra: &Value) -> Value {
        let mut query = json!({"newRelic": {
            "account": 1_234_567,
            "query": "SELECT percentage(count(*), WHERE error IS true) FROM Transaction WHERE version = '{{canary.revision}}' SINCE 5 minutes ago",
            "apiKey": {"name": "new-relic", "key": "api-key"},
        }});
        json_patch::merge(&mut query, &json!({"newRelic": extra}));
        query
    }

    fn recorded(rows: &Value) -> String {
        json!({"data": {"actor": {"account": {"nrql": {"results": rows}}}}}).to_string()
    }

    fn of(rows: &Value) -> Sample {
        told(&query(&json!({})), 200, &recorded(rows))
    }

    #[test]
    fn a_query_is_a_variable_of_the_question() {
        insta::assert_snapshot!(sent(&query(
            &json!({"region": "EU", "query": "SELECT \"a\" FROM b"})
        )));
    }

    #[test]
    fn a_row_has_one_number() {
        assert_eq!(of(&json!([{"percentage": 0.25}])), Sample::Value(0.25));
        assert_eq!(
            of(&json!([{"percentile.duration": {"95": 0.5}}])),
            Sample::Value(0.5)
        );
        assert_eq!(
            of(&json!([{"percentile.duration": {"95": null}}])),
            Sample::Empty
        );
        assert_eq!(of(&json!([{"average.duration": null}])), Sample::Empty);
        assert_eq!(of(&json!([])), Sample::Empty);
        assert!(
            matches!(of(&json!([{"a": 1, "b": 2}])), Sample::Error(e) if e.contains("2 columns"))
        );
        assert!(
            matches!(of(&json!([{"latest.name": "x"}])), Sample::Error(e) if e.contains("not a number"))
        );
    }

    #[test]
    fn buckets_are_several_points_and_facets_are_refused() {
        let bucket = |begin: i64, count: i64| json!({"beginTimeSeconds": begin, "endTimeSeconds": begin + 60, "count": count});
        let buckets = recorded(&json!([bucket(0, 3), bucket(60, 5), bucket(120, 4)]));
        assert_eq!(told(&query(&json!({})), 200, &buckets), Sample::Value(4.0));
        assert_eq!(
            told(&query(&json!({"reduce": "Sum"})), 200, &buckets),
            Sample::Value(12.0)
        );
        let facets = json!([{"facet": "a", "count": 1}, {"facet": "b", "count": 2}]);
        assert!(matches!(of(&facets), Sample::Error(e) if e.contains("2 rows")));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let error = |status, body: &str| match told(&query(&json!({})), status, body) {
            Sample::Error(error) => error,
            other => panic!("{other:?}"),
        };
        let syntax = json!({
            "data": {"actor": {"account": {"nrql": null}}},
            "errors": [{
                "message": "NRQL Syntax Error: Error at line 1 position 8, unexpected 'FROM'",
                "extensions": {"errorClass": "NRQL_SYNTAX_ERROR"}, "path": ["actor", "account", "nrql"],
            }],
        });
        assert!(error(200, &syntax.to_string()).contains("NRQL Syntax Error"));
        let mut partial: Value = serde_json::from_str(&recorded(&json!([{"count": 1}]))).unwrap();
        partial["errors"] =
            json!([{"message": "Query timed out", "extensions": {"errorClass": "TIMEOUT"}}]);
        assert!(error(200, &partial.to_string()).contains("Query timed out"));
        let limited = json!({"errors": [{"message": "Too many requests", "extensions": {"errorClass": "TOO_MANY_REQUESTS"}}]});
        assert!(
            error(429, &limited.to_string()).contains("Too many requests; it is asked too often")
        );
        assert!(
            error(401, r#"{"error": {"message": "Invalid API key"}}"#).contains("Invalid API key")
        );
        assert!(
            error(200, r#"{"data": {"actor": {"account": null}}}"#).contains("without results")
        );
    }
}
