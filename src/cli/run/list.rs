//! `run list` and `run describe`: what runs there are, and how one is. Talks to the API server.

use kube::ResourceExt;

use super::table;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output};
use crate::pipeline_run::api::PipelineRun;

/// Which runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// Only those of this Pipeline.
    #[arg(long)]
    pub pipeline: Option<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Which run.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Lists them.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let mut runs: Vec<PipelineRun> = server.list("").await?;
    let wanted = args.pipeline.as_ref();
    runs.retain(|run| wanted.is_none_or(|name| run.spec.pipeline_ref.name == *name));
    runs.sort_by_key(|run| std::cmp::Reverse((run.creation_timestamp(), run.name_any())));
    let document = args.output.document(&runs);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::list(&runs, server.now(), palette)),
        ..Answer::default()
    })
}

/// Shows one.
pub(super) async fn describe(args: &DescribeArgs, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let document = args.output.document(&run);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::describe(&run, server.now(), palette)),
        ..Answer::default()
    })
}
