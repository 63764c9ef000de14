//! Verbs about PipelineRuns.

pub mod approve;
pub mod archive;
pub mod cancel;
pub mod files;
pub mod list;
pub mod logs;
pub mod page;
pub mod report;
pub mod retry;
pub mod start;
pub mod table;

use clap::Subcommand;

use super::cluster::Place;
use super::text::Palette;
use super::{Answer, decide, in_runtime};
use crate::decision::api::DecisionAction;

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what the stages of a run say or have said.
    ///
    /// While a pod is there its own log is shown, and what the operator keeps afterwards. That takes the right to get pods/log,
    /// or, for what is kept, to make a token of a ServiceAccount of the namespace (create serviceaccounts/token): edit and
    /// admin have it.
    Logs(logs::Args),
    /// List the runs of a namespace, newest first.
    List(super::list::Args),
    /// Show a run with its stages.
    Describe(list::DescribeArgs),
    /// Write a run as a page of its own, or its coverage as a badge.
    Report(report::Args),
    /// List the report files that stages have left, or write them into a folder.
    ///
    /// The operator keeps them as it keeps logs, and hands them out to whoever may read those.
    Files(files::Args),
    /// Start a run of a Pipeline, in your own name.
    Start(start::Args),
    /// Stop a run, by a Decision in your own name.
    Cancel(DecisionArgs),
    /// Run what has failed of a run again, and take over the rest.
    Retry(retry::Args),
    /// Let a run of another repository's commit begin, by a Decision in your own name.
    Approve(DecisionArgs),
    /// Turn such a run away.
    Reject(DecisionArgs),
}

/// Which run a Decision is about, and why.
#[derive(Debug, clap::Args)]
pub struct DecisionArgs {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How it is decided.
    #[command(flatten)]
    pub decide: decide::Args,
}

/// Does it.
pub fn run(verb: &Verb, palette: Palette) -> Answer {
    match verb {
        Verb::Logs(args) => in_runtime(logs::run(args, palette)),
        Verb::List(args) => in_runtime(list::run(args, palette)),
        Verb::Describe(args) => in_runtime(list::describe(args, palette)),
        Verb::Report(args) => in_runtime(report::run(args)),
        Verb::Files(args) => in_runtime(files::run(args)),
        Verb::Start(args) => in_runtime(start::run(args)),
        Verb::Cancel(args) => in_runtime(cancel::run(args)),
        Verb::Retry(args) => in_runtime(retry::run(args)),
        Verb::Approve(args) => in_runtime(approve::run(args, DecisionAction::Approve)),
        Verb::Reject(args) => in_runtime(approve::run(args, DecisionAction::Reject)),
    }
}
