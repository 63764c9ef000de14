//! The demo: three versions of a small service on their way to production, under constant load.
//!
//! `make demo` tells the [`story`] to people, and the end-to-end tests assert it: nothing is written twice.

mod chapter;
mod facts;
mod forge;
mod key;
mod repository;
mod review;
mod sample;
mod stage;
mod table;
mod teller;
mod trouble;
mod world;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::chapter::{Chapter, Plot};
use self::stage::{HOST, Stage};
use crate::kubectl::Kubectl;
use crate::load::{Load, LoadSpec, Stats};
use crate::node::Node;
use crate::operator::{self, Programs};

pub use self::facts::{
    BACK_WITHIN, FIRST_WEIGHT, Fate, Outcome, Requests, Review, Story, Version, Violation,
};
pub use self::teller::Teller;

/// Requests per second.
const RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
/// How long the load is looked at before it counts.
const CALIBRATION: Duration = Duration::from_secs(5);
/// A load ends by itself, whatever becomes of the story.
const LOAD_ENDS: Duration = Duration::from_mins(20);
/// Answers at the end that all have to be of one version.
const LAST_ANSWERS: u64 = 180;

/// The three versions.
const PLOTS: [Plot; 3] = [
    Plot {
        name: "1.0.0",
        title: "the first version",
        subject: "feat: greet whoever asks",
        error_percent: "0",
        fate: Fate::Stays,
        developer_tries: true,
    },
    Plot {
        name: "2.0.0",
        title: "a good version, under load",
        subject: "feat!: greet as version 2",
        error_percent: "0",
        fate: Fate::Stays,
        developer_tries: false,
    },
    Plot {
        name: "3.0.0",
        title: "a bad version: every 20th answer is an error",
        subject: "perf: keep greetings in a cache",
        error_percent: "5",
        fate: Fate::GoesBack,
        developer_tries: false,
    },
];

/// How the story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Production {
    /// With the analysis that the samples have.
    Watched,
    /// Without: the story must not hold then.
    Unwatched,
}

/// Plays the story on a cluster and gives what was seen.
///
/// # Errors
///
/// It could not be played to its end. A story that was played and did not hold is no error: see [`Story::problems`].
pub async fn story(
    node: &Node,
    programs: &Programs,
    production: Production,
    teller: &Teller,
) -> Result<Story> {
    let started = Instant::now();
    let admin = Kubectl::new(node.control_plane().kubeconfig_path());
    let played = play(node, programs, production, teller, started).await;
    if let Err(error) = &played {
        teller.bad(&format!("{error:#}"));
        trouble::tell(&admin, teller).await;
    }
    played
}

async fn play(
    node: &Node,
    programs: &Programs,
    production: Production,
    teller: &Teller,
    started: Instant,
) -> Result<Story> {
    teller.title("The stage");
    let stage = Stage::set(node, programs, production == Production::Watched, teller).await?;
    let [first, rest @ ..] = PLOTS;
    let chapter = |plot: Plot, load| Chapter {
        stage: &stage,
        teller,
        load,
        plot,
    };
    let mut versions = vec![chapter(first, None).tell().await?];

    let review = review::tell(&stage, teller).await?;

    teller.title("Load");
    let load = start_load(&stage).await?;
    let before = calibrate(&load, teller).await?;
    for plot in rest {
        versions.push(chapter(plot, Some(&load)).tell().await?);
    }
    let serves_at_the_end = last_answers(&load).await?;
    let summary = load.stop().await;
    if let Some(version) = versions.first_mut() {
        version.requests.sent = before.sent;
        version.requests.lost = before.lost;
        version.requests.failed = before.injected;
        version.requests.answered_by_it = before.answered;
    }
    Ok(Story {
        versions,
        review,
        load: summary,
        serves_at_the_end,
        took: started.elapsed(),
    })
}

async fn start_load(stage: &Stage) -> Result<Load> {
    let spec = LoadSpec::new(&format!("http://{}/", stage.gateway))?.host(HOST);
    Load::start(spec.rate(RATE).duration(LOAD_ENDS)).await
}

/// Before anything changes, gateway, machine and load itself have to lose nothing.
async fn calibrate(load: &Load, teller: &Teller) -> Result<Stats> {
    let wanted = CALIBRATION.as_secs() * u64::from(RATE.get());
    let stats = load
        .until(CALIBRATION * 4, |stats| {
            stats.answered + stats.lost >= wanted
        })
        .await?;
    ensure!(
        stats.lost == 0,
        "requests are lost before anything has changed: {stats:?}"
    );
    teller.good(&format!(
        "{RATE} requests per second to http://{HOST}/ through the gateway, from now on to the end; {} answered, 0 lost",
        stats.answered
    ));
    Ok(stats)
}

/// Which one version gives the last answers; nothing when it is more than one.
async fn last_answers(load: &Load) -> Result<Option<String>> {
    let before = load.stats();
    let wanted = before.answered + LAST_ANSWERS;
    let after = load
        .until(CALIBRATION * 4, |stats| stats.answered >= wanted)
        .await?;
    let grown = after.revisions.iter().filter(|(name, count)| {
        before
            .revisions
            .get(*name)
            .is_none_or(|earlier| earlier < *count)
    });
    let grown: Vec<&String> = grown.map(|(name, _)| name).collect();
    Ok(match grown.as_slice() {
        [one] => Some((*one).clone()),
        _ => None,
    })
}

/// Tells how the story ended; whether it held.
pub fn tell_end(story: &Story, teller: &Teller) -> bool {
    teller.title("What was seen");
    teller.text(&format!("\n{}\n", table::render(story)));
    let review = &story.review;
    teller.text(&format!(
        "pull request {}: {} statuses and {} comment at Gitea, in {:.1} s\n",
        review.number,
        review.statuses.len(),
        review.comments.len(),
        review.took.as_secs_f64()
    ));
    let stats = &story.load.stats;
    let latency = &story.load.latency;
    teller.text(&format!(
        "load: {} requests in {:.0} s, {} lost, {} answered with the sample's own error; p50 {:.0} ms, p99 {:.0} ms\n",
        stats.sent, story.load.ran_for, stats.lost, stats.injected, latency.p50, latency.p99
    ));
    let problems = story.problems();
    for problem in &problems {
        teller.bad(problem);
    }
    let took = story.took.as_secs();
    if problems.is_empty() {
        teller.good(&format!(
            "the story held, in {}:{:02} minutes",
            took / 60,
            took % 60
        ));
    } else {
        teller.bad(&format!(
            "the story did not hold, after {}:{:02} minutes",
            took / 60,
            took % 60
        ));
    }
    problems.is_empty()
}

/// Removes what the demo made in a cluster that is not its own.
///
/// # Errors
///
/// Something is left.
pub async fn clear(kubeconfig: &Path, teller: &Teller) -> Result<()> {
    crate::programs::ensure(&["kubectl", "helm"]).await?;
    let admin = Kubectl::new(kubeconfig);
    stage::clear(&admin, teller).await?;
    let uninstall = [
        "uninstall",
        operator::RELEASE,
        "--namespace",
        operator::NAMESPACE,
        "--wait",
        "--ignore-not-found",
    ];
    operator::helm(kubeconfig, &uninstall)
        .await
        .context("the operator")?;
    admin
        .run(
            &[
                "delete",
                "namespace",
                operator::NAMESPACE,
                "--ignore-not-found",
            ],
            "",
        )
        .await?;
    let crds = [
        "delete",
        "crd",
        "--ignore-not-found",
        "--selector",
        "app.kubernetes.io/name=slipway",
    ];
    admin.run(&crds, "").await.map(drop)
}
