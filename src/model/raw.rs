//! JSON that is passed on as it is, kept as its text. No I/O.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A value that people have written, as its text: read into maps and lists it takes thirty times the memory, and most of the time
/// nobody looks at it. Nothing at all is `null`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Raw(Box<str>);

impl Raw {
    /// The value, read anew each time.
    pub fn value(&self) -> Value {
        // It was written by `From`, so it can be read.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&Value> for Raw {
    fn from(value: &Value) -> Self {
        if value.is_null() {
            return Self::default();
        }
        Self(value.to_string().into())
    }
}

impl From<Value> for Raw {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_null() { "null" } else { &self.0 })
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let values = [
            json!(null),
            json!({}),
            json!(""),
            json!([1, -2, 1.5, true, null]),
            json!({"spec": {"containers": [{"name": "wéb", "args": ["a\"b\n\u{0}"]}]}}),
        ];
        for value in values {
            let raw = Raw::from(&value);
            assert_eq!(raw.value(), value);
            assert_eq!(raw.is_null(), value.is_null());
            assert_eq!(serde_json::to_value(&raw).unwrap(), value);
            let text = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<Raw>(&text).unwrap(), raw);
            assert_eq!(serde_json::from_value::<Raw>(value).unwrap(), raw);
        }
    }

    #[test]
    fn the_order_in_which_keys_were_written_is_no_difference() {
        let read = |text| serde_json::from_str::<Raw>(text).unwrap();
        assert_eq!(read(r#"{"a": 1, "b": 2}"#), read(r#"{"b":2,"a":1}"#));
        assert_ne!(read(r#"{"a": 1}"#), read(r#"{"a": 2}"#));
        assert_eq!(format!("{:?}", read(r#"{ "a": 1 }"#)), r#"{"a":1}"#);
    }
}
