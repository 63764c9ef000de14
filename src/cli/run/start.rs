//! `run start`: makes a PipelineRun. Talks to the API server.

use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::{PipelineRun, PipelineRunSpec, RunParam, TriggerKind};

/// Of which Pipeline, and at which commit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Pipeline.
    pub pipeline: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Branch; by default the one that the Pipeline makes Releases of.
    #[arg(long)]
    pub branch: Option<String>,
    /// Tag instead of a branch, such as v1.2.3.
    #[arg(long, conflicts_with = "branch")]
    pub tag: Option<String>,
    /// Value for a parameter of the Pipeline, as NAME=VALUE; may be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<RunParam>,
    /// Commit, 40 characters, on that branch; by default its head.
    #[arg(long)]
    pub sha: Option<String>,
    /// Run of the same Pipeline, ref and commit that has ended: what it has done is taken over.
    #[arg(long)]
    pub retry_of: Option<String>,
    /// Stage to run, with those that it needs; may be given several times. By default all are run; else there is no Release.
    #[arg(long = "stage", value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Environment that the run is for: scripts find it as SLIPWAY_ENVIRONMENT, conditions as environment.
    #[arg(long)]
    pub environment: Option<String>,
}

/// Makes it, and says its name.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let pipeline: Pipeline = server.get(&args.pipeline).await?;
    let branch = args.branch.as_deref();
    let branch = branch.unwrap_or(pipeline.spec.release_branch());
    let git_ref = match &args.tag {
        Some(tag) => format!("refs/tags/{tag}"),
        None => format!("refs/heads/{branch}"),
    };
    let spec = json!({
        "pipelineRef": {"name": args.pipeline},
        "trigger": {"kind": TriggerKind::Manual, "actor": server.user().await?},
        "ref": git_ref,
        "params": args.params,
        "sha": args.sha,
        "retryOf": args.retry_of.as_ref().map(|name| json!({"name": name})),
        "stages": args.stages,
        "environment": args.environment,
    });
    let made = server.create(&manual(spec)?).await?;
    Ok(Answer {
        text: format!("{}\n", made.name_any()),
        ..Answer::default()
    })
}

/// A run whose name the API server completes.
pub(super) fn manual(spec: Value) -> Result<PipelineRun, String> {
    let spec: PipelineRunSpec = serde_json::from_value(spec)
        .map_err(|error| format!("cannot make a run of that: {error}"))?;
    Ok(PipelineRun {
        metadata: ObjectMeta {
            // Room for what the API server adds, in a name that is a label too.
            generate_name: Some(format!("{}-", prefix(&spec.pipeline_ref.name))),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    })
}

fn param(text: &str) -> Result<RunParam, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    Ok(RunParam {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn prefix(pipeline: &str) -> &str {
    let end = pipeline.len().min(57);
    pipeline
        .get(..end)
        .unwrap_or(pipeline)
        .trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_a_name_and_a_value() {
        let given = |text: &str| param(text).map(|param| (param.name, param.value));
        assert_eq!(given("LEVEL=a=b"), Ok(("LEVEL".into(), "a=b".into())));
        assert_eq!(given("LEVEL="), Ok(("LEVEL".into(), String::new())));
        assert!(given("LEVEL").is_err());
    }
}
