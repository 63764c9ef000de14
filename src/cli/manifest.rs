//! Finds objects of one kind in what people keep in files: YAML or JSON, several documents, Lists. No I/O.

use std::sync::Arc;

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::crd::validation;
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;

/// A file, and what is in it.
#[derive(Clone, Debug)]
pub struct File {
    /// As it is called in messages.
    pub name: String,
    /// Everything that is in it.
    pub text: String,
}

/// The definitions that objects are checked against.
pub struct Schemas {
    /// Of Rollouts.
    pub rollout: Value,
    /// Of AnalysisTemplates.
    pub template: Value,
}

/// The AnalysisTemplates of a file, of which there need not be any, and everything that is wrong with the others. That a
/// file cannot be read at all is told by who looks for something that has to be there.
pub fn templates(text: &str, schemas: &Schemas) -> (Templates, Vec<String>) {
    let kind = ObjectKind::AnalysisTemplate;
    let objects = any_objects(text, kind).unwrap_or_default();
    let (mut found, mut problems) = (Templates::new(), Vec::new());
    for object in &objects {
        match read::<AnalysisTemplate>(object, &schemas.template) {
            (Some(template), wrong) if wrong.is_empty() => {
                found.insert(template.name_any(), Arc::new(template));
            }
            (_, wrong) => problems.extend(lines(kind, object, &wrong)),
        }
    }
    (found, problems)
}

/// An object, as far as it can be read, and what is wrong with it.
pub fn read<K: DeserializeOwned>(object: &Value, schema: &Value) -> (Option<K>, Vec<Invalid>) {
    let mut problems = validation::problems(object, schema);
    match serde_json::from_value(object.clone()) {
        Ok(read) => (Some(read), problems),
        Err(error) => {
            // The schema has said where, unless it is something that only the type knows.
            if problems.is_empty() {
                problems.push(Invalid::new("spec", error.to_string()));
            }
            (None, problems)
        }
    }
}

/// What is wrong with an object, a line each.
pub fn lines(kind: ObjectKind, object: &Value, wrong: &[Invalid]) -> Vec<String> {
    let name = name_of(object).unwrap_or("without a name");
    let kind = kind.kind();
    let line = |of: &Invalid| format!("{kind} {name}: {}: {}", of.path, of.problem);
    wrong.iter().map(line).collect()
}

/// The name of an object.
pub fn name_of(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name").and_then(Value::as_str)
}

/// Every object of a kind of ours.
///
/// # Errors
/// A sentence for people: the text cannot be read, or has none.
pub fn objects(text: &str, kind: ObjectKind) -> Result<Vec<Value>, String> {
    let all = all(text)?;
    let found = of_kind(&all, kind);
    if found.is_empty() {
        return Err(nothing(&all, kind));
    }
    Ok(found)
}

/// The same, where there need not be any.
///
/// # Errors
/// A sentence for people: the text cannot be read.
pub fn any_objects(text: &str, kind: ObjectKind) -> Result<Vec<Value>, String> {
    Ok(of_kind(&all(text)?, kind))
}

/// Every object.
///
/// # Errors
/// A sentence for people: the text cannot be read.
pub fn all(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("not YAML: {error}"))?;
    Ok(documents.into_iter().flat_map(members).collect())
}

fn of_kind(all: &[Value], kind: ObjectKind) -> Vec<Value> {
    let is_wanted = |object: &&Value| {
        object["kind"] == kind.kind() && object["apiVersion"] == kind.api_version()
    };
    all.iter().filter(is_wanted).cloned().collect()
}

/// The items of a List, or the object itself.
fn members(object: Value) -> Vec<Value> {
    let kind = object.get("kind").and_then(Value::as_str);
    let is_list = kind.is_some_and(|kind| kind.ends_with("List"));
    match object.get("items") {
        Some(Value::Array(items)) if is_list => items.clone(),
        _ if object.is_object() => vec![object],
        _ => Vec::new(),
    }
}

fn nothing(all: &[Value], kind: ObjectKind) -> String {
    let text = |object: &Value, key: &str| object[key].as_str().unwrap_or("?").to_owned();
    let mut there: Vec<String> = all
        .iter()
        .map(|object| format!("{} {}", text(object, "apiVersion"), text(object, "kind")))
        .collect();
    there.sort();
    there.dedup();
    let wanted = format!("no {} {} in it", kind.api_version(), kind.kind());
    if there.is_empty() {
        return wanted;
    }
    format!("{wanted}; there are: {}", there.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLOUT: &str = "apiVersion: slipway.dev/v1alpha1\nkind: Rollout\nmetadata: {name: a}\n";

    fn names(text: &str) -> Result<Vec<String>, String> {
        let found = objects(text, ObjectKind::Rollout)?;
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        Ok(found.iter().map(name).collect())
    }

    #[test]
    fn rollouts_are_found_among_other_documents() {
        let text = format!("---\n# nothing\n---\nkind: Service\napiVersion: v1\n---\n{ROLLOUT}");
        assert_eq!(names(&text).unwrap(), ["a"]);
        let list = r#"{"kind": "List", "apiVersion": "v1", "items": [
            {"apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": "b"}}]}"#;
        assert_eq!(names(list).unwrap(), ["b"]);
    }

    #[test]
    fn what_is_there_instead_is_named() {
        let argo = ROLLOUT.replace("slipway.dev/v1alpha1", "argoproj.io/v1alpha1");
        assert_eq!(
            names(&argo).unwrap_err(),
            "no slipway.dev/v1alpha1 Rollout in it; there are: argoproj.io/v1alpha1 Rollout"
        );
        assert_eq!(
            names("").unwrap_err(),
            "no slipway.dev/v1alpha1 Rollout in it"
        );
        assert!(names("a: [").unwrap_err().starts_with("not YAML: "));
    }
}
