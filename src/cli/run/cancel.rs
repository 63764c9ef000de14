//! `run cancel`: makes a Decision to stop a run. Talks to the API server.

use super::DecisionArgs;
use crate::cli::Answer;
use crate::cli::cluster::Server;
use crate::cli::decide::decide;
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::pipeline_run::api::PipelineRun;

/// Makes the Decision.
pub(super) async fn run(args: &DecisionArgs) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let phase = run.status.unwrap_or_default().phase.unwrap_or_default();
    if phase.is_finished() {
        let problem = format!("run {} is over: {}", args.name, phase.as_str());
        return Err(problem);
    }
    let spec = DecisionSpec::about(TargetKind::PipelineRun, &args.name, DecisionAction::Cancel);
    let made = decide(&server, &args.decide, spec.clone()).await?;
    Ok(Answer::well(made.said(&spec)))
}
