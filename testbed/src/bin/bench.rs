//! `bench`: what the operator costs, beside goals.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::bench::rollout::Bench;

/// Measures an operator's binary on a control plane of its own with scripted nodes, and prints figures beside goals.
///
/// Exits with 0 whatever the figures are, and with 1 when something does not come to its end.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Args {
    /// The operator
    #[arg(long, default_value = "target/release/slipway")]
    operator: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Rollouts of four pods, updated all at once
    Rollout {
        /// How many; may be repeated
        #[arg(long, default_values = ["100", "500"])]
        count: Vec<u32>,
        /// Only create this many, and look at them at rest
        #[arg(long, conflicts_with = "count")]
        at_rest: Option<u32>,
        /// With --at-rest: update all of them after that
        #[arg(long, requires = "at_rest")]
        update: bool,
    },
    /// Environments, each with Releases that come one after the other
    Environment {
        /// How many Environments
        #[arg(long, default_value_t = 100)]
        count: u32,
        /// How many Releases come to each
        #[arg(long, default_value_t = 50)]
        releases: u32,
    },
    /// Runs of a Pipeline with three stages, all started at once
    Pipeline {
        /// How many
        #[arg(long, default_value_t = 200)]
        count: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<()> {
    let bench = Bench::start(&args.operator).await?;
    match &args.what {
        What::Rollout {
            at_rest: Some(count),
            update,
            ..
        } => bench.rest(*count, *update).await,
        What::Rollout { count, .. } => bench.play(count).await,
        What::Environment { count, releases } => bench.play_environments(*count, *releases).await,
        What::Pipeline { count } => bench.play_pipelines(*count).await,
    }
}
