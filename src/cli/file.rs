//! Files that people name. Reads files and the standard input.

use std::io::Read;

use serde_json::Value;

use super::manifest::{File, Schemas};
use crate::crd;
use crate::kinds::KINDS;
use crate::model::object::ObjectKind;

/// The files of these names; `-` is the standard input.
///
/// # Errors
/// The first that cannot be read.
pub fn files(names: &[String]) -> Result<Vec<File>, String> {
    let read = |name: &String| {
        let text = content(name).map_err(|error| format!("cannot read {name}: {error}"))?;
        let name = if name == "-" { "standard input" } else { name };
        let name = name.to_owned();
        Ok(File { name, text })
    };
    names.iter().map(read).collect()
}

fn content(name: &str) -> std::io::Result<String> {
    if name != "-" {
        return std::fs::read_to_string(name);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// The definitions that objects in files are checked against.
///
/// # Errors
/// They cannot be made, which is no fault of the files.
pub fn schemas() -> Result<Schemas, String> {
    let both = (
        schema_of(ObjectKind::Rollout),
        schema_of(ObjectKind::AnalysisTemplate),
    );
    let (Some(rollout), Some(template)) = both else {
        return Err("the definitions of the kinds cannot be made".to_owned());
    };
    Ok(Schemas { rollout, template })
}

fn schema_of(kind: ObjectKind) -> Option<Value> {
    let info = KINDS.iter().find(|info| info.object == kind)?;
    crd::schema_of(info).ok()
}
