//! What a repository adds to its Pipeline with `.slipway/pipeline.yaml`: read, held against what the Pipeline allows, and merged
//! to the one spec that a run follows. No I/O.
//!
//! Nothing of the Pipeline is changed by it: stages, gates, params and caches are added under names that are free. What is
//! wrong is told with the line and column of the entry that it is about.

mod bounds;

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use super::api::{DefinitionRule, Pipeline, PipelineSpec};
use super::spec;
use crate::crd::validation;
use crate::model::invalid::Invalid;
use crate::model::text::truncate;

/// Folder and name of the file, in the repository.
pub const PATH: [&str; 2] = [".slipway", "pipeline.yaml"];
/// Largest file that is taken, in bytes.
pub const MAX_TEXT: usize = 32 << 10;
/// Values in the file, those that aliases stand for included.
const MAX_NODES: usize = 8192;
/// Entries of one list, the most that a Pipeline may have of any.
const MAX_ENTRIES: usize = 32;
/// Aliases in the file.
const MAX_ALIASES: usize = 64;
/// Mistakes that are told at the same time.
const MOST_TOLD: usize = 5;
/// Longest message of one mistake.
const MAX_MISTAKE: usize = 256;

/// The file as people write it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    stages: Vec<Spanned<Value>>,
    #[serde(default)]
    gates: Vec<Spanned<Value>>,
    #[serde(default)]
    params: Vec<Spanned<Value>>,
    #[serde(default)]
    caches: Vec<Spanned<Value>>,
}

impl File {
    fn lists(&self) -> [(&'static str, &[Spanned<Value>]); 4] {
        [
            ("stages", &self.stages),
            ("gates", &self.gates),
            ("params", &self.params),
            ("caches", &self.caches),
        ]
    }
}

/// Where the file is, as people write it.
pub fn path() -> String {
    PATH.join("/")
}

/// The spec of a Pipeline and of the file of its repository together. Without a file it is that of the Pipeline. It says nothing
/// any more of what a file may add.
///
/// # Errors
/// Says what is wrong with the file, where, and what to do.
pub fn merged(pipeline: &PipelineSpec, text: Option<&str>) -> Result<PipelineSpec, String> {
    let Some(rule) = &pipeline.definition else {
        return Ok(pipeline.clone());
    };
    let mut own = pipeline.clone();
    own.definition = None;
    let Some(text) = text else {
        return if own.stages.is_empty() {
            Err(format!(
                "the Pipeline has no stages, and the commit has no {}; add it",
                path()
            ))
        } else {
            Ok(own)
        };
    };
    let file = parse(text)?;
    let whole = add(&own, &file)?;
    let place = Place {
        own: &own,
        file: &file,
    };
    let wrong = validation::problems(
        &json!({"metadata": {"name": "pipeline"}, "spec": whole}),
        &SCHEMA,
    );
    place.told(&wrong)?;
    let whole: PipelineSpec = serde_json::from_value(whole).map_err(|error| said(None, error))?;
    let mut wrong = bounds::problems(rule, &own, &whole);
    wrong.extend(spec::problems(&whole));
    place.told(&wrong)?;
    Ok(whole)
}

/// The schema of Pipelines.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut crd = serde_json::to_value(Pipeline::crd()).unwrap_or_default();
    let schema = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
    schema.map(Value::take).unwrap_or_default()
});

fn parse(text: &str) -> Result<File, String> {
    if text.len() > MAX_TEXT {
        let size = MAX_TEXT >> 10;
        return Err(said(None, format!("is larger than {size} KiB")));
    }
    // What is written once may be named many times: checking it all must not take long.
    let budget = serde_saphyr::budget! { max_nodes: MAX_NODES, max_aliases: MAX_ALIASES };
    let options = serde_saphyr::options! { budget: budget, with_snippet: false };
    let file: Result<Option<File>, _> = serde_saphyr::from_str_with_options(text, options);
    match file {
        Ok(file) => {
            let file = file.unwrap_or_default();
            for (name, items) in file.lists() {
                if let Some(item) = items.get(MAX_ENTRIES) {
                    let message = format!("{name}: more than {MAX_ENTRIES} entries");
                    return Err(said(Some(item.referenced), message));
                }
            }
            Ok(file)
        }
        Err(error) => {
            let mut message = error.to_string().replace('\n', " ");
            if message.contains("unknown field") {
                message += "; what else a Pipeline has is set in the Pipeline itself";
            }
            Err(said(error.location(), truncate(&message, MAX_MISTAKE)))
        }
    }
}

/// A mistake, with its place.
fn said(at: Option<Location>, what: impl std::fmt::Display) -> String {
    let path = path();
    match at {
        Some(at) => format!("{path}, line {}, column {}: {what}", at.line(), at.column()),
        None => format!("{path}: {what}"),
    }
}

/// The Pipeline's spec as JSON, with what the file has behind what the Pipeline has.
fn add(own: &PipelineSpec, file: &File) -> Result<Value, String> {
    let mut whole = serde_json::to_value(own).map_err(|error| said(None, error))?;
    for (name, items) in file.lists() {
        if items.is_empty() {
            continue;
        }
        let Some(fields) = whole.as_object_mut() else {
            continue;
        };
        let list = fields.entry(name).or_insert_with(|| json!([]));
        let Some(list) = list.as_array_mut() else {
            continue;
        };
        for item in items {
            let taken = list.iter().find(|known| {
                let name = known.get("name");
                name.is_some() && name == item.value.get("name")
            });
            if let Some(taken) = taken {
                let taken = taken.get("name").and_then(Value::as_str);
                let message = format!(
                    "{name}: {} is there already; what the Pipeline has stays as it is, so call this one otherwise",
                    taken.unwrap_or_default()
                );
                return Err(said(Some(item.referenced), message));
            }
            list.push(item.value.clone());
        }
    }
    Ok(whole)
}

/// Finds the lines of entries.
struct Place<'a> {
    own: &'a PipelineSpec,
    file: &'a File,
}

impl Place<'_> {
    /// Fails with what is wrong, if anything is.
    fn told(&self, wrong: &[Invalid]) -> Result<(), String> {
        if wrong.is_empty() {
            return Ok(());
        }
        let all = wrong.iter().take(MOST_TOLD).map(|invalid| {
            let (at, path) = self.find(&invalid.path);
            let what = format!("{path}: {}", invalid.problem);
            said(at, truncate(&what, MAX_MISTAKE))
        });
        let all: Vec<String> = all.collect();
        Err(all.join("; "))
    }

    /// Where in the file a path of the merged spec is, and what it is called there: `spec.stages[3].image`, of a Pipeline with two
    /// stages, is `stages[1].image`.
    fn find(&self, path: &str) -> (Option<Location>, String) {
        let found = self.file.lists().into_iter().find_map(|(name, items)| {
            let rest = path.strip_prefix("spec.")?.strip_prefix(name)?;
            let (index, rest) = rest.strip_prefix('[')?.split_once(']')?;
            let index = index.parse::<usize>().ok()?;
            let index = index.checked_sub(self.before(name))?;
            let at = items.get(index)?.referenced;
            Some((Some(at), format!("{name}[{index}]{rest}")))
        });
        found.unwrap_or_else(|| (None, path.to_owned()))
    }

    /// How many the Pipeline has of a list.
    fn before(&self, list: &str) -> usize {
        match list {
            "stages" => self.own.stages.len(),
            "gates" => self.own.gates.len(),
            "params" => self.own.params.len(),
            _ => self.own.caches.len(),
        }
    }
}

/// What is wrong with what a Pipeline allows.
pub fn rule_problems(rule: &DefinitionRule) -> Vec<Invalid> {
    bounds::rule_problems(rule)
}

#[cfg(test)]
mod tests;
