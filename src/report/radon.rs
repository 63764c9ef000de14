//! Reads the JSON of `radon cc`: the complexity of functions and methods. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::finding::printable;
use super::{ReportError, json};
use crate::pipeline_run::api::Complexity;

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Blocks(Vec<Block>),
    Broken { error: String },
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    type_: String,
    name: String,
    complexity: u32,
}

const WANTED: &str = "report of radon cc, which is an object with a list of blocks for each file";

/// Reads a report. Classes are left out: their methods are listed by themselves.
///
/// # Errors
/// If it cannot be read to its end, or a file could not be measured.
pub fn read(bytes: &[u8]) -> Result<Complexity, ReportError> {
    let files: BTreeMap<String, File> = json::object(bytes, WANTED)?;
    let mut all = Complexity::default();
    for (path, file) in &files {
        let blocks = match file {
            File::Blocks(blocks) => blocks,
            File::Broken { error } => {
                let (path, error) = (printable(path, 120), printable(error, 200));
                let problem = format!("radon could not measure {path}: {error}");
                return Err(ReportError::Nonsense(problem));
            }
        };
        for block in blocks.iter().filter(|block| block.type_ != "class") {
            all.functions = all.functions.saturating_add(1);
            all.sum = all.sum.saturating_add(block.complexity);
            if block.complexity > all.highest {
                all.highest = block.complexity;
                let at = format!("{}:{}", printable(path, 96), printable(&block.name, 60));
                all.highest_at = Some(printable(&at, 160));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_by_their_methods() {
        let json = br#"{"a.py":[{"type":"class","name":"C","complexity":9,"methods":[]},{"type":"method","name":"m","complexity":7,"rank":"B"},
            {"type":"function","name":"f","complexity":1}],"b.py":[]}"#;
        let found = read(json).unwrap();
        assert_eq!((found.functions, found.sum, found.highest), (2, 8, 7));
        assert_eq!(found.highest_at.as_deref(), Some("a.py:m"));
        assert_eq!(found.average(), Some(4.0));
    }

    #[test]
    fn what_another_tool_wrote_is_no_report() {
        for other in [
            "[]",
            r#"{"results":[{"check_id":"x"}]}"#,
            r#"{"a.py":{"mi":80.1}}"#,
        ] {
            let error = read(other.as_bytes()).unwrap_err();
            assert!(
                error.to_string().starts_with("no report of radon cc"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_could_not_be_measured_is_no_evidence() {
        let error = read(br#"{"a.py":{"error":"invalid syntax"}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "radon could not measure a.py: invalid syntax"
        );
    }
}
