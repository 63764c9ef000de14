//! `release report`: the quality report of a Release. Talks to the API server.

pub mod html;
pub mod markdown;
pub mod section;

use clap::ValueEnum;

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::environment::api::Environment;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::release::report::{Records, report};

/// Of which Release, and how it is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Release.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the report is written.
    #[arg(short, long, value_enum, default_value_t = Form::Markdown)]
    pub output: Form,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, and for comments and tickets.
    Markdown,
    /// A page of its own, without scripts.
    Html,
    /// For programs; its schema has a version.
    Json,
}

/// Writes it.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let release: Release = server.get(&args.name).await?;
    let run: Option<PipelineRun> = server.find(&release.spec.evidence.run).await?;
    let releases: Vec<Release> = server.list("").await?;
    let promotions: Vec<Promotion> = server.list("").await?;
    let environments: Vec<Environment> = server.list("").await?;
    let records = Records {
        release: &release,
        releases: &releases,
        run: run.as_ref(),
        promotions: &promotions,
        environments: &environments,
    };
    let report = report(&records, server.now());
    let text = match args.output {
        Form::Markdown => markdown::page(&report),
        Form::Html => html::page(&report),
        Form::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
    };
    Ok(Answer {
        text,
        ..Answer::default()
    })
}
