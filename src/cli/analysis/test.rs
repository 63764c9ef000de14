//! `analysis test`: judges metrics of the past. Talks to Prometheus, and to no cluster.

mod ask;
mod moment;
mod plot;
mod render;
mod subject;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::text::Palette;
use crate::cli::{Answer, End, Output, file, width};
use crate::clock::Clock;
use crate::rollout::replay::subject::{Known, KnownSides, LeftOut, Subject};
use crate::rollout::replay::{self, Outcome, Replay, Samples, Time};
use ask::Server;
use moment::Moment;

/// Which metrics, of when.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with a Rollout and the AnalysisTemplates that it names, or with an AnalysisTemplate; `-` for the standard input.
    /// May be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<String>,
    /// Which of several Rollouts, or which AnalysisTemplate.
    pub name: Option<String>,
    /// When the change would have got its first weight: a time (2026-11-26T09:30:00Z), or how long ago (2h).
    #[arg(long, value_name = "WHEN")]
    pub from: Moment,
    /// When it would have had to be good.
    #[arg(long, value_name = "WHEN", default_value = "now")]
    pub to: Moment,
    /// Value of an argument of the AnalysisTemplate. May be given several times.
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = argument)]
    pub args: Vec<(String, String)>,
    /// The revision that was the canary then, for what metrics say of it. Default: pods of any revision are taken for the
    /// canary's.
    #[arg(long, value_name = "REVISION")]
    pub canary: Option<String>,
    /// The revision that was stable then.
    #[arg(long, value_name = "REVISION")]
    pub stable: Option<String>,
    /// Regular expression that matches the canary's pods of then, where they were not a Rollout's.
    #[arg(long, value_name = "REGEX")]
    pub canary_pods: Option<String>,
    /// Regular expression that matches stable's pods of then.
    #[arg(long, value_name = "REGEX")]
    pub stable_pods: Option<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Where Prometheus is, and who asks.
    #[command(flatten)]
    pub server: ask::Reach,
}

fn argument(text: &str) -> Result<(String, String), String> {
    let both = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = both.ok_or("is no NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Args {
    fn known(&self) -> KnownSides {
        let known = |revision: &Option<String>, pods: &Option<String>| Known {
            revision: revision.clone(),
            pods: pods.clone(),
        };
        KnownSides {
            canary: known(&self.canary, &self.canary_pods),
            stable: known(&self.stable, &self.stable_pods),
        }
    }
}

/// Reads, asks, and shows.
pub(super) fn run(args: &Args, palette: Palette) -> Answer {
    let replay = match replayed(args) {
        Ok(replay) => replay,
        Err(answer) => return answer,
    };
    let document = args.output.document(&replay);
    Answer {
        end: match replay.end.outcome {
            Outcome::Promoted => End::Well,
            Outcome::RolledBack | Outcome::Held => End::Bad,
        },
        text: document.unwrap_or_else(|| render::page(&replay, width(), palette)),
        ..Answer::default()
    }
}

fn replayed(args: &Args) -> Result<Replay, Answer> {
    let schemas = file::schemas().map_err(Answer::failed)?;
    let files = file::files(&args.filename).map_err(Answer::failed)?;
    let given: BTreeMap<String, String> = args.args.iter().cloned().collect();
    let mut subject =
        subject::find(&files, &schemas, args.name.as_deref(), &given).map_err(Answer::invalid)?;
    let time = time(args, Clock::default().now()).map_err(|wrong| Answer::invalid(vec![wrong]))?;
    let left_out = subject.prepare(&args.known());
    if subject.analysis.metrics.is_empty() {
        let reason = |of: &LeftOut| format!("{} cannot be replayed: {}", of.name, of.because);
        return Err(Answer::invalid(left_out.iter().map(reason).collect()));
    }
    let server = Server::new(&args.server).map_err(Answer::failed)?;
    let samples = server.samples(&subject, time)?;
    let Subject {
        analysis,
        consequences,
        kind,
        key,
        ..
    } = subject;
    let (end, metrics) = replay::replay(&analysis, &samples, time, &consequences);
    Ok(Replay {
        kind: kind.kind(),
        namespace: key.namespace,
        name: key.name,
        from: time.from,
        to: time.to,
        end,
        metrics,
        left_out,
    })
}

/// The time that is replayed.
fn time(args: &Args, now: Timestamp) -> Result<Time, String> {
    let (from, to) = (args.from.before(now), args.to.before(now));
    if from >= to {
        return Err(format!("--from ({from}) has to be before --to ({to})"));
    }
    if to > now {
        return Err(format!("--to ({to}) is still to come: it is {now}"));
    }
    Ok(Time { from, to })
}

/// Samples of each metric by its name.
type ByMetric = BTreeMap<String, Samples>;
