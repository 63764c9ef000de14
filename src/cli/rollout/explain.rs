//! `rollout explain`: reads one Rollout and says why it is where it is. Talks to the API server.

mod render;

use std::sync::Arc;

use jiff::Timestamp;

use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output, in_runtime};
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

/// The Rollout, the AnalysisTemplates that it names, as far as they are there, and the API server's time.
async fn read(args: &Args) -> Result<(Rollout, Templates, Timestamp), String> {
    let server = Server::at(&args.place).await?;
    let rollout: Rollout = server.get(&args.name).await?;
    let templates = templates(&server, &rollout).await?;
    Ok((rollout, templates, server.now()))
}

/// The AnalysisTemplates that a Rollout names, as far as they are there.
pub(super) async fn templates(server: &Server, rollout: &Rollout) -> Result<Templates, String> {
    let mut templates = Templates::new();
    for name in rollout.spec.template_names() {
        if let Some(template) = server.find::<AnalysisTemplate>(name).await? {
            templates.insert(name.to_owned(), Arc::new(template));
        }
    }
    Ok(templates)
}

/// Asks, and shows.
pub(super) fn run(args: &Args, palette: Palette) -> Answer {
    in_runtime(async {
        let (rollout, templates, now) = read(args).await?;
        let explanation = explain(&rollout, &templates, now);
        let document = args.output.document(&explanation);
        Ok(Answer {
            text: document.unwrap_or_else(|| render::table(&explanation, palette)),
            ..Answer::default()
        })
    })
}
