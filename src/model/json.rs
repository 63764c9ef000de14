//! Writing into JSON without a chance to panic. No I/O.

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_on_the_way_are_made() {
        let mut value = json!({"a": {"b": 1}});
        assert!(set(&mut value, &["a", "c", "d"], 2));
        assert_eq!(value, json!({"a": {"b": 1, "c": {"d": 2}}}));
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let mut value = json!({"a": "text"});
        assert!(!set(&mut value, &["a", "b"], 1));
        assert_eq!(value, json!({"a": "text"}));
    }
}
