//! `rollout watch`: a Rollout as it goes, on the whole of a terminal or a line per change. Talks to the API server.

mod frame;
mod line;
mod screen;
mod view;

use std::io::{self, IsTerminal, Write};

use crate::cli::cluster::{Place, Server};
use crate::cli::follow::{self, Patience};
use crate::cli::standing::{Standing, of_rollout};
use crate::cli::text::Palette;
use crate::cli::{Answer, End};
use crate::rollout::api::Rollout;

/// Which Rollout, and how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Rollout.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How long.
    #[command(flatten)]
    pub patience: Patience,
    /// A line per change, on a terminal too.
    #[arg(long)]
    pub lines: bool,
}

/// Shows it until it is over.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let is_live = io::stdout().is_terminal() && io::stdin().is_terminal() && !args.lines;
    let standing = if is_live {
        let shown = Box::pin(screen::show(&server, &args.name, palette));
        args.patience.wait(shown).await?
    } else {
        args.patience.wait(lines(&server, args)).await?
    };
    let standing = match standing {
        Some(standing) => Some(standing),
        // One that is over is shown until the person has seen enough.
        None => server
            .get(&args.name)
            .await
            .ok()
            .and_then(|last| over(&last)),
    };
    Ok(match standing {
        Some(standing) => Answer {
            end: standing.end(),
            ..Answer::default()
        },
        None => Answer {
            problems: vec![format!("Rollout {} was not over in time", args.name)],
            end: End::Late,
            ..Answer::default()
        },
    })
}

/// How it stands, if it is over.
fn over(rollout: &Rollout) -> Option<Standing> {
    let standing = of_rollout(rollout);
    (standing != Standing::Underway).then_some(standing)
}

/// A line per change, until it is over.
async fn lines(server: &Server, args: &Args) -> Result<Standing, String> {
    let mut last = String::new();
    let check = |rollout: &Rollout| {
        let line = line::of(rollout);
        if line != last {
            let at = server.now().strftime("%H:%M:%S");
            let said = writeln!(io::stdout(), "{at} {line}");
            if said.is_err() {
                // Whoever reads has read enough.
                return Some(Standing::Underway);
            }
            last = line;
        }
        over(rollout)
    };
    follow::until(server, &args.name, check).await
}
