//! A workflow as a whole: where its code is, its jobs, and what of it has no place here. No I/O.

use serde_json::{Value, json};

use super::written::Written;
use super::{expression, job};
use crate::model::invalid::Invalid;
use crate::pipeline::api::PipelineSpec;
use crate::pipeline::spec;

/// What a workflow file does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) url: &'a str,
    pub(super) image: &'a str,
}

/// A Pipeline, and what was left out of it.
#[derive(Clone, Debug)]
pub(super) struct Converted {
    pub(super) pipeline: Value,
    pub(super) report: Vec<String>,
}

impl Converted {
    /// Both, as one file.
    pub(super) fn text(&self) -> String {
        let written = Written {
            objects: vec![self.pipeline.clone()],
            report: self.report.clone(),
        };
        written.text()
    }
}

/// What is gathered on the way through a workflow.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) stages: Vec<Value>,
    pub(super) report: Vec<String>,
    /// The Secret that has what the workflow reads from secrets.
    pub(super) secret: String,
    pub(super) fetches_all: bool,
    pub(super) has_submodules: bool,
}

impl Draft {
    pub(super) fn tell(&mut self, line: impl Into<String>) {
        let line = line.into();
        if !self.report.contains(&line) {
            self.report.push(line);
        }
    }
}

/// The Pipeline that does what a workflow does.
///
/// # Errors
/// If it is no workflow.
pub(super) fn convert(workflow: &Value, wanted: Wanted<'_>) -> Result<Converted, String> {
    let jobs = workflow.get("jobs").and_then(Value::as_object);
    let jobs = jobs.ok_or("this is no workflow: it has no jobs")?;
    let own = workflow.get("name").and_then(Value::as_str);
    let name = name(wanted.name.or(own).unwrap_or("pipeline"));
    let mut draft = Draft {
        secret: format!("{name}-secrets"),
        ..Draft::default()
    };
    let branch = triggers(workflow.get("on"), &mut draft);
    let env = env(workflow.get("env"), "the workflow", &mut draft);
    for known in ["permissions", "concurrency", "defaults", "run-name"] {
        if workflow.get(known).is_some() {
            draft.tell(told(known));
        }
    }
    for (id, found) in jobs {
        job::convert(id, found, &mut draft);
    }
    if draft.stages.is_empty() {
        return Err("no job of it can be a stage".to_owned());
    }
    job::drop_needs(&mut draft);
    let spec = spec_of(&draft, wanted, &branch, env);
    match serde_json::from_value::<PipelineSpec>(spec.clone()) {
        Ok(spec) => {
            for Invalid { path, problem } in spec::problems(&spec) {
                draft.tell(format!("to be repaired: {path}: {problem}"));
            }
        }
        Err(error) => draft.tell(format!("to be repaired: {error}")),
    }
    if !draft.has_release() {
        draft.tell("no Release is made of a run that has no Build stage and no packages (docs/packages.md)");
    }
    let pipeline = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": name}, "spec": spec,
    });
    Ok(Converted {
        pipeline,
        report: draft.report,
    })
}

fn spec_of(draft: &Draft, wanted: Wanted<'_>, branch: &str, env: Vec<Value>) -> Value {
    let mut git = json!({"url": wanted.url, "branch": branch});
    let mut defaults = json!({"image": wanted.image});
    if let Some(fields) = git.as_object_mut() {
        if draft.fetches_all {
            fields.insert("fetchDepth".to_owned(), 0.into());
        }
        if draft.has_submodules {
            fields.insert("submodules".to_owned(), true.into());
        }
    }
    if let Some(fields) = defaults.as_object_mut()
        && !env.is_empty()
    {
        fields.insert("env".to_owned(), env.into());
    }
    json!({"source": {"git": git}, "defaults": defaults, "stages": draft.stages})
}

impl Draft {
    fn has_release(&self) -> bool {
        self.stages.iter().any(|stage| stage.get("build").is_some())
    }
}

/// A name that an object can have.
pub(super) fn name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let name = lower.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let parts: Vec<&str> = name.split('-').filter(|part| !part.is_empty()).collect();
    let name: String = parts.join("-").chars().take(40).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        "pipeline".to_owned()
    } else {
        name
    }
}

/// Every word of a value that may be a word, or a list of words.
pub(super) fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A scalar as the text that it is in a variable.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_set) => Some(is_set.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The branch, and a word on every trigger that is none of it.
fn triggers(on: Option<&Value>, draft: &mut Draft) -> String {
    let mut branch = "main".to_owned();
    let names: Vec<String> = match on {
        Some(Value::Object(all)) => all.keys().cloned().collect(),
        other => words(other),
    };
    let push = on.and_then(|on| on.get("push"));
    let branches = words(push.and_then(|push| push.get("branches")));
    let is_plain = |branch: &&String| !branch.contains(['*', '?', '[', '!']);
    if let Some(first) = branches.iter().find(is_plain) {
        branch.clone_from(first);
    }
    for other in branches.iter().filter(|other| **other != branch) {
        draft.tell(format!("on.push.branches: {other}: a Pipeline has one branch; make another for it, or start runs by hand"));
    }
    for filter in ["paths", "paths-ignore", "tags", "branches-ignore"] {
        if push.is_some_and(|push| push.get(filter).is_some()) {
            draft.tell(format!("on.push.{filter}: stages have `changes` for files, and release.when.tags is for runs of tags"));
        }
    }
    for name in names
        .iter()
        .filter(|name| !matches!(name.as_str(), "push" | "workflow_dispatch"))
    {
        draft.tell(format!("on.{name}: pushes and runs by hand are what was converted; see what else starts a run in docs/reference/pipeline.md"));
    }
    branch
}

fn told(field: &str) -> String {
    let why = match field {
        "permissions" => "stages get no token at all; a script has the Secrets that it names",
        "concurrency" => "runs of one branch go on side by side",
        "defaults" => "scripts run by `/bin/sh -e` in the root of the repository",
        _ => "it has no place here",
    };
    format!("{field}: {why}")
}

/// Variables: plain values, and those that are a secret.
pub(super) fn env(found: Option<&Value>, of: &str, draft: &mut Draft) -> Vec<Value> {
    let mut env = Vec::new();
    for (name, value) in found.and_then(Value::as_object).into_iter().flatten() {
        let Some(value) = text(value) else { continue };
        if let Some(key) = expression::secret(&value) {
            let secret = json!({"name": draft.secret, "key": key});
            env.push(json!({"name": name, "secretRef": secret}));
            draft.needs_secret();
        } else if value.contains("${{") {
            draft.tell(format!(
                "env {name} of {of}: {value} is worked out when it runs; set it in the script"
            ));
        } else {
            env.push(json!({"name": name, "value": value}));
        }
    }
    env
}

impl Draft {
    pub(super) fn needs_secret(&mut self) {
        let line = format!(
            "secrets are read from Secret {}, which has to be made, with the label slipway.dev/use",
            self.secret
        );
        self.tell(line);
    }
}

#[cfg(test)]
mod tests;
