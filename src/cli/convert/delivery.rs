//! Objects of other tools that deliver: which they are, and whether what they became is right. No I/O.

use kube::ResourceExt;
use serde_json::Value;

use super::written::{Written, text_at};
use super::{argo, flagger};
use crate::analysis::api::{AnalysisTemplate, Metric};
use crate::analysis::template::Templates;
use crate::cli::manifest::{Schemas, lines, read};
use crate::metric::judge;
use crate::model::object::ObjectKind;
use crate::rollout::adopt::standing_in;
use crate::rollout::api::Rollout;
use crate::rollout::spec::{Around, Images, Spec};

/// What it is, where it is something that can be converted.
fn known(object: &Value) -> Option<Known> {
    let version = text_at(object, "/apiVersion")?;
    let (group, _) = version.split_once('/')?;
    match (group, text_at(object, "/kind")?) {
        ("argoproj.io", "Rollout") => Some(Known::Rollout),
        ("argoproj.io", "AnalysisTemplate" | "ClusterAnalysisTemplate") => Some(Known::Template),
        ("flagger.app", "Canary") => Some(Known::Canary),
        ("flagger.app", "MetricTemplate") => Some(Known::MetricTemplate),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Rollout,
    Template,
    Canary,
    MetricTemplate,
}

/// Whether it is something that can be converted.
pub(super) fn is_known(object: &Value) -> bool {
    known(object).is_some()
}

/// Everything that can be converted, and what is to be looked at.
pub(super) fn convert(documents: &[Value], schemas: &Schemas) -> Written {
    let of = |kind: Known| -> Vec<Value> {
        let found = documents.iter().filter(|it| known(it) == Some(kind));
        found.cloned().collect()
    };
    let mut written = Written::default();
    for other in documents.iter().filter(|it| !is_known(it)) {
        let kind = text_at(other, "/kind").unwrap_or("a document without kind");
        let name = text_at(other, "/metadata/name").unwrap_or_default();
        written.tell(format!(
            "{kind} {name}: is none of what is converted, and is not in this file"
        ));
    }
    // What Rollouts name comes first.
    for template in of(Known::Template) {
        argo::template(&template, &mut written);
    }
    for rollout in of(Known::Rollout) {
        argo::rollout(&rollout, &mut written);
    }
    let (canaries, templates) = (of(Known::Canary), of(Known::MetricTemplate));
    for template in &templates {
        flagger::told_alone(template, &canaries, &mut written);
    }
    for canary in &canaries {
        flagger::canary(canary, &templates, &mut written);
    }
    for problem in problems(&written.objects, schemas) {
        written.tell(format!("to be repaired: {problem}"));
    }
    written
}

/// What is wrong with objects, as the API server and the operator would say it.
fn problems(objects: &[Value], schemas: &Schemas) -> Vec<String> {
    let mut problems = Vec::new();
    let mut templates = Templates::new();
    for object in of_kind(objects, ObjectKind::AnalysisTemplate) {
        let (template, wrong) = read::<AnalysisTemplate>(object, &schemas.template);
        problems.extend(lines(ObjectKind::AnalysisTemplate, object, &wrong));
        let conditions = template.iter().flat_map(|it| &it.spec.metrics);
        let conditions = conditions.flat_map(Metric::conditions);
        // What stands for an argument is checked with the Rollout that gives it.
        for (_, text) in conditions.filter(|(_, text)| !text.contains("{{")) {
            problems.extend(
                judge::check(text)
                    .err()
                    .map(|problem| format!("{text}: {problem}")),
            );
        }
        if let Some(template) = template {
            templates.insert(template.name_any(), template.into());
        }
    }
    for object in of_kind(objects, ObjectKind::Rollout) {
        let (rollout, mut wrong) = read::<Rollout>(object, &schemas.rollout);
        if let (Some(rollout), true) = (rollout, wrong.is_empty()) {
            let around = Around {
                templates: templates.clone(),
                ..Around::of(&rollout)
            };
            let raw = standing_in(&rollout.spec);
            let (_, more) = Spec::read_with(&raw, &Images::new(), &around);
            wrong.extend(more);
        }
        problems.extend(lines(ObjectKind::Rollout, object, &wrong));
    }
    problems
}

fn of_kind(objects: &[Value], kind: ObjectKind) -> impl Iterator<Item = &Value> {
    objects
        .iter()
        .filter(move |object| object["kind"] == kind.kind())
}

#[cfg(test)]
mod tests;
