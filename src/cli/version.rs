//! `version`: of this plugin, and of the operator. Talks to the API server.

use kube::ResourceExt;
use serde::Serialize;

use k8s_openapi::api::apps::v1::Deployment;

use super::cluster::{Place, Server};
use super::{Answer, Output, in_runtime};

/// Label with the version of what the chart installs.
const VERSION: &str = "app.kubernetes.io/version";

/// Which versions.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only that of this plugin; needs no cluster.
    #[arg(long)]
    pub client: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub place: Place,
    /// Where the operator is.
    #[command(flatten)]
    pub home: Home,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Where the operator is.
#[derive(Debug, clap::Args)]
pub struct Home {
    /// Namespace of the operator.
    #[arg(long, default_value = "slipway-system", env = "SLIPWAY_NAMESPACE")]
    pub operator_namespace: String,
}

impl Home {
    /// The Deployments of the operator.
    ///
    /// # Errors
    /// One clear sentence.
    pub(super) async fn operators(&self, server: &Server) -> Result<Vec<Deployment>, String> {
        let labels = "app.kubernetes.io/part-of=slipway,app.kubernetes.io/component=operator";
        server.list_in(&self.operator_namespace, labels).await
    }
}

/// The version that a Deployment of the operator says it has.
pub(super) fn of(operator: &Deployment) -> Option<&str> {
    operator.labels().get(VERSION).map(String::as_str)
}

/// Both versions, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
}

/// Shows them.
pub fn run(args: &Args) -> Answer {
    if args.client {
        return shown(args, None);
    }
    in_runtime(async {
        let server = Server::at(&args.place).await?;
        let operators = args.home.operators(&server).await?;
        let Some(operator) = operators.first() else {
            let namespace = &args.home.operator_namespace;
            let mut answer = shown(args, None);
            let problem = format!(
                "there is no operator in {namespace}: name its namespace with --operator-namespace"
            );
            answer.problems.push(problem);
            answer.end = super::End::Failed;
            return Ok(answer);
        };
        let version = of(operator).unwrap_or("of an unknown version");
        Ok(shown(args, Some(version.to_owned())))
    })
}

fn shown(args: &Args, operator: Option<String>) -> Answer {
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION"),
        operator,
    };
    let document = args.output.document(&versions);
    let text = document.unwrap_or_else(|| {
        let operator = versions.operator.as_ref();
        let operator = operator.map(|operator| format!("operator {operator}\n"));
        format!(
            "plugin   {}\n{}",
            versions.client,
            operator.unwrap_or_default()
        )
    });
    Answer::well(text)
}
