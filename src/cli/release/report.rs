//! `release report`: the quality report of a Release. Talks to the API server.

pub mod html;
pub mod markdown;
pub mod section;

use clap::ValueEnum;

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::environment::api::Environment;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::release::report::{Records, Report, report};

/// Of which Release, and how it is written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Release.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// How the report is written.
    #[arg(short, long, value_enum, default_value_t = Form::Markdown)]
    pub output: Form,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, and for comments and tickets.
    Markdown,
    /// A page of its own, without scripts.
    Html,
    /// For programs; its schema has a version.
    Json,
}

/// Writes it.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let report = of(&server, &args.name).await?;
    let text = match args.output {
        Form::Markdown => markdown::page(&report),
        Form::Html => html::page(&report),
        Form::Json => serde_json::to_string_pretty(&report).unwrap_or_default() + "\n",
    };
    Ok(Answer {
        text,
        ..Answer::default()
    })
}

/// The report of a Release.
///
/// # Errors
/// One clear sentence.
pub async fn of(server: &Server, name: &str) -> Result<Report, String> {
    let promotions: Vec<Promotion> = server.list("").await?;
    if let Some(words) = told_of_set(name, &promotions) {
        return Err(words);
    }
    let release: Release = server.get(name).await?;
    let run: Option<PipelineRun> = server.find(&release.spec.evidence.run).await?;
    let releases: Vec<Release> = server.list("").await?;
    let environments: Vec<Environment> = server.list("").await?;
    let records = Records {
        release: &release,
        releases: &releases,
        run: run.as_ref(),
        promotions: &promotions,
        environments: &environments,
    };
    Ok(report(&records, server.now()))
}

/// What is said of a name that is that of a set: it is no object, its members are.
fn told_of_set(name: &str, promotions: &[Promotion]) -> Option<String> {
    let mut sets = promotions.iter().map(|promotion| &promotion.spec);
    let set = sets.find(|spec| spec.release == name && !spec.members.is_empty())?;
    let members = set.members.iter().map(|member| member.release.as_str());
    let members: Vec<&str> = members.collect();
    Some(format!(
        "{name} is a set of Releases that are promoted as one, and has no report of its own; ask for those of {}",
        members.join(" and ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_names_a_set_is_told_its_members() {
        let spec = json!({
            "environment": "staging", "release": "shop-1", "pipeline": "shop", "kind": "Promote", "attempt": 1,
            "requestedBy": "slipway", "images": [],
            "members": [
                {"pipeline": "api", "release": "api-1"}, {"pipeline": "web", "release": "web-2"},
            ],
        });
        let promotion = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": "staging-1"}, "spec": spec,
        });
        let promotions = [serde_json::from_value(promotion).unwrap()];
        let words = told_of_set("shop-1", &promotions).unwrap();
        assert!(
            words.ends_with("ask for those of api-1 and web-2"),
            "{words}"
        );
        assert_eq!(told_of_set("api-1", &promotions), None);
    }
}
