//! `run report`: a run as a page, or its coverage as a badge. Talks to the API server, and writes a file.

use std::path::PathBuf;

use super::page;
use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::pipeline_run::api::PipelineRun;

/// Which run, and what of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Write its coverage as an SVG badge instead of the page.
    #[arg(long)]
    pub badge: bool,
    /// Write into this file instead of to the standard output.
    #[arg(short, long)]
    pub file: Option<PathBuf>,
}

/// Writes it.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let text = if args.badge {
        page::badge(&run)?
    } else {
        page::page(&run)
    };
    let Some(file) = &args.file else {
        return Ok(Answer {
            text,
            ..Answer::default()
        });
    };
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(Answer::default())
}
