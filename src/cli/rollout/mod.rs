//! Verbs about Rollouts.

pub mod explain;
pub mod plan;

use clap::Subcommand;

use super::Answer;
use super::text::Palette;

/// What to do with a Rollout.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what a change of a Rollout goes through, before anything is applied.
    Plan(plan::Args),
    /// Say why a Rollout is where it is, what it waits for and until when.
    Explain(explain::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::Plan(args) => plan::run(args, palette),
        Verb::Explain(args) => explain::run(args, palette),
    }
}
