//! `run approve` and `run reject`: say whether a run of somebody else's code may begin, by a Decision. Talks to the API server.

use super::DecisionArgs;
use crate::cli::Answer;
use crate::cli::cluster::Server;
use crate::decision::api::{DecisionAction, TargetKind};
use crate::pipeline_run::api::PipelineRun;

/// Makes the Decision.
pub(super) async fn run(args: &DecisionArgs, action: DecisionAction) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    if run.spec.trigger.needs_approval != Some(true) {
        return Err(format!("run {} needs no approval", args.name));
    }
    let status = run.status.unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    if phase.is_finished() || status.started_at.is_some() {
        let problem = format!("run {} waits no more: {}", args.name, phase.as_str());
        return Err(problem);
    }
    let target = (TargetKind::PipelineRun, args.name.as_str());
    let words = (args.reason.clone(), None);
    server.decide(target, action, words).await?;
    let sha = run.spec.sha.unwrap_or_default();
    Ok(Answer {
        text: format!("{}: run {} at {sha}\n", action.as_str(), args.name),
        ..Answer::default()
    })
}
