//! Verbs about Environments.

pub mod decide;
pub mod diff;
pub mod difference;
pub mod list;
pub mod notify;
mod outcome;
pub mod rollback;
pub mod table;

#[cfg(test)]
mod testing;

use clap::Subcommand;

use super::list as objects;
use super::text::Palette;
use super::{Answer, in_runtime};
use crate::decision::api::DecisionAction;

/// What to do with Environments.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the Environments of a namespace, or show one in a line: what runs, what comes next, and what it waits for.
    #[command(visible_alias = "list")]
    Get(objects::Get),
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
    /// Bring a Release into an Environment: it is the next one, whatever is newer. Gates and approvals stay in its way.
    Promote(decide::Args),
    /// Agree to the promotion of a Release; by default of the one that comes next.
    Approve(decide::Args),
    /// Refuse the promotion of a Release; by default of the one that comes next.
    Reject(decide::Args),
    /// Stop promotions until a Resume: of all Releases, or of one.
    Hold(decide::Args),
    /// End a hold of everything, and pins; or what was decided about one Release: a hold, a pin, a veto.
    Resume(decide::Args),
    /// Stop the promotion that is under way, and go back.
    Abort(decide::Args),
    /// Try a promotion that has failed again.
    Retry(decide::Args),
    /// Stay at a Release: no other one of its Pipeline comes until a Resume.
    Pin(decide::Args),
    /// Never promote a Release; a promotion of it that has not started ends. Takes a reason.
    Veto(decide::Args),
    /// Let a Release pass gates that stand against it; by default the one that comes next. Takes a reason.
    ///
    /// The hold, the source, signatures and approvals cannot be passed like this. How many people it takes is in the protection of
    /// the Environment.
    Override(decide::OverrideArgs),
    /// Bring the database to a version, without promoting anything.
    Migrate(decide::MigrateArgs),
    /// Show what would change if a Release came: its images beside those that run, and its commits.
    Diff(diff::Args),
    /// Show what receivers of notifications would be sent of an event: of the newest Promotion, or of a sample. Nothing is sent.
    Notify(notify::Args),
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    let decided = |args: &decide::Args, action| in_runtime(decide::run(args, action));
    match verb {
        Verb::Get(args) => in_runtime(objects::get(args, (table::list, palette))),
        Verb::Describe(args) => in_runtime(list::describe(args, palette)),
        Verb::History(args) => in_runtime(list::history(args, palette)),
        Verb::Rollback(args) => in_runtime(rollback::run(args)),
        Verb::Promote(args) => decided(args, DecisionAction::Promote),
        Verb::Approve(args) => decided(args, DecisionAction::Approve),
        Verb::Reject(args) => decided(args, DecisionAction::Reject),
        Verb::Hold(args) => decided(args, DecisionAction::Hold),
        Verb::Resume(args) => decided(args, DecisionAction::Resume),
        Verb::Abort(args) => decided(args, DecisionAction::Abort),
        Verb::Retry(args) => decided(args, DecisionAction::Retry),
        Verb::Pin(args) => decided(args, DecisionAction::Pin),
        Verb::Veto(args) => decided(args, DecisionAction::Veto),
        Verb::Override(args) => in_runtime(decide::overrule(args)),
        Verb::Migrate(args) => in_runtime(decide::migrate(args)),
        Verb::Diff(args) => in_runtime(diff::run(args, palette)),
        Verb::Notify(args) => in_runtime(notify::run(args)),
    }
}
