//! `rollout plan`: reads files and shows what a change of each Rollout in them goes through. Works without a cluster.

mod read;
mod render;

use crate::analysis::template::Templates;
use crate::cli::manifest::{self, File, Schemas};
use crate::cli::text::Palette;
use crate::cli::{Answer, End, Output, file};
use crate::rollout::api::RiskLevel;
use crate::rollout::simulation::{Happening, Simulation};

/// Which files, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
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
    run_with(args, &[], palette)
}

/// The same, where things happen meanwhile.
pub(in crate::cli) fn run_with(args: &Args, happenings: &[Happening], palette: Palette) -> Answer {
    let read = file::schemas().and_then(|schemas| Ok((schemas, file::files(&args.filename)?)));
    match read {
        Ok((schemas, files)) => shown((args, happenings), &schemas, &files, palette),
        Err(problem) => Answer::failed(problem),
    }
}

fn shown(
    (args, happenings): (&Args, &[Happening]),
    schemas: &Schemas,
    files: &[File],
    palette: Palette,
) -> Answer {
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
        let given = (args.risk, happenings);
        let (found, problems) = read::simulations(&file.text, schemas, &templates, given);
        simulations.extend(found);
        tell(file, problems);
    }
    let endless = simulations.iter().filter_map(|simulation| {
        let problem = simulation.problem.as_ref()?;
        Some(format!("Rollout {}: {problem}", simulation.name))
    });
    let endless: Vec<String> = endless.collect();
    let is_given_up = |simulation: &Simulation| simulation.given_up.is_some();
    // Where things happen to a change, that it does not get through is an answer.
    let is_bad = !endless.is_empty() || simulations.iter().any(is_given_up);
    if !answer.problems.is_empty() || (is_bad && happenings.is_empty()) {
        answer.end = End::Invalid;
    } else if is_bad {
        answer.end = End::Bad;
    }
    answer.problems.extend(endless);
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
