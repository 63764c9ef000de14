//! Verbs about Environments.

pub mod list;
pub mod notify;
pub mod rollback;
pub mod table;

#[cfg(test)]
mod testing;

use clap::Subcommand;

use super::list::Many;
use super::text::Palette;
use super::{Answer, in_runtime};

/// What to do with Environments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the Environments of a namespace: what runs, what comes next, and what it waits for.
    List(Many),
    /// Show an Environment: what runs, gates, holds, SLOs, and its last Promotions.
    Describe(list::DescribeArgs),
    /// List the Promotions of an Environment, newest first: who asked, who approved, how it ended.
    History(list::HistoryArgs),
    /// Go back to an earlier good Release, by a Decision in your own name.
    ///
    /// It says what runs and where it goes back to. The operator follows the Decision at once: no gate, and no approval, stands
    /// against a rollback. What is left is held until a Decision Resume names it. That takes the verb rollback on the
    /// Environment.
    Rollback(rollback::Args),
    /// Show what receivers of notifications would be sent of an event: of the newest Promotion, or of a sample. Nothing is sent.
    Notify(notify::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::List(args) => in_runtime(list::run(args, palette)),
        Verb::Describe(args) => in_runtime(list::describe(args, palette)),
        Verb::History(args) => in_runtime(list::history(args, palette)),
        Verb::Rollback(args) => in_runtime(rollback::run(args)),
        Verb::Notify(args) => in_runtime(notify::run(args)),
    }
}
