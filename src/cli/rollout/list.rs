//! `rollout get`: what Rollouts there are, and where they are. Talks to the API server.

use super::table;
use crate::cli::Answer;
use crate::cli::cluster::Server;
use crate::cli::list::{self, Many};
use crate::cli::text::Palette;
use crate::rollout::api::Rollout;

/// Which Rollouts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of one of them.
    #[arg(conflicts_with_all = ["all_namespaces", "selector"])]
    pub name: Option<String>,
    /// Which ones.
    #[command(flatten)]
    pub many: Many,
}

/// Lists them.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.many.place).await?;
    let all: Vec<Rollout> = match &args.name {
        Some(name) => vec![server.get(name).await?],
        None => list::by_name(&server, &args.many).await?,
    };
    let one = all.first().filter(|_| args.name.is_some());
    if let Some(document) = one.and_then(|one| args.many.output.document(one)) {
        return Ok(Answer::well(document));
    }
    let table = table::list(&all, server.now(), args.many.output.is_wide());
    Ok(list::shown(&all, table, &args.many, palette))
}
