//! The identity of a revision: a hash of what makes its pods what they are. No I/O.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::key::short_hash;

/// Identity of a revision: hash of its canonical raw template, images and all.
///
/// It is stored as a label and never computed from a live object: the API server's defaults, which grow
/// with every Kubernetes version, would change it.
///
/// A plan names the same few many times, so that they share their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
pub struct Revision(Arc<str>);

impl Revision {
    /// Digits of a revision: 40 bits, so that ten thousand revisions of one Rollout collide with a chance of 1 in 20,000.
    pub const DIGITS: usize = 10;

    /// The revision of a template.
    pub fn of_template(template: &Value) -> Self {
        // serde_json's map is ordered by key, so the text of equal values is equal.
        short_hash(template.to_string().as_bytes(), Self::DIGITS).into()
    }

    /// The revision that a label names.
    pub fn from_label(label: &str) -> Self {
        Self(label.into())
    }

    /// None that there is.
    pub fn unknown() -> Self {
        Self(Arc::default())
    }

    /// Whether it is none that there is.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// As in labels and names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Revision {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let a = json!({"spec": {"a": 1, "b": 2}});
        let b: Value = serde_json::from_str(r#"{"spec": {"b": 2, "a": 1}}"#).unwrap();
        assert_eq!(Revision::of_template(&a), Revision::of_template(&b));
        assert_ne!(
            Revision::of_template(&a),
            Revision::of_template(&json!({"spec": {"a": 1}}))
        );
    }
}
