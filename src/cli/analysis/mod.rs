//! Verbs about analyses.

pub mod test;

use clap::Subcommand;

use super::Answer;
use super::text::Palette;

/// What to do with an analysis.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Judge metrics of the past as the operator would have judged them.
    ///
    /// Values of the time between `--from` and `--to` are read from Prometheus, and counted by the operator's own rules, as if
    /// a change had got its first weight at the one time and had to be good at the other: what each metric would have said,
    /// when, and why. No cluster is needed, and nothing is written anywhere.
    #[command(
        after_help = "Exit codes: 0 the change would have been promoted; 1 the answer could not be had; 2 the input is wrong; \
3 it would have gone back, or been held."
    )]
    Test(Box<test::Args>),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::Test(args) => test::run(args, palette),
    }
}
