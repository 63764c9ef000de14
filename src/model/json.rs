//! Reading JSON and writing into it without a chance to panic. No I/O.

use serde_json::{Map, Value};

/// Sets the value at a path of object keys and makes the objects on the way.
///
/// False, and nothing changed, where something on the way is neither an object nor null.
pub fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) -> bool {
    let Some((key, rest)) = path.split_first() else {
        *value = new.into();
        return true;
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let Some(object) = value.as_object_mut() else {
        return false;
    };
    set(object.entry(*key).or_insert(Value::Null), rest, new)
}

/// What is at a JSON pointer whose keys have nothing escaped. `Value::pointer` copies each key to undo that, and a plan asks
/// for the same few again and again.
pub fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut keys = pointer.split('/').skip(1);
    keys.try_fold(value, |value, key| match value {
        Value::Object(fields) => fields.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// An object of these fields. They are moved into it, where `json!` copies what it is given.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter();
    Value::Object(fields.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Whether everything that is wanted is there, whatever else is: keys of objects, and of lists whose entries have names those
/// entries. Other lists are wanted as they are.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let has = |(key, wanted): (&String, &Value)| {
                live.get(key).is_some_and(|live| covers(live, wanted))
            };
            wanted.iter().all(has)
        }
        (Value::Array(live), Value::Array(wanted)) if wanted.iter().all(is_named) => {
            let find = |name: &Value| live.iter().find(|entry| entry.get("name") == Some(name));
            let has = |wanted: &Value| {
                let name = wanted.get("name").unwrap_or(&Value::Null);
                find(name).is_some_and(|live| covers(live, wanted))
            };
            wanted.iter().all(has)
        }
        _ => live == wanted,
    }
}

fn is_named(entry: &Value) -> bool {
    entry.get("name").is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_at_a_pointer_is_what_serde_json_finds() {
        let value = json!({"a": {"b": [1, {"c": null}]}, "": 2});
        for pointer in [
            "", "/", "/a", "/a/b", "/a/b/0", "/a/b/1/c", "/a/b/2", "/a/b/c", "/a/b/0/c", "/d",
        ] {
            assert_eq!(at(&value, pointer), value.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn objects_on_the_way_are_made() {
        let mut value = json!({"a": {"b": 1}});
        assert!(set(&mut value, &["a", "c", "d"], 2));
        assert_eq!(value, json!({"a": {"b": 1, "c": {"d": 2}}}));
    }

    #[test]
    fn what_others_add_is_no_difference() {
        let wanted = json!({"a": {"b": 1}, "groups": [{"name": "x", "rules": [1, 2]}]});
        let mut live = json!({
            "a": {"b": 1, "c": 2}, "d": 3, "groups": [{"name": "y"}, {"name": "x", "rules": [1, 2]}],
        });
        assert!(covers(&live, &wanted));
        live["groups"][1]["rules"] = json!([1]);
        assert!(!covers(&live, &wanted));
        assert!(!covers(&json!({"a": {"b": 1}}), &wanted));
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let mut value = json!({"a": "text"});
        assert!(!set(&mut value, &["a", "b"], 1));
        assert_eq!(value, json!({"a": "text"}));
    }
}
