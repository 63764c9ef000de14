//! `run cancel`: makes a Decision to stop a run. Talks to the API server.

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::decision::api::{DecisionAction, TargetKind};
use crate::pipeline_run::api::PipelineRun;

/// Which run, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Why, for those who read it later.
    #[arg(long)]
    pub reason: Option<String>,
}

/// Makes the Decision.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let phase = run.status.unwrap_or_default().phase.unwrap_or_default();
    if phase.is_finished() {
        let problem = format!("run {} is over: {}", args.name, phase.as_str());
        return Err(problem);
    }
    let target = (TargetKind::PipelineRun, args.name.as_str());
    let words = (args.reason.clone(), None);
    server.decide(target, DecisionAction::Cancel, words).await?;
    Ok(Answer {
        text: format!("run {} is to be cancelled\n", args.name),
        ..Answer::default()
    })
}
