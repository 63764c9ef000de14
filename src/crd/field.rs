//! What one schema has and another one has not. No I/O.

use serde_json::{Map, Value};

/// The fields of the schema `wanted` that `served` does not have, by their paths, and the words that it does not know for fields
/// that it has: `status.risk`, `spec.stages[].type: Preview`. Of a field that is missing, those within it are not named.
pub fn lacking(wanted: &Value, served: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(wanted, served, "", &mut found);
    found.sort();
    found
}

fn compare(wanted: &Value, served: &Value, path: &str, found: &mut Vec<String>) {
    // What keeps everything lacks nothing.
    if is_true(served, "x-kubernetes-preserve-unknown-fields") {
        return;
    }
    if let (Some(words), Some(known)) = (words(wanted), words(served)) {
        let missing = words.iter().filter(|word| !known.contains(word));
        found.extend(missing.map(|word| format!("{path}: {}", word.as_str().unwrap_or_default())));
    }
    let fields = wanted.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flat_map(Map::iter) {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{name}");
        match served.pointer("/properties").and_then(|all| all.get(name)) {
            Some(served) => compare(field, served, &path, found),
            None => found.push(path),
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(wanted) = wanted.get(inner).filter(|schema| schema.is_object()) {
            let served = served.get(inner).unwrap_or(&Value::Null);
            compare(wanted, served, &format!("{path}[]"), found);
        }
    }
}

fn words(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("enum").and_then(Value::as_array)
}

fn is_true(schema: &Value, keyword: &str) -> bool {
    schema.get(keyword).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"properties": {
            "spec": {"properties": {"stages": {"items": {"properties": {
                "type": {"enum": ["Test", "Build"]}, "env": {"additionalProperties": {"properties": {"name": {}}}},
            }}}}},
            "status": {"properties": {"risk": {"properties": {"score": {}}}, "phase": {}}},
        }})
    }

    #[test]
    fn what_is_missing_is_named_by_its_path_and_nothing_within_it() {
        let mut older = schema();
        let mut drop = |at: &str, name: &str| {
            let fields = older.pointer_mut(at).and_then(Value::as_object_mut);
            assert!(fields.unwrap().remove(name).is_some(), "{at}");
        };
        drop("/properties/status/properties", "risk");
        drop(
            "/properties/spec/properties/stages/items/properties/env/additionalProperties/properties",
            "name",
        );
        older["properties"]["spec"]["properties"]["stages"]["items"]["properties"]["type"]["enum"] =
            json!(["Test"]);
        assert_eq!(
            lacking(&schema(), &older),
            [
                "spec.stages[].env[].name",
                "spec.stages[].type: Build",
                "status.risk"
            ]
        );
    }

    #[test]
    fn newer_definitions_and_those_that_keep_everything_lack_nothing() {
        assert_eq!(lacking(&schema(), &schema()), [""; 0]);
        let mut newer = schema();
        newer["properties"]["status"]["properties"]["more"] = json!({});
        newer["properties"]["spec"]["properties"]["stages"]["items"]["properties"]["type"] =
            json!({});
        assert_eq!(lacking(&schema(), &newer), [""; 0]);
        let open = json!({"properties": {"spec": {"x-kubernetes-preserve-unknown-fields": true}, "status": {}}});
        assert_eq!(lacking(&schema(), &open), ["status.phase", "status.risk"]);
    }
}
