//! `run logs`: what stages say, from their pods, and what they have said, from the operator. Talks to the API server.

mod bookmark;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::archive::{Archive, Keeper};
use crate::archive::{About, Entry};
use crate::cli::cluster::{Place, Server};
use crate::cli::follow::Followed;
use crate::cli::text::{Palette, Tone};
use crate::cli::{Answer, End};
use crate::model::label;
use crate::pipeline_run::api::{PipelineRun, StagePhase};
use live::live;

/// Which logs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Go on until the run is over, or the stage that is named.
    #[arg(short, long)]
    pub follow: bool,
    /// Only this stage.
    #[arg(long)]
    pub stage: Option<String>,
    /// Only this cell of the stage's matrix.
    #[arg(long, requires = "stage")]
    pub cell: Option<String>,
    /// Only this attempt, from 1; by default the last one, and all of them with --follow.
    #[arg(long)]
    pub attempt: Option<u32>,
    /// Only what the operator keeps, not what pods say.
    #[arg(long, conflicts_with = "follow")]
    pub kept: bool,
    /// Who keeps them.
    #[command(flatten)]
    pub keeper: Keeper,
}

/// Where a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Pod,
    Kept,
}

/// Shows them as they come.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let problems = read(&server, &run, args, (&Screen, palette)).await;
    let end = if problems.is_empty() {
        End::Well
    } else {
        End::Failed
    };
    Ok(Answer {
        problems,
        end,
        ..Answer::default()
    })
}

/// Who is told what a log says.
pub trait Listener: Sync {
    /// Longest line that it hears as one, in bytes: a longer one comes in pieces, each as a line of its own.
    const LONGEST: usize;

    /// Hears a line. The error is empty where nobody listens any more.
    fn hear(&self, prefix: &str, line: &[u8]) -> impl Future<Output = Result<(), String>> + Send;

    /// Hears how the connection fares, which is no part of the log. The error is as that of a line.
    fn note(&self, prefix: &str, words: &str) -> impl Future<Output = Result<(), String>> + Send;
}

/// Tells a listener what there is of a run, and returns what is wrong. Nothing is, where nobody listens any more.
pub async fn read<L: Listener>(
    server: &Server,
    run: &PipelineRun,
    args: &Args,
    (listener, palette): (&L, Palette),
) -> Vec<String> {
    let mut show = Show {
        args,
        server,
        listener,
        palette,
        shown: BTreeSet::new(),
        problems: Vec::new(),
    };
    let done = if args.follow {
        show.follow().await
    } else {
        show.once(run).await
    };
    match done {
        Ok(()) => {}
        // Whoever reads has read enough.
        Err(problem) if problem.is_empty() => return Vec::new(),
        Err(problem) => show.problems.push(problem),
    }
    if show.shown.is_empty() && show.problems.is_empty() {
        let problem = format!(
            "no stage of run {} that you ask for has said anything",
            args.name
        );
        show.problems.push(problem);
    }
    show.problems
}

/// The standard output.
struct Screen;

impl Listener for Screen {
    const LONGEST: usize = usize::MAX;

    async fn hear(&self, prefix: &str, line: &[u8]) -> Result<(), String> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(&whole(prefix, line))
            .and_then(|()| out.flush());
        written.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return String::new();
            }
            format!("cannot write the log: {error}")
        })
    }

    async fn note(&self, prefix: &str, words: &str) -> Result<(), String> {
        // Who does not see it misses nothing of the log.
        let _ = writeln!(io::stderr(), "{prefix}slipway: {words}");
        Ok(())
    }
}

/// A line as it is shown.
pub fn whole(prefix: &str, line: &[u8]) -> Vec<u8> {
    let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
    [prefix.as_bytes(), line, end].concat()
}

struct Show<'a, L> {
    args: &'a Args,
    server: &'a Server,
    listener: &'a L,
    palette: Palette,
    /// Pods whose log was shown.
    shown: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a, L: Listener> Show<'a, L> {
    /// Shows all that is there, in the order in which it began.
    async fn once(&mut self, run: &PipelineRun) -> Result<(), String> {
        let pods = if self.args.kept {
            Vec::new()
        } else {
            self.pods().await?
        };
        let live: Vec<About> = pods.iter().filter_map(about).collect();
        let mut archive = None;
        if self.args.kept || lacks_a_stage(run, &live, self.args) {
            archive = self.archive(run).await;
        }
        let kept = match &archive {
            Some(archive) => archive.list().await?,
            None => Vec::new(),
        };
        let all = pick(&live, &kept, self.args);
        let is_alone = all.len() < 2;
        for (about, origin) in &all {
            let prefix = self.prefix(about, is_alone);
            let mut problem = String::new();
            if *origin == Origin::Pod {
                match self.say_live(about, &prefix).await {
                    Ok(()) => continue,
                    Err(said) if said.is_empty() => return Err(said),
                    // A pod that Kubernetes took away may still be listed, without its log.
                    Err(said) => problem = said,
                }
            }
            if archive.is_none() {
                archive = self.archive(run).await;
            }
            match &archive {
                Some(archive) => self.say_kept(archive, about, &prefix).await?,
                None => self.problems.push(problem),
            }
        }
        Ok(())
    }

    async fn say_live(&mut self, about: &About, prefix: &str) -> Result<(), String> {
        live(self.server, about, (self.listener, prefix), false).await?;
        self.shown.insert(about.pod.clone());
        Ok(())
    }

    /// Shows what is said until nothing more comes.
    async fn follow(&mut self) -> Result<(), String> {
        let mut running = FuturesUnordered::new();
        let mut seen = BTreeSet::new();
        let mut runs: Followed<'_, PipelineRun> = Followed::one(self.server, &self.args.name);
        let mut pods: Followed<'_, Pod> = Followed::labelled(self.server, &self.of_run());
        let run: PipelineRun = loop {
            tokio::select! {
                Some((pod, done)) = running.next() => match done {
                    Ok(()) => drop(self.shown.insert(pod)),
                    Err(problem) if String::is_empty(&problem) => return Err(problem),
                    Err(problem) => self.problems.push(problem),
                },
                changed = runs.change() => changed?,
                changed = pods.change() => changed?,
            }
            let run = runs.only(&self.args.name)?;
            let known = pods.known().into_iter().flatten();
            let mut known: Vec<About> = known.filter_map(|(_, pod)| about(pod)).collect();
            let done = run.filter(|run| running.is_empty() && is_done(run, self.args));
            if done.is_some() {
                // What is heard of pods may be behind what is heard of their run.
                known = self.pods().await?.iter().filter_map(about).collect();
            }
            for about in known {
                if !fits(&about, self.args) || !seen.insert(about.pod.clone()) {
                    continue;
                }
                let prefix = self.prefix(&about, self.args.stage.is_some());
                let (server, listener) = (self.server, self.listener);
                running.push(async move {
                    let done = live(server, &about, (listener, &prefix), true).await;
                    (about.pod, done)
                });
            }
            if let Some(run) = done.filter(|_| running.is_empty()) {
                break run.clone();
            }
        };
        drop(running);
        // Pods that came and went before they were heard of.
        if !self.args.kept && self.shown.is_empty() {
            return self.once(&run).await;
        }
        Ok(())
    }

    async fn pods(&self) -> Result<Vec<Pod>, String> {
        self.server.list(&self.of_run()).await
    }

    fn of_run(&self) -> String {
        format!("{}={}", label::PIPELINE_RUN, self.args.name)
    }

    /// What the operator keeps; why not becomes a problem.
    async fn archive(&mut self, run: &PipelineRun) -> Option<Archive<'a>> {
        let uid = run.uid().unwrap_or_default();
        let name = self.args.name.as_str();
        match Archive::of(self.server, &self.args.keeper, (name, &uid)).await {
            Ok(archive) => Some(archive),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    async fn say_kept(
        &mut self,
        archive: &Archive<'_>,
        about: &About,
        prefix: &str,
    ) -> Result<(), String> {
        let (mut offset, mut line) = (0, Vec::new());
        loop {
            let part = archive.read(&about.pod, offset).await?;
            if part.is_empty() {
                break;
            }
            offset += part.len() as u64;
            let pieces = part.split_inclusive(|byte| *byte == b'\n');
            for piece in pieces.flat_map(|piece| piece.chunks(L::LONGEST)) {
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() >= L::LONGEST {
                    self.listener.hear(prefix, &line).await?;
                    line.clear();
                }
            }
        }
        if !line.is_empty() {
            self.listener.hear(prefix, &line).await?;
        }
        self.shown.insert(about.pod.clone());
        Ok(())
    }

    fn prefix(&self, about: &About, is_alone: bool) -> String {
        if is_alone {
            return String::new();
        }
        let mut name = about.stage.clone();
        if let Some(cell) = &about.cell {
            name = format!("{name}/{cell}");
        }
        if about.attempt > 1 {
            name = format!("{name}#{}", about.attempt);
        }
        self.palette.paint(Tone::Faint, &format!("{name} | "))
    }
}

/// Which stage a pod is of.
fn about(pod: &Pod) -> Option<About> {
    let labels = pod.labels();
    let Time(started_at) = pod.creation_timestamp()?;
    let attempt = labels.get(label::ATTEMPT);
    Some(About {
        pod: pod.name_any(),
        stage: labels.get(label::STAGE)?.clone(),
        cell: labels.get(label::CELL).cloned(),
        attempt: attempt.and_then(|text| text.parse().ok()).unwrap_or(1),
        started_at,
        is_complete: false,
    })
}

fn fits(about: &About, args: &Args) -> bool {
    let is_stage = args
        .stage
        .as_ref()
        .is_none_or(|stage| about.stage == *stage);
    let is_cell = args.cell.is_none() || about.cell == args.cell;
    let is_attempt = args.attempt.is_none_or(|attempt| about.attempt == attempt);
    is_stage && is_cell && is_attempt
}

/// Whether nothing of what is asked for comes any more.
fn is_done(run: &PipelineRun, args: &Args) -> bool {
    let Some(status) = &run.status else {
        return false;
    };
    let mut stages = status.stages.iter();
    let stage = stages.find(|stage| Some(&stage.name) == args.stage.as_ref());
    status.phase.unwrap_or_default().is_finished() || stage.is_some_and(|one| one.phase.is_over())
}

/// Whether a stage has begun that no pod is there of.
fn lacks_a_stage(run: &PipelineRun, live: &[About], args: &Args) -> bool {
    let stages = run.status.iter().flat_map(|status| &status.stages);
    let mut begun = stages.filter(|stage| {
        let has_run = !matches!(stage.phase, StagePhase::Pending | StagePhase::Skipped);
        has_run && args.stage.as_ref().is_none_or(|name| stage.name == *name)
    });
    let mut fitting = live.iter().filter(|about| fits(about, args));
    let wants_one = args.cell.is_some() || args.attempt.is_some();
    (wants_one && fitting.next().is_none())
        || begun.any(|stage| live.iter().all(|about| about.stage != stage.name))
}

/// The logs that are asked for, as they began: of each cell the last attempt, where none is named; from the pod where it is
/// there.
fn pick(live: &[About], kept: &[Entry], args: &Args) -> Vec<(About, Origin)> {
    let mut all: BTreeMap<&str, (&About, Origin)> = BTreeMap::new();
    for entry in kept {
        all.insert(&entry.about.pod, (&entry.about, Origin::Kept));
    }
    for about in live {
        all.insert(&about.pod, (about, Origin::Pod));
    }
    let mut all: Vec<_> = all
        .into_values()
        .filter(|(about, _)| fits(about, args))
        .collect();
    let mut last = BTreeMap::new();
    for (about, _) in &all {
        let attempt = last.entry((&about.stage, &about.cell)).or_insert(0);
        *attempt = about.attempt.max(*attempt);
    }
    all.retain(|(about, _)| last.get(&(&about.stage, &about.cell)) == Some(&about.attempt));
    all.sort_by_key(|(about, _)| (about.started_at, &about.pod));
    let owned = all.into_iter().map(|(about, place)| (about.clone(), place));
    owned.collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use jiff::Timestamp;

    use super::*;
    use crate::cli::Command;
    use crate::cli::run::Verb;

    fn args(line: &str) -> Args {
        let line = format!("kubectl-slipway run logs shop-7 {line}");
        match crate::cli::Args::parse_from(line.split_whitespace()).command {
            Command::Run(Verb::Logs(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn log(stage: &str, attempt: u32, second: i64) -> About {
        About {
            pod: format!("{stage}-{attempt}-x"),
            stage: stage.to_owned(),
            cell: None,
            attempt,
            started_at: Timestamp::from_second(second).unwrap(),
            is_complete: false,
        }
    }

    fn kept(about: About) -> Entry {
        Entry {
            about,
            bytes: 1,
            reports: 0,
        }
    }

    fn picked(live: &[About], kept: &[Entry], flags: &str) -> Vec<(String, Origin)> {
        let all = pick(live, kept, &args(flags)).into_iter();
        all.map(|(about, place)| (about.pod, place)).collect()
    }

    #[test]
    fn a_log_is_taken_from_its_pod_or_from_what_is_kept() {
        let live = [log("image", 1, 20)];
        let kept = [kept(log("image", 1, 20)), kept(log("unit", 1, 10))];
        assert_eq!(
            picked(&live, &kept, ""),
            [
                ("unit-1-x".into(), Origin::Kept),
                ("image-1-x".into(), Origin::Pod)
            ]
        );
        assert_eq!(
            picked(&live, &kept, "--stage image"),
            [("image-1-x".into(), Origin::Pod)]
        );
    }

    #[test]
    fn the_last_attempt_counts_unless_another_is_named() {
        let live = [log("unit", 1, 10), log("unit", 2, 20)];
        assert_eq!(picked(&live, &[], ""), [("unit-2-x".into(), Origin::Pod)]);
        assert_eq!(
            picked(&live, &[], "--attempt 1"),
            [("unit-1-x".into(), Origin::Pod)]
        );
    }

    #[test]
    fn a_stage_is_followed_until_it_is_over() {
        let run: PipelineRun = serde_json::from_value(serde_json::json!({
            "apiVersion": "slipway.dev/v1alpha1",
            "kind": "PipelineRun",
            "metadata": {"name": "shop-7"},
            "spec": {"pipelineRef": {"name": "shop"}, "trigger": {"kind": "Push", "actor": "slipway"},
                     "ref": "refs/heads/main", "sha": "a".repeat(40)},
            "status": {"phase": "Running", "stages": [
                {"name": "unit", "type": "Test", "phase": "Succeeded"},
                {"name": "image", "type": "Build", "phase": "Running"},
            ]},
        }))
        .unwrap();
        assert!(is_done(&run, &args("-f --stage unit")));
        for goes_on in ["-f", "-f --stage image", "-f --stage later"] {
            assert!(!is_done(&run, &args(goes_on)), "{goes_on}");
        }
    }
}
