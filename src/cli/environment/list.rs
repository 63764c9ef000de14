//! `env describe` and `env history`: how an Environment is, and what it went through. Talks to the API server.

use kube::ResourceExt;
use serde::Serialize;

use super::table;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output};
use crate::environment::api::Environment;
use crate::promotion::api::Promotion;

/// Which Environment.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// Name of the Environment.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Whose Promotions.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Name of the Environment.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How many, the newest first.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// An Environment with its Promotions, for programs.
#[derive(Serialize)]
struct Described<'a> {
    environment: &'a Environment,
    promotions: &'a [Promotion],
}

/// Shows one.
pub(super) async fn describe(args: &DescribeArgs, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let promotions = promotions(&server, &args.name).await?;
    let document = args.output.document(&Described {
        environment: &environment,
        promotions: &promotions,
    });
    let shown = || table::describe(&environment, &promotions, server.now(), palette);
    Ok(Answer {
        text: document.unwrap_or_else(shown),
        ..Answer::default()
    })
}

/// Lists its Promotions.
pub(super) async fn history(args: &HistoryArgs, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    // Records outlive an Environment that retains them, so it need not be there.
    let mut promotions = promotions(&server, &args.name).await?;
    promotions.reverse();
    promotions.truncate(args.limit);
    let document = args.output.document(&promotions);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::history(&promotions, server.now(), palette)),
        ..Answer::default()
    })
}

/// The Promotions of an Environment, in their order.
pub(super) async fn promotions(
    server: &Server,
    environment: &str,
) -> Result<Vec<Promotion>, String> {
    let mut all: Vec<Promotion> = server.list("").await?;
    all.retain(|promotion| promotion.spec.environment == environment);
    all.sort_by_key(|promotion| (promotion.spec.number, promotion.creation_timestamp()));
    Ok(all)
}
