//! `promotion describe`: how one is. Talks to the API server.

use super::table;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, ObjectOutput};
use crate::promotion::api::Promotion;

/// Which promotion.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the promotion.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = ObjectOutput::Table)]
    pub output: ObjectOutput,
}

/// Shows one.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let promotion: Promotion = server.get(&args.name).await?;
    let document = args.output.document(&promotion);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::describe(&promotion, palette)),
        ..Answer::default()
    })
}
