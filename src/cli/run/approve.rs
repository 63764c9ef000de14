//! `run approve` and `run reject`: say whether a run of somebody else's code may begin, by a Decision. Talks to the API server.

use super::DecisionArgs;
use crate::cli::Answer;
use crate::cli::cluster::Server;
use crate::cli::decide::decide;
use crate::cli::standing::waits_for_approval;
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::pipeline_run::api::PipelineRun;

/// Makes the Decision.
pub(super) async fn run(args: &DecisionArgs, action: DecisionAction) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    if run.spec.trigger.needs_approval != Some(true) {
        return Err(format!("run {} needs no approval", args.name));
    }
    if !waits_for_approval(&run) {
        let phase = run.status.unwrap_or_default().phase.unwrap_or_default();
        let problem = format!("run {} waits no more: {}", args.name, phase.as_str());
        return Err(problem);
    }
    let spec = DecisionSpec::about(TargetKind::PipelineRun, &args.name, action);
    let made = decide(&server, &args.decide, spec.clone()).await?;
    let sha = run.spec.sha.unwrap_or_default();
    let said = made.said(&spec);
    Ok(Answer::well(format!("the commit is {sha}\n{said}")))
}
