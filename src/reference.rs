//! The field tables of `docs/reference`, made from the definitions, so that the pages say what the API server
//! says. No I/O.
//!
//! A page has a line `<!-- fields: spec -->` (or `status`), or of metrics `<!-- series: operator -->` (or `deliveries`), and a
//! line `<!-- end -->`; what is between them is written by `cargo run --example generate`, and a test fails when it is not as
//! the types say.

use std::fmt::Write;

use serde_json::Value;

use crate::crd;
use crate::kinds::{KINDS, KindInfo};
use crate::telemetry::series;

/// Where the pages are, from the root of the repository.
pub const FOLDER: &str = "docs/reference";

/// The page of the metrics.
pub const METRICS: &str = "docs/reference/metrics.md";

const END: &str = "<!-- end -->";

/// The page of every kind, as a path from the root of the repository.
pub fn pages() -> Vec<(String, &'static KindInfo)> {
    let path = |info: &KindInfo| format!("{FOLDER}/{}.md", info.kind.to_lowercase());
    KINDS.iter().map(|info| (path(info), info)).collect()
}

/// The page with its tables as the types say.
///
/// # Errors
/// If the definition cannot be made.
pub fn filled(page: &str, info: &KindInfo) -> Result<String, crd::Error> {
    let json = |source| crd::Error::Json {
        kind: info.kind,
        source,
    };
    let crd = serde_json::to_value(crd::polish(info)?).map_err(json)?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema");
    Ok(with_tables(page, &|line| {
        let part = part_of(line)?;
        let root = schema.and_then(|schema| schema.pointer(&format!("/properties/{part}")));
        Some(table(part, root.unwrap_or(&Value::Null)))
    }))
}

/// The page of the metrics, with its tables as the list of series says.
pub fn with_series(page: &str) -> String {
    with_tables(page, &|line| {
        let name = line.strip_prefix("<!-- series: ")?.strip_suffix(" -->")?;
        Some(series::table(series::list(name)?))
    })
}

/// The page with a table after each line for which there is one.
fn with_tables(page: &str, table: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut is_inside = false;
    for line in page.lines() {
        if line == END {
            is_inside = false;
        }
        if !is_inside {
            filled.push_str(line);
            filled.push('\n');
        }
        if let Some(table) = table(line) {
            is_inside = true;
            filled.push_str(&table);
        }
    }
    filled
}

/// The part of an object whose table follows this line.
fn part_of(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- fields: ")?.strip_suffix(" -->")
}

fn table(part: &str, schema: &Value) -> String {
    let mut table = String::from("\n| field | type | default | meaning |\n|---|---|---|---|\n");
    rows(part, schema, &mut table);
    table.push('\n');
    table
}

/// A row for every field of an object, each followed by its own fields.
fn rows(path: &str, schema: &Value, table: &mut String) {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let fields = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let text = description(field);
        let default = if required.contains(&name.as_str()) {
            "**required**".to_owned()
        } else {
            default(field, &text).unwrap_or_else(|| "–".to_owned())
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| `{path}` | {} | {} | {} |",
            cell(&type_of(field)),
            cell(&default),
            cell(&meaning(&text))
        );
        if name == "conditions" {
            continue;
        }
        match field.get("items") {
            Some(items) => rows(&format!("{path}[]"), items, table),
            None => rows(&path, field, table),
        }
    }
}

fn description(field: &Value) -> String {
    let text = field.get("description").and_then(Value::as_str);
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

/// The description without the sentence that the column before it shows.
fn meaning(text: &str) -> String {
    let Some((before, after)) = text.split_once("Default") else {
        return text.to_owned();
    };
    let rest = after.split_once(". ").map_or("", |(_, rest)| rest);
    format!("{before}{rest}").trim_end().to_owned()
}

/// What the description says that is taken, else what the API server fills in.
fn default(field: &Value, text: &str) -> Option<String> {
    if let Some((_, after)) = text.split_once("Default") {
        let sentence = after
            .split_once(". ")
            .map_or(after, |(sentence, _)| sentence);
        let sentence = sentence.trim_start_matches([':', ' ']);
        return Some(sentence.strip_suffix('.').unwrap_or(sentence).to_owned());
    }
    match field.get("default") {
        Some(Value::String(value)) => return Some(format!("`{value}`")),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => return Some(format!("`{value}`")),
        _ => {}
    }
    // In the middle of a sentence: "A duration; default `5m`."
    let (_, after) = text.split_once("; default")?;
    let after = after.trim_start_matches([':', ' ']);
    let end = match after.strip_prefix('`') {
        Some(code) => code.find('`')? + 2,
        None => after
            .find(". ")
            .unwrap_or(after.len() - usize::from(after.ends_with('.'))),
    };
    after.get(..end).map(str::to_owned)
}

fn type_of(field: &Value) -> String {
    let has = |key: &str| field.get(key).and_then(Value::as_bool) == Some(true);
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect();
        return words.join(", ");
    }
    if has("x-kubernetes-int-or-string") {
        return "number or text".to_owned();
    }
    if has("x-kubernetes-preserve-unknown-fields") {
        return "object, passed on".to_owned();
    }
    if let Some(items) = field.get("items") {
        return format!("list of {}", plural(&type_of(items)));
    }
    if let Some(values) = field
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        return format!("map of {}", plural(&type_of(values)));
    }
    let word = field.get("type").and_then(Value::as_str).unwrap_or("any");
    match word {
        "string" if is_duration(field) => "duration",
        "string" if field.get("format").and_then(Value::as_str) == Some("date-time") => "time",
        "string" => "text",
        "integer" => "number",
        "boolean" => "true or false",
        other => other,
    }
    .to_owned()
}

fn plural(word: &str) -> String {
    match word {
        "object" => "objects".to_owned(),
        "text" => "texts".to_owned(),
        "time" => "times".to_owned(),
        "number" => "numbers".to_owned(),
        other => other.to_owned(),
    }
}

fn is_duration(field: &Value) -> bool {
    let rules = field
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    let message = |rule: &Value| {
        rule.get("message")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut messages = rules.into_iter().flatten().filter_map(message);
    messages.any(|message| message.starts_with("must be a duration"))
}

/// Text that does not end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_tables_are_as_the_types_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, info) in pages() {
            let page = std::fs::read_to_string(root.join(&path)).unwrap();
            assert!(
                page.contains("<!-- fields: spec -->"),
                "{path} has no table"
            );
            let has_status = info.has_reconciler == page.contains("<!-- fields: status -->");
            assert!(
                has_status,
                "{path}: a table of the status, where there is one"
            );
            assert!(
                filled(&page, info).unwrap() == page,
                "{path} is stale: run make generate"
            );
        }
    }

    #[test]
    fn the_tables_of_metrics_are_as_the_list_says() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(METRICS);
        let page = std::fs::read_to_string(page).unwrap();
        for list in ["operator", "deliveries"] {
            assert!(page.contains(&format!("<!-- series: {list} -->")), "{list}");
        }
        assert!(with_series(&page) == page, "stale: run make generate");
    }

    #[test]
    fn a_default_is_not_told_twice() {
        assert_eq!(
            meaning("Pods. Default `1`. Example: `6`."),
            "Pods. Example: `6`."
        );
        assert_eq!(meaning("Pods. Default `1`."), "Pods.");
        assert_eq!(meaning("Pods."), "Pods.");
    }

    #[test]
    fn a_default_is_found_where_people_put_it() {
        let found = |text: &str| default(&Value::Null, text);
        assert_eq!(
            found("Pods. Default `1`. Example: `6`."),
            Some("`1`".into())
        );
        assert_eq!(
            found("A duration; default `168h` (seven days)."),
            Some("`168h`".into())
        );
        assert_eq!(found("Metrics. Default: nothing."), Some("nothing".into()));
        assert_eq!(
            found("Metrics. Default: none. Example: `a`."),
            Some("none".into())
        );
        assert_eq!(found("Metrics."), None);
        assert_eq!(found("Variables, beside `defaults.env`."), None);
        let schema = serde_json::json!({"default": true});
        assert_eq!(default(&schema, ""), Some("`true`".into()));
    }
}
