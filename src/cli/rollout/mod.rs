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
    ///
    /// The operator's own planner is asked what it would do in an ideal cluster: pods are ready at once, the data plane
    /// takes in everything at once, metrics are good, hooks pass, and people say yes as soon as they are asked. The file
    /// is checked as the API server would check it, but for the pod template. No cluster is needed.
    Plan(plan::Args),
    /// Say why a Rollout is where it is, what it waits for and until when.
    ///
    /// Everything is read off the Rollout itself: steps, weights, pods, samples, Decisions and conditions; and what a
    /// person could do next.
    Explain(explain::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::Plan(args) => plan::run(args, palette),
        Verb::Explain(args) => explain::run(args, palette),
    }
}
