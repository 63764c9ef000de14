//! `convert`: reads a workflow file of GitHub Actions, or objects of Argo Rollouts or Flagger, and writes the Pipeline, or the
//! Rollouts and AnalysisTemplates, that do the same, as far as there are any. Works without a cluster.

mod argo;
mod delivery;
mod expression;
mod flagger;
mod job;
mod step;
mod workflow;
mod written;

use super::{Answer, file, manifest};
use workflow::Wanted;

/// Which file, and what is not in it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workflow file, or Rollouts, AnalysisTemplates and ClusterAnalysisTemplates of Argo Rollouts, or Canaries and
    /// MetricTemplates of Flagger, several in one file; `-` for the standard input.
    #[arg(value_name = "FILE")]
    pub filename: String,
    /// Name of the Pipeline; by default that of the workflow. This flag and those that follow are for workflows.
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
    let told = |problem: String| Answer::invalid(vec![format!("{}: {problem}", file.name)]);
    let documents = match manifest::all(&file.text) {
        Ok(documents) => documents,
        Err(problem) => return told(problem),
    };
    if documents.iter().any(delivery::is_known) {
        let written = file::schemas().map(|schemas| delivery::convert(&documents, &schemas));
        return match written {
            Ok(written) => Answer {
                text: written.text(),
                ..Answer::default()
            },
            Err(problem) => Answer::failed(problem),
        };
    }
    let Some(workflow) = documents.first() else {
        return told("there is nothing in it".to_owned());
    };
    let wanted = Wanted {
        name: args.name.as_deref(),
        url: &args.url,
        image: &args.image,
    };
    match workflow::convert(workflow, wanted) {
        Ok(converted) => Answer {
            text: converted.text(),
            ..Answer::default()
        },
        Err(problem) => told(problem),
    }
}
