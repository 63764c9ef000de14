//! `simulate`: what a change of a Rollout goes through while things happen to it. Works without a cluster.

use super::Answer;
use super::rollout::plan;
use super::text::Palette;
use crate::rollout::simulation::Happening;

/// Which files, and what happens.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which files, and how.
    #[command(flatten)]
    pub plan: plan::Args,
    /// What happens, and how long after the new revision is wanted: 5m=crash, 90s=bad:success-rate (all its samples are bad from
    /// then on; bad alone is of all metrics), or a Decision: 2m=pause, resume, skip, promote, abort, reject, retry, undo. May be given
    /// several times.
    #[arg(long = "event", value_name = "WHEN=WHAT")]
    pub events: Vec<Happening>,
}

/// Reads, and shows.
pub fn run(args: &Args, palette: Palette) -> Answer {
    plan::run_with(&args.plan, &args.events, palette)
}
