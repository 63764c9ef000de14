//! `run list` and `run describe`: what runs there are, and how one is. Talks to the API server.

use super::table;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, ObjectOutput, list};
use crate::pipeline_run::api::PipelineRun;

/// Which run.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = ObjectOutput::Table)]
    pub output: ObjectOutput,
}

/// Lists them.
pub(super) async fn run(args: &list::Args, palette: Palette) -> Result<Answer, String> {
    list::list(args, pipeline_of, (table::list, palette)).await
}

fn pipeline_of(run: &PipelineRun) -> &str {
    &run.spec.pipeline_ref.name
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
