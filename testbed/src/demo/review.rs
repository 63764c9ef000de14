//! A pull request that waits for its review: its run, what Gitea shows of its commit, and the comment that the operator keeps there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::chapter::{said_of_failure, short};
use super::facts::Review;
use super::stage::Stage;
use super::teller::Teller;
use super::world::{Look, list, text};

/// The branch that it brings, and what it is about.
const BRANCH: &str = "polite";
const SUBJECT: &str = "feat: say good day";
/// How long its run may take on a machine that is busy.
const RUNS: Duration = Duration::from_mins(3);

/// Opens it and tells what becomes of it. It is left open.
pub(crate) async fn tell(stage: &Stage, teller: &Teller) -> Result<Review> {
    let started = Instant::now();
    teller.title("A pull request");
    stage.repository.write("GREETING", "good day\n")?;
    let commit = stage.repository.push_aside(BRANCH, SUBJECT).await?;
    let number = stage.forge.open(BRANCH, &commit, SUBJECT).await?;
    let at = short(&commit);
    teller.good(&format!(
        "dana opens pull request {number}: {at} \"{SUBJECT}\""
    ));
    let run = run(stage, teller, &commit).await?;
    let name = text(&run, "/metadata/name").to_owned();
    teller.good(&format!(
        "PipelineRun {name} {}; it makes no Release",
        text(&run, "/status/phase")
    ));
    let stages = list(&run, "/status/stages").len();
    let statuses = stage.forge.statuses(&commit, stages).await?;
    let told = statuses
        .iter()
        .map(|[context, state]| format!("{context} {state}"));
    let told: Vec<String> = told.collect();
    teller.good(&format!("Gitea shows at {at}: {}", told.join(", ")));
    let comments = stage.forge.comments(number, &name).await?;
    teller.good(&format!("and at pull request {number}, by slipway:"));
    let lines = comments.iter().flat_map(|comment| comment.lines());
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("<!--")) {
        teller.text(&format!("         │ {line}\n"));
    }
    Ok(Review {
        number,
        has_release: !text(&run, "/status/release").is_empty(),
        statuses,
        comments,
        took: started.elapsed(),
    })
}

/// The run of a commit in a pull request, at its end.
async fn run(stage: &Stage, teller: &Teller, commit: &str) -> Result<Arc<Value>> {
    let what = format!("the run of {} to end", short(commit));
    let is_it = |run: &Arc<Value>| {
        text(run, "/spec/sha") == commit && text(run, "/spec/trigger/kind") == "PullRequest"
    };
    let ended = stage.world.until(teller, (&what, RUNS), |world| {
        let Some(run) = world.objects("PipelineRun").into_iter().find(is_it) else {
            return Look::NotYet(String::new());
        };
        match text(&run, "/status/phase") {
            "Succeeded" => Look::So(run),
            "Failed" | "Cancelled" | "TimedOut" => Look::Never(said_of_failure(&run)),
            _ => Look::NotYet(text(&run, "/status/message").to_owned()),
        }
    });
    ended.await
}
