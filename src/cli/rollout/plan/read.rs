//! From what stands in a file to what a change goes through, or to what is wrong with it. No I/O.

use serde_json::Value;

use crate::analysis::template::Templates;
use crate::cli::manifest::{self, Schemas, lines, read};
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::rollout::api::{RiskLevel, Rollout};
use crate::rollout::simulation::{Happening, Simulation, simulate_with};

/// What changes of all Rollouts of a file go through, those with strategy `Auto` at this risk, where these things
/// happen, and everything that is wrong with the others.
pub(super) fn simulations(
    text: &str,
    schemas: &Schemas,
    templates: &Templates,
    (level, happenings): (RiskLevel, &[Happening]),
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
        match one(object, schemas, templates, (level, happenings)) {
            Ok(simulation) => found.push(simulation),
            Err(wrong) => problems.extend(lines(kind, object, &wrong)),
        }
    }
    (found, problems)
}

fn one(
    object: &Value,
    schemas: &Schemas,
    templates: &Templates,
    (level, happenings): (RiskLevel, &[Happening]),
) -> Result<Simulation, Vec<Invalid>> {
    let (rollout, mut problems) = read::<Rollout>(object, &schemas.rollout);
    let Some(rollout) = rollout else {
        return Err(problems);
    };
    match simulate_with(&rollout, templates, level, happenings) {
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
