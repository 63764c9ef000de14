//! InfluxDB: renders a query in Flux or InfluxQL and reads its rows, CSV or JSON. No I/O.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Credentials, Sample, answer, connected, placed, reduced};
use crate::analysis::api::provider::Reduce;
use crate::analysis::api::provider::hosted::InfluxDbQuery;
use crate::model::access::{FORM, form};
use crate::model::action::{Reply, Request};

/// The request.
pub fn request(query: &InfluxDbQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let address = query.address.trim_end_matches('/');
    let mut request = if let Some(flux) = &query.flux {
        let organization = query.organization.as_deref().unwrap_or_default();
        let url = format!("{address}/api/v2/query?{}", form(&[("org", organization)]));
        // No annotations: the columns that count are known by name.
        let dialect = json!({"header": true, "annotations": []});
        let body = json!({"query": flux, "type": "flux", "dialect": dialect});
        let mut request = Request::post(url, "application/json", body.to_string(), timeout);
        let accept = "application/csv".to_owned();
        request.headers.insert("accept".to_owned(), accept);
        request
    } else {
        let database = query.database.as_deref().unwrap_or_default();
        let text = query.influx_ql.as_deref().unwrap_or_default();
        let body = form(&[("db", database), ("epoch", "s"), ("q", text)]);
        Request::post(format!("{address}/query"), FORM, body, timeout)
    };
    request = connected(request, &query.connection, credentials);
    if let (Some(token), Some(access)) = (&query.token, &mut request.access) {
        let token = placed(access, token);
        let value = format!("Token {token}");
        request.headers.insert("authorization".to_owned(), value);
    }
    request
}

/// The values of the one table or series.
pub fn read(query: &InfluxDbQuery, reply: &Reply) -> Result<Sample, String> {
    let values = if query.flux.is_some() {
        table(reply)?
    } else {
        series(reply)?
    };
    Ok(reduced(values, query.reduce.unwrap_or(Reduce::Last)))
}

/// Values of a table in CSV: the column `_value`.
fn table(reply: &Reply) -> Result<Vec<f64>, String> {
    if !(200..300).contains(&reply.status) {
        let body = serde_json::from_slice::<Value>(&reply.body);
        return Err(answer::refusal(reply, body.ok().as_ref()));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(reply.body.as_slice());
    let mut columns: Option<(usize, Option<usize>)> = None;
    let mut tables = Vec::new();
    let mut values = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| format!("no CSV: {}", answer::cut(&error.to_string())))?;
        let at = |name: &str| row.iter().position(|cell| cell == name);
        // What goes wrong while rows are sent comes as a table of its own, after status 200.
        if let Some(error) = at("error").filter(|_| at("reference").is_some()) {
            columns = Some((error, None));
            continue;
        }
        if let Some(value) = at("_value") {
            columns = Some((value, Some(at("table").unwrap_or_default())));
            continue;
        }
        match columns {
            None => return Err("the table has no column _value".to_owned()),
            Some((error, None)) => {
                return Err(answer::cut(
                    row.get(error).unwrap_or("an error without words"),
                ));
            }
            Some((value, Some(table))) => {
                let (value, table) = (row.get(value).unwrap_or_default(), row.get(table));
                let table = table.unwrap_or_default().to_owned();
                if !tables.contains(&table) {
                    tables.push(table);
                }
                if value.is_empty() {
                    continue;
                }
                let number = value.parse::<f64>();
                values.push(number.map_err(|_| format!("not a number: {}", answer::cut(value)))?);
            }
        }
    }
    one_of(tables.len(), "tables; group() makes them one")?;
    Ok(values)
}

/// Values of a series in JSON: the column beside the time.
fn series(reply: &Reply) -> Result<Vec<f64>, String> {
    let body = answer::json(reply)?;
    let result = body
        .pointer("/results/0")
        .ok_or("an answer without results")?;
    if let Some(error) = result.get("error").and_then(Value::as_str) {
        return Err(answer::cut(error));
    }
    let all = result.get("series").and_then(Value::as_array);
    let all = all.map(Vec::as_slice).unwrap_or_default();
    one_of(all.len(), "series; leave GROUP BY to time")?;
    let Some(one) = all.first() else {
        return Ok(Vec::new());
    };
    let is_partial = |of: &Value| {
        of.get("partial")
            .and_then(Value::as_bool)
            .unwrap_or_default()
    };
    if is_partial(result) || is_partial(one) {
        return Err("the answer is not complete: there are more rows; shorten the time".to_owned());
    }
    let columns = one.get("columns").and_then(Value::as_array);
    let columns = columns.into_iter().flatten().filter_map(Value::as_str);
    let mut fields = columns.enumerate().filter(|(_, name)| *name != "time");
    let (Some((field, _)), None) = (fields.next(), fields.next()) else {
        return Err("the query selects several fields; select one".to_owned());
    };
    let rows = one.get("values").and_then(Value::as_array);
    let cells = rows.into_iter().flatten().filter_map(|row| row.get(field));
    let numbers = cells.filter(|cell| !cell.is_null()).map(|cell| {
        let number = answer::number(cell);
        number.ok_or_else(|| format!("not a number: {}", answer::cut(&cell.to_string())))
    });
    numbers.collect()
}

fn one_of(count: usize, what: &str) -> Result<(), String> {
    if count > 1 {
        return Err(format!("the query yields {count} {what}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sent, told};
    use super::*;

    fn flux(extra: &Value) -> Value {
        let mut query = json!({"influxdb": {
            "address": "http://influxdb.monitoring:8086/", "organization": "the shop",
            "flux": "from(bucket: \"shop\") |> range(start: -5m) |> filter(fn: (r) => r.version == \"{{canary.revision}}\") |> mean()",
            "token": {"name": "influx", "key": "token"},
        }});
        json_patch::merge(&mut query, &json!({"influxdb": extra}));
        query
    }

    fn ql(extra: &Value) -> Value {
        let mut query = json!({"influxdb": {
            "address": "http://influxdb.monitoring:8086", "database": "shop",
            "influxQL": "SELECT mean(\"value\") FROM \"errors\" WHERE time > now() - 5m",
        }});
        json_patch::merge(&mut query, &json!({"influxdb": extra}));
        query
    }

    fn error(query: &Value, status: u16, body: &str) -> String {
        match told(query, status, body) {
            Sample::Error(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_languages_are_asked_in_their_own_way() {
        insta::assert_snapshot!("flux", sent(&flux(&json!({}))));
        insta::assert_snapshot!("influxql", sent(&ql(&json!({}))));
    }

    #[test]
    fn a_table_has_its_values_in_a_column() {
        let body = "result,table,_start,_stop,_value,version\r\n,0,2020-01-01T00:00:00Z,2020-01-01T00:05:00Z,0.25,\"a, b\"\r\n\r\n";
        let body = format!(",{body}").replace("\n,0", "\n,_result,0");
        assert_eq!(told(&flux(&json!({})), 200, &body), Sample::Value(0.25));
        let rows = ",result,table,_time,_value\r\n,_result,0,t,1\r\n,_result,0,t,\r\n,_result,0,t,3\r\n\r\n";
        assert_eq!(told(&flux(&json!({})), 200, rows), Sample::Value(3.0));
        assert_eq!(
            told(&flux(&json!({"reduce": "Each"})), 200, rows),
            Sample::Values(vec![1.0, 3.0])
        );
        for nothing in ["", "\r\n", ",result,table,_time,_value\r\n"] {
            assert_eq!(
                told(&flux(&json!({})), 200, nothing),
                Sample::Empty,
                "{nothing:?}"
            );
        }
    }

    #[test]
    fn tables_that_are_no_answer_are_errors() {
        let two = ",result,table,_value\r\n,_result,0,1\r\n,_result,1,2\r\n\r\n";
        assert!(error(&flux(&json!({})), 200, two).contains("2 tables"));
        let two = ",result,table,_value,host\r\n,_result,0,1,a\r\n\r\n,result,table,_value\r\n,_result,1,2\r\n";
        assert!(error(&flux(&json!({})), 200, two).contains("2 tables"));
        let late = ",result,table,_value\r\n,_result,0,1\r\n\r\n,error,reference\r\n,Failed to parse query,897\r\n";
        assert!(error(&flux(&json!({})), 200, late).contains("Failed to parse query"));
        assert!(
            error(&flux(&json!({})), 200, ",result,table\r\n,_result,0\r\n")
                .contains("no column _value")
        );
        let text = ",result,table,_value\r\n,_result,0,many\r\n";
        assert!(error(&flux(&json!({})), 200, text).contains("not a number: many"));
        let denied = r#"{"code": "unauthorized", "message": "unauthorized access"}"#;
        assert!(
            error(&flux(&json!({})), 401, denied)
                .contains("unauthorized access; check the credentials")
        );
        let limited = r#"{"code": "too many requests", "message": "org 1 has exceeded limited_query plan limit"}"#;
        assert!(
            error(&flux(&json!({})), 429, limited)
                .contains("exceeded limited_query plan limit; it is asked too often")
        );
    }

    #[test]
    fn a_series_has_one_field() {
        let body = |columns: Value, values: Value| {
            json!({"results": [{"statement_id": 0, "series": [{"name": "errors", "columns": columns, "values": values}]}]}).to_string()
        };
        let rows = body(
            json!(["time", "mean"]),
            json!([[0, 1.5], [60, null], [120, 2.5]]),
        );
        assert_eq!(told(&ql(&json!({})), 200, &rows), Sample::Value(2.5));
        let nothing = json!({"results": [{"statement_id": 0}]}).to_string();
        assert_eq!(told(&ql(&json!({})), 200, &nothing), Sample::Empty);
        let two = body(json!(["time", "a", "b"]), json!([]));
        assert!(error(&ql(&json!({})), 200, &two).contains("several fields"));
        let text = body(json!(["time", "a"]), json!([[0, "x"]]));
        assert!(error(&ql(&json!({})), 200, &text).contains("not a number"));
    }

    #[test]
    fn series_that_are_no_answer_are_errors() {
        let of = |result: Value| {
            error(
                &ql(&json!({})),
                200,
                &json!({"results": [result]}).to_string(),
            )
        };
        assert!(
            of(json!({"statement_id": 0, "error": "database not found: shop"}))
                .contains("database not found")
        );
        let series = |extra: &str| json!({"name": extra, "columns": ["time", "a"], "values": [], "partial": true});
        assert!(of(json!({"series": [series("a")]})).contains("not complete"));
        assert!(of(json!({"series": [series("a"), series("b")]})).contains("2 series"));
        assert!(
            error(&ql(&json!({})), 400, r#"{"error": "error parsing query"}"#)
                .contains("error parsing query")
        );
    }
}
