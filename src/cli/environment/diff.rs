//! `env diff`: what would change if a Release came. Talks to the API server.

use super::difference::{difference, page};
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output};
use crate::environment::api::Environment;
use crate::release::api::Release;

/// Which Environment, and which Release.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Environment.
    pub name: String,
    /// Name of the Release; by default the one that comes next.
    pub release: Option<String>,
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Shows it.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let status = environment.status.clone().unwrap_or_default();
    let next = status.candidate.map(|next| next.release);
    let Some(name) = args.release.clone().or(next) else {
        let problem = "no Release comes next: name the one that you mean".to_owned();
        return Ok(Answer::invalid(vec![problem]));
    };
    let release: Release = server.get(&name).await?;
    let releases: Vec<Release> = server.list("").await?;
    let found = difference(&environment, &release, &releases);
    let document = args.output.document(&found);
    Ok(Answer::well(
        document.unwrap_or_else(|| page(&found, palette)),
    ))
}
