//! `run retry`: makes a run that takes over what another one has done, and does the rest. Talks to the API server.

use kube::ResourceExt;
use serde_json::json;

use super::start;
use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::pipeline_run::api::{PipelineRun, TriggerKind};

/// Which run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the run, which has ended.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Makes the run, and says its name.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let origin: PipelineRun = server.get(&args.name).await?;
    let phase = origin.status.unwrap_or_default().phase.unwrap_or_default();
    if !phase.is_finished() {
        let problem = format!("run {} is not over yet: {}", args.name, phase.as_str());
        return Err(problem);
    }
    let spec = origin.spec;
    let spec = json!({
        "pipelineRef": spec.pipeline_ref,
        "trigger": {"kind": TriggerKind::Manual, "actor": server.user().await?},
        "ref": spec.git_ref,
        "params": spec.params,
        "retryOf": {"name": args.name},
        "stages": spec.stages,
        "environment": spec.environment,
    });
    let made = server.create(&start::manual(spec)?).await?;
    Ok(Answer {
        text: format!("{}\n", made.name_any()),
        ..Answer::default()
    })
}
