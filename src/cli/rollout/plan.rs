//! `rollout plan`: reads files and shows what a change of each Rollout in them goes through. Works without a cluster.

mod read;
mod render;

use std::io::Read;

use serde_json::Value;

use crate::analysis::template::Templates;
use crate::cli::text::Palette;
use crate::cli::{Answer, End, Output};
use crate::crd;
use crate::kinds::KINDS;
use crate::model::object::ObjectKind;
use crate::rollout::api::RiskLevel;
use read::Schemas;

/// Which files, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with Rollouts and the AnalysisTemplates that they name, among other objects or not; `-` for the standard
    /// input. May be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// The risk of the change that is assumed where a Rollout has the strategy `Auto`: low, medium or high.
    #[arg(long, value_name = "LEVEL", default_value = "medium", value_parser = level)]
    pub risk: RiskLevel,
}

/// Reads, and shows.
pub(super) fn run(args: &Args, palette: Palette) -> Answer {
    let schemas = match (
        schema_of(ObjectKind::Rollout),
        schema_of(ObjectKind::AnalysisTemplate),
    ) {
        (Some(rollout), Some(template)) => Schemas { rollout, template },
        _ => return Answer::failed("the definitions of the kinds cannot be made"),
    };
    let mut answer = Answer::default();
    let mut files = Vec::new();
    for name in &args.filename {
        match content(name) {
            Ok(text) => files.push((name, text)),
            Err(error) => return Answer::failed(format!("cannot read {name}: {error}")),
        }
    }
    let mut tell = |name: &str, problems: Vec<String>| {
        let source = if name == "-" { "standard input" } else { name };
        let problems = problems.into_iter();
        let problems = problems.map(|problem| format!("{source}: {problem}"));
        answer.problems.extend(problems);
    };
    // A template may stand in another file than what names it.
    let mut templates = Templates::new();
    for (name, text) in &files {
        let (found, problems) = read::templates(text, &schemas);
        templates.extend(found);
        tell(name, problems);
    }
    let mut simulations = Vec::new();
    for (name, text) in &files {
        let (found, problems) = read::simulations(text, &schemas, &templates, args.risk);
        simulations.extend(found);
        tell(name, problems);
    }
    let endless = simulations.iter().filter_map(|simulation| {
        let problem = simulation.problem.as_ref()?;
        Some(format!("Rollout {}: {problem}", simulation.name))
    });
    answer.problems.extend(endless);
    if !answer.problems.is_empty() {
        answer.end = End::Invalid;
    }
    answer.text = match args.output {
        Output::Table => render::table(&simulations, palette),
        Output::Json => render::json(&simulations),
    };
    answer
}

fn schema_of(kind: ObjectKind) -> Option<Value> {
    let info = KINDS.iter().find(|info| info.object == kind)?;
    crd::schema_of(info).ok()
}

/// A level by its word, in whatever case.
fn level(word: &str) -> Result<RiskLevel, String> {
    let mut levels = RiskLevel::ALL.iter();
    let found = levels.find(|level| level.as_str().eq_ignore_ascii_case(word));
    found
        .copied()
        .ok_or_else(|| "is one of low, medium and high".to_owned())
}

fn content(name: &str) -> std::io::Result<String> {
    if name != "-" {
        return std::fs::read_to_string(name);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
