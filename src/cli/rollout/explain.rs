//! `rollout explain`: reads one Rollout and says why it is where it is. Talks to the API server.

mod render;

use crate::cli::cluster::{self, Place};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output};
use crate::rollout::api::Rollout;
use crate::rollout::explain::explain;

/// Which Rollout, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Rollout.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Asks, and shows.
pub(super) fn run(args: &Args, palette: Palette) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Answer::failed(format!("cannot start: {error}")),
    };
    let read = runtime.block_on(cluster::get::<Rollout>(&args.place, &args.name));
    let (rollout, now) = match read {
        Ok(read) => read,
        Err(problem) => return Answer::failed(problem),
    };
    let explanation = explain(&rollout, now);
    Answer {
        text: match args.output {
            Output::Table => render::table(&explanation, palette),
            Output::Json => render::json(&explanation),
        },
        ..Answer::default()
    }
}
