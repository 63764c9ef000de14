//! Any server that answers with JSON: renders the request and finds the value in the answer. No I/O.

use std::time::Duration;

use jsonpath_rust::JsonPath;
use serde_json::Value;

use super::{Credentials, Sample, answer, connected};
use crate::analysis::api::provider::{Method, WebQuery};
use crate::expression::Fact;
use crate::model::action::{Reply, Request};

/// The request.
pub fn request(query: &WebQuery, credentials: &Credentials, timeout: Duration) -> Request {
    let url = query.url.clone();
    let request = match query.method.unwrap_or_default() {
        Method::GET => Request::get(url, timeout),
        Method::POST => {
            let body = query.body.clone().unwrap_or_default();
            Request::post(url, "application/json", body, timeout)
        }
    };
    let mut request = request;
    request
        .headers
        .insert("accept".to_owned(), "application/json".to_owned());
    connected(request, &query.connection, credentials)
}

/// Whether a path can be used. The error is for people.
///
/// A path picks; it does not search. Filters nest as deep as they are long, and descents that follow each other visit a
/// deep answer more often than it has values: either would let an answer or a metric hold up everything else.
///
/// # Errors
/// Says what is wrong with it.
pub fn check(path: &str) -> Result<(), String> {
    if path.contains("..") || path.contains(['?', '(']) {
        return Err("filters and descents (?, ..) are not supported; name the way to the value, such as $.data[0].value".to_owned());
    }
    let tried = Value::Null.query(path);
    tried
        .map(drop)
        .map_err(|error| answer::cut(&error.to_string()))
}

/// The value where the path leads to.
pub fn read(query: &WebQuery, reply: &Reply) -> Result<Sample, String> {
    let (path, found) = found(query, reply)?;
    let numbers: Vec<f64> = found
        .iter()
        .filter_map(|value| value_of(path, value).transpose())
        .collect::<Result<_, _>>()?;
    Ok(match numbers.as_slice() {
        [] => Sample::Empty,
        [one] => Sample::Value(*one),
        _ => Sample::Values(numbers),
    })
}

/// What stands where the path leads to, as it is: numbers, texts and flags. Null is no data.
pub fn facts(query: &WebQuery, reply: &Reply) -> Result<Vec<Fact>, String> {
    let (path, found) = found(query, reply)?;
    let fact = |value: Value| match value {
        Value::Null => None,
        Value::Bool(flag) => Some(Ok(Fact::Flag(flag))),
        Value::String(text) => Some(Ok(Fact::Text(text))),
        Value::Number(_) => answer::number(&value).map(|number| Ok(Fact::Number(number))),
        Value::Array(_) | Value::Object(_) => Some(Err(format!(
            "at {path} stands no single value: {}",
            answer::cut(&value.to_string())
        ))),
    };
    found.into_iter().filter_map(fact).collect()
}

fn found<'q>(query: &'q WebQuery, reply: &Reply) -> Result<(&'q str, Vec<Value>), String> {
    let body = answer::json(reply)?;
    let path = query.path.as_deref().unwrap_or("$");
    check(path).map_err(|problem| format!("the path {path} cannot be used: {problem}"))?;
    let found = body.query(path);
    let found =
        found.map_err(|error| format!("path {path}: {}", answer::cut(&error.to_string())))?;
    Ok((path, found.into_iter().cloned().collect()))
}

/// Null is no data, yes and no are 1 and 0.
fn value_of(path: &str, value: &Value) -> Result<Option<f64>, String> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Bool(holds) => Some(f64::from(u8::from(*holds))),
        Value::Number(_) | Value::String(_) => answer::number(value),
        Value::Array(_) | Value::Object(_) => None,
    };
    match number {
        Some(number) if number.is_nan() => Ok(None),
        Some(number) => Ok(Some(number)),
        None => Err(format!(
            "at {path} stands no number: {}",
            answer::cut(&value.to_string())
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{sent, told};
    use super::*;

    fn at(path: &str, body: &str) -> Sample {
        told(
            &json!({"web": {"url": "https://q", "path": path}}),
            200,
            body,
        )
    }

    #[test]
    fn a_path_leads_to_a_number() {
        let body =
            r#"{"data": {"errors": [{"rate": 0.5}, {"rate": "0.25"}], "ok": true, "a b": 1}}"#;
        assert_eq!(at("$.data.errors[0].rate", body), Sample::Value(0.5));
        assert_eq!(at("$.data.errors[-1].rate", body), Sample::Value(0.25));
        assert_eq!(at("$.data['a b']", body), Sample::Value(1.0));
        assert_eq!(at("$.data.ok", body), Sample::Value(1.0));
        let several = Sample::Values(vec![0.5, 0.25]);
        assert_eq!(at("$.data.errors[*].rate", body), several);
        let whole = told(&json!({"web": {"url": "https://q"}}), 200, "42");
        assert_eq!(whole, Sample::Value(42.0));
    }

    #[test]
    fn what_is_not_there_is_no_data() {
        assert_eq!(at("$.data.value", r#"{"data": {}}"#), Sample::Empty);
        assert_eq!(at("$.value", r#"{"value": null}"#), Sample::Empty);
        assert_eq!(at("$.value", r#"{"value": "NaN"}"#), Sample::Empty);
        assert_eq!(at("$.all[*]", r#"{"all": []}"#), Sample::Empty);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let is_error =
            |sample, words: &str| matches!(sample, Sample::Error(e) if e.contains(words));
        assert!(is_error(
            at("$.a", r#"{"a": {"b": 1}}"#),
            r#"no number: {"b":1}"#
        ));
        assert!(is_error(at("$.a", r#"{"a": "many"}"#), "no number"));
        assert!(is_error(at("$.a", "<html>"), "no JSON"));
        let web = json!({"web": {"url": "https://q"}});
        assert!(is_error(
            told(&web, 503, r#"{"message": "busy"}"#),
            "status 503: busy"
        ));
        assert!(is_error(told(&web, 301, ""), "not followed"));
    }

    #[test]
    fn paths_that_search_are_refused() {
        for path in ["$..a", "$.a[?(@.b > 1)]", "$.a[?length(@) > 1]"] {
            assert!(check(path).unwrap_err().contains("filters"), "{path}");
        }
        for path in ["", "a", "$.", "$["] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in ["$", "$.a", "$['a'][0]", "$[*].b[1:3]"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        let _ = check(&format!("$.{}", "a.".repeat(127)));
        let _ = check(&"[".repeat(256));
    }

    #[test]
    fn a_request_says_what_it_wants() {
        let get = json!({"web": {"url": "https://q/{{canary.revision}}", "path": "$.a"}});
        insta::assert_snapshot!("get", sent(&get));
        let post = json!({"web": {
            "url": "https://q/check", "method": "POST", "body": r#"{"pods": "{{stable.pods}}"}"#,
            "headers": [{"name": "X-Token", "secretRef": {"name": "quality", "key": "token"}}],
        }, "timeout": "20s"});
        insta::assert_snapshot!("post", sent(&post));
    }
}
