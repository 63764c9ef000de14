//! `slo`: how much of their error budgets Environments have left, and how fast it burns. Talks to the API server.

pub mod table;

use super::cluster::Server;
use super::list::{self, Get};
use super::text::Palette;
use super::{Answer, ObjectOutput, in_runtime};
use crate::environment::api::Environment;

/// Shows them.
pub fn run(args: &Get, palette: Palette) -> Answer {
    in_runtime(show(args, palette))
}

async fn show(args: &Get, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.many.place).await?;
    let environments: Vec<Environment> = match &args.name {
        Some(name) => vec![server.get(name).await?],
        None => list::by_name(&server, &args.many).await?,
    };
    let rows = table::rows(&environments);
    let document = match args.many.output {
        // What has a name is the Environment.
        ObjectOutput::Name => args.many.output.document(&environments),
        ObjectOutput::Table | ObjectOutput::Wide | ObjectOutput::Json | ObjectOutput::Yaml => {
            args.many.output.document(&rows)
        }
    };
    let is_wide = args.many.output.is_wide();
    let shown = || table::page(&rows, (server.now(), is_wide), palette);
    Ok(Answer {
        text: document.unwrap_or_else(shown),
        end: table::end(&rows),
        ..Answer::default()
    })
}
