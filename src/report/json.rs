//! Reads a JSON report into what of it is of interest. No I/O.
//!
//! Values are counted before anything is built of them: a few bytes of JSON may become a hundred times as
//! many in memory. Depth is limited by the library.

use serde::de::DeserializeOwned;

use super::ReportError;

/// Values that a report has at most.
const MAX_VALUES: usize = 1_000_000;

/// Reads a report. Fields that `T` does not name are passed over.
///
/// # Errors
/// If it is no JSON, not of this form, deeper than 127 or of more than a million values.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReportError> {
    if has_too_many_values(bytes) {
        return Err(ReportError::Large("a million values".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| ReportError::Syntax {
        format: "JSON",
        problem: error.to_string(),
    })
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

/// Whether a tool that found nothing has left an empty file, or `null`.
pub fn is_nothing(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    text.is_empty() || text == b"null"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Nothing {}

    #[test]
    fn values_are_counted_outside_of_texts_only() {
        let text = format!("[\"{}\\\",\"]", ",[{".repeat(MAX_VALUES));
        assert_eq!(read::<Vec<String>>(text.as_bytes()).unwrap().len(), 1);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(matches!(
            read::<Vec<u8>>(many.as_bytes()),
            Err(ReportError::Large(_))
        ));
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error() {
        let deep = "[".repeat(100_000);
        assert!(read::<serde_json::Value>(deep.as_bytes()).is_err());
        let ignored = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(read::<Nothing>(ignored.as_bytes()).is_err());
    }
}
