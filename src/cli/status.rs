//! `status` and `get`: how Environments, Rollouts and runs stand, all together or one of them. Talks to the API server.

pub mod decided;
pub mod overview;

use kube::ResourceExt;

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
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::rollout::api::Rollout;
use decided::Fresh;
use overview::{Line, newest, page, worst};

/// Runs that an overview shows, the newest first.
const RUNS: usize = 10;

/// How what stands.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One object, as KIND/NAME or KIND NAME: environment/production, rollout/api, run/shop-7, promotion/production-3. By
    /// default all Environments and Rollouts, and the newest run of each Pipeline.
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
        "run" | "pipelinerun" | "pipelineruns" | "srun" => Kind::Run,
        "promotion" | "promotions" | "spromo" => Kind::Promotion,
        other => {
            return Err(format!(
                "there is no {other}: ask about an environment, a rollout, a run or a promotion"
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

/// Looks once, or until nothing is under way.
async fn seen(
    server: &Server,
    args: &Args,
    object: Option<&(Kind, String)>,
) -> Result<Vec<Line>, String> {
    let (mut looks, mut losses) = (follow::looks(), follow::Losses::default());
    loop {
        looks.tick().await;
        let fresh = fresh(server, args).await;
        let answer = match object {
            Some((kind, name)) => one(server, *kind, name, &fresh)
                .await
                .map(|line| vec![line]),
            None => all(server, &args.many, &fresh).await,
        };
        let may_pass = args.watch && server.may_pass();
        let Some(lines) = losses.bear(answer, may_pass)? else {
            continue;
        };
        let is_over = worst(&lines, Standing::Underway) != Some(Standing::Underway);
        if is_over || !args.watch {
            return Ok(lines);
        }
    }
}

/// What was decided lately, for who waits for what comes of it. Who may not read Decisions waits for none.
async fn fresh(server: &Server, args: &Args) -> Fresh {
    let decisions: Result<Vec<Decision>, String> = match (args.watch, args.many.all_namespaces) {
        (false, _) => return Fresh::default(),
        (true, true) => server.list_everywhere("").await,
        (true, false) => server.list("").await,
    };
    Fresh::of(decisions.unwrap_or_default(), server.now())
}

async fn one(server: &Server, kind: Kind, name: &str, fresh: &Fresh) -> Result<Line, String> {
    Ok(match kind {
        Kind::Environment => of_environment(&server.get(name).await?, fresh),
        Kind::Rollout => of_rollout(&server.get(name).await?, fresh),
        Kind::Run => Line::from(&server.get::<PipelineRun>(name).await?),
        Kind::Promotion => Line::from(&server.get::<Promotion>(name).await?),
    })
}

async fn all(server: &Server, many: &Many, fresh: &Fresh) -> Result<Vec<Line>, String> {
    let environments: Vec<Environment> = list::by_name(server, many).await?;
    let rollouts: Vec<Rollout> = list::by_name(server, many).await?;
    let runs: Vec<PipelineRun> = list::read(server, many).await?;
    let environments = environments.iter().map(|one| of_environment(one, fresh));
    let mut lines: Vec<Line> = environments.collect();
    lines.extend(rollouts.iter().map(|one| of_rollout(one, fresh)));
    lines.extend(newest(&runs).into_iter().map(Line::from));
    Ok(lines)
}

fn of_environment(environment: &Environment, fresh: &Fresh) -> Line {
    let line = Line::from(environment);
    line.underway_if(fresh.awaits_environment(environment))
}

fn of_rollout(rollout: &Rollout, fresh: &Fresh) -> Line {
    let line = Line::from(rollout);
    line.underway_if(fresh.awaits_rollout(rollout))
}

/// Shows all of them in one overview, a table for each kind.
pub(super) async fn get(many: &Many, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&many.place).await?;
    let environments: Vec<Environment> = list::by_name(&server, many).await?;
    let rollouts: Vec<Rollout> = list::by_name(&server, many).await?;
    let mut runs: Vec<PipelineRun> = list::read(&server, many).await?;
    runs.sort_by_key(|run| std::cmp::Reverse((run.creation_timestamp(), run.name_any())));
    runs.truncate(RUNS);
    let objects = overview::objects(&environments, &rollouts, &runs);
    if let Some(document) = many.output.document(&objects) {
        return Ok(Answer::well(document));
    }
    let (now, is_wide) = (server.now(), many.output.is_wide());
    let spaces = |of: Vec<Option<String>>| of.into_iter().map(Option::unwrap_or_default);
    let mut text = String::new();
    for (kind, mut table, namespaces) in [
        (
            "ENVIRONMENT",
            environment::table::list(&environments, now, is_wide),
            environments.iter().map(ResourceExt::namespace).collect(),
        ),
        (
            "ROLLOUT",
            rollout::table::list(&rollouts, now, is_wide),
            rollouts.iter().map(ResourceExt::namespace).collect(),
        ),
        (
            "RUN",
            runs_of::list(&runs, now, is_wide),
            runs.iter().map(ResourceExt::namespace).collect::<Vec<_>>(),
        ),
    ] {
        if namespaces.is_empty() {
            continue;
        }
        if many.all_namespaces {
            let cells = spaces(namespaces).map(Cell::from);
            table.in_front(std::iter::once(Cell::heading("NAMESPACE")).chain(cells));
        }
        section(&mut text, kind, &table, palette);
    }
    if text.is_empty() {
        text.push_str("there are no Environments, Rollouts or runs here\n");
    }
    Ok(Answer::well(text))
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
        assert_eq!(words(&[]), Ok(None));
        assert!(words(&["api"]).is_err());
        assert!(words(&["pod/api"]).is_err());
        assert!(words(&["rollout/"]).is_err());
    }
}
