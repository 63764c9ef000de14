//! CustomResourceDefinitions as they are installed: derived from the types, then polished.
//!
//! The derive cannot say everything that a good CRD says. `polish` strips `nullable` (the API server then
//! prunes nulls, and CEL agrees with what users see), makes integer formats ones that Kubernetes knows,
//! writes default durations as people do, and gives kinds with a reconciler the status default that says "not looked at yet", so that nothing
//! takes an untouched object for a finished one.
//! No I/O, apart from writing to a given writer.

pub mod field;
pub mod validation;

use std::io::{self, Write};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use crate::kinds::{KINDS, KindInfo};

/// Longest description inside types that Kubernetes defines; their own docs say more.
const FOREIGN_DESCRIPTION_LIMIT: usize = 400;

/// A CRD could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The derived definition has a shape that JSON cannot carry.
    #[error("failed to read the definition of {kind} as JSON")]
    Json {
        /// Kind of the definition.
        kind: &'static str,
        /// What went wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The definition cannot be written as YAML.
    #[error("failed to write the definition of {kind} as YAML")]
    Yaml {
        /// Kind of the definition.
        kind: &'static str,
        /// What went wrong.
        #[source]
        source: serde_saphyr::ser::Error,
    },
    /// Writing failed.
    #[error("failed to write a definition")]
    Write(#[from] io::Error),
}

/// Every definition, polished, in the order of `KINDS`.
pub fn all() -> Result<Vec<CustomResourceDefinition>, Error> {
    KINDS.iter().map(polish).collect()
}

/// Writes every definition as one YAML stream.
pub fn print_all(out: &mut impl Write) -> Result<(), Error> {
    for (_, yaml) in files()? {
        out.write_all(b"---\n")?;
        out.write_all(yaml.as_bytes())?;
    }
    Ok(())
}

/// Every definition as file name and YAML.
pub fn files() -> Result<Vec<(String, String)>, Error> {
    KINDS
        .iter()
        .map(|info| Ok((format!("{}.yaml", info.plural), yaml(info)?)))
        .collect()
}

fn yaml(info: &KindInfo) -> Result<String, Error> {
    let json = |source| Error::Json {
        kind: info.kind,
        source,
    };
    let value = serde_json::to_value(polish(info)?).map_err(json)?;
    serde_saphyr::to_string(&value).map_err(|source| Error::Yaml {
        kind: info.kind,
        source,
    })
}

/// The definition of one kind, as it is installed.
pub fn polish(info: &KindInfo) -> Result<CustomResourceDefinition, Error> {
    let json = |source| Error::Json {
        kind: info.kind,
        source,
    };
    let mut crd = serde_json::to_value((info.crd)()).map_err(json)?;
    let versions = crd
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
            walk(schema, &mut polish_schema);
            if info.has_reconciler {
                default_status(schema);
            }
        }
    }
    serde_json::from_value(crd).map_err(json)
}

/// The schema of one kind, as it is installed.
pub fn schema_of(info: &KindInfo) -> Result<Value, Error> {
    let json = |source| Error::Json {
        kind: info.kind,
        source,
    };
    let mut crd = serde_json::to_value(polish(info)?).map_err(json)?;
    let schema = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
    Ok(schema.map(Value::take).unwrap_or_default())
}

/// Nothing in a status is there by default, but that nobody has looked.
fn default_status(root: &mut Value) {
    let Some(status) = root.pointer_mut("/properties/status") else {
        return;
    };
    walk(status, &mut |schema| drop(schema.remove("default")));
    if let Value::Object(status) = status {
        status.insert("default".to_owned(), json!({ "observedGeneration": -1 }));
    }
}

fn polish_schema(object: &mut Map<String, Value>) {
    object.remove("nullable");
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    polish_format(object);
    shorten_description(object);
    object
        .get_mut("default")
        .into_iter()
        .for_each(polish_default);
}

/// Shows every schema within a schema to `change`. `properties` holds schemas by name, so that its keys are
/// never taken for keywords.
fn walk(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(object) = schema else {
        return;
    };
    change(object);
    for keyword in ["properties", "patternProperties"] {
        let children = object.get_mut(keyword).and_then(Value::as_object_mut);
        children
            .into_iter()
            .flat_map(Map::values_mut)
            .for_each(|child| walk(child, change));
    }
    for keyword in ["items", "additionalProperties", "not"] {
        object
            .get_mut(keyword)
            .into_iter()
            .for_each(|child| walk(child, change));
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let children = object.get_mut(keyword).and_then(Value::as_array_mut);
        children
            .into_iter()
            .flatten()
            .for_each(|child| walk(child, change));
    }
}

/// Kubernetes knows signed formats only and warns about others; the minimum of 0 stays.
fn polish_format(object: &mut Map<String, Value>) {
    let known = match object.get("format").and_then(Value::as_str) {
        Some("uint" | "uint64") => "int64",
        Some("uint8" | "uint16" | "uint32") => "int32",
        _ => return,
    };
    object.insert("format".to_owned(), known.into());
}

/// Durations are written in seconds by the derive; people read `168h` more easily than `604800s`.
fn polish_default(value: &mut Value) {
    match value {
        Value::String(text) => {
            let seconds = text
                .strip_suffix('s')
                .and_then(|number| number.parse::<u64>().ok());
            match seconds {
                Some(seconds) if seconds > 0 && seconds % 3600 == 0 => {
                    *text = format!("{}h", seconds / 3600);
                }
                Some(seconds) if seconds > 0 && seconds % 60 == 0 => {
                    *text = format!("{}m", seconds / 60);
                }
                _ => {}
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(polish_default),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
}

fn shorten_description(object: &mut Map<String, Value>) {
    let Some(Value::String(text)) = object.get_mut("description") else {
        return;
    };
    if text.len() > FOREIGN_DESCRIPTION_LIMIT && text.contains("More info: ") {
        object.remove("description");
    }
}

#[cfg(test)]
mod tests;
