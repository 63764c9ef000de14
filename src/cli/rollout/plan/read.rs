//! From what stands in a file to what a change goes through, or to what is wrong with it. No I/O.

use std::sync::Arc;

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::cli::manifest;
use crate::crd::validation;
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::rollout::api::{RiskLevel, Rollout};
use crate::rollout::simulation::{Simulation, simulate};

/// The definitions that objects are checked against.
pub(super) struct Schemas {
    /// Of Rollouts.
    pub(super) rollout: Value,
    /// Of AnalysisTemplates.
    pub(super) template: Value,
}

/// The AnalysisTemplates of a file, of which there need not be any, and everything that is wrong with the others. That a
/// file cannot be read at all is told by `simulations`.
pub(super) fn templates(text: &str, schemas: &Schemas) -> (Templates, Vec<String>) {
    let kind = ObjectKind::AnalysisTemplate;
    let objects = manifest::any_objects(text, kind).unwrap_or_default();
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

/// What changes of all Rollouts of a file go through, those with strategy `Auto` at this risk, and everything that is wrong
/// with the others.
pub(super) fn simulations(
    text: &str,
    schemas: &Schemas,
    templates: &Templates,
    level: RiskLevel,
) -> (Vec<Simulation>, Vec<String>) {
    let kind = ObjectKind::Rollout;
    let objects = match manifest::objects(text, kind) {
        Ok(objects) => objects,
        Err(problem) => {
            let others = manifest::any_objects(text, ObjectKind::AnalysisTemplate);
            let has_others = others.is_ok_and(|others| !others.is_empty());
            let problems = if has_others {
                Vec::new()
            } else {
                vec![problem]
            };
            return (Vec::new(), problems);
        }
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for object in &objects {
        match one(object, schemas, templates, level) {
            Ok(simulation) => found.push(simulation),
            Err(wrong) => problems.extend(lines(kind, object, &wrong)),
        }
    }
    (found, problems)
}

fn lines(kind: ObjectKind, object: &Value, wrong: &[Invalid]) -> Vec<String> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.unwrap_or("without a name");
    let kind = kind.kind();
    let line = |of: &Invalid| format!("{kind} {name}: {}: {}", of.path, of.problem);
    wrong.iter().map(line).collect()
}

/// An object, as far as it can be read, and what is wrong with it.
fn read<K: DeserializeOwned>(object: &Value, schema: &Value) -> (Option<K>, Vec<Invalid>) {
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

fn one(
    object: &Value,
    schemas: &Schemas,
    templates: &Templates,
    level: RiskLevel,
) -> Result<Simulation, Vec<Invalid>> {
    let (rollout, mut problems) = read::<Rollout>(object, &schemas.rollout);
    let Some(rollout) = rollout else {
        return Err(problems);
    };
    match simulate(&rollout, templates, level) {
        Ok(simulation) if problems.is_empty() => Ok(simulation),
        Ok(_) => Err(problems),
        Err(more) => {
            // Some things are said by both.
            let is_new = |invalid: &Invalid| !problems.contains(invalid);
            let more: Vec<Invalid> = more.into_iter().filter(is_new).collect();
            problems.extend(more);
            Err(problems)
        }
    }
}
