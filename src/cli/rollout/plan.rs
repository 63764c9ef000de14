//! `rollout plan`: reads files and shows what a change of each Rollout in them goes through. Works without a cluster.

mod read;
mod render;

use std::io::Read;

use crate::cli::text::Palette;
use crate::cli::{Answer, End, Output};
use crate::crd;
use crate::kinds::KINDS;
use crate::model::object::ObjectKind;

/// Which files, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with Rollouts, among other objects or not; `-` for the standard input. May be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Reads, and shows.
pub(super) fn run(args: &Args, palette: Palette) -> Answer {
    let info = KINDS.iter().find(|info| info.object == ObjectKind::Rollout);
    let Some(Ok(schema)) = info.map(crd::schema_of) else {
        return Answer::failed("the definition of Rollouts cannot be made");
    };
    let mut answer = Answer::default();
    let mut simulations = Vec::new();
    for name in &args.filename {
        let text = match content(name) {
            Ok(text) => text,
            Err(error) => return Answer::failed(format!("cannot read {name}: {error}")),
        };
        let (found, problems) = read::simulations(&text, &schema);
        simulations.extend(found);
        let source = if name == "-" { "standard input" } else { name };
        let problems = problems.into_iter();
        answer
            .problems
            .extend(problems.map(|problem| format!("{source}: {problem}")));
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

fn content(name: &str) -> std::io::Result<String> {
    if name != "-" {
        return std::fs::read_to_string(name);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
