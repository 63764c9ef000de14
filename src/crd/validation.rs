//! Checks an object against the schema of its kind, as the API server does, but without one. No I/O.
//!
//! Everything that is wrong is found, not only the first. A CEL rule that the library here cannot evaluate is passed
//! over: the API server has the last word.

use std::collections::BTreeSet;

use cel::{Context, Program};
use serde_json::{Map, Value};

use crate::model::invalid::Invalid;

/// More fields than these are not listed for somebody who has misspelt one.
const MAX_LISTED: usize = 16;

/// What is wrong with an object, by the schema of its kind. Metadata and status are not looked at.
pub fn problems(object: &Value, schema: &Value) -> Vec<Invalid> {
    let mut found = Vec::new();
    let spec = schema.pointer("/properties/spec");
    match (object.get("spec").filter(|spec| !spec.is_null()), spec) {
        (Some(value), Some(schema)) => check(value, schema, "spec", &mut found),
        _ => found.push(Invalid::new("spec", "is needed")),
    }
    for key in object.as_object().into_iter().flat_map(Map::keys) {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
            found.push(Invalid::new(key, "there is no such field"));
        }
    }
    check_rules(object, schema, "metadata.name", &mut found);
    found
}

/// What is wrong with a part of an object, by the schema of that part.
#[cfg(test)]
pub(crate) fn problems_of_part(part: &Value, schema: &Value, path: &str) -> Vec<Invalid> {
    let mut found = Vec::new();
    check(part, schema, path, &mut found);
    found
}

fn check(value: &Value, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    // The API server drops a null before it looks.
    if value.is_null() {
        return;
    }
    if let Some(wanted) = other_type(value, schema) {
        found.push(Invalid::new(path, format!("must be {wanted}")));
        return;
    }
    check_words(value, schema, path, found);
    match value {
        Value::String(text) => check_text(text, schema, path, found),
        Value::Number(number) => check_number(number.as_f64(), schema, path, found),
        Value::Array(items) => check_list(items, schema, path, found),
        Value::Object(fields) => check_fields(fields, schema, path, found),
        Value::Null | Value::Bool(_) => {}
    }
    check_rules(value, schema, path, found);
}

/// What the value should be, where it is something else.
fn other_type(value: &Value, schema: &Value) -> Option<&'static str> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        return (!fits).then_some("a number or a text");
    }
    let (fits, words) = match schema["type"].as_str()? {
        "object" => (value.is_object(), "an object"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "a text"),
        "boolean" => (value.is_boolean(), "true or false"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        _ => return None,
    };
    (!fits).then_some(words)
}

fn check_words(value: &Value, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let Some(words) = schema["enum"].as_array() else {
        return;
    };
    if !words.contains(value) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        found.push(Invalid::new(
            path,
            format!("must be one of {}", words.join(", ")),
        ));
    }
}

fn check_text(text: &str, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let length = text.chars().count() as u64;
    check_size(length, schema, ["minLength", "maxLength"], path, found);
    if let Some(pattern) = schema["pattern"].as_str() {
        let rule = format!("self.matches({})", Value::from(pattern));
        if holds(&rule, &Value::from(text)) == Some(false) {
            found.push(Invalid::new(path, format!("must match {pattern}")));
        }
    }
}

fn check_number(number: Option<f64>, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let Some(number) = number else { return };
    if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
        found.push(Invalid::new(path, format!("must be at least {least}")));
    }
    if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
        found.push(Invalid::new(path, format!("must be at most {most}")));
    }
}

fn check_size(
    size: u64,
    schema: &Value,
    [least, most]: [&str; 2],
    path: &str,
    found: &mut Vec<Invalid>,
) {
    if let Some(least) = schema[least].as_u64().filter(|least| size < *least) {
        found.push(Invalid::new(
            path,
            format!("is too short: at least {least} needed"),
        ));
    }
    if let Some(most) = schema[most].as_u64().filter(|most| size > *most) {
        found.push(Invalid::new(
            path,
            format!("is too long: at most {most} allowed"),
        ));
    }
}

fn check_list(items: &[Value], schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let size = items.len() as u64;
    check_size(size, schema, ["minItems", "maxItems"], path, found);
    for (index, item) in items.iter().enumerate() {
        check(item, &schema["items"], &format!("{path}[{index}]"), found);
    }
    let key = schema
        .pointer("/x-kubernetes-list-map-keys/0")
        .and_then(Value::as_str);
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let name = match (key, schema["x-kubernetes-list-type"].as_str()) {
            (Some(key), _) => &item[key],
            (None, Some("set")) => item,
            (None, _) => return,
        };
        if !seen.insert(name.to_string()) {
            found.push(Invalid::new(
                format!("{path}[{index}]"),
                format!("{name} is there twice"),
            ));
        }
    }
}

fn check_fields(fields: &Map<String, Value>, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let size = fields.len() as u64;
    check_size(
        size,
        schema,
        ["minProperties", "maxProperties"],
        path,
        found,
    );
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if fields.get(name).is_none_or(Value::is_null) {
            found.push(Invalid::new(format!("{path}.{name}"), "is needed"));
        }
    }
    let known = schema["properties"].as_object();
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        if let Some(schema) = known.and_then(|known| known.get(name)) {
            check(value, schema, &path, found);
        } else if schema["additionalProperties"].is_object() {
            check(value, &schema["additionalProperties"], &path, found);
        } else if !is_open {
            found.push(Invalid::new(path, no_such_field(known)));
        }
    }
}

fn no_such_field(known: Option<&Map<String, Value>>) -> String {
    let known: Vec<&str> = known
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    if known.is_empty() || known.len() > MAX_LISTED {
        return "there is no such field".to_owned();
    }
    format!("there is no such field; there are: {}", known.join(", "))
}

fn check_rules(value: &Value, schema: &Value, path: &str, found: &mut Vec<Invalid>) {
    let rules = schema["x-kubernetes-validations"].as_array();
    for rule in rules.into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap_or_default();
        if holds(text, value) == Some(false) {
            let message = rule["message"].as_str().unwrap_or(text);
            found.push(Invalid::new(path, message));
        }
    }
}

/// Whether a rule of ours holds; nothing, where it cannot be evaluated here: what it compares with is not there, or
/// it needs what only the API server has.
fn holds(rule: &str, value: &Value) -> Option<bool> {
    // It is about a change, and there is nothing before.
    if rule.contains("oldSelf") {
        return None;
    }
    let program = Program::compile(rule).ok()?;
    let mut context = Context::default();
    context.add_variable("self", value).ok()?;
    if let Ok(cel::Value::Bool(holds)) = program.execute(&context) {
        return Some(holds);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd;
    use crate::kinds::KINDS;
    use crate::model::object::ObjectKind;

    fn schema() -> Value {
        let info = KINDS
            .iter()
            .find(|info| info.object == ObjectKind::Rollout)
            .unwrap();
        crd::schema_of(info).unwrap()
    }

    fn checked(change: &Value) -> Vec<String> {
        let mut whole = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "api"},
            "spec": {
                "selector": {"matchLabels": {"app": "api"}},
                "template": {"spec": {"containers": [{"name": "web", "image": "api:1"}]}},
            },
        });
        json_patch::merge(&mut whole, change);
        let found = problems(&whole, &schema());
        let lines = found
            .iter()
            .map(|invalid| format!("{}: {}", invalid.path, invalid.problem));
        lines.collect()
    }

    #[test]
    fn what_is_right_has_no_problems() {
        assert_eq!(checked(&json!({})), [""; 0]);
        let full = json!({"spec": {
            "replicas": 3, "paused": null,
            "strategy": {"maxSurge": "25%", "maxUnavailable": 1, "steps": [
                {"setWeight": {"weight": 10}}, {"pause": {"for": "1h30m"}}, {"scale": {"canary": 2}}]},
            "analysis": {"metrics": [{"name": "a", "pass": "value > 1.0",
                "prometheus": {"address": "http://prom:9090", "query": "up"}}]},
            "traffic": {"targetPort": "http", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
        }});
        assert_eq!(checked(&full), [""; 0]);
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        let bad = json!({"spec": {
            "replicas": -1,
            "selector": {"matchLabels": {"app": 1}},
            "gracefulShutdown": "Maybe",
            "strategy": {"stpes": [], "type": "Rolling", "steps": [
                {"setWeight": {"weight": 200}}, {"pause": {"for": "soon"}}, {"pause": {}, "approve": {}}]},
            "traffic": {"gatewayAPI": {"generate": {"parentRefs": []}}},
            "analysis": {"metrics": [
                {"name": "a", "prometheus": {"address": "ftp://x", "query": "up"}},
                {"name": "a", "pass": "value > 1.0", "prometheus": {"address": "http://x", "query": "up"}}]},
        }});
        insta::assert_snapshot!(checked(&bad).join("\n"));
    }

    #[test]
    fn a_rule_over_several_fields_is_told_where_it_stands() {
        let bad = json!({"spec": {"strategy": {"type": "Rolling", "steps": [{"pause": {}}]}}});
        assert_eq!(
            checked(&bad),
            [
                "spec.strategy: steps are those of a Canary: set type to Canary or Auto, or use blueGreen.steps"
            ]
        );
        let long = json!({"metadata": {"name": "x".repeat(60)}});
        assert!(checked(&long)[0].starts_with("metadata.name: metadata.name must be at most 52"));
        let never = json!({"spec": {"strategy": {"maxSurge": 0}}});
        assert!(checked(&never)[0].contains("cannot both be 0"));
    }

    #[test]
    fn a_field_that_is_missing_is_named() {
        let bad = json!({"spec": {"template": null, "selector": null}});
        assert_eq!(
            checked(&bad),
            [
                "spec: the pods come from exactly one of template and workloadRef: give template and selector, or name a \
                 Deployment in workloadRef"
            ]
        );
        assert_eq!(checked(&json!({"spec": null})), ["spec: is needed"]);
        assert_eq!(
            checked(&json!({"sepc": {}})),
            ["sepc: there is no such field"]
        );
    }
}
