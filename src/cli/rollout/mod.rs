//! Verbs about Rollouts.

pub mod decide;
pub mod explain;
pub mod plan;
pub mod table;
pub mod watch;

use clap::Subcommand;

use super::text::Palette;
use super::{Answer, in_runtime, list};
use crate::decision::api::DecisionAction;

/// What to do with a Rollout.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the Rollouts of a namespace, or show one: where they are, and what they wait for.
    Get(list::Get),
    /// Watch a Rollout live: weights, pods, metrics, and how long it still takes.
    ///
    /// On a terminal it fills the screen, and q ends it; p, r, s, P and A ask, and then pause, resume, skip the step, promote or
    /// abort. Elsewhere it prints a line per change, and ends when the Rollout has come to an end (0), has failed or gone back (3),
    /// or waits for a person (4).
    Watch(watch::Args),
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
    /// Skip all steps that are left: the new revision takes over at once.
    Promote(decide::Args),
    /// Go on with the next step.
    Skip(decide::Args),
    /// Hold the change where it is.
    Pause(decide::Args),
    /// End a pause, of a person or of a step without an end.
    Resume(decide::Args),
    /// Agree to what a step asks.
    Approve(decide::Args),
    /// Refuse what a step asks: traffic goes back to stable.
    Reject(decide::Args),
    /// Give the change up: traffic goes back to stable. Without a change, end a restart.
    Abort(decide::Args),
    /// Try again what was given up, or go on where a failure holds it.
    Retry(decide::Args),
    /// Go back to an earlier revision at once, without steps, though the spec asks for another.
    Undo(decide::UndoArgs),
    /// Replace all pods by new ones of the same revision, one after the other.
    Restart(decide::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    let decided = |args: &decide::Args, action| in_runtime(decide::run(args, action, None));
    match verb {
        Verb::Get(args) => in_runtime(list::get(args, (table::list, palette))),
        Verb::Watch(args) => in_runtime(watch::run(args, palette)),
        Verb::Plan(args) => plan::run(args, palette),
        Verb::Explain(args) => explain::run(args, palette),
        Verb::Promote(args) => decided(args, DecisionAction::Promote),
        Verb::Skip(args) => decided(args, DecisionAction::Skip),
        Verb::Pause(args) => decided(args, DecisionAction::Pause),
        Verb::Resume(args) => decided(args, DecisionAction::Resume),
        Verb::Approve(args) => decided(args, DecisionAction::Approve),
        Verb::Reject(args) => decided(args, DecisionAction::Reject),
        Verb::Abort(args) => decided(args, DecisionAction::Abort),
        Verb::Retry(args) => decided(args, DecisionAction::Retry),
        Verb::Undo(args) => in_runtime(decide::undo(args)),
        Verb::Restart(args) => decided(args, DecisionAction::Restart),
    }
}
