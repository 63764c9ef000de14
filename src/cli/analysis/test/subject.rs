//! From what stands in files to what is replayed, or to what is wrong with it. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analysis::template::Templates;
use crate::cli::manifest::{self, File, Schemas, lines, name_of, read};
use crate::model::invalid::Invalid;
use crate::model::object::ObjectKind;
use crate::rollout::api::Rollout;
use crate::rollout::replay::subject::Subject;

/// An object of a file.
struct Found {
    file: String,
    kind: ObjectKind,
    object: Value,
}

impl Found {
    fn name(&self) -> &str {
        name_of(&self.object).unwrap_or_default()
    }
}

/// The Rollout or the AnalysisTemplate of this name, or the only one; a Rollout before a template.
///
/// # Errors
/// Everything that is wrong.
pub(super) fn find(
    files: &[File],
    schemas: &Schemas,
    wanted: Option<&str>,
    args: &BTreeMap<String, String>,
) -> Result<Subject, Vec<String>> {
    let mut all = Vec::new();
    let mut templates = Templates::new();
    let mut problems = Vec::new();
    for File { name, text } in files {
        for kind in [ObjectKind::Rollout, ObjectKind::AnalysisTemplate] {
            let objects = manifest::any_objects(text, kind);
            let objects = objects.map_err(|problem| vec![format!("{name}: {problem}")])?;
            all.extend(objects.into_iter().map(|object| Found {
                file: name.clone(),
                kind,
                object,
            }));
        }
        let (found, wrong) = manifest::templates(text, schemas);
        templates.extend(found);
        problems.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    }
    let found = chosen(&all, wanted).map_err(|problem| vec![problem])?;
    if !problems.is_empty() {
        return Err(problems);
    }
    let subject = if found.kind == ObjectKind::Rollout {
        of_rollout(found, schemas, &templates, args)
    } else {
        let subject = Subject::of_template(found.name(), args.clone(), &templates);
        subject.map_err(|wrong| lines(found.kind, &found.object, &wrong))
    };
    let told = |wrong: String| format!("{}: {wrong}", found.file);
    subject.map_err(|wrong| wrong.into_iter().map(told).collect())
}

/// The one that is meant.
fn chosen<'a>(all: &'a [Found], wanted: Option<&str>) -> Result<&'a Found, String> {
    let of = |kind: ObjectKind| {
        let is_meant = move |found: &&Found| {
            found.kind == kind && wanted.is_none_or(|wanted| wanted == found.name())
        };
        all.iter().filter(is_meant).collect::<Vec<_>>()
    };
    let names = |found: &[&Found]| {
        let name = |found: &&Found| format!("{} {}", found.kind.kind(), found.name());
        found.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    for kind in [ObjectKind::Rollout, ObjectKind::AnalysisTemplate] {
        match of(kind).as_slice() {
            [] => {}
            [one] => return Ok(one),
            many => return Err(format!("which of these? Give its name: {}", names(many))),
        }
    }
    let there = names(&all.iter().collect::<Vec<_>>());
    Err(match wanted {
        Some(wanted) if !there.is_empty() => {
            format!("there is no {wanted} in the files; there are: {there}")
        }
        _ => "there is no Rollout and no AnalysisTemplate of slipway.dev/v1alpha1 in the files"
            .to_owned(),
    })
}

fn of_rollout(
    found: &Found,
    schemas: &Schemas,
    templates: &Templates,
    args: &BTreeMap<String, String>,
) -> Result<Subject, Vec<String>> {
    let (rollout, mut problems) = read::<Rollout>(&found.object, &schemas.rollout);
    if let Some(rollout) = rollout {
        match Subject::of_rollout(&rollout, templates) {
            Ok(subject) if problems.is_empty() => {
                if args.is_empty() {
                    return Ok(subject);
                }
                let name = found.name();
                return Err(vec![format!(
                    "Rollout {name}: --arg is for an AnalysisTemplate by itself: a Rollout gives the arguments of those that it names"
                )]);
            }
            Ok(_) => {}
            Err(more) => {
                // Some things are said by both.
                let is_new = |invalid: &Invalid| !problems.contains(invalid);
                let more: Vec<Invalid> = more.into_iter().filter(is_new).collect();
                problems.extend(more);
            }
        }
    }
    Err(lines(found.kind, &found.object, &problems))
}
