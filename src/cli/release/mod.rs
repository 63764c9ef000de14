//! Verbs about Releases. Talks to the API server.

pub mod report;
pub mod table;
pub mod verify;

use clap::Subcommand;

use super::cluster::{Place, Server};
use super::text::Palette;
use super::{Answer, ObjectOutput, in_runtime, list};
use crate::release::api::Release;
use crate::release::notes::notes;

/// What to do with Releases.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the Releases of a namespace, newest first.
    List(list::Args),
    /// Show a Release with what is in it, and the evidence for it.
    Show(Args),
    /// Print what is new in a Release, as Markdown.
    Notes(NotesArgs),
    /// Ask the registry who has signed the images of a Release, and check it: signatures, provenances and lists of contents.
    Verify(verify::Args),
    /// Write the quality report of a Release: gates, tests, findings, statements about its images, promotions, and what an auditor asks.
    Report(report::Args),
}

/// Which Release.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Release.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = ObjectOutput::Table)]
    pub output: ObjectOutput,
}

/// Whose notes.
#[derive(Debug, clap::Args)]
pub struct NotesArgs {
    /// Name of the Release.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::List(args) => in_runtime(list::list(args, pipeline_of, (table::list, palette))),
        Verb::Show(args) => in_runtime(show(args, palette)),
        Verb::Notes(args) => in_runtime(tell(args)),
        Verb::Verify(args) => in_runtime(verify::run(args, palette)),
        Verb::Report(args) => in_runtime(report::run(args)),
    }
}

fn pipeline_of(release: &Release) -> &str {
    &release.spec.pipeline
}

async fn show(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let release: Release = server.get(&args.name).await?;
    let document = args.output.document(&release);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::show(&release, server.now(), palette)),
        ..Answer::default()
    })
}

async fn tell(args: &NotesArgs) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let release: Release = server.get(&args.name).await?;
    let kept = release.spec.changelog;
    Ok(Answer {
        // One that was made before notes were kept.
        text: kept.unwrap_or_else(|| notes(&release.spec.changes, &[])),
        ..Answer::default()
    })
}
