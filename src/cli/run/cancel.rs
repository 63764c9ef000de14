//! `run cancel`: makes a Decision to stop a run. Talks to the API server.

use super::DecisionArgs;
use crate::cli::Answer;
use crate::cli::cluster::Server;
use crate::decision::api::{DecisionAction, TargetKind};
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
    let target = (TargetKind::PipelineRun, args.name.as_str());
    let words = (args.reason.clone(), None);
    server.decide(target, DecisionAction::Cancel, words).await?;
    Ok(Answer {
        text: format!("run {} is to be cancelled\n", args.name),
        ..Answer::default()
    })
}
