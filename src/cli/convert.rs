//! `convert`: reads a workflow file of GitHub Actions and writes the Pipeline that does the same, as far as there is one.
//! Works without a cluster.

mod expression;
mod job;
mod step;
mod workflow;

use serde_json::Value;

use super::{Answer, file};
use workflow::Wanted;

/// Which file, and what is not in it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workflow file; `-` for the standard input.
    #[arg(value_name = "FILE")]
    pub filename: String,
    /// Name of the Pipeline; by default that of the workflow.
    #[arg(long)]
    pub name: Option<String>,
    /// URL of the repository.
    #[arg(long, default_value = "https://git.example/owner/repository.git")]
    pub url: String,
    /// Image for scripts whose job names none: a runner's machine has much in it that an image has not.
    #[arg(long, default_value = "registry.example/ci/ubuntu:24.04")]
    pub image: String,
}

/// Reads, and converts.
pub(super) fn run(args: &Args) -> Answer {
    let files = file::files(std::slice::from_ref(&args.filename));
    let Some(file) = (match files {
        Ok(files) => files.into_iter().next(),
        Err(problem) => return Answer::failed(problem),
    }) else {
        return Answer::failed("there is no file");
    };
    let workflow: Value = match serde_saphyr::from_str(&file.text) {
        Ok(workflow) => workflow,
        Err(error) => return Answer::invalid(vec![format!("{}: not YAML: {error}", file.name)]),
    };
    let wanted = Wanted {
        name: args.name.as_deref(),
        url: &args.url,
        image: &args.image,
    };
    match workflow::convert(&workflow, wanted) {
        Ok(converted) => Answer {
            text: converted.text(),
            ..Answer::default()
        },
        Err(problem) => Answer::invalid(vec![format!("{}: {problem}", file.name)]),
    }
}
