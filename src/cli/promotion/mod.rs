//! Verbs about Promotions.

pub mod describe;
pub mod table;

use clap::Subcommand;

use super::text::Palette;
use super::{Answer, in_runtime};

/// What to do with promotions.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show a promotion with its steps, its approvals, and what became of its database.
    Describe(describe::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::Describe(args) => in_runtime(describe::run(args, palette)),
    }
}
