//! Files that people name. Reads files and the standard input.

use std::io::Read;
use std::path::Path;

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

/// The names of files, where some of the names are folders: then those in them that are YAML or JSON, by name.
///
/// # Errors
/// The first folder that cannot be read, or has none.
pub fn in_folders(names: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for name in names {
        if name == "-" || !Path::new(name).is_dir() {
            all.push(name.clone());
            continue;
        }
        let unreadable = |error| format!("cannot read {name}: {error}");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(name).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let extension = path.extension().and_then(|text| text.to_str());
            if extension.is_some_and(|text| ["yaml", "yml", "json"].contains(&text)) {
                found.push(path.display().to_string());
            }
        }
        if found.is_empty() {
            return Err(format!("there is no YAML or JSON in {name}"));
        }
        found.sort();
        all.extend(found);
    }
    Ok(all)
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
