//! `status` and `get`: how Environments, Rollouts, Pipelines and runs stand, all together or one of them. Talks to the API server.

pub mod decided;
pub mod overview;
pub mod pipeline;
pub mod way;

use std::fmt::Debug;

use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cluster::Server;
use super::environment;
use super::follow::{self, Patience};
use super::list::{self, Many};
use super::rollout;
use super::run::table as runs_of;
use super::standing::Standing;
use super::text::{Cell, Palette, Table};
use super::{Answer, End, in_runtime};
use crate::decision::api::Decision;
use crate::environment::api::Environment;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::rollout::api::Rollout;
use decided::Fresh;
use overview::{Line, newest, objects, page, worst};
use way::Way;

/// Runs that an overview shows, the newest first.
const RUNS: usize = 10;

/// How what stands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One object, as KIND/NAME or KIND NAME: environment/production, rollout/api, pipeline/shop, run/shop-7,
    /// promotion/production-3. By default all Environments, Rollouts and Pipelines, and the newest run of each Pipeline.
    #[arg(value_name = "KIND/NAME", num_args = 0..=2, conflicts_with_all = ["all_namespaces", "selector"])]
    pub object: Vec<String>,
    /// Which ones.
    #[command(flatten)]
    pub many: Many,
    /// Go on until nothing is under way any more.
    #[arg(short, long)]
    pub watch: bool,
    /// How long.
    #[command(flatten)]
    pub patience: Patience,
}

/// What can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Environment,
    Rollout,
    Pipeline,
    Run,
    Promotion,
}

/// A kind by its names, and a name.
fn object(words: &[String]) -> Result<Option<(Kind, String)>, String> {
    let both = match words {
        [] => return Ok(None),
        [one] => one
            .split_once('/')
            .map(|(kind, name)| (kind, name.to_owned())),
        [kind, name, ..] => Some((kind.as_str(), name.clone())),
    };
    let (kind, name) = both
        .filter(|(_, name)| !name.is_empty())
        .ok_or("write it as KIND/NAME, such as rollout/api")?;
    let kind = kind.to_ascii_lowercase();
    let kind = match kind.split('.').next().unwrap_or_default() {
        "environment" | "environments" | "env" | "senv" => Kind::Environment,
        "rollout" | "rollouts" | "sro" => Kind::Rollout,
        "pipeline" | "pipelines" | "spl" => Kind::Pipeline,
        "run" | "pipelinerun" | "pipelineruns" | "srun" => Kind::Run,
        "promotion" | "promotions" | "spromo" => Kind::Promotion,
        other => {
            return Err(format!(
                "there is no {other}: ask about an environment, a rollout, a pipeline, a run or a promotion"
            ));
        }
    };
    Ok(Some((kind, name)))
}

/// Says how it stands.
pub fn run(args: &Args, palette: Palette) -> Answer {
    match object(&args.object) {
        Ok(object) => in_runtime(show(args, object, palette)),
        Err(problem) => Answer::invalid(vec![problem]),
    }
}

async fn show(
    args: &Args,
    object: Option<(Kind, String)>,
    palette: Palette,
) -> Result<Answer, String> {
    let server = Server::at(&args.many.place).await?;
    let seen = seen(&server, args, object.as_ref());
    let Some(lines) = args.patience.wait(seen).await? else {
        return Ok(Answer {
            problems: vec!["it was not over in time".to_owned()],
            end: End::Late,
            ..Answer::default()
        });
    };
    let end = worst(&lines, Standing::Bad).map_or(End::Well, Standing::end);
    let document = args.many.output.document(&lines);
    let is_everywhere = args.many.all_namespaces;
    Ok(Answer {
        text: document.unwrap_or_else(|| page(&lines, is_everywhere, palette)),
        end,
        ..Answer::default()
    })
}

/// Looks once, or until nothing is under way any more. What was is looked at once more when it is over: what ends in one object may
/// begin in the next one a moment later.
async fn seen(
    server: &Server,
    args: &Args,
    object: Option<&(Kind, String)>,
) -> Result<Vec<Line>, String> {
    let (mut looks, mut losses) = (follow::looks(), follow::Losses::default());
    let mut is_calm = true;
    loop {
        looks.tick().await;
        let fresh = fresh(server, args).await;
        let answer = match object {
            Some((kind, name)) => one(server, args, (*kind, name.as_str()), fresh)
                .await
                .map(|line| vec![line]),
            None => all(server, args, fresh).await,
        };
        let may_pass = args.watch && server.may_pass();
        let Some(lines) = losses.bear(answer, may_pass)? else {
            continue;
        };
        let is_over = worst(&lines, Standing::Underway) != Some(Standing::Underway);
        if !args.watch || (is_over && is_calm) {
            return Ok(lines);
        }
        is_calm = is_over;
    }
}

/// All objects of a kind where it is asked; none for who may not list them.
async fn every<K>(server: &Server, many: &Many) -> Vec<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let all = if many.all_namespaces {
        server.list_everywhere("").await
    } else {
        server.list("").await
    };
    all.unwrap_or_default()
}

/// What was decided lately, for who waits for what comes of it. Who may not read Decisions waits for none.
async fn fresh(server: &Server, args: &Args) -> Fresh {
    if !args.watch {
        return Fresh::default();
    }
    let decisions: Vec<Decision> = every(server, &args.many).await;
    Fresh::of(decisions, server.now())
}

/// What comes before Environments. Who may not read it is told of how they stand by themselves.
async fn way(server: &Server, args: &Args, fresh: Fresh) -> Way {
    Way {
        environments: every(server, &args.many).await,
        pipelines: every(server, &args.many).await,
        runs: every(server, &args.many).await,
        fresh,
        is_awaited: args.watch,
    }
}

async fn one(
    server: &Server,
    args: &Args,
    (kind, name): (Kind, &str),
    fresh: Fresh,
) -> Result<Line, String> {
    Ok(match kind {
        Kind::Environment => {
            let way = way(server, args, fresh).await;
            way.of_environment(&server.get(name).await?)
        }
        Kind::Rollout => {
            let way = way(server, args, fresh).await;
            way.of_rollout(&server.get(name).await?)
        }
        Kind::Pipeline => Line::from(&server.get::<Pipeline>(name).await?),
        Kind::Run => Line::from(&server.get::<PipelineRun>(name).await?),
        Kind::Promotion => Line::from(&server.get::<Promotion>(name).await?),
    })
}

async fn all(server: &Server, args: &Args, fresh: Fresh) -> Result<Vec<Line>, String> {
    let many = &args.many;
    let environments: Vec<Environment> = list::by_name(server, many).await?;
    let rollouts: Vec<Rollout> = list::by_name(server, many).await?;
    let pipelines: Vec<Pipeline> = list::by_name(server, many).await?;
    let runs: Vec<PipelineRun> = list::read(server, many).await?;
    let shown = Way {
        environments,
        pipelines,
        runs,
        fresh,
        is_awaited: args.watch,
    };
    // What comes before may have other labels.
    let whole = if many.selector.is_empty() {
        None
    } else {
        Some(way(server, args, shown.fresh.clone()).await)
    };
    let way = whole.as_ref().unwrap_or(&shown);
    let environments = shown.environments.iter();
    let mut lines: Vec<Line> = environments.map(|one| way.of_environment(one)).collect();
    lines.extend(rollouts.iter().map(|one| way.of_rollout(one)));
    lines.extend(shown.pipelines.iter().map(Line::from));
    lines.extend(newest(&shown.runs).into_iter().map(Line::from));
    Ok(lines)
}

/// Shows all of them in one overview, a table for each kind.
pub(super) async fn get(many: &Many, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&many.place).await?;
    let environments: Vec<Environment> = list::by_name(&server, many).await?;
    let rollouts: Vec<Rollout> = list::by_name(&server, many).await?;
    let pipelines: Vec<Pipeline> = list::by_name(&server, many).await?;
    let mut runs: Vec<PipelineRun> = list::read(&server, many).await?;
    runs.sort_by_key(|run| std::cmp::Reverse((run.creation_timestamp(), run.name_any())));
    runs.truncate(RUNS);
    let all = objects(&environments).chain(objects(&rollouts));
    let all = all.chain(objects(&pipelines)).chain(objects(&runs));
    let all: Vec<Value> = all.collect();
    if let Some(document) = many.output.document(&all) {
        return Ok(Answer::well(document));
    }
    let (now, is_wide) = (server.now(), many.output.is_wide());
    let mut text = String::new();
    for (kind, mut table, namespaces) in [
        (
            "ENVIRONMENT",
            environment::table::list(&environments, now, is_wide),
            spaces(&environments),
        ),
        (
            "ROLLOUT",
            rollout::table::list(&rollouts, now, is_wide),
            spaces(&rollouts),
        ),
        (
            "PIPELINE",
            pipeline::list(&pipelines, now, is_wide),
            spaces(&pipelines),
        ),
        ("RUN", runs_of::list(&runs, now, is_wide), spaces(&runs)),
    ] {
        if namespaces.is_empty() {
            continue;
        }
        if many.all_namespaces {
            let cells = namespaces.into_iter().map(Cell::from);
            table.in_front(std::iter::once(Cell::heading("NAMESPACE")).chain(cells));
        }
        section(&mut text, kind, &table, palette);
    }
    if text.is_empty() {
        text.push_str("there are no Environments, Rollouts, Pipelines or runs here\n");
    }
    Ok(Answer::well(text))
}

/// Their namespaces.
fn spaces(of: &[impl ResourceExt]) -> Vec<String> {
    let spaces = of.iter().map(ResourceExt::namespace);
    spaces.map(Option::unwrap_or_default).collect()
}

fn section(text: &mut String, kind: &str, table: &Table, palette: Palette) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&palette.paint(super::text::Tone::Strong, kind));
    text.push('\n');
    text.push_str(&table.text(palette));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_kubectl_names_it() {
        let words = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            object(&words)
        };
        let rollout = Ok(Some((Kind::Rollout, "api".to_owned())));
        assert_eq!(words(&["rollout/api"]), rollout);
        assert_eq!(words(&["rollouts.slipway.dev/api"]), rollout);
        assert_eq!(words(&["Rollout", "api"]), rollout);
        let pipeline = Ok(Some((Kind::Pipeline, "shop".to_owned())));
        assert_eq!(words(&["pipelines.slipway.dev/shop"]), pipeline);
        assert_eq!(words(&[]), Ok(None));
        assert!(words(&["api"]).is_err());
        assert!(words(&["pod/api"]).is_err());
        assert!(words(&["rollout/"]).is_err());
    }
}
