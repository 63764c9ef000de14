//! From what stands in a file to what a change goes through, or to what is wrong with it. No I/O.

use serde_json::Value;

use crate::cli::manifest;
use crate::crd::validation;
use crate::model::invalid::Invalid;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::rollout::api::{RiskLevel, Rollout};
use crate::rollout::simulation::{Simulation, simulate};

/// What changes of all Rollouts of a file go through, those with strategy `Auto` at this risk, and everything that is wrong
/// with the others.
pub(super) fn simulations(
    text: &str,
    schema: &Value,
    level: RiskLevel,
) -> (Vec<Simulation>, Vec<String>) {
    let objects = match manifest::objects(text, ObjectKind::Rollout) {
        Ok(objects) => objects,
        Err(problem) => return (Vec::new(), vec![problem]),
    };
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for object in &objects {
        match one(object, schema, level) {
            Ok(simulation) => found.push(simulation),
            Err(invalid) => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str);
                let name = name.unwrap_or("without a name");
                let line = |invalid: &Invalid| {
                    format!("Rollout {name}: {}: {}", invalid.path, invalid.problem)
                };
                problems.extend(invalid.iter().map(line));
            }
        }
    }
    (found, problems)
}

fn one(object: &Value, schema: &Value, level: RiskLevel) -> Result<Simulation, Vec<Invalid>> {
    let mut problems = validation::problems(object, schema);
    let simulated = match serde_json::from_value::<Rollout>(object.clone()) {
        Ok(rollout) => simulate(&Key::of(&rollout), &rollout.spec, level),
        // The schema has said where, unless it is something that only the type knows.
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(error) => return Err(vec![Invalid::new("spec", error.to_string())]),
    };
    match simulated {
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
