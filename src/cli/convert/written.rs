//! What comes out of a conversion: objects, and what was left out or changed on the way. No I/O.

use crate::model::json::set;
use serde_json::{Value, json};

/// Objects, and what people have to look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) objects: Vec<Value>,
    pub(super) report: Vec<String>,
}

impl Written {
    /// A line of the report; the same one twice is one.
    pub(super) fn tell(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.report.contains(&line) {
            self.report.push(line);
        }
    }

    /// A line for every field of an object that is not in `known`; `why` may know more of one.
    pub(super) fn tell_rest(
        &mut self,
        (object, path): (&Value, &str),
        known: &[&str],
        why: fn(&str) -> Option<&'static str>,
    ) {
        for field in object.as_object().into_iter().flat_map(|all| all.keys()) {
            if !known.contains(&field.as_str()) {
                let why = why(field).unwrap_or("has no equivalent, and was left out");
                self.tell(format!("{path}.{field}: {why}"));
            }
        }
    }

    /// Secrets of metrics have to say that they may be used.
    pub(super) fn tell_of_secret(&mut self, name: &str) {
        self.tell(format!(
            "Secret {name} is read by a metric: it needs the label slipway.dev/use, and the operator analysis.secrets.enabled"
        ));
    }

    /// Both, as one file: the report first, as comments.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let head = match self.report.len() {
            0 => "Nothing was left out.".to_owned(),
            1 => "One thing to look at, which was left out or changed:".to_owned(),
            count => format!("{count} things to look at, which were left out or changed:"),
        };
        text.extend(["# ", &head, "\n"]);
        for line in &self.report {
            let line = line.replace(['\n', '\r'], " ");
            text.extend(["# - ", &line, "\n"]);
        }
        let objects = self.objects.iter();
        let objects: Vec<String> = objects
            .map(|object| serde_saphyr::to_string(object).unwrap_or_default())
            .collect();
        text.push_str(&objects.join("---\n"));
        text
    }
}

/// Name and namespace of what becomes of an object.
pub(super) fn metadata(there: &Value, name: &str) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = there.pointer("/metadata/namespace") {
        set(&mut metadata, &["namespace"], namespace.clone());
    }
    metadata
}

/// The text of a field.
pub(super) fn text_at<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    object.pointer(pointer)?.as_str()
}

/// The entries of a list; none where there is no list.
pub(super) fn list_at<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Copies fields that are called the same, or otherwise, here: `(there, here)`.
pub(super) fn copy(from: &Value, into: &mut Value, fields: &[(&str, &str)]) {
    for (there, here) in fields {
        if let (Some(value), Some(into)) = (from.get(*there), into.as_object_mut()) {
            into.insert((*here).to_owned(), value.clone());
        }
    }
}

/// A time as it is written here: `300`, `"300"` and `5m` are the same.
pub(super) fn duration(value: &Value) -> Option<String> {
    match value {
        Value::Number(seconds) => Some(format!("{}s", seconds.as_u64()?)),
        Value::String(text) if text.chars().all(|c| c.is_ascii_digit()) => Some(format!("{text}s")),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_one_way() {
        let written = [json!(300), json!("300"), json!("5m"), json!(null)].map(|it| duration(&it));
        let same = Some("300s".to_owned());
        assert_eq!(written, [same.clone(), same, Some("5m".into()), None]);
    }

    #[test]
    fn what_is_not_known_is_told_and_once() {
        let mut written = Written::default();
        let object = json!({"a": 1, "b": 2});
        let why = |field: &str| (field == "b").then_some("is elsewhere");
        for _ in 0..2 {
            written.tell_rest((&object, "spec"), &["a"], why);
        }
        assert_eq!(written.report, ["spec.b: is elsewhere"]);
    }
}
