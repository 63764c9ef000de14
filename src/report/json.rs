//! Reads a JSON report into what of it is of interest. No I/O.
//!
//! Values are counted before anything is built of them: a few bytes of JSON may become a hundred times as
//! many in memory. Depth is limited by the library.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use super::ReportError;
use super::finding::printable;

/// Values that a report has at most.
const MAX_VALUES: usize = 1_000_000;

/// Reads a report. Fields that `T` does not name are passed over. `wanted`: what it is to be, for people.
///
/// # Errors
/// If it is no JSON, not of this form, deeper than 127 or of more than a million values.
pub fn read<T: DeserializeOwned>(bytes: &[u8], wanted: &'static str) -> Result<T, ReportError> {
    if has_too_many_values(bytes) {
        return Err(ReportError::Large("a million values".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = printable(&error.to_string(), 160);
        match error.classify() {
            Category::Data => ReportError::form(wanted, problem),
            Category::Io | Category::Syntax | Category::Eof => {
                let format = "JSON";
                ReportError::Syntax { format, problem }
            }
        }
    })
}

/// The same of a report that is an object. (The library takes a list for one too: its first element as the first field.)
///
/// # Errors
/// As for `read`, and if it is none.
pub fn object<T: DeserializeOwned>(bytes: &[u8], wanted: &'static str) -> Result<T, ReportError> {
    if is_list(bytes) {
        return Err(ReportError::form(wanted, "it is a list"));
    }
    read(bytes, wanted)
}

/// Whether a report is a list.
pub fn is_list(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

/// A field that has to be there, and may be `null`.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Every value but the first of its list stands behind a comma, and that one behind a bracket.
fn has_too_many_values(bytes: &[u8]) -> bool {
    let (mut count, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b',' | b'[' | b'{' if !is_text => count += 1,
            _ => {}
        }
    }
    count > MAX_VALUES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Nothing {}

    #[derive(Debug, serde::Deserialize)]
    struct Something {
        #[serde(deserialize_with = "nullable")]
        results: Option<Vec<u8>>,
    }

    #[test]
    fn what_is_no_json_and_what_is_another_json_are_told_apart() {
        let read = |text: &str| object::<Something>(text.as_bytes(), "report of results");
        assert_eq!(
            read(r#"{"results":[1],"more":{}}"#).unwrap().results,
            Some(vec![1])
        );
        assert_eq!(read(r#"{"results":null}"#).unwrap().results, None);
        for other in ["{}", "[]", "[[1]]", "7", r#"{"results":{}}"#] {
            let error = read(other).unwrap_err();
            assert!(
                matches!(error, ReportError::Form { .. }),
                "{other}: {error}"
            );
            assert!(
                error.to_string().starts_with("no report of results: "),
                "{error}"
            );
        }
        for broken in ["", "{", "{\"results\":[1", "results"] {
            let error = read(broken).unwrap_err();
            assert!(
                matches!(error, ReportError::Syntax { .. }),
                "{broken}: {error}"
            );
        }
    }

    #[test]
    fn values_are_counted_outside_of_texts_only() {
        let text = format!("[\"{}\\\",\"]", ",[{".repeat(MAX_VALUES));
        assert_eq!(read::<Vec<String>>(text.as_bytes(), "").unwrap().len(), 1);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(matches!(
            read::<Vec<u8>>(many.as_bytes(), ""),
            Err(ReportError::Large(_))
        ));
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error() {
        let deep = "[".repeat(100_000);
        assert!(read::<serde_json::Value>(deep.as_bytes(), "").is_err());
        let ignored = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(read::<Nothing>(ignored.as_bytes(), "").is_err());
    }
}
