//! `rollout plan`: reads files and shows what a change of each Rollout in them goes through. Works without a cluster.

mod read;
mod render;

use crate::analysis::template::Templates;
use crate::cli::manifest::{self, File, Schemas};
use crate::cli::text::Palette;
use crate::cli::{Answer, End, Output, file};
use crate::rollout::api::RiskLevel;

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
    let read = file::schemas().and_then(|schemas| Ok((schemas, file::files(&args.filename)?)));
    match read {
        Ok((schemas, files)) => shown(args, &schemas, &files, palette),
        Err(problem) => Answer::failed(problem),
    }
}

fn shown(args: &Args, schemas: &Schemas, files: &[File], palette: Palette) -> Answer {
    let mut answer = Answer::default();
    let mut tell = |file: &File, problems: Vec<String>| {
        let problems = problems.into_iter();
        let problems = problems.map(|problem| format!("{}: {problem}", file.name));
        answer.problems.extend(problems);
    };
    // A template may stand in another file than what names it.
    let mut templates = Templates::new();
    for file in files {
        let (found, problems) = manifest::templates(&file.text, schemas);
        templates.extend(found);
        tell(file, problems);
    }
    let mut simulations = Vec::new();
    for file in files {
        let (found, problems) = read::simulations(&file.text, schemas, &templates, args.risk);
        simulations.extend(found);
        tell(file, problems);
    }
    let endless = simulations.iter().filter_map(|simulation| {
        let problem = simulation.problem.as_ref()?;
        Some(format!("Rollout {}: {problem}", simulation.name))
    });
    answer.problems.extend(endless);
    if !answer.problems.is_empty() {
        answer.end = End::Invalid;
    }
    let document = args.output.document(&simulations);
    answer.text = document.unwrap_or_else(|| render::table(&simulations, palette));
    answer
}

/// A level by its word, in whatever case.
fn level(word: &str) -> Result<RiskLevel, String> {
    let mut levels = RiskLevel::ALL.iter();
    let found = levels.find(|level| level.as_str().eq_ignore_ascii_case(word));
    found
        .copied()
        .ok_or_else(|| "is one of low, medium and high".to_owned())
}
