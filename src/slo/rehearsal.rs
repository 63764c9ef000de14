//! Whether the alerts of an SLO would be heard: whether Prometheus has loaded its rules and evaluates them without errors, and
//! whether their condition is true of a synthetic breach, and not of a calm day. No I/O.
//!
//! The condition is the one that the rules have, with numbers in the place of series: Prometheus evaluates what it would
//! evaluate in a breach. What counts the requests, and what Alertmanager does with an alert, is not rehearsed.

use serde_json::Value;

use super::Slo;
use super::reading::Reading;
use super::rule::{self, BREACH, CALM};
use crate::metric::provider::prometheus;
use crate::model::access::percent_encoded;
use crate::model::action::{Reply, Request};

/// The end of the URL of a query.
const QUERY: &str = "/api/v1/query";
/// The end of the URL of the list of rules.
const RULES: &str = "/api/v1/rules";

/// What stands in the way of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Problem {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, message }
    }
}

/// The question which of some groups of rules are loaded, asked where and as whom another question is.
pub fn which_are_loaded(like: Request, groups: &[String]) -> Request {
    let names = groups.iter();
    let names = names.map(|name| format!("rule_group%5B%5D={}", percent_encoded(name)));
    let names: Vec<String> = names.collect();
    let server = like.url.strip_suffix(QUERY).unwrap_or(&like.url);
    let url = format!("{server}{RULES}?{}", names.join("&"));
    let mut headers = like.headers;
    headers.remove("content-type");
    Request {
        method: "GET",
        url,
        headers,
        body: None,
        ..like
    }
}

/// Whether groups of rules are loaded, and evaluated without errors.
///
/// # Errors
/// What is wrong with the first that is not.
pub fn loaded(reply: &Result<Reply, String>, groups: &[String]) -> Result<(), Problem> {
    let reply = reply.as_ref().map_err(Clone::clone);
    let answer = reply.and_then(prometheus::answer);
    let answer = answer
        .map_err(|why| Problem::new("CannotAsk", format!("its rules cannot be listed: {why}")))?;
    let found = answer.pointer("/data/groups").and_then(Value::as_array);
    let found = found.map_or(&[][..], Vec::as_slice);
    for name in groups {
        let Some(group) = found
            .iter()
            .find(|group| group.get("name").and_then(Value::as_str) == Some(name))
        else {
            let message = format!(
                "Prometheus has not loaded its group of rules {name}: look at how it selects rules"
            );
            return Err(Problem::new("NotLoaded", message));
        };
        let rules = group.get("rules").and_then(Value::as_array);
        let text = |rule: &Value, key: &str| {
            rule.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let fails = rules
            .into_iter()
            .flatten()
            .find(|rule| text(rule, "health") == "err");
        if let Some(rule) = fails {
            let message = format!(
                "Prometheus cannot evaluate {}: {}",
                text(rule, "name"),
                text(rule, "lastError")
            );
            return Err(Problem::new("RuleFails", message));
        }
    }
    Ok(())
}

/// Whether every alert fires on a breach, and none on a calm day.
///
/// # Errors
/// Which one does not.
pub fn fires(reply: &Result<Reply, String>, slo: &Slo) -> Result<(), Problem> {
    let reading = Reading::read(reply);
    let reading = reading.map_err(|why| {
        Problem::new(
            "CannotAsk",
            format!("its alerts cannot be rehearsed: {why}"),
        )
    })?;
    for word in rule::severities(slo) {
        let says = |what: &str| reading.get(&format!("{what}/{word}")).is_some();
        if !says(BREACH) || says(CALM) {
            let message =
                format!("its alert of severity {word} does not tell a breach from a calm day");
            return Err(Problem::new("DoesNotFire", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::query;
    use super::super::testing::slo;
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the shell hands it on")]
    fn reply(data: &Value) -> Result<Reply, String> {
        let body = json!({"status": "success", "data": data})
            .to_string()
            .into_bytes();
        Ok(Reply { status: 200, body })
    }

    #[test]
    fn it_asks_where_queries_go() {
        let like = query::request(&slo(&json!({})), "shop", "", None);
        let groups = ["shop-live-api-burn".to_owned(), "b".to_owned()];
        let asked = which_are_loaded(like, &groups);
        let wanted = "http://prometheus:9090/api/v1/rules?rule_group%5B%5D=shop-live-api-burn&rule_group%5B%5D=b";
        assert_eq!((asked.method, asked.url.as_str()), ("GET", wanted));
        assert_eq!((asked.body, asked.headers.len()), (None, 0));
        assert!(
            asked.access.is_some(),
            "it goes only where metrics may come from"
        );
    }

    #[test]
    fn rules_are_loaded_when_every_group_is_and_none_fails() {
        let groups = ["a".to_owned(), "b".to_owned()];
        let rule = |health: &str| json!({"name": "ErrorBudgetBurn", "health": health, "lastError": "parse error"});
        let group =
            |name: &str, health: &str| json!({"name": name, "rules": [rule("ok"), rule(health)]});
        let says = |found: Value| {
            loaded(&reply(&json!({"groups": found})), &groups).map_err(|problem| problem.reason)
        };
        assert_eq!(
            says(json!([group("b", "ok"), group("a", "unknown")])),
            Ok(())
        );
        assert_eq!(says(json!([group("a", "ok")])), Err("NotLoaded"));
        assert_eq!(
            says(json!([group("a", "err"), group("b", "ok")])),
            Err("RuleFails")
        );
        let refused = Ok(Reply {
            status: 404,
            body: Vec::new(),
        });
        assert_eq!(loaded(&refused, &groups).unwrap_err().reason, "CannotAsk");
        assert_eq!(
            loaded(&Err("no answer".into()), &groups)
                .unwrap_err()
                .reason,
            "CannotAsk"
        );
    }

    #[test]
    fn an_alert_has_to_tell_a_breach_from_a_calm_day() {
        let slo = slo(&json!({}));
        let says = |names: &[&str]| {
            let all = names
                .iter()
                .map(|name| json!({"metric": {"of": name}, "value": [1, "1"]}));
            let all: Vec<Value> = all.collect();
            fires(
                &reply(&json!({"resultType": "vector", "result": all})),
                &slo,
            )
            .map_err(|problem| problem.reason)
        };
        assert_eq!(says(&["breach/page", "breach/ticket"]), Ok(()));
        assert_eq!(says(&["breach/page"]), Err("DoesNotFire"));
        assert_eq!(
            says(&["breach/page", "breach/ticket", "calm/ticket"]),
            Err("DoesNotFire")
        );
    }
}
