//! `rollout promote`, `pause`, `undo` and their like: make a Decision about a Rollout, and wait for what comes of it. Talks
//! to the API server.

mod outcome;

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::cli::decide::{self, Made, decide};
use crate::cli::follow::{self, Patience};
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::rollout::api::Rollout;

/// Which Rollout, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Rollout.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How it is decided.
    #[command(flatten)]
    pub decide: decide::Args,
    /// Wait until the Rollout has come to an end, or waits for a person.
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long.
    #[command(flatten)]
    pub patience: Patience,
}

/// The same, and where to.
#[derive(Debug, clap::Args)]
pub struct UndoArgs {
    /// Revision to go back to, as status.history has it; by default the one that was stable before.
    #[arg(long, value_name = "REVISION")]
    pub to: Option<String>,
    /// Which Rollout.
    #[command(flatten)]
    pub common: Args,
}

/// Goes back to an earlier revision.
pub(super) async fn undo(args: &UndoArgs) -> Result<Answer, String> {
    run(&args.common, DecisionAction::Undo, args.to.clone()).await
}

/// Makes the Decision.
pub(super) async fn run(
    args: &Args,
    action: DecisionAction,
    revision: Option<String>,
) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    // A Decision about nothing would be taken too.
    let _: Rollout = server.get(&args.name).await?;
    let spec = DecisionSpec {
        revision,
        ..DecisionSpec::about(TargetKind::Rollout, &args.name, action)
    };
    let made = decide(&server, &args.decide, spec.clone()).await?;
    let said = made.said(&spec);
    let decision = match &made {
        Made::Decision(name) if args.wait => name,
        Made::Decision(_) | Made::Nothing(_) => return Ok(Answer::well(said)),
    };
    let mut known = None;
    let check = |rollout: &Rollout| outcome::of(rollout, (decision, action), &mut known);
    let ended = follow::until(&server, &args.name, check);
    let ended = args.patience.wait(ended).await?;
    let about = format!("Rollout {}", args.name);
    Ok(Answer::after(said, ended, &about))
}
